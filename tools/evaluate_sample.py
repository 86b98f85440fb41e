"""Measures the bundled sample: how often retriever and reader are right about its own questions.

    python tools/evaluate_sample.py [--folder dpr_tf/sample] [--k 20]

The folder holds passages.tsv, questions.tsv, questions.gold.tsv (row of a question, id of its passage) and
the checkpoints context_encoder/, question_encoder/, reader/. The figures stand in the sample's README and, a
little lower, as thresholds in tests/end_to_end/test_demo.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dpr_tf.answering import QuestionAnswering, sample_folder
from dpr_tf.data import read_passages, read_questions
from dpr_tf.evaluation import score_answers, top_k_accuracy

KS = (1, 5, 20)


def main() -> None:
    """Prints a Markdown table of the measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=sample_folder(), help="the sample (default: the bundled one)"
    )
    parser.add_argument("--k", type=int, default=20, help="passages to read (default: %(default)s)")
    options = parser.parse_args()
    passages = list(read_passages(options.folder / "passages.tsv"))
    questions = list(read_questions(options.folder / "questions.tsv"))
    rows = (options.folder / "questions.gold.tsv").read_text(encoding="utf-8").splitlines()
    gold = [row.split("\t")[1] for row in rows]
    system = QuestionAnswering.from_pretrained(passages, [str(options.folder)])
    answers = [question.answers for question in questions]
    retrieved = system.retriever.retrieve([question.text for question in questions], max(*KS, options.k))
    texts = [[scored.passage.text for scored in some] for some in retrieved]
    found = [
        system.reader.answer(q.text, some[: options.k]) for q, some in zip(questions, retrieved, strict=True)
    ]
    scores = score_answers([best[0].text if best else "" for best in found], answers)
    print(f"{len(questions)} questions, {len(passages)} passages, {options.k} read\n")
    print("| measure | share of questions |\n|---|---|")
    for k, share in top_k_accuracy(texts, answers, KS).items():
        print(f"| an answer in the first {k} passages | {share:.1%} |")
    for k in KS:
        hits = [
            any(s.passage.id == wanted for s in some[:k])
            for some, wanted in zip(retrieved, gold, strict=True)
        ]
        print(f"| the question's own passage in the first {k} | {sum(hits) / len(hits):.1%} |")
    chosen = [bool(best) and best[0].passage.id == wanted for best, wanted in zip(found, gold, strict=True)]
    print(f"| answer taken from the question's own passage | {sum(chosen) / len(chosen):.1%} |")
    print(f"| exact match | {scores.exact_match:.1%} |")
    print(f"| F1 | {scores.f1:.1%} |")


if __name__ == "__main__":
    main()

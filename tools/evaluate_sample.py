"""Measures the bundled sample: how often retriever and reader are right about its own questions.

    python tools/evaluate_sample.py [--folder dpr_tf/sample] [--k 20]

The folder holds passages.tsv, questions.tsv and the checkpoints context_encoder/, question_encoder/, reader/.
Its figures stand in the sample's README and, a little lower, as thresholds in tests/end_to_end/test_demo.py.
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
    system = QuestionAnswering.from_pretrained(passages, [str(options.folder)])
    answers = [question.answers for question in questions]
    retrieved = system.retriever.retrieve([question.text for question in questions], max(*KS, options.k))
    texts = [[scored.passage.text for scored in some] for some in retrieved]
    predictions = [
        next((answer.text for answer in system.reader.answer(question.text, some[: options.k])), "")
        for question, some in zip(questions, retrieved, strict=True)
    ]
    scores = score_answers(predictions, answers)
    print(f"{len(questions)} questions, {len(passages)} passages, {options.k} read\n")
    print("| measure | share of questions |\n|---|---|")
    for k, share in top_k_accuracy(texts, answers, KS).items():
        print(f"| top-{k} retrieval accuracy | {share:.1%} |")
    print(f"| exact match | {scores.exact_match:.1%} |")
    print(f"| F1 | {scores.f1:.1%} |")


if __name__ == "__main__":
    main()

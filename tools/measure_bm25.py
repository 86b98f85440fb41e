"""Measures BM25 on questions over a passage collection: accuracy and processor time.

python tools/measure_bm25.py passages.tsv questions.csv
"""

from __future__ import annotations

import argparse
import time

from dpr_tf.data import read_passages, read_questions
from dpr_tf.evaluation import evaluate_retrieval
from dpr_tf.retrieval import BM25Retriever


def main() -> None:
    """Prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("passages", help="as for dpr_tf.read_passages")
    parser.add_argument("questions", help="questions with answers, as for dpr_tf.data.read_questions")
    parser.add_argument("--k1", type=float, default=0.9)
    parser.add_argument("--b", type=float, default=0.4)
    options = parser.parse_args()
    passages, questions = list(read_passages(options.passages)), list(read_questions(options.questions))
    start = time.process_time()
    retriever = BM25Retriever.build(passages, k1=options.k1, b=options.b)
    print(f"{len(passages):,} passages indexed in {time.process_time() - start:.1f} s")
    start = time.process_time()
    found = retriever.retrieve([question.text for question in questions], k=100)
    milliseconds = 1000 * (time.process_time() - start) / len(questions)
    print(f"{len(questions):,} questions, {milliseconds:.2f} ms each")
    start = time.process_time()
    texts = [[scored.passage.text for scored in ranking] for ranking in found]
    answers = [question.answers for question in questions]
    report = evaluate_retrieval(zip(answers, texts, strict=True))
    print(f"evaluated in {time.process_time() - start:.1f} s")
    for k in (1, 5, 20, 100):
        if k <= len(report.accuracy):
            mean, low, high = (100 * share for share in report.estimate(k))
            print(f"top-{k}: {mean:.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()

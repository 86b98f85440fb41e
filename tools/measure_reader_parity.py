"""Measures how far the losses of the reader, trained with `fit`, are from those of a plain PyTorch loop.

Both start from the bundled sample's reader and take the same batches, of its questions with the passages that
BM25 finds, without dropout.

python tools/measure_reader_parity.py [--steps 50] [--questions 4] [--passages 8]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from dpr_tf import DPRReaderTokenizerFast, sample_folder
from dpr_tf.data import Retrieved, RetrievedPassage, read_passages, read_questions
from dpr_tf.retrieval import BM25Retriever
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderData
from dpr_tf.training.reader_passages import PassageChooser

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import torch_reader


def retrieved(k: int) -> list[Retrieved]:
    """The sample's questions with k passages each."""
    questions = list(read_questions(sample_folder() / "questions.tsv"))
    retriever = BM25Retriever.build(list(read_passages(sample_folder() / "passages.tsv")))
    found = retriever.retrieve([question.text for question in questions], k)
    return [
        Retrieved(
            question.text,
            question.answers,
            tuple(RetrievedPassage(*scored.passage, scored.score) for scored in ranking),
        )
        for question, ranking in zip(questions, found, strict=True)
    ]


def main() -> None:
    """Prints the losses of some steps, and the largest relative difference of all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--questions", type=int, default=4, help="in a batch")
    parser.add_argument("--passages", type=int, default=8, help="of each question")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    options = parser.parse_args()
    folder = sample_folder() / "reader"
    tokenizer = DPRReaderTokenizerFast.from_pretrained(folder)
    chooser = PassageChooser(tokenizer, 350)
    data = ReaderData(map(chooser.choose, retrieved(20)), len(tokenizer))
    batches = ReaderBatches(
        data, tokenizer.pad_token_id, batch_size=options.questions, passages=options.passages
    )
    ours, theirs = torch_reader.compare(folder, batches, options.steps, options.learning_rate, clip=1.0)
    for step in range(0, options.steps, max(1, options.steps // 10)):
        print(f"step {step + 1}: {ours[step]:.6f} with fit, {theirs[step]:.6f} with PyTorch")
    print(f"largest relative difference of {options.steps} losses: {np.max(np.abs(ours / theirs - 1)):.1e}")


if __name__ == "__main__":
    main()

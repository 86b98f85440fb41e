"""Latency of one question at a time, BERT-base, questions of the bundled sample."""

from __future__ import annotations

from pathlib import Path

from engines import ENGINES, write_batches, write_model

__all__ = ["ENGINES"]

UNIT = "questions"
OPTIONS = {"layers": 12, "questions": 20}


def prepare(folder: Path, options: dict[str, int]) -> None:
    """Writes the model and the questions' ids, a batch each."""
    from dpr_tf import DPRQuestionEncoderTokenizerFast, sample_folder
    from dpr_tf.data import read_questions

    write_model(folder, options["layers"])
    tokenizer = DPRQuestionEncoderTokenizerFast.from_pretrained(sample_folder() / "question_encoder")
    questions = list(read_questions(sample_folder() / "questions.tsv"))[: options["questions"]]
    write_batches(folder, tokenizer([question.text for question in questions])["input_ids"], 1)

"""Latency of one question at a time, BERT-base, questions of the bundled sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engines
import numpy as np
from engines import encode

UNIT = "questions"
OPTIONS = {"layers": 12, "questions": 40, "batch_size": 1, "vocab": ""}
ENGINES = {
    # As a QuestionAnswering that loads its encoder; as a Retriever of one that may be trained on.
    "dpr_tf": ("ours", encode(engines.ours, "in order", single_texts=True, weights_stay=True)),
    "dpr_tf, weights may change": ("ours", encode(engines.ours, "in order", single_texts=True)),
    "openvino": ("peers", encode(engines.openvino, "in order")),
    "openvino on our SavedModel": ("peers", encode(engines.openvino_saved_model, "in order")),
    "onnxruntime": ("peers", encode(engines.onnxruntime, "in order")),
    "pytorch": ("peers", encode(engines.torch, "in order")),
    "transformers4": ("transformers4", encode(engines.transformers4, "in order")),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model and the questions' ids."""
    engines.write_model(folder, options)
    write_questions(folder, options["questions"], folder / "model")


def write_questions(folder: Path, count: int, tokenizer: Path) -> None:
    """Writes ids of the sample's questions; more than there are come over and over."""
    from dpr_tf import DPRContextEncoderTokenizerFast, sample_folder
    from dpr_tf.data import read_questions

    tokenize = DPRContextEncoderTokenizerFast.from_pretrained(tokenizer)
    texts = [question.text for question in read_questions(sample_folder() / "questions.tsv")]
    engines.write_rows(folder, tokenize(np.resize(texts, count).tolist())["input_ids"])

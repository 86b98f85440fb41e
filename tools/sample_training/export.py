"""Writes a trained model as a folder in Hugging Face's PyTorch layout, weights in float16."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dpr_tf.weights import convert, files, names

TOKENIZERS = {
    "ctx_encoder": "DPRContextEncoderTokenizer",
    "question_encoder": "DPRQuestionEncoderTokenizer",
    "reader": "DPRReaderTokenizer",
}


def export(model, vocabulary: Path, folder: Path) -> None:
    """Writes config.json, model.safetensors, vocab.txt and tokenizer_config.json of a model to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    arrays = convert.to_torch(model.variables_by_path, names.rows(model.config, model.head))
    files.write_safetensors(folder, {key: _half(array) for key, array in arrays.items()})
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    settings = {
        "do_lower_case": True,
        "model_max_length": model.config.max_position_embeddings,
        "tokenizer_class": TOKENIZERS[model.head],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _half(array) -> np.ndarray:
    values = array.read()
    largest = float(np.abs(values).max())
    if largest > np.finfo(np.float16).max:
        raise ValueError(
            f"a weight of {largest} does not fit float16; train with weight decay or export float32."
        )
    return values.astype(np.float16)

"""Fingerprints of what makes vectors: a model's weights, a tokenizer's vocabulary."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

_SETTINGS = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")


def model_fingerprint(model: Any) -> str:
    """32 hexadecimal digits that change with any weight; the format of the checkpoint's file does not matter.

    Args:
        model: one of the three models.
    """
    digest = hashlib.sha256()  # for which processors have instructions
    for path, variable in sorted(model.variables_by_path.items()):
        value = np.ascontiguousarray(variable.numpy())
        digest.update(json.dumps([path, value.dtype.name, value.shape]).encode())
        digest.update(value.view(np.uint8).reshape(-1).data if value.size else b"")
    return digest.hexdigest()[:32]


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """32 hexadecimal digits that change with the vocabulary and with how text is normalised.

    Args:
        tokenizer: one of the DPR tokenizers.
    """
    vocabulary = sorted(tokenizer.get_vocab().items())
    settings = [tokenizer.init_kwargs.get(name) for name in _SETTINGS]
    return hashlib.blake2b(json.dumps([vocabulary, settings]).encode(), digest_size=16).hexdigest()

"""Dense Passage Retrieval for TensorFlow and Keras 3. Names are imported when first used."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "dpr_tf.config": ("DPRConfig",),
    "dpr_tf.outputs": (
        "DPRContextEncoderOutput",
        "DPRQuestionEncoderOutput",
        "DPRReaderOutput",
        "TFDPRContextEncoderOutput",
        "TFDPRQuestionEncoderOutput",
        "TFDPRReaderOutput",
    ),
    "dpr_tf.models.dpr": ("TFDPRContextEncoder", "TFDPRQuestionEncoder", "TFDPRReader"),
    "dpr_tf.models.torch": ("DPRContextEncoder", "DPRQuestionEncoder", "DPRReader"),
    "dpr_tf.tokenizers": (
        "BatchEncoding",
        "DPRContextEncoderTokenizer",
        "DPRContextEncoderTokenizerFast",
        "DPRQuestionEncoderTokenizer",
        "DPRQuestionEncoderTokenizerFast",
        "DPRReaderTokenizer",
        "DPRReaderTokenizerFast",
        "DPRSpanPrediction",
    ),
    "dpr_tf.data.passages": ("Passage", "read_passages"),
    "dpr_tf.answering": ("QuestionAnswering", "sample_folder"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dpr_tf' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""Dense Passage Retrieval for TensorFlow and Keras 3. Names are imported when first used."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from typing import Any

__version__ = "0.1.0"

# TensorFlow reads it when it is imported, and by default turns oneDNN on for some processors only; on others
# it saves a third of the time too. Whoever sets it to 0 keeps it off.
if platform.machine().lower() in ("x86_64", "amd64") and "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

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
    "dpr_tf.models.openvino": ("OpenVINOEncoder",),
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

# For `from dpr_tf import *`, which has to work without torch.
_HIDDEN = () if importlib.util.find_spec("torch") else _EXPORTS["dpr_tf.models.torch"]
__all__ = ["__version__", *sorted(_MODULE_OF.keys() - set(_HIDDEN))]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dpr_tf' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *_MODULE_OF]

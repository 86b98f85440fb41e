"""The DPR tokenizers on the Rust `tokenizers` library, their BatchEncoding, and decoding of answer spans.

Knows no models: the reader's output is only three arrays here.
"""

from .dpr import (
    DPRContextEncoderTokenizer,
    DPRContextEncoderTokenizerFast,
    DPRQuestionEncoderTokenizer,
    DPRQuestionEncoderTokenizerFast,
    DPRReaderTokenizer,
    DPRReaderTokenizerFast,
)
from .encoding import BatchEncoding, CharSpan, TokenSpan
from .spans import DPRSpanPrediction, best_spans

__all__ = [
    "BatchEncoding",
    "CharSpan",
    "DPRContextEncoderTokenizer",
    "DPRContextEncoderTokenizerFast",
    "DPRQuestionEncoderTokenizer",
    "DPRQuestionEncoderTokenizerFast",
    "DPRReaderTokenizer",
    "DPRReaderTokenizerFast",
    "DPRSpanPrediction",
    "TokenSpan",
    "best_spans",
]

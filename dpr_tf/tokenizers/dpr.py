"""The six DPR tokenizers: BERT's, one pair of classes per role."""

from __future__ import annotations

from .fast import BertTokenizerFast
from .reader import ReaderTokenizer
from .slow import BertTokenizer


def _hub_limits(role: str) -> dict[str, int]:
    """Tokens per row of the published checkpoints, whose folders do not all say it."""
    return {f"facebook/dpr-{role}-{data}-base": 512 for data in ("single-nq", "multiset")}


def _hub_settings(role: str) -> dict[str, dict]:
    return {name: {"do_lower_case": True} for name in _hub_limits(role)}


class DPRContextEncoderTokenizer(BertTokenizer):
    """Tokenizes passages for the context encoder, in Python. See `slow.BertTokenizer`."""

    max_model_input_sizes = _hub_limits("ctx_encoder")
    pretrained_init_configuration = _hub_settings("ctx_encoder")
    slow_tokenizer_class = None


class DPRContextEncoderTokenizerFast(BertTokenizerFast):
    """Tokenizes passages for the context encoder, in Rust. See `fast.BertTokenizerFast`."""

    max_model_input_sizes = _hub_limits("ctx_encoder")
    pretrained_init_configuration = _hub_settings("ctx_encoder")
    slow_tokenizer_class = DPRContextEncoderTokenizer


class DPRQuestionEncoderTokenizer(BertTokenizer):
    """Tokenizes questions for the question encoder, in Python. See `slow.BertTokenizer`."""

    max_model_input_sizes = _hub_limits("question_encoder")
    pretrained_init_configuration = _hub_settings("question_encoder")
    slow_tokenizer_class = None


class DPRQuestionEncoderTokenizerFast(BertTokenizerFast):
    """Tokenizes questions for the question encoder, in Rust. See `fast.BertTokenizerFast`."""

    max_model_input_sizes = _hub_limits("question_encoder")
    pretrained_init_configuration = _hub_settings("question_encoder")
    slow_tokenizer_class = DPRQuestionEncoderTokenizer


class DPRReaderTokenizer(ReaderTokenizer, BertTokenizer):
    """Tokenizes passages with their question, decodes answers, in Python. See `reader.ReaderTokenizer`."""

    max_model_input_sizes = _hub_limits("reader")
    pretrained_init_configuration = _hub_settings("reader")
    slow_tokenizer_class = None


class DPRReaderTokenizerFast(ReaderTokenizer, BertTokenizerFast):
    """Tokenizes passages with their question, decodes answers, in Rust. See `reader.ReaderTokenizer`."""

    max_model_input_sizes = _hub_limits("reader")
    pretrained_init_configuration = _hub_settings("reader")
    slow_tokenizer_class = DPRReaderTokenizer

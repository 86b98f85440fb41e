"""Tokenizers for the examples of small_examples."""

import pytest
from small_words import make_tokenizer

from dpr_tf import DPRContextEncoderTokenizerFast, DPRQuestionEncoderTokenizerFast
from dpr_tf.training.texts import TextRows


@pytest.fixture
def questions(tmp_path):
    """Makes rows of questions."""
    return TextRows(make_tokenizer(DPRQuestionEncoderTokenizerFast, tmp_path), 12)


@pytest.fixture
def passages(tmp_path):
    """Makes rows of passages."""
    return TextRows(make_tokenizer(DPRContextEncoderTokenizerFast, tmp_path), 9)

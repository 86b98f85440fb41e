"""Rows of tokens, and tokenizers whose case does not fit their vocabulary."""

import numpy as np
import pytest
from small_words import VOCABULARY, ids, make_tokenizer

from dpr_tf import DPRContextEncoderTokenizer, DPRContextEncoderTokenizerFast
from dpr_tf.training.texts import TextRows, check_case


def test_rows_of_questions_and_passages(questions, passages):
    found = questions.questions(["who built it", "when ?"])
    assert found["input_ids"].tolist() == [
        ids("[CLS] who built [UNK] [SEP]"),
        ids("[CLS] when ? [SEP] [PAD]"),
    ]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert {array.dtype for array in found.values()} == {np.dtype(np.int32)}
    found = passages.passages([("Paris", "the old tower"), ("", "red"), ("Rome", "over " * 20)])
    assert found.keys() == {"input_ids", "attention_mask"}
    assert found["input_ids"].tolist() == [
        ids("[CLS] paris [SEP] the old tower [SEP] [PAD] [PAD]"),
        ids("[CLS] red [SEP]" + " [PAD]" * 6),
        ids("[CLS] rome [SEP]" + " over" * 5 + " [SEP]"),  # cut at 9 tokens
    ]


def test_token_types_on_request(tmp_path):
    rows = TextRows(make_tokenizer(DPRContextEncoderTokenizerFast, tmp_path), token_types="tokenizer")
    assert rows.passages([("Paris", "red blue"), ("", "red")])["token_type_ids"].tolist() == [
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 0, 0],
    ]


def test_refuses_options_that_make_no_sense(tmp_path):
    tokenizer = make_tokenizer(DPRContextEncoderTokenizerFast, tmp_path)
    with pytest.raises(ValueError, match="token_types='ones': expected one of 'zeros', 'tokenizer'"):
        TextRows(tokenizer, token_types="ones")
    with pytest.raises(ValueError, match="max_length=3"):
        TextRows(tokenizer, 3)


CASED = [*VOCABULARY, "Paris", "##Ton"]
FOREIGN = [*VOCABULARY[:5], "\u6771", "\u4eac", "##\u4eac", "1"]
ODD = [*VOCABULARY, *(f"##{number}" for number in range(2000)), "\u2126"]  # Ohm's sign changes in lower case


@pytest.mark.parametrize("tokenizer_class", [DPRContextEncoderTokenizer, DPRContextEncoderTokenizerFast])
@pytest.mark.parametrize(
    ("vocabulary", "fits"),
    [(VOCABULARY, [True]), (CASED, [False]), (FOREIGN, [True, False]), (ODD, [True])],
    ids=["uncased", "cased", "foreign", "odd"],
)
def test_case_has_to_fit_the_vocabulary(tmp_path, tokenizer_class, vocabulary, fits):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    for lower in (True, False):
        tokenizer = tokenizer_class(str(path), do_lower_case=lower)
        if lower in fits:
            check_case(tokenizer)
            continue
        with pytest.raises(ValueError, match=f"set do_lower_case to {str(not lower).lower()}"):
            check_case(tokenizer)

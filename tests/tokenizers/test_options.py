"""Options that settle each other, hints, and padding what is already tokenized."""

import logging
import subprocess
import sys

import numpy as np
import pytest
from tokenizer_recordings import SPEEDS, tokenizer, tokenizer_class, vocabulary_file

from dpr_tf.tokenizers import options

both = pytest.mark.parametrize("speed", SPEEDS)


@both
def test_a_hint_comes_once(speed, caplog):
    options._hint.cache_clear()
    target = tokenizer("ctx", speed)
    with caplog.at_level(logging.WARNING, logger="dpr_tf"):
        for _ in range(3):
            target("a b c", truncation=True)
            target("a b c", max_length=3)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "truncation='longest_first' has no effect" in caplog.text
    assert "max_length is given without truncation" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="dpr_tf"):
        target("a b c", padding="max_length", verbose=False)
    assert not caplog.records


@both
def test_a_text_too_long_for_the_model_is_told_once(speed, caplog):
    target = tokenizer_class("ctx", speed)(vocabulary_file(), model_max_length=4)
    with caplog.at_level(logging.WARNING, logger="dpr_tf"):
        target("a b c")
        target("a b c d")
    assert len(caplog.records) == 1
    assert "a text has 5 tokens, more than the model's 4" in caplog.text


def test_unknown_options(caplog):
    with pytest.raises(TypeError, match=r"unknown options \['wrong'\]"):
        tokenizer("ctx", "fast")("a", wrong=1)
    with caplog.at_level(logging.WARNING, logger="dpr_tf"):
        tokenizer("ctx", "slow")("a", wrong=1)
    assert "ignores unknown options ['wrong']" in caplog.text


@both
def test_a_multiple_that_does_not_fit_is_answered_with_one_that_does(speed):
    with pytest.raises(ValueError, match="use max_length=16 or another multiple"):
        tokenizer("ctx", speed)("a", padding=True, truncation=True, max_length=19, pad_to_multiple_of=8)


ROWS = {"input_ids": [[101, 7, 102], [101, 102]], "token_type_ids": [[0, 0, 0], [0, 0]]}
PADDED = {
    "input_ids": [[101, 7, 102], [101, 102, 0]],
    "token_type_ids": [[0, 0, 0], [0, 0, 0]],
    "attention_mask": [[1, 1, 1], [1, 1, 0]],
}


@both
def test_pad_rows_and_columns(speed):
    target = tokenizer("ctx", speed)
    rows = [{name: values[i] for name, values in ROWS.items()} for i in range(2)]
    assert dict(target.pad(dict(ROWS))) == dict(target.pad(rows)) == PADDED
    arrays = target.pad(dict(ROWS), return_tensors="np")
    assert {name: value.tolist() for name, value in arrays.items()} == PADDED


@pytest.mark.parametrize(("module", "kind"), [("numpy", "np"), ("torch", "pt"), ("tensorflow", "tf")])
def test_pad_gives_back_the_kind_of_array_it_got(module, kind):
    pytest.importorskip(module)
    target = tokenizer("ctx", "fast")
    encoding = target(["a b", "c d"], return_tensors=kind)
    padded = target.pad(encoding, padding="max_length", max_length=6)
    assert type(padded["input_ids"]) is type(encoding["input_ids"])
    assert np.asarray(padded["input_ids"]).tolist() == [
        [101, 1037, 1038, 102, 0, 0],
        [101, 1039, 1040, 102, 0, 0],
    ]


def test_pad_refuses_what_are_not_rows():
    target = tokenizer("ctx", "fast")
    with pytest.raises(ValueError, match="expected ints, or NumPy"):
        target.pad({"input_ids": ["a", "b"]})
    with pytest.raises(AssertionError, match="2 rows of ids"):
        target.pad({"input_ids": [[1], [2]], "token_type_ids": [[0]]})


def test_startup_is_light():
    code = (
        "import sys, dpr_tf.tokenizers; "
        "print([m for m in ('tensorflow', 'keras', 'torch', 'transformers', 'jax', 'huggingface_hub') if m "
        "in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

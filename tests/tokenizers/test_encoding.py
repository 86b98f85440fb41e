"""BatchEncoding: the recorded answers, tensors of every framework, and what to do when something is
missing."""

import copy
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tokenizer_recordings import (
    SPEEDS,
    argument,
    compare,
    error_form,
    read,
    recorded_form,
    tokenizer,
    tokenizer_class,
    vocabulary_file,
)

import dpr_tf.tokenizers as dpr

RECORDED = read("batch_encoding")["cases"]
METHODS = {
    "keys": lambda e: list(e.keys()),
    "len": len,
    "is_fast": lambda e: e.is_fast,
    "[0] type": lambda e: type(e[0]).__name__,
    "attribute input_ids": lambda e: e.input_ids,
    "attribute missing": lambda e: e.no_such,
    "key missing": lambda e: e["no_such"],
    "slice": lambda e: e[:1],
    "in": lambda e: ["input_ids" in e, "no_such" in e],
    "dict()": dict,
    "iter": list,
    "data": lambda e: e.data,
    "n_sequences": lambda e: e.n_sequences,
    "tokens()": lambda e: e.tokens(),
    "tokens(1)": lambda e: e.tokens(1),
    "word_ids()": lambda e: e.word_ids(),
    "sequence_ids()": lambda e: e.sequence_ids(),
    "char_to_token(0)": lambda e: e.char_to_token(0),
    "char_to_token(3)": lambda e: e.char_to_token(3),
    "char_to_word(3)": lambda e: e.char_to_word(3),
    "token_to_chars(1)": lambda e: e.token_to_chars(1),
    "token_to_word(1)": lambda e: e.token_to_word(1),
    "token_to_sequence(1)": lambda e: e.token_to_sequence(1),
    "word_to_tokens(0)": lambda e: e.word_to_tokens(0),
    "word_to_chars(0)": lambda e: e.word_to_chars(0),
    "convert_to_tensors np": lambda e: type(e.convert_to_tensors("np")["input_ids"]).__name__,
}
UNRECORDED = {("fast", "slice")}  # the recorder could not write Encoding objects; see the test below


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers(name, speed):
    case, results = RECORDED[name], {}
    how = case["call"]
    assert set(case[speed]) == set(METHODS)
    for method, recorded in case[speed].items():
        if (speed, method) in UNRECORDED:
            continue
        encoding = tokenizer("ctx", speed)(*argument(how["args"]), **how["kwargs"])
        try:
            ours = recorded_form(METHODS[method](encoding))
        except Exception as error:
            ours = error_form(error)
        results[f"{name} {method}"] = ours, recorded
    compare("batch_encoding", speed, results)


def test_slice_and_number_of_a_fast_encoding():
    encoding = tokenizer("ctx", "fast")(["a b", "c", "d"])
    assert [row.tokens for row in encoding[1:]] == [["[CLS]", "c", "[SEP]"], ["[CLS]", "d", "[SEP]"]]
    assert encoding[-1].tokens == encoding.encodings[2].tokens == encoding.tokens(2)


def test_row_and_position_forms():
    encoding = tokenizer("ctx", "fast")(["a b", "unaffable c"], ["x", "y z"])
    # row 1: [CLS] una ##ffa ##ble c [SEP] y z [SEP]
    assert encoding.tokens(1) == ["[CLS]", "una", "##ffa", "##ble", "c", "[SEP]", "y", "z", "[SEP]"]
    assert encoding.token_to_word(1, 3) == 0
    assert encoding.token_to_chars(1, 2) == dpr.CharSpan(3, 6)
    assert encoding.token_to_sequence(1, 7) == 1
    assert encoding.char_to_token(1, 2, sequence_index=1) == 7
    assert encoding.char_to_word(1, 10) == 1
    assert encoding.word_to_tokens(1, 0) == dpr.TokenSpan(1, 4)
    assert encoding.word_to_chars(1, 1, sequence_index=1) == dpr.CharSpan(2, 3)
    assert encoding.words(1) == encoding.word_ids(1) == [None, 0, 0, 0, 1, None, 0, 1, None]
    assert encoding.sequence_ids(1) == [None, 0, 0, 0, 0, None, 1, 1, None]


@pytest.mark.parametrize("speed", SPEEDS)
def test_copies_and_pickles(speed):
    encoding = tokenizer("ctx", speed)(["a b", "c"], padding=True, return_tensors="np")
    for again in (copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        np.testing.assert_array_equal(again.input_ids, encoding.input_ids)
        assert (again.is_fast, again.n_sequences) == (encoding.is_fast, encoding.n_sequences)


TENSORS = {**read("tensors")["cases"], **read("reader_tensors")["cases"]}
FRAMEWORKS = {"tf": "tensorflow", "pt": "torch"}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(case):
    name, kind, *form = case.split("/")
    if kind in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[kind])
    target = getattr(dpr, name)(vocabulary_file())
    recorded = TENSORS[case]
    if "Reader" in name:
        size = 1 if form else 3
        encoding = target(
            "who", ["a"] * size, ["b c"] * size, padding="max_length", max_length=58, return_tensors=kind
        )
    else:
        encoding = target("a b c" if form else ["a b c", "a"], padding=True, return_tensors=kind)
    found = {key: [type(v).__name__, str(v.dtype), list(v.shape)] for key, v in encoding.items()}
    assert found == recorded


def test_tensors_hold_the_rows():
    rows = tokenizer("ctx", "fast")(["a b c", "a"], padding=True)
    for kind, module in FRAMEWORKS.items():
        pytest.importorskip(module)
        tensors = tokenizer("ctx", "fast")(["a b c", "a"], padding=True, return_tensors=kind)
        assert {key: value.numpy().tolist() for key, value in tensors.items()} == dict(rows)


def test_jax_arrays():
    pytest.importorskip("jax")
    encoding = tokenizer("ctx", "fast")(["a b c", "a"], padding=True, return_tensors="jax")
    assert np.asarray(encoding["input_ids"]).tolist() == [
        [101, 1037, 1038, 1039, 102],
        [101, 1037, 102, 0, 0],
    ]


@pytest.mark.parametrize("kind", ["tf", "pt"])
def test_rows_of_different_lengths_are_refused(kind):
    pytest.importorskip(FRAMEWORKS[kind])
    with pytest.raises(ValueError, match=r"input_ids: .* rows of lengths \[3, 5\]; .* padding=True"):
        tokenizer("ctx", "fast")(["a b c", "a"], return_tensors=kind)


@pytest.mark.parametrize(("kind", "module"), [("tf", "tensorflow"), ("pt", "torch"), ("jax", "jax")])
def test_a_missing_framework_is_named(kind, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.numpy", None)
    with pytest.raises(ImportError, match=f"needs {module}: `pip install {module}`"):
        tokenizer("ctx", "fast")("a", return_tensors=kind)


def test_to_moves_torch_tensors_only():
    torch = pytest.importorskip("torch")
    encoding = tokenizer("ctx", "fast")("a", return_tensors="pt")
    assert encoding.to("cpu") is encoding
    assert encoding["input_ids"].device == torch.device("cpu")
    with pytest.raises(AttributeError, match='return_tensors="pt"'):
        tokenizer("ctx", "fast")("a").to("cpu")


def test_made_from_data():
    encoding = dpr.BatchEncoding({"input_ids": [1, 2]}, tensor_type="np", prepend_batch_axis=True)
    assert encoding.input_ids.shape == (1, 2)
    assert encoding.convert_to_tensors(None) is encoding
    assert not encoding.is_fast
    assert next(iter(encoding.values())) is encoding["input_ids"]


@pytest.mark.parametrize("role", ["ctx", "question", "reader"])
def test_repr_names_the_settings(role):
    text = repr(tokenizer_class(role, "fast")(vocabulary_file("tiny"), model_max_length=40))
    assert "vocab_size=150, model_max_length=40, is_fast=True" in text


def test_threads_do_not_encode_with_each_others_settings():
    words = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])}
    shared = dpr.DPRQuestionEncoderTokenizerFast(vocabulary=words)

    def longest(max_length):
        rows = [shared(["a " * 60] * 4, truncation=True, max_length=max_length) for _ in range(200)]
        return {len(ids) for row in rows for ids in row["input_ids"]}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(longest, [8, 16, 24, 32])) == [{8}, {16}, {24}, {32}]


FORK = """
import os, signal
import dpr_tf.tokenizers as dpr
from dpr_tf.tokenizers import fast
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
tokenizer = dpr.DPRQuestionEncoderTokenizerFast(vocabulary={word: i for i, word in enumerate(words)})
with fast._SETTINGS_LOCK:  # as if another thread were encoding
    child = os.fork()
    if not child:
        signal.alarm(20)
        os._exit(0 if tokenizer("a")["input_ids"] == [2, 5, 3] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_forked_while_a_thread_encodes_can_encode():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]

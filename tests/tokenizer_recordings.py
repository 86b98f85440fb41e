"""Recorded tokenizer calls: reading them, replaying them, comparing, and the table of deliberate
differences."""

from __future__ import annotations

import functools
import gzip
import json
import pathlib
import tempfile
import unicodedata
from typing import Any

import numpy as np

import dpr_tf.tokenizers as dpr

DATA = pathlib.Path(__file__).parent / "data" / "tokenizers"
DIFFERENCES = json.loads((pathlib.Path(__file__).parent / "tokenizers" / "differences.json").read_text())
SPEEDS = ("slow", "fast")

_KEEP = tempfile.TemporaryDirectory(prefix="dpr_tf_tokenizers_")


@functools.cache
def read(name: str) -> dict[str, Any]:
    """The recording tests/data/tokenizers/<name>.json.gz."""
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


@functools.cache
def unicode_table() -> dict[str, np.ndarray]:
    """What happens to each code point, see `test_unicode`."""
    with np.load(DATA / "unicode.npz") as arrays:
        return dict(arrays)


def characters_as_recorded(value, speed: str) -> bool:
    """Whether this Python assigns the characters of all strings in `value` as the recording one (Unicode 14)
    did.

    The slow classes drop characters that Python's tables do not have; the fast ones bring their own tables.
    """
    if speed == "fast" or not isinstance(value, (str, list, dict)):
        return True
    if isinstance(value, dict):
        return all(characters_as_recorded(item, speed) for item in value.values())
    if isinstance(value, list):
        return all(characters_as_recorded(item, speed) for item in value)
    dropped = unicode_table()["cased/slow/class"]
    return all(
        (dropped[ord(char)] == 0) == (unicodedata.category(char)[0] == "C" or char == "\ufffd")
        for char in value
        if char not in "\t\n\r" and not "\ud800" <= char <= "\udfff"
    )


@functools.cache
def vocabulary_file(config: str = "default") -> str:
    """vocab.txt of a configuration: BERT's, or the tiny models' for names that begin with "tiny"."""
    path = pathlib.Path(_KEEP.name) / ("tiny.txt" if config.startswith("tiny") else "vocab.txt")
    if config.startswith("tiny"):
        path.write_bytes(read("folders")["checkpoints/tiny_vocab"]["vocab.txt"].encode())
    else:
        path.write_bytes(gzip.decompress((DATA / "vocab.txt.gz").read_bytes()))
    return str(path)


@functools.cache
def folder(name: str) -> pathlib.Path:
    """A recorded folder of tokenizer files, written out."""
    path = pathlib.Path(_KEEP.name) / name
    path.mkdir(parents=True)
    for file, text in read("folders")[name].items():
        (path / file).write_bytes(text.encode())
    return path


def tokenizer_class(role: str, speed: str) -> type:
    """One of the six classes: role "ctx", "question" or "reader", speed "slow" or "fast"."""
    name = {"ctx": "DPRContextEncoder", "question": "DPRQuestionEncoder", "reader": "DPRReader"}[role]
    return getattr(dpr, f"{name}Tokenizer{'Fast' if speed == 'fast' else ''}")


@functools.cache
def tokenizer(role: str, speed: str, config: str = "default"):
    """A tokenizer with a recorded configuration, made once; tests must not change it."""
    return new_tokenizer(role, speed, config)


def new_tokenizer(role: str, speed: str, config: str = "default"):
    """A tokenizer with a recorded configuration."""
    return tokenizer_class(role, speed)(vocabulary_file(config), **read("options")["configs"][config])


def call(target, method: str, args: list, kwargs: dict) -> Any:
    """The result of `target.method(*args, **kwargs)` in the form of the recordings."""
    try:
        if method == "__attr__":
            return recorded_form(getattr(target, *args))
        return recorded_form(getattr(target, method)(*argument(args), **argument(kwargs)))
    except Exception as error:
        return error_form(error)


def error_form(error: BaseException) -> dict[str, Any]:
    """An exception in the form of the recordings."""
    mro = [kind.__name__ for kind in type(error).__mro__]
    return {"error": type(error).__name__, "mro": mro, "message": str(error)}


def recorded_form(value) -> Any:
    """Python objects as the recordings hold them; tuples count as lists."""
    if isinstance(value, np.ndarray):
        form = {"__ndarray__": recorded_form(value.tolist()), "dtype": str(value.dtype)}
        return {**form, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (dict, dpr.BatchEncoding)):
        return {key: recorded_form(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [recorded_form(item) for item in value]
    return value


def argument(value) -> Any:
    """A recorded argument as a Python object."""
    if isinstance(value, list):
        return [argument(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__tuple__" in value:
        return tuple(argument(item) for item in value["__tuple__"])
    if "__ndarray__" in value:
        return np.array(value["__ndarray__"], dtype=value["dtype"])
    if "__bytes__" in value:
        return bytes.fromhex(value["__bytes__"])
    return {key: argument(item) for key, item in value.items()}


def without_tuples(value) -> Any:
    """A recorded result with lists for tuples."""
    if isinstance(value, dict):
        if set(value) == {"__tuple__"}:
            return without_tuples(value["__tuple__"])
        return {key: without_tuples(item) for key, item in value.items()}
    return [without_tuples(item) for item in value] if isinstance(value, list) else value


def is_error(value) -> bool:
    """Whether a result, recorded or ours, is an exception."""
    return isinstance(value, dict) and {"error", "mro", "message"} <= value.keys()


def equal(ours, recorded) -> bool:
    """Equal values; for exceptions, ours is of the recorded type (or a kind of it) and says something."""
    if is_error(recorded):
        return is_error(ours) and recorded["error"] in ours["mro"] and bool(ours["message"])
    return ours == without_tuples(recorded)


def expected(case: dict, speed: str) -> Any:
    """The recorded result of one class."""
    return case["both"] if "both" in case else case[speed]


def listed(recording: str, speed: str) -> dict[str, dict]:
    """The deliberate differences from a recording: {case: entry}."""
    return {
        str(case): entry
        for entry in DIFFERENCES
        if entry["recording"] == recording and speed in entry["classes"]
        for case in entry["cases"]
    }


def compare(recording: str, speed: str, results: dict[Any, tuple[Any, Any]]) -> None:
    """Asserts that every case gives what is recorded, and that those of the table really differ.

    Args:
        recording: its name.
        speed: "slow" or "fast".
        results: case -> (ours, recorded).
    """
    differences = listed(recording, speed)
    wrong = {case: pair for case, pair in results.items() if not equal(*pair)}
    unlisted = {case: pair for case, pair in wrong.items() if str(case) not in differences}
    sure = {case for case, entry in differences.items() if "varies" not in entry}
    stale = [case for case in results if str(case) in sure and case not in wrong]
    message = [
        f"{case}: ours {short(ours)}\n   recorded {short(old)}" for case, (ours, old) in unlisted.items()
    ]
    assert not unlisted, f"{len(unlisted)} of {len(results)} differ:\n" + "\n".join(message[:5])
    assert not stale, f"listed in differences.json, but equal: {stale}"


def short(value, length: int = 400) -> str:
    """A result as text, cut."""
    text = json.dumps(value, default=str)
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"

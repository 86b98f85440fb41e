"""The commands: each calls one public function, which is imported when the command is given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from dpr_tf.console import Console


class Command(NamedTuple):
    """A command.

    Attributes:
        summary: a line for `dpr-tf --help`.
        function: imports and gives the function; its parameters are the command's options.
        show: prints a result for people, behind the name of the file that was written, if there is one.
        failed: whether a result means exit code 1.
    """

    summary: str
    function: Callable[[], Callable[..., Any]]
    show: Callable[[Any, str], None] = lambda result, before: print(f"{before}{result}", flush=True)
    failed: Callable[[Any], bool] = lambda result: False


def _demo() -> Callable[..., Any]:
    from dpr_tf.demo import run

    return run


def _ask() -> Callable[..., Any]:
    from dpr_tf.answering import ask

    return ask


def _validate() -> Callable[..., Any]:
    from dpr_tf.data.validate import validate_files

    return validate_files


def _split() -> Callable[..., Any]:
    from dpr_tf.data.split import split_articles

    return split_articles


def _embed() -> Callable[..., Any]:
    from dpr_tf.retrieval.store import embed

    return embed


def _index() -> Callable[..., Any]:
    from dpr_tf.retrieval.building import build_index

    return build_index


def _retrieve() -> Callable[..., Any]:
    from dpr_tf.retrieval.files import retrieve

    return retrieve


def _answer() -> Callable[..., Any]:
    from dpr_tf.reading.files import answer

    return answer


def _mine() -> Callable[..., Any]:
    from dpr_tf.retrieval.mining import mine_examples

    return mine_examples


def _evaluate() -> Callable[..., Any]:
    from dpr_tf.evaluation.tables import evaluate_files

    return evaluate_files


def _convert() -> Callable[..., Any]:
    from dpr_tf.checkpoints import convert

    return convert


def _export() -> Callable[..., Any]:
    from dpr_tf.checkpoints import export

    return export


def _doctor() -> Callable[..., Any]:
    from dpr_tf.doctor import doctor

    return doctor


COMMANDS = {
    "demo": Command("answer questions from the bundled sample, then yours", _demo),
    "ask": Command(
        "answer one question from any passages with any checkpoints",
        _ask,
        show=lambda answered, _: Console(sys.stdout).show(answered),
    ),
    "validate": Command(
        "list the faults of data files, with line and field",
        _validate,
        failed=lambda report: report.fault_count > 0,
    ),
    "split": Command("cut articles into passages of 100 words", _split),
    "embed": Command("embed a passage collection into vectors", _embed),
    "index": Command("build an index of the vectors", _index),
    "retrieve": Command("find the best passages for the questions of a file", _retrieve),
    "answer": Command("read what was retrieved, and find the answers in it", _answer),
    "evaluate": Command("measure what a retriever found", _evaluate),
    "mine": Command("make training examples with hard negatives from what a retriever found", _mine),
    "convert": Command("rewrite a checkpoint of any format in Hugging Face's layout", _convert),
    "export": Command("write a checkpoint as a SavedModel for TensorFlow Serving", _export),
    "doctor": Command(
        "look at this installation, and answer a question of the sample",
        _doctor,
        failed=lambda check: check.state == "wrong",
    ),
}

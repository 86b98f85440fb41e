"""The commands: each calls one public function, which is imported when the command is carried out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from dpr_tf.console import Console


class Command(NamedTuple):
    """A command.

    Attributes:
        summary: a line for `dpr-tf --help`.
        module, name: of the function; its parameters are the command's options.
        show: prints a result for people, behind the name of the file that was written, if there is one.
        failed: whether a result means exit code 1.
    """

    summary: str
    module: str
    name: str
    show: Callable[[Any, str], None] = lambda result, before: print(_behind(before, str(result)), flush=True)
    failed: Callable[[Any], bool] = lambda result: False

    def function(self) -> Callable[..., Any]:
        """Imports the function."""
        return getattr(importlib.import_module(self.module), self.name)


def _behind(before: str, text: str) -> str:
    """A result behind the name of its file, unless it begins with it."""
    return text if text.startswith(before) else before + text


COMMANDS = {
    "demo": Command("answer questions from the bundled sample, then yours", "dpr_tf.demo", "run"),
    "ask": Command(
        "answer one question from any passages with any checkpoints",
        "dpr_tf.answering",
        "ask",
        show=lambda answered, _: Console(sys.stdout).show(answered),
    ),
    "validate": Command(
        "list the faults of data files, with line and field",
        "dpr_tf.data.validate",
        "validate_files",
        failed=lambda report: report.fault_count > 0,
    ),
    "split": Command("cut articles into passages of 100 words", "dpr_tf.data.split", "split_articles"),
    "train-biencoder": Command(
        "train question and context encoder on examples",
        "dpr_tf.training.biencoder_recipe",
        "train_biencoder",
    ),
    "train-reader": Command(
        "train a reader on what a retriever found", "dpr_tf.training.reader_recipe", "train_reader"
    ),
    "embed": Command("embed a passage collection into vectors", "dpr_tf.retrieval.store", "embed"),
    "index": Command("build an index of the vectors", "dpr_tf.retrieval.building", "build_index"),
    "retrieve": Command(
        "find the best passages for the questions of a file", "dpr_tf.retrieval.files", "retrieve"
    ),
    "answer": Command(
        "read what was retrieved, and find the answers in it", "dpr_tf.reading.files", "answer"
    ),
    "evaluate": Command("measure what a retriever found", "dpr_tf.evaluation.tables", "evaluate_files"),
    "mine": Command(
        "make training examples with hard negatives from what a retriever found",
        "dpr_tf.retrieval.mining",
        "mine_examples",
    ),
    "convert": Command(
        "rewrite a checkpoint of any format in Hugging Face's layout", "dpr_tf.checkpoints", "convert"
    ),
    "export": Command(
        "write a checkpoint as a SavedModel for TensorFlow Serving", "dpr_tf.checkpoints", "export"
    ),
    "doctor": Command(
        "look at this installation, and answer a question of the sample",
        "dpr_tf.doctor",
        "doctor",
        failed=lambda check: check.state == "wrong",
    ),
}

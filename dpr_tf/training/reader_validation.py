"""Exact match while a reader is trained: it answers questions as it will in use, from retrieved passages."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any

import keras

from dpr_tf.data.retrieved import Retrieved, read_retrieved
from dpr_tf.evaluation.measures import AnswerScores, score_answers
from dpr_tf.reading.reader import Reader
from dpr_tf.reading.retrieved import answer_retrieved

_AT_A_TIME = 64  # questions in memory


def score_reader(reader: Reader, questions: Iterable[Retrieved], passages: int = 50) -> AnswerScores:
    """Answers each question from its first passages and compares with its answers.

    Args:
        reader: reads.
        questions: with answers; at least one.
        passages: how many of each to read.

    Raises:
        ValueError: if there are no questions, or one leaves no room for any text.
    """
    predictions, answers = [], []
    questions = iter(questions)
    while some := list(itertools.islice(questions, _AT_A_TIME)):
        for found, best in zip(some, answer_retrieved(reader, some, passages), strict=True):
            predictions.append(best[0].text if best else "")
            answers.append(found.answers)
    return score_answers(predictions, answers)


class ExactMatch(keras.callbacks.Callback):
    """Adds `val_exact_match` and `val_f1` to what `fit` reports at the end of each epoch.

    Give it before the callbacks that look at these, such as the one that keeps the best checkpoint. The model
    is compiled for this once.

    Args:
        reader: a Reader of the model that is trained.
        questions: a retriever's output with answers, as for `read_retrieved`; streamed each time.
        passages: how many of each question to read.
    """

    def __init__(self, reader: Reader, questions: str | os.PathLike[str], passages: int = 50) -> None:
        super().__init__()
        self._reader, self._questions, self._passages = reader, questions, passages

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Answers the questions."""
        scores = score_reader(self._reader, read_retrieved(self._questions), self._passages)
        if logs is not None:
            logs.update({"val_exact_match": scores.exact_match, "val_f1": scores.f1})

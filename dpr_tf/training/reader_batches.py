"""Batches for the reader: a positive and negatives of each question, drawn anew in every epoch.

A batch is (x, y):

* `x["input_ids"]`, `x["attention_mask"]`: int32 [Q, N, L]; the first of a question's N passages is its
  positive, then come negatives, then empty rows where there are too few.
* `y["present"]`: bool [Q, N], False for empty rows;
* `y["starts"]`, `y["ends"]`: int32 [Q, S], first and last tokens of answers in the positive; -1 for filler.

All arrays have Q in front, so that a batch split along it, as `tf.distribute` does, is still one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dpr_tf.training import sampling
from dpr_tf.training.reader_data import Passages, ReaderData
from dpr_tf.training.reader_passages import ReaderRow

Batch = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


class ReaderBatches:
    """Batches of one epoch after the other; which questions and passages they have follows from the seed.

    The positive is drawn from a question's positives and the negatives from its negatives, none twice. Any
    batch can be made at any time: nothing has to be drawn before it.

    Args:
        data: questions with their passages.
        pad_token_id: fills rows up.
        batch_size: questions in a batch, at most: those of an epoch differ by one.
        passages: of each question in a batch, the positive included; DPR has 24.
        spans: answer spans of a positive, at most; DPR has 10.
        seed: of the order of the questions and of the draws.

    Raises:
        ValueError: if a number is below 1.
    """

    def __init__(
        self,
        data: ReaderData,
        pad_token_id: int,
        *,
        batch_size: int = 16,
        passages: int = 24,
        spans: int = 10,
        seed: int = 0,
    ) -> None:
        if min(batch_size, passages, spans) < 1:
            raise ValueError(
                f"batch_size, passages and spans are at least 1, got {batch_size}, {passages} and {spans}"
            )
        self._data, self._pad = data, pad_token_id
        self._size, self._passages, self._spans, self._seed = batch_size, passages, spans, seed
        self._order: tuple[int, list[np.ndarray]] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return sampling.batches_per_epoch([len(self._data)], [1.0], self._size)

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch, see the module.

        Args:
            epoch: from 0.
            number: of the batch in the epoch, from 0.
        """
        drawn_epoch, order = self._order
        if drawn_epoch != epoch:
            order = sampling.epoch_batches([len(self._data)], [1.0], self._size, self._seed, epoch)
            self._order = (epoch, order)
        return self._collate([self._drawn(question, epoch) for question in order[number].tolist()])

    def batches(self, epoch: int = 0, number: int = 0) -> Iterator[Batch]:
        """Endless: the batches from one on, through all epochs after it."""
        while True:
            for following in range(number, len(self)):
                yield self.batch(epoch, following)
            epoch, number = epoch + 1, 0

    def dataset(self, epoch: int = 0, number: int = 0) -> Any:
        """`batches` as a `tf.data.Dataset` that `fit` takes; the next batches are made while one is used."""
        import tensorflow as tf

        rows = {name: tf.TensorSpec([None, None, None], tf.int32) for name in ("input_ids", "attention_mask")}
        spans = {name: tf.TensorSpec([None, self._spans], tf.int32) for name in ("starts", "ends")}
        present = {"present": tf.TensorSpec([None, self._passages], tf.bool)}
        made = tf.data.Dataset.from_generator(
            lambda: self.batches(epoch, number), output_signature=(rows, {**spans, **present})
        )
        return made.prefetch(4)

    def _drawn(self, question: int, epoch: int) -> Passages:
        """One positive and the negatives that go with it."""
        random = np.random.default_rng([self._seed, epoch, question])
        positives, negatives = self._data[question]
        positive = positives[random.integers(len(positives))]
        drawn = random.permutation(len(negatives))[: self._passages - 1]
        return Passages([positive], [negatives[n] for n in drawn])

    def _collate(self, drawn: list[Passages]) -> Batch:
        rows = [[*positives, *negatives] for positives, negatives in drawn]
        longest = max(len(row.ids) for of_question in rows for row in of_question)
        shape = (len(rows), self._passages, longest)
        ids, mask = np.full(shape, self._pad, np.int32), np.zeros(shape, np.int32)
        starts = np.full((len(rows), self._spans), -1, np.int32)
        ends = starts.copy()
        for q, of_question in enumerate(rows):
            _mark(starts[q], ends[q], of_question[0])
            for n, row in enumerate(of_question):
                ids[q, n, : len(row.ids)] = row.ids
                mask[q, n, : len(row.ids)] = 1
        y = {"starts": starts, "ends": ends, "present": mask.any(axis=2)}
        return {"input_ids": ids, "attention_mask": mask}, y


def _mark(starts: np.ndarray, ends: np.ndarray, row: ReaderRow) -> None:
    """Writes the first spans of a row over the filler, as many as there is room for."""
    spans = np.array(row.spans[: len(starts)], np.int32)
    starts[: len(spans)], ends[: len(spans)] = spans.T

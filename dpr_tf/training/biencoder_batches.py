"""Batches for the bi-encoder: questions, a positive and hard negatives of each, drawn anew in every epoch.

The layout of a batch stands in `dpr_tf.training.biencoder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dpr_tf.data.examples import Example, ExamplePassage
from dpr_tf.data.questions import clean_question
from dpr_tf.training import sampling
from dpr_tf.training.false_negatives import answering_passages, same_passages
from dpr_tf.training.stored_examples import Path, StoredExamples
from dpr_tf.training.texts import TextRows

Batch = tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


class BiEncoderBatches:
    """Batches of one epoch after the other; what they hold follows from the files and the seed.

    Any batch can be made at any time: nothing has to be drawn before it.

        model.fit(
            batches.dataset(), epochs=epochs, steps_per_epoch=len(batches), shuffle=False
        )

    Args:
        paths: files of training examples, DPR's JSON or JSON lines, plain or gzip; one data set each.
        questions: makes rows of questions.
        passages: makes rows of passages.
        batch_size: questions in a batch, at most; see `sampling.epoch_batches`.
        hard_negatives: of each question, drawn in each epoch from all it has. Where there are too few, from
            its other negatives; where these are too few as well, filler that no question is scored against.
        shuffle_positives: whether to draw the positive from all of a question's in each epoch; else it is the
            first, as DPR trains.
        sampling_rates: how often an epoch has each example of a file; None: once.
        ignore_same: whether a question's known positives are ignored where they stand as other questions'
            passages.
        ignore_answers: whether passages that contain an answer of a question are ignored as its negatives.
        match: how answers are found, "string" or "regex".
        seed: of all draws.

    Attributes:
        examples: StoredExamples: how many, how many were left out, and their digest.

    Raises:
        OSError: if a file cannot be read.
        ValueError: for a file without usable examples, numbers out of range, or batches of one question that
            has no hard negatives: it would be contrasted with nothing.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        questions: TextRows,
        passages: TextRows,
        *,
        batch_size: int = 128,
        hard_negatives: int = 1,
        shuffle_positives: bool = False,
        sampling_rates: Sequence[float] | None = None,
        ignore_same: bool = True,
        ignore_answers: bool = True,
        match: str = "string",
        seed: int = 0,
    ) -> None:
        self._rates = [1.0] * len(paths) if sampling_rates is None else list(sampling_rates)
        sampling.check_rates(self._rates, len(paths))
        _check_numbers(batch_size, hard_negatives)
        self._questions, self._passages = questions, passages
        self._size, self._hard, self._shuffle = batch_size, hard_negatives, shuffle_positives
        self._ignore_same, self._ignore_answers, self._match = ignore_same, ignore_answers, match
        self._seed = seed
        self.examples = StoredExamples(paths, self._kept)
        self._drawn: tuple[int, list[np.ndarray]] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return sampling.batches_per_epoch(self.examples.sizes, self._rates, self._size)

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch.

        Args:
            epoch: from 0.
            number: of the batch in the epoch, from 0.
        """
        drawn_epoch, order = self._drawn
        if drawn_epoch != epoch:
            order = sampling.epoch_batches(self.examples.sizes, self._rates, self._size, self._seed, epoch)
            self._drawn = (epoch, order)
        random = np.random.default_rng([self._seed, epoch, number])
        examples = [self.examples[row] for row in order[number].tolist()]
        return self._collate(examples, [self._group(example, random) for example in examples])

    def batches(self, epoch: int = 0, number: int = 0) -> Iterator[Batch]:
        """Endless: the batches from one on, through all epochs after it."""
        while True:
            for following in range(number, len(self)):
                yield self.batch(epoch, following)
            epoch, number = epoch + 1, 0

    def dataset(self, epoch: int = 0, number: int = 0) -> Any:
        """`batches` as a tf.data.Dataset, two batches ahead of their use."""
        import tensorflow as tf

        shapes = ((None, None), (None, None, None))
        x, y = self.batch(epoch, number)
        signature = (
            {
                kind: {name: tf.TensorSpec(shape, tf.int32) for name in x[kind]}
                for kind, shape in zip(x, shapes, strict=True)
            },
            {name: tf.TensorSpec((None, None), tf.bool) for name in y},
        )
        made = tf.data.Dataset.from_generator(lambda: self.batches(epoch, number), output_signature=signature)
        return made.prefetch(2)

    def _kept(self, example: Example) -> Example:
        """An example without what is never read."""
        if not self._hard:
            example = example._replace(hard_negatives=(), negatives=())
        elif len(example.hard_negatives) >= self._hard:
            example = example._replace(negatives=())
        return example

    def _group(self, example: Example, random: np.random.Generator) -> list[ExamplePassage | None]:
        """The positive, hard negatives, other negatives, filler."""
        positive = example.positives[random.integers(len(example.positives)) if self._shuffle else 0]
        hard = _some(example.hard_negatives, self._hard, random)
        other = _some(example.negatives, self._hard - len(hard), random)
        return [positive, *hard, *other, *[None] * (self._hard - len(hard) - len(other))]

    def _collate(self, examples: list[Example], groups: list[list[ExamplePassage | None]]) -> Batch:
        passages = [passage for group in groups for passage in group]
        rows = self._passages.passages(("", "") if p is None else (p.title, p.text) for p in passages)
        shape = (len(groups), len(groups[0]))
        x = {
            "questions": self._questions.questions(clean_question(example.question) for example in examples),
            "passages": {name: ids.reshape(*shape, -1) for name, ids in rows.items()},
        }
        present = np.array([passage is not None for passage in passages]).reshape(shape)
        return x, {"present": present, "ignored": self._ignored(examples, passages)}

    def _ignored(self, examples: list[Example], passages: list[ExamplePassage | None]) -> np.ndarray:
        """bool [questions, passages]."""
        ignored = np.zeros((len(examples), len(passages)), bool)
        if self._ignore_same:
            ignored |= same_passages(examples, passages)
        if self._ignore_answers:
            ignored |= answering_passages(examples, passages, self._match)
        own = np.arange(len(examples))
        ignored[own, own * (len(passages) // len(examples))] = False
        return ignored


def _check_numbers(batch_size: int, hard_negatives: int) -> None:
    if batch_size < 1 or hard_negatives < 0:
        raise ValueError(
            "expected batch_size of at least 1 and hard_negatives of at least 0, "
            f"got {batch_size} and {hard_negatives}"
        )
    if batch_size == 1 and not hard_negatives:
        raise ValueError(
            "batch_size=1 without hard negatives: a question is contrasted with nothing, and its loss is "
            "always 0. Take batch_size of 2 or more, or hard_negatives of 1 or more"
        )


def _some(
    passages: Sequence[ExamplePassage], count: int, random: np.random.Generator
) -> list[ExamplePassage]:
    """`count` of the passages in random order, or all there are."""
    return [passages[row] for row in random.permutation(len(passages))[:count].tolist()]

"""Vectors as one byte a number: rough scores by integer products, with a bound on their error.

A group of rows is coded as `vector = offset + scale * code + rest`, with offset and scale for each of the
dim numbers and codes from -127 to 127. A question is first multiplied by the scale and then coded itself,
with one step for all its numbers. What both codings leave out is bounded by Cauchy and Schwarz.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dpr_tf.retrieval.indexes.topk import pairs_above
from dpr_tf.retrieval.indexes.vectors import BLOCK, Vectors, product_error, to_float32

GROUP = 8 * BLOCK  # rows that share offset and scale
_ZERO = 128  # codes are stored as uint8, 128 standing for 0, as the product wants them
_CARE = np.float32(1.001)  # on the norms, which are computed in float32


class Group(NamedTuple):
    """Coded rows.

    Attributes:
        codes: uint8 [rows, dim].
        offset: float32 [dim].
        scale: float32 [dim], positive.
        rest: largest norm of `rest / scale` in the group.
        norm: largest norm of the codes in the group.
    """

    codes: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    rest: float
    norm: float


def encode(vectors: np.ndarray) -> Group:
    """Codes float32 [rows, dim], at least one row."""
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    offset = low / 2 + high / 2
    scale = np.maximum((high / 2 - low / 2) / np.float32(127), np.float32(1e-30))
    codes = np.empty(vectors.shape, np.uint8)
    rest = norm = 0.0
    for start in range(0, len(vectors), BLOCK):
        exact = (vectors[start : start + BLOCK] - offset) / scale
        rounded = np.clip(np.rint(exact), -127, 127)
        codes[start : start + BLOCK] = (rounded + _ZERO).astype(np.uint8)
        exact -= rounded
        rest = max(rest, float(np.einsum("ij,ij->i", exact, exact).max()))
        norm = max(norm, float(np.einsum("ij,ij->i", rounded, rounded).max()))
    return Group(codes, offset, scale, rest**0.5, norm**0.5)


class Codes:
    """The codes of all rows of some vectors.

    Args:
        dim: width of the rows.
        groups: each of GROUP rows, the last may be shorter.
    """

    def __init__(self, dim: int, groups: list[Group] | None = None) -> None:
        self.dim = dim
        self.groups = groups or []

    def catch_up(self, vectors: Vectors) -> None:
        """Codes the rows that came since the last time."""
        done = sum(len(group.codes) for group in self.groups)
        if done == len(vectors):
            return
        if self.groups and len(self.groups[-1].codes) < GROUP:
            self.groups.pop()
        for start in range(len(self.groups) * GROUP, len(vectors), GROUP):
            rows = np.arange(start, min(start + GROUP, len(vectors)))
            self.groups.append(encode(to_float32(vectors.take(rows))))

    def blocks(self, questions: np.ndarray) -> Iterator[Int8Block]:
        """The blocks of all rows in order, ready to be multiplied with float32 [questions, dim]."""
        for number, group in enumerate(self.groups):
            coded = _CodedQuestions(questions, group)
            for start in range(0, len(group.codes), BLOCK):
                yield Int8Block(number * GROUP + start, group.codes[start : start + BLOCK], coded)


class _CodedQuestions:
    """Questions, coded for one group: score = base + step * (code - 128) @ codes ± error, code by code.

    Attributes:
        codes: int8 [dim, questions].
        step, base, error: float32 [questions].
        shift: int64 [questions], what the zero point of the rows adds to the product.
    """

    def __init__(self, questions: np.ndarray, group: Group) -> None:
        scaled = questions * group.scale
        self.step = np.maximum(np.abs(scaled).max(axis=1) / np.float32(127), np.float32(1e-30))
        rounded = np.clip(np.rint(scaled / self.step[:, None]), -127, 127)
        left = np.linalg.norm(scaled - rounded * self.step[:, None], axis=1)
        self.codes = np.ascontiguousarray(rounded.T.astype(np.int8))
        self.shift = _ZERO * rounded.astype(np.int64).sum(axis=1)
        self.base = questions @ group.offset
        size = np.linalg.norm(scaled, axis=1)
        self.error = (size * group.rest + left * group.norm) * _CARE
        # And what float32 arithmetic loses, here, in `encode` and in the sums of `product`.
        self.error += size * group.norm * np.float32(1e-6)
        self.error += self.step * np.float32(255 * 127 * len(group.scale) / 2**24)
        self.error += product_error(questions, float(np.linalg.norm(group.offset)))


class Int8Block(NamedTuple):
    """A block of coded rows and the questions that it is searched for.

    Attributes:
        first: number of its first row.
        codes: uint8 [rows, dim].
        questions: the questions, coded.
    """

    first: int
    codes: np.ndarray
    questions: _CodedQuestions

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.codes)

    def above(
        self, threshold: np.ndarray, error: np.ndarray, rows: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The pairs whose score may reach the threshold.

        Args:
            threshold: float32 [questions].
            error: float32 [questions], of a float32 product; the coding's comes on top.
            rows: int64 [n], which of the block's rows count; default all.

        Returns:
            questions, ascending, and rows of the block, both int64 [pairs]; float32 [pairs] estimates; and
            float32 [questions], how far they may be off.
        """
        coded = self.questions
        error = error + coded.error
        sums = product()(self.codes if rows is None else self.codes[rows], coded.codes)  # [rows, questions]
        with np.errstate(over="ignore"):
            least = (threshold - error - coded.base).astype(np.float64) / coded.step + coded.shift
        least = np.clip(np.floor(least), -(2**31), 2**31 - 1).astype(np.int32)
        questions, found = pairs_above(sums, least)
        estimates = (sums[found, questions] - coded.shift[questions]) * coded.step[questions]
        estimates = (estimates + coded.base[questions]).astype(np.float32)
        return questions, found if rows is None else rows[found], estimates, error


Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


@functools.cache
def product() -> Product:
    """The fastest product of uint8 [rows, dim] and int8 [dim, questions] to int32 here that is right, up to
    sums beyond 2^24, which may be rounded as float32 rounds them.

    oneDNN's, through TensorFlow, uses the processor's instructions for it. Not every build has it, and before
    those instructions came, sums saturated: so it is tried with the largest numbers first.
    """
    rows = np.full((3, 70), 255, np.uint8)
    questions = np.full((70, 5), 127, np.int8)
    questions[::3, 1] = -127
    try:
        if np.array_equal(onednn_product(rows, questions), rows.astype(np.int32) @ questions):
            return onednn_product
    except Exception:  # TensorFlow has no class of its own for "no kernel here"; any failure means the same
        pass
    return float_product


def onednn_product(rows: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """By oneDNN, inside TensorFlow."""
    import tensorflow as tf

    with tf.device("CPU:0"):
        sums, _, _ = tf.raw_ops.QuantizedMatMulWithBias(
            a=tf.bitcast(tf.constant(rows), tf.quint8),
            b=tf.bitcast(tf.constant(questions), tf.qint8),
            bias=tf.zeros(questions.shape[1]),
            min_a=0.0,
            max_a=255.0,
            min_b=-127.0,
            max_b=127.0,
            Toutput=tf.qint32,
            input_quant_mode="SCALED",
        )
        return np.from_dlpack(tf.bitcast(sums, tf.int32))


def float_product(rows: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """By a float32 product of 512 numbers at a time: those sums stay below 2^24, where float32 is exact."""
    sums = np.zeros((len(rows), questions.shape[1]), np.int32)
    for start in range(0, rows.shape[1], 512):
        part = rows[:, start : start + 512].astype(np.float32) @ questions[start : start + 512].astype(
            np.float32
        )
        sums += part.astype(np.int32)
    return sums

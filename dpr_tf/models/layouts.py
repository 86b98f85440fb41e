"""Where tokens of texts lie in the matrix that goes through a model's blocks: with padding, or without.

All but attention computes each token by itself, so that padding need not be computed there at all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_leaves_out: ContextVar[bool] = ContextVar("leaves_out", default=False)


@contextlib.contextmanager
def without_padding() -> Iterator[None]:
    """Encoders that are called, or traced, meanwhile compute no padding, on TensorFlow.

    Vectors stay the same. XLA and most converters refuse such graphs: their shapes depend on values.
    """
    token = _leaves_out.set(keras.config.backend() == "tensorflow")
    try:
        yield
    finally:
        _leaves_out.reset(token)


def for_vectors(mask: Any, heads: int, multiple: int = 1) -> Padded | Unpadded:
    """The layout of texts of which only the first token's state is wanted.

    Args:
        mask: number or bool [texts, length], 0 for padding; or [texts, length, length].
        heads: how many heads attention has.
        multiple: what the number of a text's keys may be rounded up to.
    """
    if _leaves_out.get() and len(mask.shape) == 2:
        return Unpadded(mask, heads, multiple)
    return Padded(*ops.shape(mask)[:2])


class Padded:
    """All places of all texts, one text after the other.

    Args:
        texts, length: how many texts there are, of how many tokens each.
    """

    def __init__(self, texts: Any, length: Any):
        self.texts, self.length = texts, length

    def of_keys(self, mask_scores: Any) -> Any:
        """What is added to scores, with one for each that `keys` gives: as it is."""
        return mask_scores

    def pack(self, states: Any) -> Any:
        """[texts, length, width] -> [tokens, width]."""
        return ops.reshape(states, (-1, states.shape[-1]))

    def unpack(self, tokens: Any) -> Any:
        """[tokens, width] -> [texts, length, width]."""
        return ops.reshape(tokens, (self.texts, self.length, tokens.shape[-1]))

    def first(self, tokens: Any) -> Any:
        """Each text's first token: [tokens, width] -> [texts, width]."""
        return self.unpack(tokens)[:, 0]

    def split(self, tokens: Any, heads: int) -> Any:
        """[tokens, width] -> [texts, length, heads, width / heads]."""
        return ops.reshape(tokens, (self.texts, self.length, heads, tokens.shape[-1] // heads))

    def heads(self, tokens: Any, heads: int) -> Any:
        """[tokens, width] -> [texts, heads, length, width / heads]."""
        return ops.transpose(self.split(tokens, heads), (0, 2, 1, 3))

    keys = heads

    def three_heads(self, tokens: Any, heads: int) -> list[Any]:
        """What `heads` gives of each third of the width of [tokens, 3 * width]."""
        return [self.heads(third, heads) for third in ops.split(tokens, 3, axis=-1)]

    def join(self, context: Any) -> Any:
        """[texts, heads, length, head] -> [tokens, heads * head]."""
        width = context.shape[1] * context.shape[3]
        return ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (-1, width))


class Unpadded:
    """Tokens that count, one text after the other; on TensorFlow.

    What `unpack`, `heads` and `keys` have in the places of padding is another token's, and finite: nothing
    attends to it, and `join` leaves out what it found. A text whose first token does not count keeps all its
    places, since that token may attend to all of them.

    Args:
        mask: number or bool [texts, length], 0 for padding.
        heads: how many heads attention has.
        multiple: what the number of a text's keys is rounded up to, by more padding.
    """

    def __init__(self, mask: Any, heads: int, multiple: int = 1):
        import tensorflow as tf

        self.texts, self.length = tf.unstack(tf.shape(mask))
        counts = tf.cast(mask, tf.bool)
        counts = tf.logical_or(counts, tf.logical_not(counts[:, :1]))
        flat = tf.reshape(counts, [-1])
        places = tf.cast(tf.where(flat), tf.int32)  # [tokens, 1]
        rows = tf.cumsum(tf.cast(flat, tf.int32)) - 1  # padding: the last that counts
        rows = tf.reshape(rows, (self.texts, 1, self.length))
        self._more = -self.length % multiple
        key_rows = tf.pad(rows, [[0, 0], [0, 0], [0, self._more]])
        each = tf.range(heads)
        self._places = places[:, 0]
        self._rows = key_rows[:, 0]
        self._counts = counts[:, None, :, None]
        # Rows of one head's numbers: what `heads` and `keys` take, [texts, heads, places]; `join`, [tokens,
        # heads].
        self._spread, self._spread_keys = (found * heads + each[:, None] for found in (rows, key_rows))
        self._three = [
            found * (3 * heads) + third * heads + each[:, None]
            for third, found in enumerate((rows, key_rows, key_rows))
        ]
        self._joined = (places // self.length * heads + each) * self.length + places % self.length

    def of_keys(self, mask_scores: Any) -> Any:
        """[texts, 1, 1, length] -> [texts, 1, 1, keys]: even where all is masked, nobody attends to more."""
        import tensorflow as tf

        return tf.pad(mask_scores, [[0, 0]] * 3 + [[0, self._more]], constant_values=-math.inf)

    def pack(self, states: Any) -> Any:
        """[texts, length, width] -> [tokens, width]."""
        return _taken(states, self._places, states.shape[-1])

    def first(self, tokens: Any) -> Any:
        """Each text's first token: [tokens, width] -> [texts, width]."""
        return _taken(tokens, self._rows[:, 0], tokens.shape[-1])

    def unpack(self, tokens: Any) -> Any:
        """[tokens, width] -> [texts, keys, width]."""
        import tensorflow as tf

        @tf.custom_gradient
        def spread(tokens):
            found = _taken(tokens, self._rows, tokens.shape[-1])
            return found, lambda upstream: self.pack(upstream[:, : self.length])

        return spread(tokens)

    def heads(self, tokens: Any, heads: int) -> Any:
        """[tokens, width] -> [texts, heads, length, width / heads]."""
        return self._heads(tokens, heads, self._spread)

    def keys(self, tokens: Any, heads: int) -> Any:
        """[tokens, width] -> [texts, heads, keys, width / heads]."""
        return self._heads(tokens, heads, self._spread_keys)

    def _heads(self, tokens, heads, rows):
        import tensorflow as tf

        width = tokens.shape[-1]

        @tf.custom_gradient
        def spread(tokens):
            # In the places of padding the gradient is zero.
            return _taken(tokens, rows, width // heads), lambda upstream: tf.reshape(
                _taken(upstream[:, :, : self.length], self._joined, width // heads), (-1, width)
            )

        found = spread(tokens)
        found.set_shape((None, heads, None, width // heads))
        return found

    def three_heads(self, tokens: Any, heads: int) -> list[Any]:
        """`heads` of the first third of [tokens, 3 * width], `keys` of the others; no third is copied."""
        size = tokens.shape[-1] // (3 * heads)
        found = [_taken(tokens, rows, size) for rows in self._three]
        for each in found:
            each.set_shape((None, heads, None, size))
        return found

    def join(self, context: Any) -> Any:
        """[texts, heads, length, head] -> [tokens, heads * head]."""
        import tensorflow as tf

        heads, size = context.shape[1], context.shape[3]

        @tf.custom_gradient
        def joined(context):
            found = tf.reshape(_taken(context, self._joined, size), (-1, heads * size))
            return (
                found,
                lambda upstream: _taken(upstream, self._spread, size) * tf.cast(self._counts, upstream.dtype),
            )

        found = joined(context)
        found.set_shape((None, heads * size))
        return found


def _taken(states: Any, rows: Any, size: int) -> Any:
    """Rows of `size` numbers each: [...] -> [*rows, size]."""
    import tensorflow as tf

    return tf.gather(tf.reshape(states, (-1, size)), rows)

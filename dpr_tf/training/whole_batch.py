"""What training the encoders and training the reader have in common: one loss for the whole batch.

Whether the batch is computed at once, chunk by chunk or in parts on several replicas does not change it.
"""

from __future__ import annotations

from typing import Any

import keras


class WholeBatchModel(keras.Model):
    """A model for `fit` with its own loss; its steps are its own on TensorFlow, Keras's elsewhere. Abstract.

    Args:
        chunk_size: how many of `counted` to compute at a time; None: all.
        **kwargs: of keras.Model.

    Attributes:
        targets: what y of a batch holds.
        counted: what a chunk holds.

    Raises:
        ValueError: for a chunk size below 1, or any on another backend than TensorFlow.
    """

    targets: tuple[str, ...] = ()
    counted = ""

    def __init__(self, chunk_size: int | None, **kwargs: Any):
        self._check_chunk_size(chunk_size)
        super().__init__(**kwargs)
        self.chunk_size = chunk_size
        # Lengths vary from batch to batch, XLA would compile anew for each; it also drops assertions.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.built = True

    def gradients_of(self, x: Any, y: Any) -> tuple[Any, list[Any]]:
        """What `measure` takes, of a batch, and a gradient for each of `trainable_variables`."""
        raise NotImplementedError

    def found_in(self, x: Any, y: Any) -> Any:
        """What `measure` takes, of a batch; nothing is dropped out."""
        raise NotImplementedError

    def measure(self, found: Any) -> dict[str, Any]:
        """Adds a batch, of all replicas, to the measures and returns them."""
        raise NotImplementedError

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras would try the model on the mean of the replicas' parts, which fails where they have different
        # sizes, and across processes. All weights are there already; only the optimizer's are not.
        if self.optimizer is not None and not self.optimizer.built:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def train_step(self, *args: Any) -> Any:
        """One update; Keras calls it."""
        x, y = self._batch(args[-1])  # on JAX the state stands before it
        if keras.config.backend() != "tensorflow":
            return super().train_step(*args)
        found, gradients = self.gradients_of(x, y)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.measure(found)

    def test_step(self, *args: Any) -> Any:
        """Measures one batch; Keras calls it."""
        x, y = self._batch(args[-1])
        if keras.config.backend() != "tensorflow":
            return super().test_step(*args)
        return self.measure(self.found_in(x, y))

    def _batch(self, data: Any) -> tuple[Any, Any]:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if y is None or weights is not None:
            names = ", ".join(map(repr, self.targets))
            raise ValueError(
                f"A batch for a {type(self).__name__} is (x, y) with y = {{{names}}}, without sample "
                f"weights; got {'no y' if y is None else 'sample weights'}."
            )
        return x, y

    def _check_chunk_size(self, chunk_size: int | None) -> None:
        if chunk_size is None:
            return
        if chunk_size < 1:
            raise ValueError(
                f"chunk_size is a number of {self.counted}, at least 1, or None for all; got {chunk_size}."
            )
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                f"chunk_size needs Keras's TensorFlow backend, this is {keras.config.backend()}: leave it "
                "None, and call gradient_checkpointing_enable() on what is trained to save memory."
            )

"""The reader as a Keras model for `fit`: whole questions in, each with its positive and its negatives.

A batch is (x, y), as `ReaderBatches` makes it:

* `x["input_ids"]`, `x["attention_mask"]`: int32 [Q, N, L]; the first of a question's N passages is its
  positive;
* `y["present"]`: bool [Q, N], False for empty rows where there are too few negatives;
* `y["starts"]`, `y["ends"]`: int32 [Q, S], first and last tokens of answers in the positive; -1 for filler.

All arrays have Q in front, so that a batch split along it, as `tf.distribute` does, is still one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from dpr_tf.models.dpr import TFDPRReader
from dpr_tf.training import reader_losses, replicas
from dpr_tf.training.whole_batch import WholeBatchModel

MEASURES = ("relevance_loss", "span_loss", "relevance_accuracy")


@keras.saving.register_keras_serializable(package="dpr_tf")
class ReaderTrainer(WholeBatchModel):
    """Trains a reader to find the passage that answers and where; `compile` it with an optimizer only.

    The loss is the mean over the questions of a batch, on however many replicas, of relevance loss plus span
    loss (see `reader_losses`), in float32 under any precision policy. Measures: `loss`, its two parts
    `relevance_loss` and `span_loss`, and `relevance_accuracy`, the share of positives with the highest
    relevance.

    Args:
        reader: a TFDPRReader.
        chunk_size: how many questions to read at a time; None: all. Loss and gradients are those of the whole
            batch, at the memory of one chunk: a batch of DPR's size, 16 questions of 24 passages each, needs
            more than most machines have. TensorFlow only.
        **kwargs: of keras.Model.

    Raises:
        ValueError: if `reader` is another model, or for a chunk size below 1.
    """

    targets = ("present", "starts", "ends")
    counted = "questions"

    def __init__(self, reader: TFDPRReader, *, chunk_size: int | None = None, **kwargs: Any):
        if not isinstance(reader, TFDPRReader):
            raise ValueError(f"ReaderTrainer takes a TFDPRReader, got a {type(reader).__name__}.")
        super().__init__(chunk_size, **kwargs)
        self.reader = reader
        self.means = [keras.metrics.Mean(name=name) for name in MEASURES]

    def call(self, inputs, training=False):
        """Reads all passages of a batch.

        Args:
            inputs: x of a batch, see the module.
            training: whether to drop units out.

        Returns:
            {"start_logits": float [Q, N, L], "end_logits": the same, "relevance_logits": float [Q, N]}.
        """
        questions, passages, length = ops.shape(inputs["input_ids"])
        rows = {name: ops.reshape(ids, (questions * passages, length)) for name, ids in inputs.items()}
        output = self.reader(rows, return_dict=True, training=training)
        return {
            name: ops.reshape(logits, (questions, passages, *ops.shape(logits)[1:]))
            for name, logits in output.items()
        }

    def losses_of(self, x: Mapping[str, Any], y: Mapping[str, Any], y_pred: Mapping[str, Any]) -> Any:
        """What a batch gives for each question.

        Args:
            x, y: the batch.
            y_pred: what `call` returned for it.

        Returns:
            float32 [Q, 3]: relevance loss, span loss, and 1 where the positive has the highest relevance.
        """
        relevance = ops.cast(y_pred["relevance_logits"], "float32")
        of_relevance = reader_losses.relevance_losses(relevance, y["present"])
        start, end = (y_pred[f"{name}_logits"][:, 0] for name in ("start", "end"))
        of_spans = reader_losses.span_losses(start, end, x["attention_mask"][:, 0], y["starts"], y["ends"])
        return ops.stack(
            [of_relevance, of_spans, reader_losses.ranked_first(relevance, y["present"])], axis=1
        )

    @staticmethod
    def share_of_loss(losses: Any, questions: Any) -> Any:
        """What some questions, float32 [some, 3], add to the mean loss over `questions` of them; a scalar."""
        return ops.sum(losses[:, :2]) / ops.cast(questions, "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch; on several replicas, this one's share of it."""
        _, questions = replicas.rows(y["starts"])
        return self.share_of_loss(self.losses_of(x, y, y_pred), questions)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Adds a batch to the measures and returns them."""
        return self.measure(self.losses_of(x, y, y_pred))

    def measure(self, losses: Any) -> dict[str, Any]:
        """Adds a batch, of all replicas, to the measures and returns them."""
        columns = ops.unstack(replicas.gather(losses), len(MEASURES), axis=1)
        if keras.config.backend() == "tensorflow":  # elsewhere Keras's own step does
            self._loss_tracker.update_state(columns[0] + columns[1])
        for mean, column in zip(self.means, columns, strict=True):
            mean.update_state(column)
        return self.get_metrics_result()

    def gradients_of(self, x, y):
        """What `losses_of` gives of a batch, and the gradients of its mean loss."""
        from dpr_tf.training import reader_steps

        return reader_steps.gradients(self, x, y)

    def found_in(self, x, y):
        """What `losses_of` gives of a batch; nothing is dropped out."""
        from dpr_tf.training import reader_steps

        return reader_steps.losses(self, x, y)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        reader = keras.saving.serialize_keras_object(self.reader)
        return {**super().get_config(), "reader": reader, "chunk_size": self.chunk_size}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Makes the model that `get_config` describes, with fresh weights."""
        reader = keras.saving.deserialize_keras_object(config["reader"], custom_objects)
        return cls(**{**config, "reader": reader})

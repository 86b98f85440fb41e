"""The bi-encoder as one Keras model for `fit`: two encoders, in-batch and hard negatives, any batch size.

A batch is (x, y):

* `x["questions"]`: `input_ids`, `attention_mask` (and `token_type_ids`, if used), int32 [Q, L] each;
* `x["passages"]`: the same, int32 [Q, G, L']; the first passage of a group is its question's positive, the
  rest are hard or other negatives. Lengths may differ from batch to batch.
* `y["present"]`: bool [Q, G], False for filler in a group with fewer passages;
* `y["ignored"]`: bool [Q, Q * G], True for pairs that count neither as positive nor as negative, such as a
  question and another question's positive that answers it too. Never a question's own positive.

All arrays have Q in front, so that a batch split along it, as `tf.distribute` does, is still one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from dpr_tf.models.dpr import TFDPRContextEncoder, TFDPRQuestionEncoder
from dpr_tf.training import losses, replicas
from dpr_tf.training.whole_batch import WholeBatchModel

Encoder = TFDPRQuestionEncoder | TFDPRContextEncoder


class Contrast(NamedTuple):
    """What a batch gives for each question; on several replicas, for each of this one's.

    Attributes:
        nll: float32 [Q], negative log-likelihood of the positive.
        rank: int32 [Q], passages of the batch before the positive.
        ignored: int32 [Q], pairs that counted neither as positive nor as negative; filler is no pair.
    """

    nll: Any
    rank: Any
    ignored: Any


@keras.saving.register_keras_serializable(package="dpr_tf")
class BiEncoder(WholeBatchModel):
    """Trains a question and a context encoder against each other; `compile` it with an optimizer only.

    The loss is the mean negative log-likelihood of each question's positive among all passages of the batch,
    in float32 under any precision policy. Measures: `loss`, `accuracy` (positives that score highest),
    `average_rank` (of the positive in the batch, from 0) and `ignored` (pairs masked so far in the epoch).

    Args:
        question_encoder: a TFDPRQuestionEncoder.
        context_encoder: a TFDPRContextEncoder with vectors of the same width; or the question encoder itself,
            and all weights are shared. An encoder whose `trainable` is False is frozen: it keeps its weights
            and drops nothing out.
        chunk_size: how many texts to encode at a time; None: all. Loss and gradients are those of the whole
            batch, its negatives included, at the memory of one chunk and for one more forward pass: the
            gradient cache of Gao et al. 2021 (arXiv 2101.06983). This is also how to accumulate: adding up
            gradients of separate batches would lose the negatives between them. TensorFlow only.
        **kwargs: of keras.Model.

    Raises:
        ValueError: for encoders in each other's role, vectors of different widths, or a chunk size below 1.
    """

    targets = ("present", "ignored")
    counted = "texts"

    def __init__(
        self,
        question_encoder: Encoder,
        context_encoder: Encoder,
        *,
        chunk_size: int | None = None,
        **kwargs: Any,
    ):
        _check_roles(question_encoder, context_encoder)
        super().__init__(chunk_size, **kwargs)
        self.question_encoder = question_encoder
        self.context_encoder = context_encoder
        self.accuracy = keras.metrics.Mean(name="accuracy")
        self.average_rank = keras.metrics.Mean(name="average_rank")
        self.ignored = keras.metrics.Sum(name="ignored")

    def encoders(self, inputs: Mapping[str, Any]) -> dict[str, tuple[Encoder, dict[str, Any]]]:
        """The encoder of "questions" with its texts [Q, L], and that of "passages" with its [Q * G, L']."""
        passages = {name: _flatten(ids) for name, ids in inputs["passages"].items()}
        return {
            "questions": (self.question_encoder, dict(inputs["questions"])),
            "passages": (self.context_encoder, passages),
        }

    @staticmethod
    def encode(encoder: Encoder, texts: Mapping[str, Any], training: bool = False) -> Any:
        """Vectors float [texts, dim] of texts int32 [texts, tokens]; a frozen encoder drops nothing out."""
        training = training and bool(encoder.trainable_variables)
        return encoder(dict(texts), return_dict=True, training=training).pooler_output

    def call(self, inputs, training=False):
        """Encodes a batch.

        Args:
            inputs: x of a batch, see the module.
            training: whether to drop units out.

        Returns:
            {"questions": float [Q, dim], "passages": float [Q * G, dim]}.
        """
        return {
            name: self.encode(encoder, texts, training)
            for name, (encoder, texts) in self.encoders(inputs).items()
        }

    def contrast(self, vectors: Mapping[str, Any], y: Mapping[str, Any]) -> Contrast:
        """Scores every question against every passage of the batch, other replicas' included.

        Args:
            vectors: as `call` returns them.
            y: of the same batch, see the module.

        Returns:
            A Contrast.

        Raises:
            InvalidArgumentError: (TensorFlow; ValueError on torch) if a question has no negative to be
                contrasted with. JAX cannot raise one in what it compiled: there its likelihood is NaN.
        """
        groups, group = ops.shape(y["present"])
        first, _ = replicas.rows(vectors["passages"])
        positives = first + group * ops.arange(groups, dtype="int32")
        passages = replicas.gather(ops.cast(vectors["passages"], "float32"))
        present = ops.cast(y["present"], "float32")  # no device gathers bool
        present = replicas.gather(ops.reshape(present, (groups * group,))) > 0
        ignored = ops.logical_and(ops.cast(y["ignored"], "bool"), ops.expand_dims(present, 0))
        counted = losses.countable(present, ignored)
        scores = losses.mask_scores(losses.score_pairs(vectors["questions"], passages), counted)
        nll = losses.negative_log_likelihood(scores, positives)
        return Contrast(
            _contrasted(nll, losses.negatives(counted)),
            losses.positive_ranks(scores, positives),
            ops.sum(ops.cast(ignored, "int32"), axis=1),
        )

    @staticmethod
    def mean_loss(contrast: Contrast) -> Any:
        """The mean over the questions of all replicas, this one's share of it; a float32 scalar."""
        _, questions = replicas.rows(contrast.nll)
        return ops.sum(contrast.nll) / ops.cast(questions, "float32")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of a batch; on several replicas, this one's share of it."""
        return self.mean_loss(self.contrast(y_pred, y))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Adds a batch to the measures and returns them."""
        return self.measure(self.contrast(y_pred, y))

    def measure(self, contrast: Contrast) -> dict[str, Any]:
        """Adds a batch, of all replicas, to the measures and returns them."""
        columns = [ops.cast(column, "float32") for column in contrast]
        nll, rank, ignored = ops.unstack(replicas.gather(ops.stack(columns, axis=1)), 3, axis=1)
        if keras.config.backend() == "tensorflow":  # elsewhere Keras's own step does
            self._loss_tracker.update_state(nll)
        self.accuracy.update_state(ops.cast(rank == 0, "float32"))
        self.average_rank.update_state(rank)
        # Replicas' sums are added up at the end of an epoch, and their results averaged after each step.
        self.ignored.update_state(ops.sum(ignored) / replicas.count())
        measures = self.get_metrics_result()
        return {**measures, "ignored": measures["ignored"] * replicas.count()}

    def gradients_of(self, x, y):
        """The Contrast of a batch and the gradients of its mean loss."""
        from dpr_tf.training import steps

        return steps.gradients(self, x, y)

    def found_in(self, x, y):
        """The Contrast of a batch; nothing is dropped out."""
        from dpr_tf.training import steps

        return self.contrast(steps.encode(self, x, training=False), y)

    def get_config(self) -> dict[str, Any]:
        """The arguments; a shared encoder stands once."""
        shared = self.question_encoder is self.context_encoder
        return {
            **super().get_config(),
            "question_encoder": keras.saving.serialize_keras_object(self.question_encoder),
            "context_encoder": None if shared else keras.saving.serialize_keras_object(self.context_encoder),
            "chunk_size": self.chunk_size,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Makes the model that `get_config` describes, with fresh weights."""
        question_encoder, context_encoder = (
            config[name] and keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("question_encoder", "context_encoder")
        )
        encoders = {
            "question_encoder": question_encoder,
            "context_encoder": question_encoder if context_encoder is None else context_encoder,
        }
        return cls(**{**config, **encoders})


def _flatten(ids: Any) -> Any:
    questions, group, length = ops.shape(ids)
    return ops.reshape(ids, (questions * group, length))  # -1 would not do for an empty batch


def _contrasted(nll: Any, negatives: Any) -> Any:
    """The likelihoods; refuses a batch in which that of a question is 1 whatever its vector is."""
    message = (
        "A question of this batch has no passage to be contrasted with: its loss is always 0. Give it hard "
        "negatives, or more questions in a batch."
    )
    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.debugging.assert_positive(negatives, message)
    elif backend == "torch" and not ops.all(negatives > 0):
        raise ValueError(message)
    elif backend == "jax":
        return ops.where(negatives > 0, nll, float("nan"))
    return nll


def _check_roles(question_encoder: Any, context_encoder: Any) -> None:
    shared = question_encoder is context_encoder
    for name, encoder, cls in (
        ("question_encoder", question_encoder, TFDPRQuestionEncoder),
        ("context_encoder", context_encoder, TFDPRContextEncoder),
    ):
        if not isinstance(encoder, Encoder if shared else cls):
            raise ValueError(
                f"{name} must be a {cls.__name__}, got a {type(encoder).__name__}. BiEncoder takes the "
                "question encoder first; pass the same encoder twice to share its weights."
            )
    widths = [encoder.body.embeddings_size for encoder in (question_encoder, context_encoder)]
    if widths[0] != widths[1]:
        raise ValueError(
            f"Vectors of questions have the width {widths[0]}, those of passages {widths[1]}, and no inner "
            "product: give both encoders the same projection_dim."
        )

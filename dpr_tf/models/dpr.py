"""TFDPRContextEncoder, TFDPRQuestionEncoder and TFDPRReader: BERT with DPR's heads, as Keras models.

Call arguments, defaults and outputs are those of Transformers v4.34; where its TensorFlow and PyTorch models
disagree in numbers, these follow PyTorch. Karpukhin et al. 2020 (arXiv 2004.04906) describe the models.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from dpr_tf.config import DPRConfig
from dpr_tf.models import inputs
from dpr_tf.models.bert import Bert, dense
from dpr_tf.models.pretrained import PretrainedModel
from dpr_tf.models.tree import register_outputs
from dpr_tf.outputs import (
    TF_OUTPUTS,
    ModelOutput,
    TFDPRContextEncoderOutput,
    TFDPRQuestionEncoderOutput,
    TFDPRReaderOutput,
)

register_outputs(TF_OUTPUTS)


class VectorEncoder(keras.layers.Layer):
    """BERT, the [CLS] state, and a linear projection if `projection_dim` > 0."""

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.bert_model = Bert(config, name="bert_model", dtype=self.dtype_policy)
        self.encode_proj = None
        if config.projection_dim > 0:
            self.encode_proj = dense(config, config.projection_dim, "encode_proj", self.dtype_policy)

    @property
    def embeddings_size(self) -> int:
        """Width of the vectors."""
        return self.config.projection_dim or self.config.hidden_size

    def build(self, input_shape=None):
        self.bert_model.build()
        if self.encode_proj is not None:
            self.encode_proj.build((None, self.config.hidden_size))
        self.built = True

    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        inputs_embeds=None,
        training=False,
        first_only=False,
        attentions=True,
    ):
        """Returns states [B, L, hidden], vectors [B, dim], all states, attentions.

        With `first_only`, the last states and attentions are those of the first token, and all states none;
        without `attentions` these are None.
        """
        states, hidden_states, attentions = self.bert_model(
            input_ids,
            attention_mask,
            token_type_ids,
            inputs_embeds,
            training=training,
            first_only=first_only,
            attentions=attentions,
        )
        vectors = ops.take(states, 0, axis=1)
        if self.encode_proj is not None:
            vectors = self.encode_proj(vectors)
        return states, vectors, hidden_states, attentions


class SpanPredictor(keras.layers.Layer):
    """BERT with start and end logits per token and a relevance logit per passage, on unprojected states."""

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.encoder = VectorEncoder(config, name="encoder", dtype=self.dtype_policy)
        self.qa_outputs = dense(config, 2, "qa_outputs", self.dtype_policy)
        self.qa_classifier = dense(config, 1, "qa_classifier", self.dtype_policy)

    def build(self, input_shape=None):
        self.encoder.build()
        self.qa_outputs.build((None, None, self.config.hidden_size))
        self.qa_classifier.build((None, self.config.hidden_size))
        self.built = True

    def call(self, input_ids=None, attention_mask=None, inputs_embeds=None, training=False, attentions=True):
        """Returns start logits [N, L], end logits [N, L], relevance logits [N], all states, attentions."""
        states, _, hidden_states, attentions = self.encoder(
            input_ids, attention_mask, None, inputs_embeds, training=training, attentions=attentions
        )
        logits = self.qa_outputs(states)  # [N, L, 2]
        relevance = self.qa_classifier(ops.take(states, 0, axis=1))  # [N, 1]
        return (
            ops.take(logits, 0, axis=2),
            ops.take(logits, 1, axis=2),
            ops.squeeze(relevance, axis=1),
            hidden_states,
            attentions,
        )


class DPRModel(PretrainedModel):
    """What the three models share: construction from a configuration, input forms, output records. Abstract.

    Args:
        config: a DPRConfig.
        **kwargs: of keras.Model: `name`, `dtype` (a precision policy such as "mixed_bfloat16"), `trainable`.

    Raises:
        ValueError: if `config` is not a DPRConfig, or its fields make no sense.
    """

    config_class = DPRConfig
    main_input_name = "input_ids"
    framework = "tf"
    base_model_prefix = ""
    body_name = ""
    call_arguments: tuple[str, ...] = ()
    default_mask_is_ones = False
    reads_first_only = False  # whether the heads need the last state of the first token only

    def __init__(self, config: DPRConfig, *args: Any, **kwargs: Any) -> None:
        if not isinstance(config, DPRConfig):
            raise ValueError(
                f"{type(self).__name__}(config) takes a DPRConfig, got {type(config).__name__}. "
                "To load a checkpoint, "
                f"use {type(self).__name__}.from_pretrained(name_or_path)."
            )
        config.validate()
        super().__init__(*args, **kwargs)
        self.config = config
        setattr(self, self.body_name, self.make_body(config))
        self.build()

    def make_body(self, config: DPRConfig) -> keras.layers.Layer:
        """The layer that holds all weights."""
        raise NotImplementedError

    @property
    def body(self) -> keras.layers.Layer:
        """The layer that holds all weights: `ctx_encoder`, `question_encoder` or `span_predictor`."""
        return getattr(self, self.body_name)

    @property
    def bert_model(self) -> Bert:
        """The BERT inside."""
        return getattr(self.body, "encoder", self.body).bert_model

    def build(self, input_shape=None):
        """Makes all weights: their shapes follow from the configuration alone."""
        if not self.built:
            self.body.build()
            self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs.

        See `call` for the arguments, which may also come as one list, tuple or dict.
        """
        prepared = inputs.prepare(self.call_arguments, self.config.pad_token_id, args, kwargs)
        first = prepared.pop("input_ids", None)
        return super().__call__(first, **prepared)

    def run(self, given: dict[str, Any]) -> Any:
        """Binds the arguments of `call`, runs the body and packs the result."""
        bound = inputs.bind(self.call_arguments, {k: v for k, v in given.items() if v is not None})
        flags = {name: bound.pop(name) for name in inputs.FLAGS}
        bound["attention_mask"] = self._attention_mask(bound)
        asked = {name: self._flag(flags, f"output_{name}") for name in ("hidden_states", "attentions")}
        if self.reads_first_only:
            bound["first_only"] = not any(asked.values())
        bound["attentions"] = asked["attentions"]
        *heads, hidden_states, attentions = self.body(**bound, training=bool(flags["training"]))
        output = self.make_output(
            heads,
            hidden_states=hidden_states if asked["hidden_states"] else None,
            attentions=attentions if asked["attentions"] else None,
        )
        return_dict = self.config.use_return_dict if flags["return_dict"] is None else flags["return_dict"]
        return output if return_dict else output.to_tuple()

    def make_output(self, heads: list, **kwargs: Any) -> Any:
        """The output record of this model."""
        raise NotImplementedError

    def _flag(self, flags: dict[str, Any], name: str) -> bool:
        return getattr(self.config, name) if flags[name] is None else flags[name]

    def _attention_mask(self, bound: dict[str, Any]) -> Any:
        mask, ids = bound["attention_mask"], bound["input_ids"]
        if mask is not None:
            return ops.convert_to_tensor(mask)
        if ids is None:
            return ops.ones(ops.shape(bound["inputs_embeds"])[:2], dtype=self.compute_dtype)
        return (
            ops.ones_like(ids) if self.default_mask_is_ones else ops.not_equal(ids, self.config.pad_token_id)
        )

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `keras.Model.fit`, on inputs in every form that a call takes or on a data set of them."""
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple):
            kwargs["validation_data"] = (self._data(validation[0]), *validation[1:])
        return super().fit(self._data(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates as `keras.Model.evaluate`, on inputs as in `fit`."""
        return super().evaluate(self._data(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes outputs in batches as `keras.Model.predict`, for inputs as in `fit`."""
        return super().predict(self._data(x), *args, **kwargs)

    def _data(self, x: Any) -> Any:
        """Inputs as Keras batches them; anything that is not one of our own forms is left to Keras."""
        if inputs.is_packed(x):
            return inputs.prepare(self.call_arguments, self.config.pad_token_id, (x,), {})
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras's, on outputs as a plain dict, so that `loss` and `y` may be a dict by output name."""
        y_pred = dict(y_pred) if isinstance(y_pred, ModelOutput) else y_pred
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def get_input_embeddings(self) -> keras.layers.Embedding:
        """The word embedding table: int [...] -> float [..., hidden_size].

        Feed its output as `inputs_embeds`.
        """
        return self.bert_model.embeddings.word_embeddings

    def get_output_embeddings(self) -> None:
        """None: DPR has no language modelling head."""
        return

    def resize_token_embeddings(self, new_num_tokens: int | None = None) -> keras.layers.Embedding:
        """Changes the number of rows of the word embedding table; rows that both have keep their values.

        Args:
            new_num_tokens: new number of rows; None or today's number changes nothing.

        Returns:
            The word embedding table. `config.vocab_size` follows. Compile the model again before training it
            further.

        Raises:
            ValueError: if `new_num_tokens` is not positive.
        """
        if new_num_tokens is not None and new_num_tokens != self.config.vocab_size:
            if new_num_tokens < 1:
                raise ValueError(f"new_num_tokens must be positive, got {new_num_tokens}.")
            self.config.vocab_size = new_num_tokens
            self.bert_model.embeddings.resize_words(new_num_tokens)
            self.train_function = self.test_function = self.predict_function = None
        return self.get_input_embeddings()

    def gradient_checkpointing_enable(self) -> None:
        """Recomputes each block in the backward pass.

        Memory of one block's activations instead of all, for one more forward pass.
        """
        self.bert_model.encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps all activations for the backward pass (the default)."""
        self.bert_model.encoder.gradient_checkpointing = False

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """Small valid inputs: int32 [1, 2] of each integer argument."""
        values = {"input_ids": 1, "attention_mask": 1, "token_type_ids": 0}
        return {name: ops.full((1, 2), values[name], dtype="int32") for name in self._integer_arguments}

    @property
    def input_signature(self) -> dict[str, keras.KerasTensor]:
        """int32 [None, None] specifications by argument."""
        return {name: keras.KerasTensor((None, None), "int32", name=name) for name in self._integer_arguments}

    @property
    def _integer_arguments(self) -> list[str]:
        return [
            name for name in self.call_arguments if name in ("input_ids", "attention_mask", "token_type_ids")
        ]

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Writes an artefact for inference, as `keras.Model.export`.

        A SavedModel has the signatures `serving_default` (int32) and `int64_serving`, any batch and length;
        see `dpr_tf.serving`.
        """
        if format == "tf_saved_model" and input_signature is None:
            from dpr_tf.serving import export_saved_model

            export_saved_model(self, filepath, **kwargs)
            return
        signature = input_signature or [self.input_signature]
        super().export(filepath, format=format, verbose=verbose, input_signature=signature, **kwargs)

    def num_parameters(self, only_trainable: bool = False) -> int:
        """Number of scalars in the (trainable) weights."""
        weights = self.trainable_weights if only_trainable else self.body.weights
        return sum(math.prod(weight.shape) for weight in weights)

    def get_config(self) -> dict[str, Any]:
        """The configuration's fields as in v4.34; Keras's (`name`, `trainable`, `dtype`) under "keras"."""
        return {**self.config.to_dict(), "keras": super().get_config()}

    @classmethod
    def from_config(cls, config: DPRConfig | dict[str, Any], **kwargs: Any) -> DPRModel:
        """A model with fresh weights, from a DPRConfig, its fields, or what `get_config` gave."""
        if isinstance(config, DPRConfig):
            return cls(config, **kwargs)
        fields = dict(config)
        keras_fields = fields.pop("keras", {})
        return cls(DPRConfig.from_dict(fields), **{**keras_fields, **kwargs})

    _from_config = from_config


class _Encoder(DPRModel):
    """What the two encoders share."""

    call_arguments = (
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "inputs_embeds",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "training",
    )
    output_class: type
    reads_first_only = True

    def make_body(self, config: DPRConfig) -> VectorEncoder:
        return VectorEncoder(config, name=self.body_name, dtype=self.dtype_policy)

    def make_output(self, heads: list, **kwargs: Any) -> Any:
        return self.output_class(pooler_output=heads[1], **kwargs)

    def call(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        inputs_embeds=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        training=False,
    ):
        """Encodes texts.

        Args:
            input_ids: int [batch, tokens]; or a list, tuple or dict with all inputs.
            attention_mask: [batch, tokens], 1 for tokens to attend to, 0 for padding. Default: `input_ids !=
                pad_token_id`; ones for `inputs_embeds`.
            token_type_ids: int [batch, tokens]. Default: zeros, as DPR was trained.
            inputs_embeds: float [batch, tokens, hidden_size], instead of `input_ids`.
            output_attentions, output_hidden_states, return_dict: default to the configuration's.
            training: whether to drop units out.

        Returns:
            An output record with `pooler_output` float [batch, dim]; a tuple if `return_dict` is False.
        """
        return self.run({name: value for name, value in locals().items() if name in self.call_arguments})


@keras.saving.register_keras_serializable(package="dpr_tf")
class TFDPRContextEncoder(_Encoder):
    """Encodes passages into vectors. Output: TFDPRContextEncoderOutput."""

    base_model_prefix = body_name = head = "ctx_encoder"
    output_class = TFDPRContextEncoderOutput


@keras.saving.register_keras_serializable(package="dpr_tf")
class TFDPRQuestionEncoder(_Encoder):
    """Encodes questions into vectors. Output: TFDPRQuestionEncoderOutput."""

    base_model_prefix = body_name = head = "question_encoder"
    output_class = TFDPRQuestionEncoderOutput


@keras.saving.register_keras_serializable(package="dpr_tf")
class TFDPRReader(DPRModel):
    """Finds answer spans in passages and ranks the passages. Output: TFDPRReaderOutput."""

    base_model_prefix = head = "reader"
    body_name = "span_predictor"
    call_arguments = tuple(name for name in _Encoder.call_arguments if name != "token_type_ids")
    default_mask_is_ones = True

    def make_body(self, config: DPRConfig) -> SpanPredictor:
        return SpanPredictor(config, name=self.body_name, dtype=self.dtype_policy)

    def make_output(self, heads: list, **kwargs: Any) -> TFDPRReaderOutput:
        start, end, relevance = heads
        return TFDPRReaderOutput(start_logits=start, end_logits=end, relevance_logits=relevance, **kwargs)

    def call(
        self,
        input_ids=None,
        attention_mask=None,
        inputs_embeds=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        training=False,
    ):
        """Reads passages, each as `[CLS] question [SEP] title [SEP] text`.

        Args:
            input_ids: int [passages, tokens]; or a list, tuple or dict with all inputs.
            attention_mask: [passages, tokens], 1 for tokens to attend to, 0 for padding. Default: ones,
                padding included.
            inputs_embeds: float [passages, tokens, hidden_size], instead of `input_ids`.
            output_attentions, output_hidden_states, return_dict: default to the configuration's.
            training: whether to drop units out.

        Returns:
            A TFDPRReaderOutput; a tuple if `return_dict` is False.
        """
        return self.run({name: value for name, value in locals().items() if name in self.call_arguments})

"""DPRContextEncoder, DPRQuestionEncoder and DPRReader as PyTorch modules: the twins of the Keras models.

Names in the `state_dict` are Hugging Face's; arguments, outputs and numbers those of the PyTorch models in
Transformers v4.34, with one difference: a reader with a projection works, its heads on the unprojected
states.
"""

from __future__ import annotations

from typing import Any, ClassVar

from dpr_tf import outputs
from dpr_tf.config import DPRConfig

try:
    import torch
except ImportError as error:
    raise ImportError(
        "DPRContextEncoder, DPRQuestionEncoder and DPRReader are torch modules, but torch is not installed: "
        "pip install 'dpr_tf[torch]', or take the TFDPR classes, which read PyTorch checkpoints without it."
    ) from error
from torch import Tensor, nn

from dpr_tf.models.torch_bert import Bert
from dpr_tf.models.torch_pretrained import PretrainedModule


class _VectorEncoder(nn.Module):
    """BERT and the vector of each text: the state of [CLS], projected if `projection_dim` > 0."""

    def __init__(self, config: DPRConfig):
        super().__init__()
        self.bert_model = Bert(config)
        if config.projection_dim > 0:
            self.encode_proj = nn.Linear(config.hidden_size, config.projection_dim)

    def forward(
        self, **bert_inputs: Any
    ) -> tuple[tuple[Tensor], tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        hidden_states, attentions = self.bert_model(**bert_inputs)
        vectors = hidden_states[-1][:, 0]
        if hasattr(self, "encode_proj"):
            vectors = self.encode_proj(vectors)
        return (vectors,), hidden_states, attentions


class _SpanPredictor(nn.Module):
    """BERT, start and end logits per token, a relevance logit per passage, all on the unprojected states."""

    def __init__(self, config: DPRConfig):
        super().__init__()
        self.encoder = _VectorEncoder(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.qa_classifier = nn.Linear(config.hidden_size, 1)

    def forward(
        self, **bert_inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        hidden_states, attentions = self.encoder.bert_model(**bert_inputs)
        start, end = self.qa_outputs(hidden_states[-1]).unbind(dim=-1)  # [N, L, 2]
        relevance = self.qa_classifier(hidden_states[-1][:, 0])[:, 0]
        return (start, end, relevance), hidden_states, attentions


class _DPRModel(PretrainedModule):
    """What the three models share. Abstract.

    Args:
        config: a DPRConfig.

    Raises:
        ValueError: if `config` is no DPRConfig, makes no sense, or asks for what no DPR model is (a decoder).
    """

    config_class = DPRConfig
    main_input_name = "input_ids"
    framework = "pt"
    supports_gradient_checkpointing = True
    output_class: ClassVar[type]
    body_class: ClassVar[type]

    def __init__(self, config: DPRConfig) -> None:
        if not isinstance(config, DPRConfig):
            raise ValueError(
                f"{type(self).__name__}(config) takes a DPRConfig, got {type(config).__name__}. To load a "
                f"checkpoint, use {type(self).__name__}.from_pretrained(name_or_path)."
            )
        config.validate()
        for name in ("is_decoder", "add_cross_attention", "pruned_heads"):
            if getattr(config, name):
                raise ValueError(
                    f"{name}={getattr(config, name)!r}: not supported, DPR models are plain encoders."
                )
        super().__init__(config)
        setattr(self, self.base_model_prefix, self.body_class(config))
        self.apply(self._init_weights)

    def _run(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> Any:
        masks = {"attention_mask": attention_mask, "token_type_ids": token_type_ids}
        _check_inputs({"input_ids": input_ids, "inputs_embeds": inputs_embeds, **masks}, self.config)
        if attention_mask is None:
            attention_mask = self._default_mask(inputs_embeds if input_ids is None else input_ids)
        config = self.config
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        heads, hidden_states, attentions = self.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=bool(output_attentions),
        )
        output = self.output_class(
            *heads,
            hidden_states=hidden_states if output_hidden_states else None,
            attentions=attentions if output_attentions else None,
        )
        return_dict = config.use_return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()

    def _default_mask(self, given: Tensor) -> Tensor:
        """Everything but padding; for embeddings, which cannot tell, everything."""
        if given.dim() == 2:
            return given != self.config.pad_token_id
        return torch.ones(given.shape[:2], device=given.device)


class _VectorModel(_DPRModel):
    body_class = _VectorEncoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Computes vectors.

        Args:
            input_ids: int [batch, tokens].
            attention_mask: [batch, tokens] (or [batch, tokens, tokens]), 1 to attend, 0 to ignore; default:
                all but padding, with `inputs_embeds` all ones.
            token_type_ids: int [batch, tokens]; default zeros.
            inputs_embeds: float [batch, tokens, hidden_size], instead of `input_ids`.
            output_attentions, output_hidden_states, return_dict: default: the configuration's.

        Returns:
            An output record with `pooler_output` [batch, dim], or a tuple.

        Raises:
            ValueError: for none or both of ids and embeddings, or shapes that do not fit.
        """
        flags = (output_attentions, output_hidden_states, return_dict)
        return self._run(input_ids, attention_mask, token_type_ids, inputs_embeds, *flags)


class DPRContextEncoder(_VectorModel):
    """Passages to vectors, in PyTorch; see `forward` and `from_pretrained`."""

    base_model_prefix = head = "ctx_encoder"
    output_class = outputs.DPRContextEncoderOutput


class DPRQuestionEncoder(_VectorModel):
    """Questions to vectors, in PyTorch; see `forward` and `from_pretrained`."""

    base_model_prefix = head = "question_encoder"
    output_class = outputs.DPRQuestionEncoderOutput


class DPRReader(_DPRModel):
    """Question and passages to spans and relevance, in PyTorch; see `forward` and `from_pretrained`."""

    base_model_prefix = "span_predictor"
    head = "reader"
    output_class = outputs.DPRReaderOutput
    body_class = _SpanPredictor

    def _default_mask(self, given: Tensor) -> Tensor:
        """Everything, padding included, as in v4.34."""
        return torch.ones(given.shape[:2], device=given.device)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Computes logits.

        Args:
            input_ids: int [passages, tokens].
            attention_mask: [passages, tokens] (or [passages, tokens, tokens]), 1 to attend, 0 to ignore;
                default: all ones, padding included.
            inputs_embeds: float [passages, tokens, hidden_size], instead of `input_ids`.
            output_attentions, output_hidden_states, return_dict: default: the configuration's.

        Returns:
            An output record with `start_logits` and `end_logits` [passages, tokens] and `relevance_logits`
            [passages], or a tuple.

        Raises:
            ValueError: for none or both of ids and embeddings, or shapes that do not fit.
        """
        flags = (output_attentions, output_hidden_states, return_dict)
        return self._run(input_ids, attention_mask, None, inputs_embeds, *flags)


def _check_inputs(inputs: dict[str, Tensor | None], config: DPRConfig) -> None:
    """Raises for inputs that are missing, contradict each other, or have shapes that do not fit."""
    given = {name: value for name, value in inputs.items() if value is not None}
    if "input_ids" in given and "inputs_embeds" in given:
        raise ValueError("You cannot specify both input_ids and inputs_embeds at the same time")
    if "input_ids" not in given and "inputs_embeds" not in given:
        raise ValueError("You have to specify either input_ids or inputs_embeds")
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} must be a torch.Tensor, got {type(value)}: pass torch.as_tensor({name})."
            )
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    main = "input_ids" if "input_ids" in given else "inputs_embeds"
    width = () if main == "input_ids" else (config.hidden_size,)
    if len(shapes[main]) != 2 + len(width) or shapes[main][2:] != width:
        axes = ", ".join(["batch", "tokens", *map(str, width)])
        raise ValueError(f"{main} must be [{axes}], got the shape {shapes[main]}.")
    batch, tokens = shapes[main][:2]
    if not 0 < tokens <= config.max_position_embeddings:
        raise ValueError(
            f"The inputs are {tokens} tokens long; this model takes 1 to {config.max_position_embeddings} "
            "(max_position_embeddings): truncate."
        )
    for name in given.keys() - {main}:
        allowed = [(batch, tokens)] + ([(batch, tokens, tokens)] if name == "attention_mask" else [])
        if shapes[name] not in allowed:
            raise ValueError(f"{name} must be {[batch, tokens]} like {main}, got the shape {shapes[name]}.")

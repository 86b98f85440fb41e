"""DPRContextEncoder, DPRQuestionEncoder and DPRReader as PyTorch modules: the twins of the Keras models.

Names in the `state_dict` are Hugging Face's; arguments, outputs and numbers those of the PyTorch models in
Transformers v4.34, with one difference: a reader with a projection works, its heads on the unprojected
states. No other module imports torch.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dpr_tf import hub, outputs
from dpr_tf.config import CONFIG_NAME, DPRConfig
from dpr_tf.models import sources
from dpr_tf.weights import convert, files, names
from dpr_tf.weights.arrays import LazyArray

try:
    import torch
except ImportError as error:
    raise ImportError(
        "DPRContextEncoder, DPRQuestionEncoder and DPRReader are torch modules, but torch is not installed: "
        "pip install 'dpr_tf[torch]', or take the TFDPR classes, which read PyTorch checkpoints without it."
    ) from error
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint as recomputed

logger = logging.getLogger(__name__)


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


def _laplace(x: Tensor) -> Tensor:
    # The normal distribution function with mean sqrt(1/2) and deviation sqrt(1/(4 pi)) (Ma et al. 2022).
    return 0.5 * (1.0 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_10": lambda x: functional.gelu(x).clamp(-10.0, 10.0),
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": functional.gelu,
    "gelu_pytorch_tanh": _gelu_tanh,
    "laplace": _laplace,
    "linear": lambda x: x,
    "mish": functional.mish,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": functional.relu,
    "relu2": lambda x: functional.relu(x).square(),
    "relu6": functional.relu6,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}


# ------------------------------------------------------------------------------------------------------- BERT


class _Embeddings(nn.Module):
    """Word, position and token type embeddings, summed, normalised, dropped out."""

    def __init__(self, config: DPRConfig):
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.absolute = config.position_embedding_type == "absolute"

    def forward(
        self, input_ids: Tensor | None, token_type_ids: Tensor | None, states: Tensor | None
    ) -> Tensor:
        if states is None:
            states = self.word_embeddings(input_ids)
        if token_type_ids is None:
            states = states + self.token_type_embeddings.weight[0]
        else:
            states = states + self.token_type_embeddings(token_type_ids)
        if self.absolute:
            states = states + self.position_embeddings.weight[: states.shape[1]]
        return self.dropout(self.LayerNorm(states))


class _SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), with relative positions if the configuration says so.

    "relative_key" adds query-distance products to the scores (Shaw et al. 2018), "relative_key_query"
    key-distance products as well (Huang et al. 2020).
    """

    def __init__(self, config: DPRConfig):
        super().__init__()
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.head_size = size // self.heads
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.position_embedding_type = config.position_embedding_type
        self.furthest = config.max_position_embeddings - 1
        if self.position_embedding_type != "absolute":
            self.distance_embedding = nn.Embedding(2 * self.furthest + 1, self.head_size)

    def _relative_scores(self, query: Tensor, key: Tensor) -> Tensor | float:
        if self.position_embedding_type == "absolute":
            return 0.0
        position = torch.arange(query.shape[2], device=query.device)
        table = self.distance_embedding(position[:, None] - position + self.furthest)  # [L, L, head]
        scores = torch.einsum("bhld,lrd->bhlr", query, table)
        if self.position_embedding_type == "relative_key_query":
            scores = scores + torch.einsum("bhrd,lrd->bhlr", key, table)
        return scores

    def forward(self, states: Tensor, mask: Tensor, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        query, key, value = (
            layer(states)
            .unflatten(-1, (self.heads, self.head_size))
            .transpose(1, 2)  # [B, L, hidden] -> [B, heads, L, head]
            for layer in (self.query, self.key, self.value)
        )
        probabilities = None
        if self.position_embedding_type == "absolute" and not output_attentions:
            rate = self.dropout.p if self.training else 0.0
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=rate)
        else:
            scores = query @ key.transpose(-1, -2) + self._relative_scores(query, key)  # [B, heads, L, L]
            probabilities = self.dropout((scores / math.sqrt(self.head_size) + mask).softmax(dim=-1))
            mixed = probabilities @ value
        return mixed.transpose(1, 2).flatten(2), probabilities


class _ResidualOutput(nn.Module):
    """A linear layer back to the hidden size, dropout, residual, LayerNorm."""

    def __init__(self, config: DPRConfig, size: int):
        super().__init__()
        self.dense = nn.Linear(size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(states)) + residual)


class _Attention(nn.Module):
    def __init__(self, config: DPRConfig):
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _ResidualOutput(config, config.hidden_size)

    def forward(self, states: Tensor, mask: Tensor, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        mixed, probabilities = self.self(states, mask, output_attentions)
        return self.output(mixed, states), probabilities


class _Intermediate(nn.Module):
    def __init__(self, config: DPRConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, states: Tensor) -> Tensor:
        return self.activation(self.dense(states))


class _Block(nn.Module):
    def __init__(self, config: DPRConfig):
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _ResidualOutput(config, config.intermediate_size)

    def forward(self, states: Tensor, mask: Tensor, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        states, probabilities = self.attention(states, mask, output_attentions)
        return self.output(self.intermediate(states), states), probabilities


class _Encoder(nn.Module):
    def __init__(self, config: DPRConfig):
        super().__init__()
        self.layer = nn.ModuleList(_Block(config) for _ in range(config.num_hidden_layers))
        self.gradient_checkpointing = False

    def forward(
        self, states: Tensor, mask: Tensor, output_attentions: bool
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        hidden_states, attentions = [states], []
        for block in self.layer:
            if self.gradient_checkpointing and self.training:
                states, probabilities = recomputed(
                    block, states, mask, output_attentions, use_reentrant=False
                )
            else:
                states, probabilities = block(states, mask, output_attentions)
            hidden_states.append(states)
            attentions.append(probabilities)
        return tuple(hidden_states), tuple(attentions)


class _Bert(nn.Module):
    """Embeddings and blocks, without a pooler."""

    def __init__(self, config: DPRConfig):
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)

    def forward(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor,
        token_type_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool,
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        """Gives all states, the last one last, and the attentions of all blocks."""
        states = self.embeddings(input_ids, token_type_ids, inputs_embeds)
        mask = attention_mask.to(states.dtype)
        mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]  # [B, 1, (1 or L), L]
        # The lowest number, not -inf: a row with nothing to attend to then attends to everything alike.
        mask = (1.0 - mask) * torch.finfo(states.dtype).min
        return self.encoder(states, mask, output_attentions)


class _VectorEncoder(nn.Module):
    """BERT and the vector of each text: the state of [CLS], projected if `projection_dim` > 0."""

    def __init__(self, config: DPRConfig):
        super().__init__()
        self.bert_model = _Bert(config)
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


# ------------------------------------------------------------------------------------------------- the models


class _DPRModel(nn.Module):
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
    base_model_prefix: ClassVar[str]
    head: ClassVar[str]
    output_class: ClassVar[type]
    body_class: ClassVar[type]

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
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
        self.config = config
        setattr(self, self.base_model_prefix, self.body_class(config))
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        with torch.no_grad():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.config.initializer_range)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
            elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
                module.bias.zero_()

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

    # Reading and writing

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Makes a model of a checkpoint, in evaluation mode, on the CPU.

        Every format is read, whatever `from_tf` says: safetensors, `pytorch_model.bin`, `tf_model.h5`, shards
        of each, and facebookresearch/DPR's `.cp`.

        Args:
            pretrained_model_name_or_path: a local folder, a weights file, or a Hub id.
            **kwargs: any of
                config: a configuration, or where to read it; default: the checkpoint's own.
                from_tf: which file to prefer in a folder that has several: TensorFlow's.
                use_safetensors: True: take nothing else; False: take it last.
                torch_dtype (or dtype): of the weights, e.g. torch.float16; "auto": the configuration's;
                    default float32.
                output_loading_info: return (model, information).
                ignore_mismatched_sizes: initialise weights that have another shape in the checkpoint.
                revision, subfolder, token, cache_dir, local_files_only, force_download: see `dpr_tf.hub`.
                any configuration field: overrides it.

        Returns:
            The model, or (model, {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}).

        Raises:
            OSError: if nothing is there, or a file is damaged.
            ValueError: if weights are missing, of other shapes or of another role; it lists all of them.
            TypeError: for a keyword that is neither an argument nor a configuration field.
        """
        return cls._load(convert.load_into, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def init_from_bert(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Starts a model from the BERT in any checkpoint; what it lacks (projection, heads) starts fresh.

        Args, result and errors are those of `from_pretrained`; the information lists the fresh weights, too,
        under "initialised". `projection_dim=n` adds a projection.
        """
        return cls._load(convert.load_bert, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def _load(
        cls,
        load: Callable[..., convert.LoadReport],
        name_or_path: str | os.PathLike,
        *,
        config: DPRConfig | str | os.PathLike | None = None,
        from_tf: bool = False,
        torch_dtype: Any = None,
        dtype: Any = None,
        use_safetensors: bool | None = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        low_cpu_mem_usage: bool | None = None,  # of v4.34; loading never needs a second copy here
        **kwargs: Any,
    ) -> Any:
        hub_arguments, overrides = hub.split_arguments(kwargs)
        path = sources.find_weights(name_or_path, _candidates(from_tf, use_safetensors), hub_arguments)
        checkpoint = files.read_checkpoint(path)
        wanted = sources.configuration(config, name_or_path, checkpoint, hub_arguments, overrides)
        with torch.device("meta"):  # the weights are about to be read: no memory, no random numbers
            model = cls(wanted).to(_dtype(dtype if torch_dtype is None else torch_dtype, wanted))
        model.to_empty(device="cpu")
        options: dict[str, Any] = {"ignore_mismatched_sizes": ignore_mismatched_sizes}
        if load is convert.load_into:
            options["may_initialise"] = sources.asked_by(
                config, wanted, name_or_path, hub_arguments, overrides
            )
        try:
            report = load(model._variables(), names.rows(wanted, cls.head), checkpoint, **options)
        except ValueError as error:  # its remedies name the TensorFlow classes
            raise ValueError(str(error).replace("TFDPR", "DPR")) from None
        fresh = model._initialise(report)
        information = {**report.loading_info(), "error_msgs": []}
        if load is convert.load_bert:
            information["initialised"] = fresh
        return (model.eval(), information) if output_loading_info else model.eval()

    def _variables(self) -> dict[str, _Variable]:
        """The parameters as `dpr_tf.weights.convert` wants them: by Keras path, in Keras's layout."""
        parameters = dict(self.named_parameters())
        rows = names.rows(self.config, self.head)
        return {row.keras: _Variable(parameters[row.torch], row.op == names.TRANSPOSE) for row in rows}

    def _initialise(self, report: convert.LoadReport) -> list[str]:
        """Gives first values to what the checkpoint did not have, and says so; returns the names."""
        fresh = [row.torch for row in names.rows(self.config, self.head) if row.keras in report.initialised]
        for name in fresh:
            parent, _, last = name.rpartition(".")
            blank = copy.deepcopy(self.get_submodule(parent))
            self._init_weights(blank)
            self.get_parameter(name).data.copy_(blank.get_parameter(last).data)
        if fresh:
            logger.warning(
                "%s: these weights are not in %s and start fresh, train them before use: %s",
                type(self).__name__,
                report.source,
                ", ".join(fresh),
            )
        return fresh

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "10GB",
        safe_serialization: bool = True,
        **kwargs: Any,
    ) -> None:
        """Writes the configuration and the weights into a folder, which is made if need be.

        Args:
            save_directory: the folder.
            is_main_process: False writes nothing: for all but one process of a distributed training.
            state_dict: weights to write instead of the model's own.
            push_to_hub: also upload the files written.
            max_shard_size: largest size of one weights file, in bytes or as text such as "500MB".
            safe_serialization: `model.safetensors`; False: `pytorch_model.bin`, in one piece.
            **kwargs: `repo_id` (default: the folder's name) and the arguments of `hub.push_folder`.

        Raises:
            OSError: if `save_directory` is a file.
        """
        if not is_main_process:
            return
        folder = Path(save_directory)
        if folder.is_file():
            raise OSError(f"save_directory must be a folder, and {folder} is a file.")
        config = DPRConfig.from_dict(self.config.to_dict())
        config.architectures, config.torch_dtype = (
            [type(self).__name__],
            str(self.dtype).removeprefix("torch."),
        )
        config.save_pretrained(folder)
        weights = {name: tensor.detach().cpu() for name, tensor in (state_dict or self.state_dict()).items()}
        if safe_serialization:
            written = files.write_safetensors(
                folder, {name: _lazy(tensor) for name, tensor in weights.items()}, max_shard_size
            )
        else:
            written = [folder / "pytorch_model.bin"]
            aside = folder / ".pytorch_model.bin"
            torch.save(weights, aside)
            os.replace(aside, written[0])
        sources.warn_of_other_weights(folder, written)
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", None) or folder.resolve().name
            patterns = [CONFIG_NAME, *(path.name for path in written)]
            hub.push_folder(folder, repo_id, allow_patterns=patterns, **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        max_shard_size: int | str = "10GB",
        create_pr: bool = False,
        safe_serialization: bool = True,
        revision: str | None = None,
    ) -> str:
        """Uploads configuration and weights to a Hub repository.

        Args:
            repo_id: "owner/name", or "name" for one's own account.
            use_temp_dir: of v4.34: what is uploaded is always saved aside.
            commit_message, private, token, create_pr, revision: see `dpr_tf.hub.push_folder`.
            max_shard_size, safe_serialization: see `save_pretrained`.

        Returns:
            Address of the commit or pull request.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size, safe_serialization=safe_serialization)
            return hub.push_folder(
                folder,
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                create_pr=create_pr,
                revision=revision,
            )

    # Looking inside and changing

    @property
    def base_model(self) -> nn.Module:
        """The module that holds all weights: `ctx_encoder`, `question_encoder` or `span_predictor`."""
        return getattr(self, self.base_model_prefix)

    @property
    def bert_model(self) -> nn.Module:
        """The BERT inside."""
        return getattr(self.base_model, "encoder", self.base_model).bert_model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Small valid inputs."""
        return {"input_ids": torch.ones(1, 2, dtype=torch.long, device=self.device)}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of scalars in the (trainable) weights, with or without embedding tables."""
        tables = (
            {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)}
            if exclude_embeddings
            else set()
        )
        return sum(
            p.numel()
            for p in self.parameters()
            if id(p) not in tables and (p.requires_grad or not only_trainable)
        )

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embedding table: int [...] to float [..., hidden_size], which `inputs_embeds` takes."""
        return self.bert_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replaces the word embedding table."""
        self.bert_model.embeddings.word_embeddings = value

    def get_output_embeddings(self) -> None:
        """None: DPR has no language modelling head."""

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None
    ) -> nn.Embedding:
        """Changes the number of rows of the word embedding table; rows that both have keep their values.

        Args:
            new_num_tokens: new number of rows; None keeps it.
            pad_to_multiple_of: round the number of rows up to a multiple of this.

        Returns:
            The word embedding table; `config.vocab_size` follows.

        Raises:
            ValueError: if the new table would not hold the padding token.
        """
        old = self.get_input_embeddings()
        rows = old.num_embeddings if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            rows = math.ceil(rows / pad_to_multiple_of) * pad_to_multiple_of
        if rows == old.num_embeddings:
            return old
        config = DPRConfig.from_dict(self.config.to_dict(), vocab_size=rows)
        new = nn.Embedding(
            rows,
            old.embedding_dim,
            padding_idx=old.padding_idx,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        self._init_weights(new)
        new.weight.requires_grad_(old.weight.requires_grad)
        with torch.no_grad():
            new.weight[: old.num_embeddings].copy_(old.weight[:rows])
        self.set_input_embeddings(new)
        self.config.vocab_size = config.vocab_size
        return new

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are recomputed in the backward pass."""
        return self.bert_model.encoder.gradient_checkpointing

    def gradient_checkpointing_enable(self) -> None:
        """Recomputes each block in the backward pass of training: less memory, one more forward pass."""
        self.bert_model.encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps all activations for the backward pass (the default)."""
        self.bert_model.encoder.gradient_checkpointing = False


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


# ---------------------------------------------------------------------------------------------------- helpers


class _Variable:
    """A parameter in Keras's layout: what `dpr_tf.weights.convert` assigns to."""

    def __init__(self, parameter: nn.Parameter, transposed: bool):
        self._tensor = parameter.data.T if transposed else parameter.data
        self.shape = tuple(self._tensor.shape)
        self.dtype = "float64" if parameter.dtype == torch.float64 else "float32"

    def assign(self, array: np.ndarray) -> None:
        self._tensor.copy_(
            torch.from_numpy(np.require(array, requirements="W"))
        )  # narrows to the parameter's dtype


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


def _candidates(from_tf: bool, use_safetensors: bool | None) -> tuple[str, ...]:
    """Names of weight files, the preferred ones first."""
    safetensors, h5, torch_bin = (
        tuple(name for name in files.WEIGHT_FILES[False] if ending in name)
        for ending in (".safetensors", ".h5", ".bin")
    )
    if use_safetensors:
        return safetensors
    if from_tf:
        return h5 + safetensors + torch_bin
    return torch_bin + safetensors + h5 if use_safetensors is False else safetensors + torch_bin + h5


def _dtype(dtype: Any, config: DPRConfig) -> torch.dtype:
    if dtype == "auto":
        dtype = config.torch_dtype
    dtype = "float32" if dtype is None else dtype
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"torch_dtype must be a floating-point torch.dtype, its name or 'auto', got {dtype!r}."
        )
    return found


def _lazy(tensor: Tensor) -> LazyArray:
    """A tensor as the writer of weights wants it; NumPy knows bfloat16 through ml_dtypes."""
    if tensor.dtype is not torch.bfloat16:
        return LazyArray(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.numpy)
    import ml_dtypes

    return LazyArray(
        tuple(tensor.shape),
        ml_dtypes.bfloat16,
        lambda: tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16),
    )

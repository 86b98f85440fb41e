"""BERT without its pooler as PyTorch modules, named as Hugging Face's: the twin of `dpr_tf.models.bert`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint as recomputed

from dpr_tf.config import DPRConfig


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


class Bert(nn.Module):
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

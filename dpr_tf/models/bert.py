"""BERT without its pooler, as plain Keras layers in `keras.ops`: embeddings, attention, block, encoder.

The variables' paths are the contract with `dpr_tf.weights.names`: every layer has an explicit name and is
built inside its parent's `build`. This module knows no files, no text and no checkpoint names.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from dpr_tf.config import DPRConfig
from dpr_tf.models import layouts, packed
from dpr_tf.models.activations import FUNCTIONS, gelu
from dpr_tf.models.dropout import dropout
from dpr_tf.models.int8 import Int8Dense


def weight_initializer(config: DPRConfig) -> keras.initializers.Initializer:
    """BERT's truncated normal. A fresh one for each layer.

    A shared one would give equal values for equal shapes.
    """
    return keras.initializers.TruncatedNormal(stddev=config.initializer_range)


def lowest(dtype: str) -> float:
    """The lowest finite number of a float dtype, which masks attention scores as PyTorch does.

    Adding it to every score of a row leaves them all equal: a row with nothing to attend to attends to
    everything.
    """
    return -3.3895314e38 if dtype == "bfloat16" else float(np.finfo(dtype).min)


class TokenEmbedding(keras.layers.Embedding):
    """An embedding table that refuses negative ids, as TensorFlow's gather does: none counts from the end."""

    def call(self, inputs):
        return super().call(ops.where(inputs < 0, self.input_dim, inputs))


class Embeddings(keras.layers.Layer):
    """Word, position and token type embeddings, summed, normalised, dropped out.

    [batch, tokens] -> [batch, tokens, hidden].
    """

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.word_embeddings = self._table(config.vocab_size, "word_embeddings")
        self.position_embeddings = self._table(config.max_position_embeddings, "position_embeddings")
        self.token_type_embeddings = self._table(config.type_vocab_size, "token_type_embeddings")
        self.LayerNorm = layer_norm(config, self.dtype_policy)
        self.seed_generator = keras.random.SeedGenerator()

    def _table(self, rows: int, name: str) -> TokenEmbedding:
        return TokenEmbedding(
            rows,
            self.config.hidden_size,
            embeddings_initializer=weight_initializer(self.config),
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape=None):
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            table.build()
        self.LayerNorm.build((None, None, self.config.hidden_size))
        self.built = True

    def resize_words(self, rows: int) -> None:
        """Replaces the word table by one of `rows` rows; rows that both have keep their values."""
        table = self.word_embeddings
        old = ops.convert_to_numpy(table.embeddings)
        # Keras locks the variables of a built layer, and has no public way to exchange one.
        table._tracker.unlock()
        del table._embeddings
        table.input_dim, table.built = rows, False
        with contextlib.ExitStack() as scopes:
            for name in self.path.split("/"):
                scopes.enter_context(keras.name_scope(name))
            table.build()
        table._tracker.lock()
        kept = min(rows, len(old))
        table.embeddings.assign(ops.concatenate([old[:kept], table.embeddings[kept:]], axis=0))

    def _check_shape(self, shape: tuple) -> None:
        limit, width = self.config.max_position_embeddings, self.config.hidden_size
        if isinstance(shape[1], int) and shape[1] > limit:  # JAX has symbols, TensorFlow None, if it varies
            raise ValueError(
                f"The inputs are {shape[1]} tokens long; this model takes at most {limit} "
                "(max_position_embeddings): truncate."
            )
        if shape[2] != width:
            raise ValueError(
                f"inputs_embeds must be [batch, tokens, {width}] (hidden_size), got the shape {shape}."
            )

    def call(self, input_ids=None, token_type_ids=None, inputs_embeds=None, training=False):
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        self._check_shape(tuple(inputs_embeds.shape))
        shape = ops.shape(inputs_embeds)
        states = inputs_embeds
        if self.config.position_embedding_type == "absolute":
            states = states + ops.expand_dims(
                self.position_embeddings(ops.arange(shape[1], dtype="int32")), 0
            )
        if token_type_ids is None:
            # Row 0 for every token; a slice instead of a lookup.
            states = states + ops.cast(self.token_type_embeddings.embeddings[:1], self.compute_dtype)
        else:
            states = states + self.token_type_embeddings(token_type_ids)
        seed = self.seed_generator.next() if training else None
        return dropout(self.LayerNorm(states), self.config.hidden_dropout_prob, seed)


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention with its output projection, residual and LayerNorm (Vaswani et al. 2017).

    Relative position types add query-distance products ("relative_key", Shaw et al. 2018) and key-distance
    products as well ("relative_key_query", Huang et al. 2020) to the scores.
    """

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.heads = config.num_attention_heads
        self.head_size = config.hidden_size // self.heads
        self.scale = 1.0 / math.sqrt(self.head_size)
        self.query = dense(config, config.hidden_size, "query", self.dtype_policy)
        self.key = dense(config, config.hidden_size, "key", self.dtype_policy)
        self.value = dense(config, config.hidden_size, "value", self.dtype_policy)
        self.output_dense = dense(config, config.hidden_size, "output", self.dtype_policy)
        self.LayerNorm = layer_norm(config, self.dtype_policy)
        self.distance_embedding = None
        if config.position_embedding_type != "absolute":
            self.distance_embedding = keras.layers.Embedding(
                2 * config.max_position_embeddings - 1,
                self.head_size,
                embeddings_initializer=weight_initializer(config),
                name="distance_embedding",
                dtype=self.dtype_policy,
            )

    def build(self, input_shape=None):
        shape = (None, None, self.config.hidden_size)
        for layer in (self.query, self.key, self.value, self.output_dense, self.LayerNorm):
            layer.build(shape)
        if self.distance_embedding is not None:
            self.distance_embedding.build()
        self.built = True

    def _relative_scores(self, query, key):
        """What distances add to the scores; the query is scaled already."""
        queries, keys = (ops.arange(ops.shape(states)[2], dtype="int32") for states in (query, key))
        distance = ops.expand_dims(queries, 1) - ops.expand_dims(keys, 0)
        table = self.distance_embedding(distance + self.config.max_position_embeddings - 1)  # [Q, L, head]
        scores = ops.einsum("bhld,lrd->bhlr", query, table)
        if self.config.position_embedding_type == "relative_key_query":
            scores = scores + ops.einsum("bhrd,lrd->bhlr", key * self.scale, table)
        return scores

    def _projected(self, attending, tokens, places, layout):
        """Queries [B, heads, Q, head] of tokens that attend, and keys and values [B, heads, L, head]."""
        layers = (self.query, self.key, self.value)
        if attending is tokens and packed.joins(layers, tokens):
            return layout.three_heads(packed.joined_product(layers, tokens), self.heads)
        return (
            places.heads(computed(self.query, attending), self.heads),
            layout.keys(computed(self.key, tokens), self.heads),
            layout.keys(computed(self.value, tokens), self.heads),
        )

    def _attend(self, query, key, value, mask_scores, seed):
        """Context [B, heads, Q, head] and probabilities [B, heads, Q, L], after dropout as in PyTorch."""
        scores = self._scores(query, key, mask_scores)  # [B, heads, Q, L]
        probabilities = self._probabilities(scores, seed)
        return ops.matmul(probabilities, value), probabilities

    def _scores(self, query, key, mask_scores):
        """Scaled before the product with keys, if that is not one node with scale and mask.

        Behind the product, TensorFlow would make them one, which takes up to three times as long on AVX2.
        """
        if self.distance_embedding is None and packed.masks(self.compute_dtype):
            return packed.masked_scores(query, key, self.scale, mask_scores)
        query = query * self.scale
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        if self.distance_embedding is not None:
            scores = scores + self._relative_scores(query, key)
        return scores + mask_scores

    def _probabilities(self, scores, seed):
        # Over a single token the softmax is one, and Keras warns of it.
        probabilities = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
        return dropout(probabilities, self.config.attention_probs_dropout_prob, seed)

    def _attend_first(self, query, states, mask_scores, seed):
        """The first tokens' context, without computing keys and values of the others: the same numbers.

        A score q (K x + k) is (q K) x + q k, and the mean of values V x + v is V times the mean of x, and v.

        Args:
            query: float [B, hidden].
            states: float [B, L, hidden].
            mask_scores: float [B, 1, 1, L].
            seed: a dropout seed or None.

        Returns:
            Context [B, hidden] and probabilities [B, heads, 1, L], after dropout.
        """
        width = self.config.hidden_size
        own = np.repeat(np.eye(self.heads, dtype=np.float32), self.head_size, axis=1)  # [heads, hidden]
        own = ops.cast(own, query.dtype)
        query = ops.expand_dims(query * self.scale, 1) * own  # of each head, zeros elsewhere
        query = ops.reshape(query, (-1, width))
        turned = ops.reshape(ops.matmul(query, ops.transpose(self.key.kernel)), (-1, self.heads, width))
        constant = ops.reshape(ops.sum(query * self.key.bias, axis=-1), (-1, self.heads, 1))
        scores = ops.matmul(turned, ops.transpose(states, (0, 2, 1))) + constant + mask_scores[:, 0]
        probabilities = self._probabilities(scores, seed)  # [B, heads, L]
        mean = ops.reshape(ops.matmul(probabilities, states), (-1, width))
        found = ops.reshape(ops.matmul(mean, self.value.kernel), (-1, self.heads, width))
        found = found + ops.sum(probabilities, axis=-1, keepdims=True) * self.value.bias
        return ops.sum(found * own, axis=1), ops.expand_dims(probabilities, 2)

    def call(self, tokens, mask_scores, seeds=None, *, layout, first_only=False, attentions=True):
        """Attends.

        Args:
            tokens: float [tokens, hidden], the states of all texts' tokens.
            mask_scores: float [B, 1, 1 or L, L], added to the scores: 0 to attend, the lowest float to
                ignore. Where the layout has more keys than L, one for each of them.
            seeds: two dropout seeds (probabilities, output), or None for no dropout.
            layout: where the tokens lie.
            first_only: whether only the first token of each text attends, to all tokens.
            attentions: whether the probabilities are wanted; on JAX, a GPU has a kernel that keeps none.

        Returns:
            States [tokens, hidden], or [B, hidden] with `first_only`, and probabilities [B, heads, Q, L] or
            None; Q is 1 with `first_only`, else L.
        """
        attending, places = tokens, layout
        if first_only:
            attending, places = layout.first(tokens), layouts.Padded(layout.texts, 1)
            mask_scores = mask_scores[:, :, :1]
        absolute = self.distance_embedding is None
        one_kernel = keras.config.backend() == "jax" and seeds is None and not attentions
        if first_only and absolute and has_kernel(self.key) and has_kernel(self.value):
            query, states = computed(self.query, attending), layout.unpack(tokens)
            context, probabilities = self._attend_first(query, states, mask_scores, seeds and seeds[0])
        elif one_kernel and absolute:
            query, probabilities = places.split(computed(self.query, attending), self.heads), None
            key, value = (
                layout.split(computed(layer, tokens), self.heads) for layer in (self.key, self.value)
            )
            mask = ops.broadcast_to(mask_scores == 0.0, (layout.texts, 1, places.length, layout.length))
            context = ops.dot_product_attention(query, key, value, mask=mask, scale=self.scale)
            context = ops.reshape(context, (-1, self.config.hidden_size))
        else:
            query, key, value = self._projected(attending, tokens, places, layout)
            context, probabilities = self._attend(query, key, value, mask_scores, seeds and seeds[0])
            context = places.join(context)
        rate = self.config.hidden_dropout_prob
        output = with_residual(self.output_dense, context, attending, rate, seeds and seeds[1])
        return self.LayerNorm(output), probabilities


class Block(keras.layers.Layer):
    """Self-attention and the two-layer feed-forward network, each with residual and LayerNorm after it.

    Its products are of matrices, all tokens of all texts in one: on the CPU, TensorFlow computes product,
    bias, activation and residual in one pass over memory only then.
    """

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.attention = SelfAttention(config, name="attention", dtype=self.dtype_policy)
        self.intermediate = dense(
            config,
            config.intermediate_size,
            "intermediate",
            self.dtype_policy,
            activation=FUNCTIONS[config.hidden_act],
        )
        self.output_dense = dense(config, config.hidden_size, "output", self.dtype_policy)
        self.LayerNorm = layer_norm(config, self.dtype_policy)

    def build(self, input_shape=None):
        shape = (None, None, self.config.hidden_size)
        self.attention.build(shape)
        self.intermediate.build(shape)
        self.output_dense.build((None, None, self.config.intermediate_size))
        self.LayerNorm.build(shape)
        self.built = True

    def call(self, tokens, mask_scores, seeds=None, *, layout, first_only=False, attentions=True):
        """Computes states of all tokens, or of the first of each text only.

        Args:
            tokens, mask_scores, layout, first_only, attentions: as for SelfAttention.
            seeds: three dropout seeds, or None for no dropout.

        Returns:
            What SelfAttention returns.
        """
        tokens, probabilities = self.attention(
            tokens,
            mask_scores,
            layout=layout,
            seeds=seeds and seeds[:2],
            first_only=first_only,
            attentions=attentions,
        )
        rate = self.config.hidden_dropout_prob
        inner = computed(self.intermediate, tokens)
        output = with_residual(self.output_dense, inner, tokens, rate, seeds and seeds[2])
        return self.LayerNorm(output), probabilities


class Encoder(keras.layers.Layer):
    """The stack of blocks."""

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.gradient_checkpointing = False
        self.seed_generator = keras.random.SeedGenerator()
        self.layer = [
            Block(config, name=f"layer_{n}", dtype=self.dtype_policy) for n in range(config.num_hidden_layers)
        ]

    def build(self, input_shape=None):
        for block in self.layer:
            block.build()
        self.built = True

    def call(self, states, mask_scores, layout, training=False, first_only=False, attentions=True):
        """Runs the blocks.

        Args:
            states: float [B, L, hidden].
            mask_scores, layout, attentions: as for Block.
            training: whether to drop units out.
            first_only: whether the last block computes the first token of each text only.

        Returns:
            The last states [B, L or 1, hidden]; those before the first and after each block, none with
            `first_only`; and each block's attentions.
        """
        hidden_states, all_probabilities = [states], []
        tokens = layout.pack(states)
        for block in self.layer:
            # Drawn here, outside of what may be recomputed, so that both computations drop the same units.
            seeds = [self.seed_generator.next() for _ in range(3)] if training else None
            last = first_only and block is self.layer[-1]
            run = functools.partial(block, layout=layout, first_only=last, attentions=attentions)
            run = keras.remat(run) if training and self.gradient_checkpointing else run
            tokens, probabilities = run(tokens, mask_scores, seeds)
            all_probabilities.append(probabilities)
            if not first_only:
                hidden_states.append(layout.unpack(tokens))
        if first_only:
            return ops.expand_dims(tokens, 1), (), tuple(all_probabilities)
        return hidden_states[-1], tuple(hidden_states), tuple(all_probabilities)


class Bert(keras.layers.Layer):
    """Embeddings and encoder: ids to states."""

    def __init__(self, config: DPRConfig, **kwargs: Any):
        super().__init__(**kwargs)
        self.config = config
        self.embeddings = Embeddings(config, name="embeddings", dtype=self.dtype_policy)
        self.encoder = Encoder(config, name="encoder", dtype=self.dtype_policy)

    def build(self, input_shape=None):
        self.embeddings.build()
        self.encoder.build()
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
        """Computes states.

        Args:
            input_ids: int [B, L], or None with `inputs_embeds` float [B, L, hidden].
            attention_mask: number or bool [B, L] or [B, L, L], 1 to attend and 0 to ignore.
            token_type_ids: int [B, L]; None means zeros.
            training: whether to drop units out.
            first_only: whether the last states are wanted of the first token only: the last block, which
                computes little else then, is nearly free.
            attentions: whether the attention probabilities are wanted.

        Returns:
            Last states [B, L or 1, hidden], tuple of all states, empty with `first_only`, tuple of attention
            probabilities [B, heads, L, L], or of None; with `first_only` the last one is of the first token.
        """
        states = self.embeddings(input_ids, token_type_ids, inputs_embeds, training=training)
        mask = ops.expand_dims(ops.cast(attention_mask, self.compute_dtype), 1)  # [B, 1, (L,) L]
        if len(attention_mask.shape) == 2:
            mask = ops.expand_dims(mask, 1)
        mask_scores = (1.0 - mask) * lowest(self.compute_dtype)
        layout = layouts.Padded(*ops.shape(states)[:2])
        if first_only:
            # Softmax of whole vectors of AVX-512; but there are no distances beyond the longest text.
            rounds_up = packed.masks(self.compute_dtype) and self.config.position_embedding_type == "absolute"
            multiple = 16 if rounds_up else 1
            layout = layouts.for_vectors(attention_mask, self.config.num_attention_heads, multiple)
            mask_scores = layout.of_keys(mask_scores)
        return self.encoder(
            states,
            mask_scores,
            layout=layout,
            training=training,
            first_only=first_only,
            attentions=attentions,
        )


def dense(
    config: DPRConfig, units: int, name: str, dtype: Any, activation: Callable | None = None
) -> keras.layers.Dense:
    """A Dense layer with BERT's initialisation."""
    return keras.layers.Dense(
        units, activation=activation, kernel_initializer=weight_initializer(config), name=name, dtype=dtype
    )


class LayerNorm(keras.layers.LayerNormalization):
    """Keras's, in an order that takes fewer passes over memory: three quarters of the time on the CPU."""

    def call(self, inputs):
        """Normalises float [..., hidden]; in float32 under half precision, as Keras does."""
        if keras.config.backend() == "torch":
            return super().call(inputs)  # a kernel of its own
        if packed.normalises(self, inputs):
            return packed.normalised(self, inputs)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        normalised = centred * ops.rsqrt(variance + self.epsilon)
        output = normalised * ops.cast(self.gamma, x.dtype) + ops.cast(self.beta, x.dtype)
        return ops.cast(output, inputs.dtype)


def layer_norm(config: DPRConfig, dtype: Any) -> LayerNorm:
    """A LayerNorm with the configuration's epsilon (Keras's own default is 1e-3)."""
    return LayerNorm(epsilon=config.layer_norm_eps, name="LayerNorm", dtype=dtype)


def has_kernel(layer: Any) -> bool:
    """Whether a layer is a Dense whose kernel is of floats."""
    return isinstance(layer, keras.layers.Dense) and layer.quantization_mode is None


def computed(layer: Any, states: Any) -> Any:
    """What a Dense layer computes of states, a matrix; with packed weights where inference wants them."""
    if packed.packs(layer, states):
        return packed.product(layer, states, "GeluExact" if layer.activation is gelu else "")
    return layer(states)


def with_residual(layer: Any, states: Any, residual: Any, rate: float, seed: Any) -> Any:
    """What a Dense layer without activation computes of states, dropped out, and the residual."""
    if packed.packs(layer, states):
        return packed.product(layer, states, residual=residual)
    if isinstance(layer, Int8Dense):
        return layer(states, residual)
    return dropout(layer(states), rate, seed) + residual

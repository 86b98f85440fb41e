"""Texts without their padding: the same vectors and gradients."""

import contextlib

import keras
import numpy as np
import pytest

from dpr_tf import DPRConfig, TFDPRContextEncoder
from dpr_tf.models import layouts

if keras.config.backend() != "tensorflow":
    pytest.skip("padding is left out on TensorFlow alone", allow_module_level=True)

import tensorflow as tf

MASK = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0],  # a gap
        [0, 0, 0, 0, 0, 0],  # attends to everything
        [0, 1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ]
)
IDS = np.random.default_rng(3).integers(5, 29, MASK.shape)


def encoder(**settings):
    keras.utils.set_random_seed(5)
    config = DPRConfig(
        vocab_size=29,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=24,
        initializer_range=0.5,
        **settings,
    )
    return TFDPRContextEncoder(config)


def vectors_and_gradients(model, training=False):
    def compute(ids, mask):
        with tf.GradientTape() as tape:
            vectors = model(ids, attention_mask=mask, training=training).pooler_output
            loss = tf.reduce_sum(vectors * tf.range(16, dtype=vectors.dtype))
        found = tape.gradient(loss, model.trainable_variables)
        return [vectors, *(tf.convert_to_tensor(gradient) for gradient in found if gradient is not None)]

    signature = [tf.TensorSpec([None, None], tf.int32)] * 2
    return tf.function(compute, input_signature=signature)(IDS, MASK)


@pytest.mark.parametrize("kind", ["absolute", "relative_key", "relative_key_query"])
def test_vectors_and_gradients_are_the_same(kind):
    model = encoder(position_embedding_type=kind)
    expected = vectors_and_gradients(model)
    with layouts.without_padding():
        found = vectors_and_gradients(model)
    for values, sound in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, sound, rtol=1e-4, atol=1e-4)


def test_thirds_are_split_into_heads_as_each_would_be():
    tokens = np.random.default_rng(4).normal(size=(MASK.size, 3 * 8)).astype("float32")
    for layout in (layouts.Padded(*MASK.shape), layouts.Unpadded(MASK, 2, multiple=4)):
        given = tokens if isinstance(layout, layouts.Padded) else layout.pack(tokens.reshape(*MASK.shape, -1))
        thirds = np.split(given, 3, axis=1)
        expected = layout.heads(thirds[0], 2), layout.keys(thirds[1], 2), layout.keys(thirds[2], 2)
        for found, sound in zip(layout.three_heads(given, 2), expected, strict=True):
            np.testing.assert_array_equal(found, sound)


@pytest.mark.parametrize("multiple", [1, 4, 6])
def test_more_keys_change_nothing(multiple, monkeypatch):
    model = encoder()
    expected = vectors_and_gradients(model)
    monkeypatch.setattr(
        layouts, "for_vectors", lambda mask, heads, _: layouts.Unpadded(mask, heads, multiple)
    )
    for values, sound in zip(vectors_and_gradients(model), expected, strict=True):
        np.testing.assert_allclose(values, sound, rtol=1e-4, atol=1e-4)
    layout, tokens = layouts.Unpadded(MASK, 2, multiple), np.ones((MASK.size, 3 * 8), "float32")
    keys = -(-MASK.shape[1] // multiple) * multiple
    assert [each.shape[2] for each in layout.three_heads(tokens, 2)] == [MASK.shape[1], keys, keys]


def test_padding_is_not_computed():
    model, rows = encoder(), []
    dense = model.bert_model.encoder.layer[0].intermediate
    model.bert_model.encoder.layer[0].intermediate = lambda tokens: rows.append(len(tokens)) or dense(tokens)
    mask = MASK[:3]
    for leaving_out, expected in ((False, mask.size), (True, mask.sum())):
        with layouts.without_padding() if leaving_out else contextlib.nullcontext():
            model(IDS[:3], attention_mask=mask)
        assert rows.pop() == expected


def test_states_of_all_tokens_are_computed_if_they_are_asked_for():
    model = encoder()
    expected = model(IDS, attention_mask=MASK, output_hidden_states=True, output_attentions=True)
    with layouts.without_padding():
        found = model(IDS, attention_mask=MASK, output_hidden_states=True, output_attentions=True)
    for name in ("hidden_states", "attentions"):
        for values, sound in zip(found[name], expected[name], strict=True):
            np.testing.assert_array_equal(values, sound)


def test_a_mask_of_pairs_is_no_padding():
    model = encoder()
    mask = np.tril(np.ones((6, 6), int)) * np.ones((6, 1, 1), int)
    expected = model(IDS, attention_mask=mask).pooler_output
    with layouts.without_padding():
        np.testing.assert_array_equal(model(IDS, attention_mask=mask).pooler_output, expected)


def test_with_gradient_checkpointing_too():
    model = encoder(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    expected = vectors_and_gradients(model, training=True)
    model.gradient_checkpointing_enable()
    with layouts.without_padding():
        found = vectors_and_gradients(model, training=True)
    for values, sound in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, sound, rtol=1e-4, atol=1e-4)

"""What differs between Keras's backends, and must not: these tests run on each of them."""

import keras
import numpy as np
import pytest
import tiny_training

from dpr_tf import DPRConfig, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.optimizers import adamw

CONFIG = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 24,
    "initializer_range": 0.3,
}
IDS = np.random.default_rng(0).integers(1, 30, (4, 6))


def make(cls=TFDPRQuestionEncoder, dtype=None, **settings):
    keras.utils.set_random_seed(2)
    return cls(DPRConfig(**{**CONFIG, **settings}), dtype=dtype)


def vectors(model):
    return np.array(keras.ops.convert_to_numpy(model(IDS).pooler_output))


@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
def test_a_functional_model_takes_texts_of_any_length(cls):
    ids = keras.Input((None,), dtype="int32")
    model = cls(DPRConfig(**CONFIG))
    outer = keras.Model(ids, model(ids, return_dict=False))
    for length in (6, 4):
        found, expected = outer(IDS[:, :length]), model(IDS[:, :length], return_dict=False)
        found = found[0] if isinstance(found, (list, tuple)) else found
        np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected[0])), atol=1e-6)


def test_the_states_of_generators_say_all_that_is_dropped():
    model = make(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.0)
    parts = [model.bert_model.embeddings, model.bert_model.encoder]
    states = [keras.ops.convert_to_numpy(part.seed_generator.state) for part in parts]

    def train():
        output = model(IDS, training=True).pooler_output
        return np.array(keras.ops.convert_to_numpy(keras.ops.stop_gradient(output)))

    first, second = train(), train()
    for part, state in zip(parts, states, strict=True):
        part.seed_generator.state.assign(state)
    np.testing.assert_array_equal(train(), first)
    assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_first_update_moves_weights_by_the_learning_rate(dtype):
    model = make(dtype=dtype, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    weights = [
        model.bert_model.encoder.layer[0].intermediate.kernel,
        model.bert_model.encoder.layer[0].output_dense.bias,
    ]
    before = [np.array(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))) for weight in weights]
    model.compile(adamw(0.125, steps=10, warmup=0, decay=False), loss="mse", jit_compile=False)
    loss = model.train_on_batch(IDS, np.eye(4, 16, dtype=np.float32))
    assert np.isfinite(loss)
    for weight, old in zip(weights, before, strict=True):
        moved = np.abs(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32")) - old)
        np.testing.assert_allclose(np.median(moved), 0.125, atol=5e-3)  # a few have no gradient to speak of


def bi_encoder():
    model = BiEncoder(*tiny_training.encoders())
    model.compile(optimizer="sgd")
    return model


@pytest.mark.parametrize("step", ["train_on_batch", "test_on_batch"])
def test_a_question_without_any_negative_is_refused(step):
    x, _ = tiny_training.batch(1, group=2)
    y = {"present": np.array([[True, False]]), "ignored": np.zeros((1, 2), bool)}
    if keras.config.backend() == "jax":  # no error can be raised in what it compiled
        assert np.isnan(getattr(bi_encoder(), step)(x, y, return_dict=True)["loss"])
    else:
        with pytest.raises(Exception, match="no passage to be contrasted with"):
            getattr(bi_encoder(), step)(x, y)
    x, y = tiny_training.batch()
    assert getattr(bi_encoder(), step)(x, y, return_dict=True)["loss"] > 0


@pytest.mark.parametrize("step", ["train_on_batch", "test_on_batch"])
def test_a_batch_without_masks_is_an_error(step):
    x, y = tiny_training.batch()
    with pytest.raises(ValueError, match="got no y"):
        getattr(bi_encoder(), step)(x)
    with pytest.raises(ValueError, match="got sample weights"):
        getattr(bi_encoder(), step)(x, y, sample_weight=np.ones(5))

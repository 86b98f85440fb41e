"""An encoder in OpenVINO: equal to the model as it was, and clear about what it cannot compute."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from dpr_tf import (
    DPRConfig,
    OpenVINOEncoder,
    TFDPRContextEncoder,
    TFDPRQuestionEncoder,
    TFDPRQuestionEncoderOutput,
    TFDPRReader,
)
from dpr_tf.inference import compile_forward
from dpr_tf.models import openvino
from dpr_tf.models.int8 import check_int8, to_int8
from dpr_tf.training.lora import enable_lora
from dpr_tf.training.optimizers import adamw

CONFIG = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,
}


def question_encoder(cls=TFDPRQuestionEncoder, dtype=None, **settings):
    keras.utils.set_random_seed(4)
    model = cls(DPRConfig(**{**CONFIG, **settings}), dtype=dtype)
    for weight in model.weights:  # else biases are zero, and LayerNorm does not scale
        weight.assign(weight + np.random.default_rng(1).normal(scale=0.1, size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return question_encoder()


def batch(texts=1, tokens=14):
    ids = np.random.default_rng(tokens).integers(1, 50, (texts, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def vectors(encoder, given):
    return np.array(keras.ops.convert_to_numpy(encoder(given)["pooler_output"]))


@pytest.mark.parametrize("shape", [(1, 14), (1, 1), (1, 40), (3, 20), (0, 5)])
def test_equals_the_model(model, shape):
    given = batch(*shape)
    found = vectors(OpenVINOEncoder(model), given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, vectors(model, given), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"projection_dim": 24},
        {"layer_norm_eps": 0.1},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 4},
        {"type_vocab_size": 3},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_equals_models_of_other_configurations(settings):
    model = question_encoder(TFDPRContextEncoder, **settings)
    np.testing.assert_allclose(vectors(OpenVINOEncoder(model), batch(2)), vectors(model, batch(2)), atol=1e-5)


@pytest.mark.parametrize("name", openvino._ACTIVATIONS)
def test_knows_activations(name):
    model = question_encoder(num_hidden_layers=1, hidden_act=name)
    np.testing.assert_allclose(vectors(OpenVINOEncoder(model), batch()), vectors(model, batch()), atol=1e-5)


def test_padding_and_token_types_count_as_in_the_model(model):
    encoder, given = OpenVINOEncoder(model), batch(4)
    given["attention_mask"][1, 9:] = 0
    given["attention_mask"][2, 3] = 0
    given["attention_mask"][3] = 0
    plain = vectors(encoder, given)
    np.testing.assert_allclose(plain, vectors(model, given), atol=1e-5)
    given["token_type_ids"] = given["input_ids"] % 2
    with_types = vectors(encoder, given)
    np.testing.assert_allclose(with_types, vectors(model, given), atol=1e-5)
    assert np.abs(with_types - plain).max() > 1e-2


def test_a_forward_pass_takes_it(model):
    forward = compile_forward(OpenVINOEncoder(model), ["input_ids", "attention_mask"], ["pooler_output"])
    (found,) = forward(batch(2))
    np.testing.assert_allclose(found, vectors(model, batch(2)), atol=1e-5)


def add_in_place(weight, numbers):
    """Writes into a weight's own memory, as optimizers may."""
    if keras.config.backend() == "tensorflow":
        weight.value.assign_add(numbers)
    elif keras.config.backend() == "torch":
        weight.value.data.add_(keras.ops.convert_to_tensor(numbers))
    else:  # JAX never writes into memory that is in use
        weight.assign(weight + numbers)


@pytest.mark.parametrize("change", ["assigned", "in place", "trained"])
def test_keeps_the_weights_it_was_made_with(change):
    model = question_encoder()
    encoder = OpenVINOEncoder(model)
    before = vectors(model, batch())
    if change == "trained":
        model.compile(adamw(0.1, steps=1, warmup=0), loss="mse", jit_compile=False)
        model.train_on_batch({**batch()}, np.ones((1, 32), np.float32))
    else:
        for weight in model.weights:
            added = np.random.default_rng(2).normal(scale=0.1, size=weight.shape).astype(np.float32)
            if change == "assigned":
                weight.assign(weight + added)
            else:
                add_in_place(weight, added)
    assert np.abs(vectors(model, batch()) - before).max() > 1e-2
    np.testing.assert_allclose(vectors(encoder, batch()), before, atol=1e-5)
    np.testing.assert_allclose(vectors(OpenVINOEncoder(model), batch()), vectors(model, batch()), atol=1e-5)


def test_inputs_that_are_left_out_are_those_of_the_model(model):
    given = {"input_ids": np.array([[3, 7, 9, 0, 0], [4, 5, 6, 7, 0]])}
    np.testing.assert_allclose(vectors(OpenVINOEncoder(model), given), vectors(model, given), atol=1e-5)
    whole = {**given, "attention_mask": np.ones((2, 5), np.int32)}
    assert np.abs(vectors(model, whole) - vectors(model, given)).max() > 1e-2


def test_takes_inputs_in_every_form_and_gives_the_models_record(model):
    encoder, given = OpenVINOEncoder(model), batch(2)
    sound = vectors(model, given)
    for output in (
        encoder(given),
        encoder(**given),
        encoder(list(given.values())),
        encoder(given["input_ids"], given["attention_mask"]),
        encoder(given["input_ids"].tolist()),
        encoder(keras.ops.convert_to_tensor(given["input_ids"])),
    ):
        assert type(output) is TFDPRQuestionEncoderOutput
        np.testing.assert_allclose(output.pooler_output, sound, atol=1e-5)
    ragged = [[3, 4, 5], [6]]
    np.testing.assert_allclose(vectors(encoder, ragged), vectors(model, ragged), atol=1e-5)


IDS = np.array([[3, 4, 5], [6, 7, 8]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_ids": np.ones((1, 41), np.int32)}, "41 tokens long; this model takes at most 40"),
        ({"input_ids": np.array([[3, 60]])}, r"input_ids must be from 0 to 49 \(vocab_size\), found 3 to 60"),
        ({"input_ids": np.array([[3, -1]])}, "found -1 to 3"),
        ({"input_ids": IDS, "token_type_ids": IDS}, r"0 to 1 \(type_vocab_size\), found 3 to 8"),
        ({"input_ids": IDS + 0.5}, "must be of an integer type, got float"),
        ({"input_ids": IDS[0]}, r"must be \[texts, tokens\], got the shape \(3,\)"),
        ({"input_ids": IDS[:, :0]}, r"must be \[texts, tokens\], got the shape \(2, 0\)"),
        ({"input_ids": IDS, "attention_mask": IDS[:1]}, r"attention_mask must be \(2, 3\).*shape \(1, 3\)"),
        ({"attention_mask": IDS}, r"You have to specify input_ids, got \['attention_mask'\]"),
    ],
)
def test_refuses_inputs(model, given, message):
    with pytest.raises(ValueError, match=message):
        OpenVINOEncoder(model)(given)


def with_lora():
    model = question_encoder()
    enable_lora(model, 2)
    return model


def quantized():
    model = question_encoder()
    model.bert_model.encoder.layer[1].attention.key.quantize("int8")
    return model


def in_int8():
    check_int8()
    model = question_encoder()
    to_int8(model)
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: question_encoder(TFDPRReader), "got TFDPRReader"),
        (lambda: keras.layers.Dense(3), "got Dense"),
        (lambda: question_encoder(dtype="mixed_bfloat16"), "found a model in bfloat16"),
        (lambda: question_encoder(position_embedding_type="relative_key"), "'relative_key'"),
        (lambda: question_encoder(hidden_act="laplace"), "hidden_act='laplace'"),
        (with_lora, "LoRA"),
        (quantized, "int8"),
        pytest.param(
            in_int8,
            "int8",
            marks=pytest.mark.skipif(
                keras.config.backend() != "tensorflow", reason="products in int8 are TensorFlow's"
            ),
        ),
    ],
)
def test_refuses_what_it_would_not_compute(make, message):
    with pytest.raises(ValueError, match=message):
        OpenVINOEncoder(make())


def test_several_threads_may_ask_at_once(model):
    encoder = OpenVINOEncoder(model)
    texts = [batch(tokens=tokens) for tokens in range(5, 25)] * 5
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda given: vectors(encoder, given), texts))
    for given, vector in zip(texts, found, strict=True):
        np.testing.assert_allclose(vector, vectors(model, given), atol=1e-5)


def test_nothing_is_reported_over_the_internet():
    script = """
import sys
from dpr_tf import DPRConfig, OpenVINOEncoder, TFDPRQuestionEncoder
small = dict(vocab_size=9, hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8)
OpenVINOEncoder(TFDPRQuestionEncoder(DPRConfig(**small)))
assert "openvino.tools.ovc.telemetry_stub" in sys.modules
assert "openvino_telemetry" not in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_names_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r'pip install "dpr_tf\[openvino\]"'):
        OpenVINOEncoder(model)

"""Each known mistake is planted; the parity assert must fail. A sound model stands beside as the control."""

import keras
import numpy as np
import pytest
import recordings
from keras import ops

from dpr_tf import TFDPRContextEncoder, TFDPRReader
from dpr_tf.models import activations, bert, dpr, layouts

BLOCK = "bert_model/encoder/layer_1/"


@pytest.fixture
def encoder():
    """A context encoder with a projection, and its recordings' name."""
    name = "ctx-proj-relu"
    return TFDPRContextEncoder.from_pretrained(recordings.checkpoint(f"checkpoints/arch/{name}")), name


@pytest.fixture
def reader():
    """A reader and its recordings' name."""
    return TFDPRReader.from_pretrained(recordings.checkpoint("checkpoints/arch/reader-base")), "reader-base"


def must_fail(model, name):
    with pytest.raises(AssertionError, match="differs by"):
        recordings.assert_parity(model, name, ops.convert_to_numpy)


def swap(model, first, second):
    a, b = (
        next(v for path, v in model.variables_by_path.items() if path.endswith(end))
        for end in (first, second)
    )
    old_a, old_b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
    a.assign(old_b)
    b.assign(old_a)


def change(model, end, function):
    variable = next(v for path, v in model.variables_by_path.items() if path.endswith(end))
    variable.assign(function(ops.convert_to_numpy(variable)))


def test_the_sound_models_pass(encoder, reader):
    for model, name in (encoder, reader):
        recordings.assert_parity(model, name, ops.convert_to_numpy)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("attention/query/bias", "attention/key/bias"),
        ("attention/value/bias", "attention/output/bias"),
        ("attention/query/kernel", "attention/key/kernel"),
        ("attention/LayerNorm/gamma", "layer_1/LayerNorm/gamma"),
        ("attention/LayerNorm/beta", "layer_1/LayerNorm/beta"),
        ("embeddings/LayerNorm/beta", "layer_1/LayerNorm/beta"),
        ("layer_0/output/bias", "layer_1/output/bias"),
    ],
)
def test_swapped_weights_of_equal_shape(encoder, first, second):
    model, name = encoder
    swap(model, first, second)
    must_fail(model, name)


@pytest.mark.parametrize("layer", ["query", "key", "value", "output"])
def test_square_kernels_without_their_transpose(encoder, layer):
    model, name = encoder
    change(model, f"{BLOCK}attention/{layer}/kernel", np.transpose)
    must_fail(model, name)


@pytest.mark.parametrize(
    "end",
    [
        f"{BLOCK}attention/query/bias",
        f"{BLOCK}attention/value/bias",
        f"{BLOCK}attention/output/bias",
        f"{BLOCK}intermediate/bias",
        f"{BLOCK}output/bias",
        "encode_proj/bias",
        "embeddings/LayerNorm/beta",
    ],
)
def test_biases_left_out(encoder, end):
    model, name = encoder
    change(model, end, np.zeros_like)
    must_fail(model, name)


def test_the_tanh_form_for_the_exact_gelu(monkeypatch):
    monkeypatch.setitem(activations.FUNCTIONS, "gelu", activations.gelu_new)
    name = "ctx-base"
    must_fail(TFDPRContextEncoder.from_pretrained(recordings.checkpoint(f"checkpoints/arch/{name}")), name)


def test_layer_norm_epsilon_of_keras(monkeypatch):
    monkeypatch.setattr(
        bert,
        "layer_norm",
        lambda config, dtype: keras.layers.LayerNormalization(epsilon=1e-3, name="LayerNorm", dtype=dtype),
    )
    name = "ctx-base"
    must_fail(TFDPRContextEncoder.from_pretrained(recordings.checkpoint(f"checkpoints/arch/{name}")), name)


@pytest.mark.parametrize("name", ["ctx-base", "question-types16-relu-eps", "reader-types16-gelunew-eps"])
def test_layer_norm_epsilon_is_the_configurations(name):
    # An epsilon of 1e-6 for 1e-12 never shows in outputs, so it is asserted on the layers.
    entry = recordings.weights()[name]
    cls = TFDPRReader if entry["kind"] == "reader" else TFDPRContextEncoder
    config = cls.config_class.from_pretrained(recordings.checkpoint(entry["computed_from"]))
    model = cls(config)
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.LayerNormalization)]
    assert len(norms) == 1 + 2 * config.num_hidden_layers
    assert {norm.epsilon for norm in norms} == {config.layer_norm_eps}


def test_scores_not_scaled(encoder, monkeypatch):
    model, name = encoder
    for block in model.bert_model.encoder.layer:
        monkeypatch.setattr(block.attention, "scale", 1.0)
    must_fail(model, name)


def test_heads_split_in_the_wrong_order(encoder, monkeypatch):
    model, name = encoder

    def split(self, tokens, heads):
        states = ops.reshape(tokens, (self.texts, heads, self.length, tokens.shape[-1] // heads))
        return ops.transpose(states, (0, 2, 1, 3))

    monkeypatch.setattr(layouts.Padded, "split", split)
    must_fail(model, name)


def rolled(tokens, mask_scores):
    """The vector is that of another token than the first."""
    return ops.roll(tokens, 1, axis=0), mask_scores


def alone(tokens, mask_scores):
    """The first token attends to itself only."""
    others = ops.cast(ops.arange(mask_scores.shape[-1]) > 0, mask_scores.dtype)
    return tokens, mask_scores - 1e9 * others


def unmasked(tokens, mask_scores):
    """The first token attends to padding, too."""
    return tokens, ops.zeros_like(mask_scores)


@pytest.mark.parametrize("mistake", [rolled, alone, unmasked])
def test_the_last_block_of_the_first_token(encoder, monkeypatch, mistake):
    model, name = encoder
    sound = bert.SelfAttention.call

    def call(self, tokens, mask_scores, first_only=False, **kwargs):
        if first_only:
            tokens, mask_scores = mistake(tokens, mask_scores)
        return sound(self, tokens, mask_scores, first_only=first_only, **kwargs)

    monkeypatch.setattr(bert.SelfAttention, "call", call)
    must_fail(model, name)


def test_minus_ten_thousand_for_the_lowest_float(encoder, monkeypatch):
    model, name = encoder
    monkeypatch.setattr(bert, "lowest", lambda dtype: -10000.0)
    must_fail(model, name)


def test_the_mask_left_out(encoder, monkeypatch):
    model, name = encoder
    monkeypatch.setattr(bert, "lowest", lambda dtype: 0.0)
    must_fail(model, name)


def test_the_encoders_default_mask_in_the_reader(reader, monkeypatch):
    model, name = reader
    monkeypatch.setattr(type(model), "default_mask_is_ones", False)
    must_fail(model, name)


def test_the_readers_default_mask_in_the_encoder(encoder, monkeypatch):
    model, name = encoder
    monkeypatch.setattr(type(model), "default_mask_is_ones", True)
    must_fail(model, name)


def test_token_types_ignored(encoder, monkeypatch):
    model, name = encoder
    change(model, "token_type_embeddings/embeddings", lambda table: np.repeat(table[:1], len(table), axis=0))
    must_fail(model, name)


def test_positions_shifted_by_one(encoder):
    model, name = encoder
    change(model, "position_embeddings/embeddings", lambda table: np.roll(table, 1, axis=0))
    must_fail(model, name)


def test_start_and_end_logits_swapped(reader):
    model, name = reader
    change(model, "qa_outputs/kernel", lambda kernel: kernel[:, ::-1])
    must_fail(model, name)


def test_the_projection_left_out(encoder, monkeypatch):
    model, name = encoder
    sound = dpr.VectorEncoder.call

    def call(self, *args, **kwargs):
        states, _, hidden_states, attentions = sound(self, *args, **kwargs)
        return states, states[:, 0], hidden_states, attentions

    monkeypatch.setattr(dpr.VectorEncoder, "call", call)
    with pytest.raises(AssertionError, match="instead of"):
        recordings.assert_parity(model, name, ops.convert_to_numpy)


def test_reader_heads_on_projected_states(monkeypatch):
    name = "reader-projhidden-relu"
    model = TFDPRReader.from_pretrained(recordings.checkpoint(f"checkpoints/arch/{name}"))
    sound = dpr.SpanPredictor.call

    def call(self, *args, **kwargs):
        start, end, _, hidden_states, attentions = sound(self, *args, **kwargs)
        relevance = self.qa_classifier(self.encoder.encode_proj(hidden_states[-1][:, 0]))[:, 0]
        return start, end, relevance, hidden_states, attentions

    monkeypatch.setattr(dpr.SpanPredictor, "call", call)
    must_fail(model, name)


@pytest.mark.parametrize("name", ["ctx-relkey", "ctx-relkeyquery-proj"])
def test_relative_positions_ignored(name, monkeypatch):
    monkeypatch.setattr(bert.SelfAttention, "_relative_scores", lambda self, query, key: 0.0)
    must_fail(TFDPRContextEncoder.from_pretrained(recordings.checkpoint(f"checkpoints/arch/{name}")), name)

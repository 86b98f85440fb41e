"""The compiled forward pass: one trace, the outputs asked for, no dropout."""

import threading

import keras
import numpy as np
import pytest

from dpr_tf import DPRConfig, TFDPRReader
from dpr_tf.inference import Forward, compile_forward, few_shapes

INPUTS, OUTPUTS = ("input_ids", "attention_mask"), ("relevance_logits", "end_logits")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(8)
    config = DPRConfig(
        vocab_size=29,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        hidden_dropout_prob=0.5,
        initializer_range=0.5,
    )
    return TFDPRReader(config)


def batch(rows, tokens):
    ids = np.random.default_rng(rows).integers(5, 29, (rows, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


@pytest.mark.parametrize("shape", [(3, 7), (1, 11)])
def test_equals_the_model_without_dropout(model, shape):
    relevance, ends = compile_forward(model, INPUTS, OUTPUTS)(batch(*shape))
    expected = model(batch(*shape), training=False)
    np.testing.assert_allclose(relevance, keras.ops.convert_to_numpy(expected.relevance_logits), atol=1e-5)
    np.testing.assert_allclose(ends, keras.ops.convert_to_numpy(expected.end_logits), atol=1e-5)
    assert relevance.dtype == ends.dtype == np.float32


@pytest.mark.skipif(keras.config.backend() != "jax", reason="JAX compiles each shape of each function")
def test_what_jax_compiled_is_used_again(model):
    compile_forward(model, INPUTS, OUTPUTS)(batch(3, 7))
    run = model._compiled_forward[OUTPUTS]
    compiled = run._cache_size()
    compile_forward(model, INPUTS, OUTPUTS)(batch(3, 7))
    assert model._compiled_forward[OUTPUTS] is run
    assert run._cache_size() == compiled


def test_follows_the_models_weights(model):
    forward = compile_forward(model, INPUTS, OUTPUTS)
    before, _ = forward(batch(3, 7))
    kernel = model.span_predictor.qa_classifier.kernel
    kernel.assign(kernel * 2.0)
    after, _ = forward(batch(3, 7))
    expected = keras.ops.convert_to_numpy(model(batch(3, 7)).relevance_logits)
    np.testing.assert_allclose(after, expected, atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="only TensorFlow traces ahead")
def test_traces_once_and_before_the_first_batch():
    traces = []

    def model(inputs):
        traces.append(1)
        return {"sum": keras.ops.sum(inputs["input_ids"], axis=1)}

    forward = compile_forward(model, INPUTS, ("sum",))
    assert len(traces) == 1
    for shape in ((2, 3), (4, 3), (2, 9)):
        (sums,) = forward(batch(*shape))
        np.testing.assert_array_equal(sums, batch(*shape)["input_ids"].sum(axis=1))
    assert len(traces) == 1


def test_where_each_shape_is_compiled_there_are_few():
    shapes = [
        few_shapes(batch(*shape), 40)["input_ids"].shape for shape in ((3, 7), (4, 16), (1, 33), (7, 40))
    ]
    assert shapes == [(4, 16), (4, 16), (1, 40), (8, 40)]
    padded = few_shapes(batch(3, 7), 40)
    np.testing.assert_array_equal(padded["input_ids"][:3, :7], batch(3, 7)["input_ids"])
    assert padded["attention_mask"].sum() == 3 * 7


def test_padding_is_cut_off_again():
    def run(inputs):
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        return {"pooler_output": (ids * mask).sum(axis=1), "start_logits": ids * mask}

    forward = Forward(run, INPUTS, ("pooler_output", "start_logits"), pads=40)
    for shape in ((3, 7), (4, 32), (1, 33), (7, 40), (5, 35)):
        sums, ids = forward(batch(*shape))
        np.testing.assert_array_equal(ids, batch(*shape)["input_ids"])
        np.testing.assert_array_equal(sums, batch(*shape)["input_ids"].sum(axis=1))


def test_the_next_batch_is_started_before_the_last_is_fetched():
    events = []

    class Result:
        def __init__(self, ids):
            events.append("start")
            self.ids = ids

        def __array__(self, dtype=None, copy=None):
            events.append("fetch")
            return self.ids.astype(dtype)

    forward = Forward(lambda inputs: {"x": Result(inputs["input_ids"])}, INPUTS, ("x",))
    found = list(forward.each(batch(rows, 4) for rows in (1, 2, 3)))
    assert events == ["start", "start", "fetch", "start", "fetch", "fetch"]
    for rows, (ids,) in zip((1, 2, 3), found, strict=True):
        np.testing.assert_array_equal(ids, batch(rows, 4)["input_ids"])
    assert list(forward.each([])) == []


def test_three_batches_are_computed_at_once_and_come_in_order():
    together = threading.Barrier(3, timeout=20)  # fails, if the others are not under way

    def wait(inputs):
        together.wait()
        return {"x": inputs["input_ids"]}

    forward = Forward(wait, INPUTS, ("x",), threads=True)
    given = [batch(rows, 4) for rows in (1, 2, 3, 4, 5, 6)]
    for expected, (ids,) in zip(given, forward.each(given), strict=True):
        np.testing.assert_array_equal(ids, expected["input_ids"])


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="batches at once are TensorFlow's")
def test_tensorflow_computes_batches_at_once():
    import tensorflow as tf

    together = threading.Barrier(2, timeout=20)  # of TensorFlow's own threads there may be two

    def wait(ids):
        together.wait()
        return ids

    forward = compile_forward(
        lambda inputs: {"x": tf.numpy_function(wait, [inputs["input_ids"]], tf.int32)}, INPUTS, ("x",)
    )
    given = [batch(rows, 4) for rows in (1, 2, 3, 4)]
    for expected, (ids,) in zip(given, forward.each(given), strict=True):
        np.testing.assert_array_equal(ids, expected["input_ids"])


def test_a_fourth_batch_is_ready_while_three_are_computed():
    given = (batch(rows, 4) for rows in (1, 2, 3, 4, 5, 6))
    forward = Forward(lambda inputs: {"x": inputs["input_ids"]}, INPUTS, ("x",), threads=True)
    found = forward.each(given)
    next(found)
    assert len(next(given)["input_ids"]) == 5
    assert len(list(found)) == 4  # 2, 3, 4 and 6


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_reaches_the_caller(threads):
    def run(inputs):
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        list(Forward(run, INPUTS, ("x",), threads=threads).each([batch(1, 4)]))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="batches at once are TensorFlow's")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batches_at_once_equal_batches_alone(dtype):
    keras.utils.set_random_seed(8)
    model = TFDPRReader(
        DPRConfig(vocab_size=29, hidden_size=32, num_hidden_layers=2, num_attention_heads=2), dtype=dtype
    )
    forward = compile_forward(model, INPUTS, OUTPUTS)
    given = [batch(rows, tokens) for rows, tokens in ((5, 9), (1, 30), (7, 4), (2, 2)) * 3]
    for one, found in zip(given, forward.each(given), strict=True):
        for expected, output in zip(forward(one), found, strict=True):
            np.testing.assert_array_equal(output, expected)

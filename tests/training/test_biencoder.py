"""The bi-encoder: loss and measures against NumPy, gradients in chunks against one batch, masks, guards."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_training
from keras import ops

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.training import steps
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.optimizers import adamw


def tensors(batch):
    return tf.nest.map_structure(tf.convert_to_tensor, batch)


def dataset(batches):
    """Batches of several sizes as `fit` takes them."""
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batches[0]
    )
    data = tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(batches)))


def made(encoders, **arguments):
    model = BiEncoder(*encoders, **arguments)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def gradients(model, batch):
    """Gradients by variable path."""
    _, found = steps.gradients(model, *tensors(batch))
    return {v.path: g.numpy() for v, g in zip(model.trainable_variables, found, strict=True)}


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for path, gradient in wanted.items():
        assert np.abs(found[path] - gradient).max() <= 1e-5, path


def vectors(encoder, texts):
    flat = {name: ids.reshape(-1, ids.shape[-1]) for name, ids in texts.items()}
    return ops.convert_to_numpy(encoder(flat).pooler_output).astype("float64")


def slow_measures(model, batch):
    """Loss, accuracy, average rank, ignored pairs and smallest gap, one question after the other."""
    x, y = batch
    questions = vectors(model.question_encoder, x["questions"])
    passages = vectors(model.context_encoder, x["passages"])
    present = y["present"].reshape(-1)
    losses, ranks = [], []
    for row, question in enumerate(questions):
        positive = row * y["present"].shape[1]
        scores = {
            column: question @ passage
            for column, passage in enumerate(passages)
            if present[column] and not y["ignored"][row, column]
        }
        losses.append(np.log(sum(np.exp(score - scores[positive]) for score in scores.values())))
        ranks.append(sum(score > scores[positive] for score in scores.values()))
    ignored = (y["ignored"] & present).sum()
    return {
        "loss": np.mean(losses),
        "accuracy": np.mean([rank == 0 for rank in ranks]),
        "average_rank": np.mean(ranks),
        "ignored": ignored,
    }


@pytest.mark.parametrize("chunk_size", [None, 4])
def test_measures_equal_the_slow_twin(chunk_size):
    model = made(tiny_training.encoders(), chunk_size=chunk_size)
    batches = [tiny_training.batch(5), tiny_training.batch(3, group=2, seed=1)]
    data = dataset(batches)
    measures = model.evaluate(data, return_dict=True, verbose=0)
    # Means over all eight questions, not over the two batches; ignored pairs are counted.
    slow = [slow_measures(model, batch) for batch in batches]
    for name in ("loss", "accuracy", "average_rank"):
        assert measures[name] == pytest.approx((5 * slow[0][name] + 3 * slow[1][name]) / 8, rel=1e-5), name
    assert measures["ignored"] == 2 == slow[0]["ignored"] + slow[1]["ignored"]


@pytest.mark.parametrize("kind", ["two", "shared", "frozen"])
def test_gradients_in_chunks_equal_those_of_the_batch(kind):
    question_encoder, context_encoder = tiny_training.encoders()
    if kind == "shared":
        context_encoder = question_encoder
    context_encoder.trainable = kind != "frozen"
    encoders, batch = (question_encoder, context_encoder), tiny_training.batch(5)
    wanted = gradients(made(encoders), batch)
    assert len(wanted) == (42 if kind == "two" else 21)
    # 5 questions and 15 passages: with and without a smaller last chunk, and all questions at once.
    for chunk_size in (3, 7) if kind == "two" else (4,):
        assert_close(gradients(made(encoders, chunk_size=chunk_size), batch), wanted)


def slow_chunked_gradients(model, batch, size):
    """Gradients of the whole batch in one graph, but encoded chunk by chunk, as dropout depends on it."""
    x, y = tensors(batch)
    with tf.GradientTape() as tape:
        found = {}
        for name, (encoder, texts) in model.encoders(x).items():
            starts = range(0, len(texts["input_ids"]), size)
            chunks = [{key: ids[start : start + size] for key, ids in texts.items()} for start in starts]
            found[name] = tf.concat([model.encode(encoder, chunk, training=True) for chunk in chunks], 0)
        loss = tf.reduce_mean(model.contrast(found, y).nll)
    weights = model.trainable_variables
    found = tape.gradient(loss, weights)
    return {v.path: tf.convert_to_tensor(g).numpy() for v, g in zip(weights, found, strict=True)}


def test_both_passes_over_a_chunk_drop_the_same_units():
    batch = tiny_training.batch(5)
    model = made(tiny_training.encoders(dropout=0.3), chunk_size=4)
    start = [(seed, ops.copy(seed.value)) for seed in steps._seeds(model)]
    assert len(start) == 4  # of embeddings and of blocks, for each encoder
    wanted = slow_chunked_gradients(model, batch, 4)
    end = [ops.convert_to_numpy(seed) for seed, _ in start]
    for seed, value in start:
        seed.assign(value)
    assert_close(gradients(model, batch), wanted)
    # The seeds go on from where one pass leaves them, for the next batch.
    assert [ops.convert_to_numpy(seed).tolist() for seed, _ in start] == [seed.tolist() for seed in end]


def test_fit_in_a_graph_equals_eager_updates_at_once():
    batches = [tiny_training.batch(5), tiny_training.batch(3, seed=1), tiny_training.batch(5, seed=2)]
    data = dataset(batches)
    encoder, same = (tiny_training.encoder(TFDPRQuestionEncoder) for _ in range(2))
    in_chunks = BiEncoder(encoder, encoder, chunk_size=4)
    in_chunks.compile(adamw(1e-3, steps=9, warmup=1, epsilon=1e-3))
    losses = in_chunks.fit(data, shuffle=False, verbose=0).history["loss"]
    at_once = BiEncoder(same, same)
    at_once.compile(adamw(1e-3, steps=9, warmup=1, epsilon=1e-3), run_eagerly=True)
    wanted = at_once.fit(data, shuffle=False, verbose=0).history["loss"]
    assert losses == pytest.approx(wanted, rel=1e-5)
    for found, weight in zip(in_chunks.weights, at_once.weights, strict=True):
        assert np.abs(ops.convert_to_numpy(found) - ops.convert_to_numpy(weight)).max() <= 1e-5, weight.path


def test_filler_and_ignored_passages_change_nothing():
    model = made(tiny_training.encoders())
    x, y = tiny_training.batch(5)
    wanted = gradients(model, (x, y))
    x["passages"]["input_ids"][-1, -1] = 7  # filler
    assert_close(gradients(model, (x, y)), wanted)
    # The second question's positive is no negative of the first: without the mask it would be.
    y["ignored"][0, 3] = False
    with pytest.raises(AssertionError):
        assert_close(gradients(model, (x, y)), wanted)


def test_token_types_are_passed_on():
    model = made(tiny_training.encoders())
    x, y = tiny_training.batch(5)
    loss = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    for texts in x.values():
        texts["token_type_ids"] = np.ones_like(texts["input_ids"])
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] != pytest.approx(loss, rel=1e-3)


def test_a_frozen_encoder_keeps_its_weights_and_drops_nothing_out():
    question_encoder, context_encoder = tiny_training.encoders(dropout=0.3)
    context_encoder.trainable = False
    model = made((question_encoder, context_encoder))
    x, y = tiny_training.batch(5)
    before = [weight.numpy() for weight in context_encoder.weights]
    model.train_on_batch(x, y)
    assert all((old == new.numpy()).all() for old, new in zip(before, context_encoder.weights, strict=True))
    first, second = (model(x, training=True) for _ in range(2))
    assert (first["passages"].numpy() == second["passages"].numpy()).all()
    assert (first["questions"].numpy() != second["questions"].numpy()).any()


def test_the_loss_is_float32_under_mixed_precision():
    model = made(tiny_training.encoders(dtype="mixed_bfloat16"), chunk_size=4)
    x, y = tensors(tiny_training.batch(5))
    assert model.context_encoder.compute_dtype == "bfloat16"
    contrast, found = steps.gradients(model, x, y)
    assert contrast.nll.dtype == "float32"
    assert {gradient.dtype.name for gradient in found} == {"float32"}
    wanted = slow_measures(made(tiny_training.encoders()), tiny_training.batch(5))["loss"]
    assert float(tf.reduce_mean(contrast.nll)) == pytest.approx(wanted, rel=0.1)


def test_encoders_in_each_others_role_are_refused():
    question_encoder, context_encoder = tiny_training.encoders()
    with pytest.raises(ValueError, match="must be a TFDPRQuestionEncoder, got a TFDPRContextEncoder"):
        BiEncoder(context_encoder, question_encoder)
    with pytest.raises(ValueError, match="must be a TFDPRContextEncoder, got a TFDPRQuestionEncoder"):
        BiEncoder(question_encoder, tiny_training.encoder(TFDPRQuestionEncoder))
    reader = tiny_training.encoder(TFDPRReader)
    with pytest.raises(ValueError, match="got a TFDPRReader"):
        BiEncoder(reader, reader)
    other = tiny_training.encoder(TFDPRContextEncoder, projection_dim=5)
    with pytest.raises(ValueError, match="the width 16, those of passages 5"):
        BiEncoder(question_encoder, other)


def test_a_chunk_has_at_least_one_text():
    with pytest.raises(ValueError, match="chunk_size is a number of texts, at least 1"):
        BiEncoder(*tiny_training.encoders(), chunk_size=0)


@pytest.mark.parametrize("shared", [False, True])
def test_saves_and_loads(shared, tmp_path):
    question_encoder, context_encoder = tiny_training.encoders()
    model = BiEncoder(question_encoder, question_encoder if shared else context_encoder, chunk_size=3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.chunk_size == 3
    assert len(loaded.weights) == (21 if shared else 42)
    assert (loaded.question_encoder is loaded.context_encoder) == shared
    x, _ = tiny_training.batch(2)
    for name, wanted in model(x).items():
        assert loaded(x)[name].numpy() == pytest.approx(wanted.numpy(), abs=1e-6)

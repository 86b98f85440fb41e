"""The reader in `fit`: the loss of a batch, in chunks and on replicas the same, and that it learns."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from reader_questions import retrieved
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRConfig, DPRReaderTokenizerFast, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.training.optimizers import adamw
from dpr_tf.training.reader import ReaderTrainer
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderData
from dpr_tf.training.reader_passages import PassageChooser

CONFIG = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "initializer_range": 0.2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def make_data(folder):
    chooser = PassageChooser(make_tokenizer(DPRReaderTokenizerFast, Path(folder)), 40)
    return ReaderData(map(chooser.choose, retrieved(13)), len(VOCABULARY))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("reader"))


def make_trainer(chunk_size=None, dtype=None, **settings):
    keras.utils.set_random_seed(7)
    reader = TFDPRReader(DPRConfig(**{**CONFIG, **settings}), dtype=dtype)
    trainer = ReaderTrainer(reader, chunk_size=chunk_size)
    trainer.compile(optimizer=adamw(1e-2, 400, 0, clip=1.0))
    return trainer


def gradients_of(trainer, batch):
    from dpr_tf.training import reader_steps

    x, y = (dict(tf.nest.map_structure(tf.constant, part)) for part in batch)
    found, gradients = tf.function(lambda: reader_steps.gradients(trainer, x, y))()
    return found.numpy(), [gradient.numpy() for gradient in gradients]


def test_loss_is_the_mean_over_questions_of_both_parts(data):
    trainer = make_trainer()
    x, y = ReaderBatches(data, 0, batch_size=5, passages=3).batch(0, 0)
    found = trainer.losses_of(x, y, trainer(x))
    measures = trainer.evaluate(x, y, verbose=0, return_dict=True)
    for q in range(len(found)):  # question by question, passage by passage, without padding
        logits = []
        for ids, mask in zip(x["input_ids"][q], x["attention_mask"][q], strict=True):
            if mask.any():
                output = trainer.reader(ids[None, : mask.sum()])
                logits.append([output[name][0].numpy().astype(float) for name in output])
        relevance = np.array([relevance for _, _, relevance in logits])
        start, end = (values - np.log(np.exp(values).sum()) for values in logits[0][:2])
        spans = [start[s] + end[e] for s, e in zip(y["starts"][q], y["ends"][q], strict=True) if s >= 0]
        expected = [
            np.log(np.exp(relevance).sum()) - relevance[0],
            -np.log(np.exp(spans).sum()),
            relevance.argmax() == 0,
        ]
        np.testing.assert_allclose(found[q], expected, rtol=1e-5, atol=1e-5)
    means = np.mean(found, axis=0)
    expected = dict(zip(("relevance_loss", "span_loss", "relevance_accuracy"), means, strict=True))
    expected["loss"] = means[0] + means[1]
    assert measures == pytest.approx(expected, rel=1e-5)


def test_chunks_give_the_same_gradients(data):
    batch = ReaderBatches(data, 0, batch_size=13, passages=3).batch(0, 0)
    found, gradients = gradients_of(make_trainer(), batch)
    assert max(np.abs(gradient).max() for gradient in gradients) > 0.1
    others, in_chunks = gradients_of(make_trainer(5), batch)  # of 5, 5 and 3 questions
    np.testing.assert_allclose(others, found, rtol=1e-5, atol=1e-6)
    for whole, added in zip(gradients, in_chunks, strict=True):
        np.testing.assert_allclose(added, whole, atol=1e-5)


def test_fit_learns_under_mixed_precision_and_reports_float32_losses(data):
    trainer = make_trainer(chunk_size=2, dtype="mixed_bfloat16", hidden_dropout_prob=0.1)
    batches = ReaderBatches(data, 0, batch_size=5, passages=4)
    history = trainer.fit(
        batches.dataset(), steps_per_epoch=len(batches), epochs=40, shuffle=False, verbose=0
    ).history
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert history["relevance_accuracy"][-1] > 0.7
    losses = np.add(history["relevance_loss"], history["span_loss"])
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)  # bfloat16 has 3 digits
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in trainer.trainable_variables} == {
        "float32"
    }


REPLICAS = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from dpr_tf import DPRConfig, TFDPRReader
from dpr_tf.training.reader import ReaderTrainer
from dpr_tf.training.reader_batches import ReaderBatches
from training.test_reader import CONFIG, make_data

def fit(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(7)
        trainer = ReaderTrainer(TFDPRReader(DPRConfig(**CONFIG)))
        trainer.compile(keras.optimizers.SGD(0.1))
    batches = ReaderBatches(make_data(sys.argv[1]), 0, batch_size=5, passages=3)  # 5, 4 and 4 questions
    history = trainer.fit(batches.dataset(), steps_per_epoch=3, shuffle=False, verbose=0).history
    return history, [weight.numpy() for weight in trainer.trainable_variables]

history, weights = fit(tf.distribute.get_strategy())
of_two, of_weights = fit(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
print({name: (history[name][0], of_two[name][0]) for name in history})
print(max(np.abs(a - b).max() for a, b in zip(weights, of_weights)))
"""


def test_two_replicas_are_one_batch(tmp_path):
    # In a process of its own: devices cannot be split once TensorFlow has started.
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    measures, difference = done.stdout.splitlines()[-2:]
    for one, two in ast.literal_eval(measures).values():
        assert two == pytest.approx(one, rel=1e-5)
    assert float(difference) < 1e-6


def test_survives_being_saved(data, tmp_path):
    trainer = make_trainer(chunk_size=3)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras", compile=False)
    assert again.chunk_size == 3
    x, _ = ReaderBatches(data, 0, batch_size=2, passages=2).batch(0, 0)
    for name, logits in trainer(x).items():
        np.testing.assert_allclose(again(x)[name], logits, atol=1e-6)


def test_refuses_mistakes(data):
    with pytest.raises(ValueError, match="takes a TFDPRReader, got a TFDPRQuestionEncoder"):
        ReaderTrainer(TFDPRQuestionEncoder(DPRConfig(**CONFIG)))
    with pytest.raises(ValueError, match="at least 1, or None for all; got 0"):
        make_trainer(chunk_size=0)
    trainer = make_trainer()
    x, _ = ReaderBatches(data, 0, batch_size=2, passages=2).batch(0, 0)
    with pytest.raises(ValueError, match=r"with y = .*; got no y"):
        trainer.train_step((x,))

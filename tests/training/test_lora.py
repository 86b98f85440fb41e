"""LoRA: nothing changes at first, only the adapters train, and what is saved has them in its weights."""

import keras
import numpy as np
import pytest
import tiny_training
from keras import ops

from dpr_tf import TFDPRContextEncoder
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.lora import enable_lora


def vectors(encoder, x):
    return ops.convert_to_numpy(encoder(x).pooler_output)


def test_lora_from_start_to_saved_weights(tmp_path):
    encoders = tiny_training.encoders()
    x, y = tiny_training.batch(5)
    passages = {name: ids.reshape(15, -1) for name, ids in x["passages"].items()}
    context_encoder = encoders[1]
    before = vectors(context_encoder, passages)
    enable_lora(context_encoder, rank=2, alpha=3)
    assert (vectors(context_encoder, passages) == before).all()
    assert [weight.path.split("/")[-2:] for weight in context_encoder.trainable_weights] == [
        [layer, name] for layer in ("query", "value") for name in ("lora_kernel_a", "lora_kernel_b")
    ]

    frozen = {weight.path: weight.numpy() for weight in context_encoder.non_trainable_weights}
    model = BiEncoder(*encoders)
    model.compile(
        keras.optimizers.SGD(10.0), run_eagerly=True
    )  # whatever adapters were drawn: some train slowly
    for _ in range(2):  # in the first update one of the two matrices is still zero
        model.train_on_batch(x, y)
    for weight in context_encoder.non_trainable_weights:
        assert (weight.numpy() == frozen[weight.path]).all(), weight.path
    trained = vectors(context_encoder, passages)
    assert np.abs(trained - before).max() > 1e-3

    for name, safe in (("safetensors", True), ("h5", False)):
        context_encoder.save_pretrained(tmp_path / name, safe_serialization=safe)
        loaded = TFDPRContextEncoder.from_pretrained(tmp_path / name)
        assert len(loaded.weights) == 21
        assert vectors(loaded, passages) == pytest.approx(trained, abs=1e-5)


def test_refuses():
    encoder = tiny_training.encoder(TFDPRContextEncoder)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        enable_lora(encoder, 0)
    enable_lora(encoder, 1)
    with pytest.raises(ValueError, match="has LoRA adapters already"):
        enable_lora(encoder, 1)

"""A small training with dropout, whose batches follow from their position, to be cut off anywhere.

As a program it trains in a folder until it is done or killed, and writes a byte for each batch.
"""

from __future__ import annotations

import itertools
import sys

import keras
import numpy as np
import tensorflow as tf

from dpr_tf.training.resume import Resume

BATCHES, EPOCHS = 7, 4
RUN = {"seed": 5, "files": ["a.json"]}


class Loss(keras.callbacks.Callback):
    """Remembers the loss after each batch, and calls back, which may interrupt."""

    def __init__(self, interrupt=lambda epoch, batch: None):
        super().__init__()
        self.losses, self.interrupt = [], interrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        self.interrupt(self.epoch, batch)


def make_model():
    """Two layers with dropout; seeded, so that two processes begin alike."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.AdamW(0.01, global_clipnorm=1.0), "mse")
    return model


def start(model):
    """Gives all variables the values that a fresh model has, without compiling anew; returns the model."""
    fresh = make_model()
    fresh.optimizer.build(fresh.trainable_variables)
    if model.optimizer.built:
        for mine, other in zip(model.optimizer.variables, fresh.optimizer.variables, strict=True):
            mine.assign(other)
    for mine, other in zip(model.variables, fresh.variables, strict=True):
        mine.assign(other)
    return model


def batches(epoch, batch):
    """All batches from a position on, without end: float32 [4, 6] and [4, 1]."""
    for number in itertools.count(epoch * BATCHES + batch):
        draw = np.random.default_rng(number).normal(size=(4, 7)).astype(np.float32)
        yield draw[:, :6], draw[:, 6:]


def dataset(epoch, batch):
    """`batches` for fit."""
    signature = (tf.TensorSpec((None, 6), tf.float32), tf.TensorSpec((None, 1), tf.float32))
    made = tf.data.Dataset.from_generator(lambda: batches(epoch, batch), output_signature=signature)
    return made.prefetch(2)


def train(model, path, interrupt=lambda epoch, batch: None, every=3):
    """Trains to the end, from where `path` is; returns the losses and the history."""
    loss = Loss(interrupt)
    resume = Resume(path, RUN, BATCHES, every=every, remembered={"loss": (loss, ["losses"])})
    history = model.fit(
        dataset(resume.epoch, resume.batch),
        initial_epoch=resume.epoch,
        epochs=EPOCHS,
        steps_per_epoch=BATCHES,
        callbacks=[resume, loss],
        shuffle=False,
        verbose=0,
    )
    return loss.losses, history


if __name__ == "__main__":
    with open(sys.argv[2], "w") as progress:  # a byte for each batch
        train(
            make_model(), sys.argv[1], lambda epoch, batch: print(end=".", file=progress, flush=True), every=1
        )

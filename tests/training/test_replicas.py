"""Two replicas against one device: negatives cross replicas, updates are those of the whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A batch of 5 is split into 3 and 2, one of 1 leaves a replica with nothing; gradients are clipped. Graphs of
# one shared encoder take half the time of two.
PROGRAM = """
import contextlib, json, sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tiny_training
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.optimizers import adamw

chunk_size, batches = json.loads(sys.argv[1]), [tiny_training.batch(5), tiny_training.batch(1, seed=1)]
signature = tf.nest.map_structure(lambda a: tf.TensorSpec([None] * a.ndim, a.dtype), batches[0])
data = tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)
data = data.apply(tf.data.experimental.assert_cardinality(2))

def train(scope, **arguments):
    with scope:
        encoder = tiny_training.encoders()[0]
        model = BiEncoder(encoder, encoder, chunk_size=chunk_size)
        model.compile(adamw(1e-2, 4, 0, epsilon=1e-3, clip=0.5), **arguments)
    history = model.fit(data, shuffle=False, verbose=0).history
    return model, history

replicas, found = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope())
single, wanted = train(contextlib.nullcontext(), run_eagerly=True)
difference = max(np.abs(a.numpy() - b.numpy()).max() for a, b in zip(replicas.weights, single.weights))
print(json.dumps([found, wanted, float(difference)]))
"""


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_training_on_two_replicas_equals_training_on_one(chunk_size):
    # In a process of its own: devices cannot be split once TensorFlow has started.
    command = [sys.executable, "-c", PROGRAM, json.dumps(chunk_size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found, wanted, difference = json.loads(done.stdout.splitlines()[-1])
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-5), name
    assert difference <= 1e-5

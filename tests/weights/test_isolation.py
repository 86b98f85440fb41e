"""Checkpoints of every format are read without torch, TensorFlow and Keras."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from dpr_tf.weights import files, names, pickles
assert "h5py" not in sys.modules, "h5py is loaded before it is needed"
for path in sys.argv[1:]:
    assert all(array.read().shape == array.shape for array in files.read_checkpoint(path).values())
loaded = {"torch", "tensorflow", "keras", "jax", "transformers"} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.parametrize("kind", ["ctx"])
def test_reading_loads_no_framework(kind, recorded):
    paths = sorted(path for path in recorded("formats").iterdir() if path.name.startswith(kind))
    assert len(paths) == 19
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""Stand-ins for Keras variables, and the recorded checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import checkpoint_archive
import numpy as np
import pytest

from dpr_tf.weights import names
from dpr_tf.weights.arrays import numpy_dtype

DEFAULTS = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}  # BERT's
HEADS = {"ctx": "ctx_encoder", "question": "question_encoder", "reader": "reader"}


class Variable:
    """What loading uses of a Keras variable, over a NumPy array."""

    def __init__(self, shape, dtype="float32"):
        self.shape, self.dtype = tuple(shape), dtype
        self.value = np.full(shape, -77, numpy_dtype(dtype))
        self.assigned = 0

    def assign(self, array):
        assert array.shape == self.shape
        assert array.dtype == self.value.dtype
        self.value[...] = array
        self.assigned += 1

    def __array__(self, dtype=None, copy=None):
        return self.value


def read_config(path: Path, **changes) -> SimpleNamespace:
    folder = path if path.is_dir() else path.parent
    return SimpleNamespace(**{**DEFAULTS, **json.loads((folder / "config.json").read_text()), **changes})


def make_variables(config: SimpleNamespace, head: str, dtype: str = "float32") -> dict[str, Variable]:
    return {
        row.keras: Variable([int(eval(axis, {}, vars(config))) for axis in row.axes], dtype)
        for row in names.rows(config, head)
    }


@pytest.fixture(scope="session")
def recorded():
    """Gives the path of a recorded checkpoint, e.g. recorded("arch/ctx-base")."""
    return lambda name: checkpoint_archive.root() / "checkpoints" / name


@pytest.fixture(scope="session")
def build():
    """Gives (rows, variables) for a recorded checkpoint's config.json: build(path, "ctx", hidden_size=8)."""

    def build(path, kind, dtype="float32", **changes):
        config = read_config(path, **changes)
        head = HEADS[kind]
        return names.rows(config, head), make_variables(config, head, dtype)

    return build


@pytest.fixture
def make_config():
    """Makes a configuration by fields."""
    return lambda **fields: SimpleNamespace(**fields)

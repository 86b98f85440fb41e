"""Small models with random weights, inputs for them, and the compiled C++ program that serves them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dpr_tf import DPRConfig, TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader

SIZES = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 37,
    "max_position_embeddings": 41,
    "type_vocab_size": 5,
}
CLASSES = {
    "context": (TFDPRContextEncoder, {"projection_dim": 10}),
    "question": (TFDPRQuestionEncoder, {}),
    "reader": (TFDPRReader, {}),
}


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """(kind, dtype policy, configuration fields) -> a model; no weight is zero, that would hide mistakes."""

    def make(kind: str, dtype: str | None = None, **fields: Any) -> Any:
        cls, own = CLASSES[kind]
        model = cls(DPRConfig(**{**SIZES, **own, **fields}), dtype=dtype)
        rng = np.random.default_rng(11)
        for weight in model.weights:
            weight.assign(float(weight.name == "gamma") + rng.normal(0.0, 0.2, weight.shape))
        return model

    return make


@pytest.fixture(scope="session")
def make_inputs() -> Callable[[str, int, int], dict[str, np.ndarray]]:
    """(kind, batch, tokens) -> int32 [batch, tokens] of each input; rows but the first end in padding."""

    def make(kind: str, batch: int, tokens: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(batch)
        mask = (np.arange(tokens) < tokens - np.arange(batch)[:, None] % tokens).astype(np.int32)
        ids = rng.integers(1, SIZES["vocab_size"], (batch, tokens), dtype=np.int32) * mask
        types = rng.integers(0, SIZES["type_vocab_size"], (batch, tokens), dtype=np.int32)
        inputs = {"input_ids": ids, "attention_mask": mask}
        return inputs if kind == "reader" else {**inputs, "token_type_ids": types}

    return make


@pytest.fixture(scope="session")
def expected_outputs() -> Callable[[Any, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """(model, inputs) -> what the model itself says: float32 arrays by name, tuples stacked."""

    def array(value: Any) -> np.ndarray:
        if isinstance(value, tuple):
            return np.stack([array(part) for part in value])
        return keras.ops.convert_to_numpy(value).astype(np.float32)

    return lambda model, inputs: {name: array(value) for name, value in model(inputs).items()}


@pytest.fixture(scope="session")
def serve(tmp_path_factory) -> Callable[[Path, str], str]:
    """(SavedModel folder, requests) -> what serve.cc prints; compiled once, with the wheel's library."""
    import tensorflow as tf

    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to compile the C++ client")
    library = Path(tf.sysconfig.get_lib())
    if not (library / "libtensorflow_cc.so.2").exists():
        pytest.skip("needs libtensorflow_cc.so.2, which TensorFlow ships on Linux only")
    program = tmp_path_factory.mktemp("serve") / "serve"
    command = [compiler, str(Path(__file__).with_name("serve.cc")), "-o", str(program), "-w", "-O1"]
    command += tf.sysconfig.get_compile_flags()
    # Without --no-as-needed the linker drops the library that registers the session factory.
    command += [f"-L{library}", f"-Wl,-rpath,{library}", "-Wl,--no-as-needed"]
    command += ["-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]

    def run(folder: Path, requests: str) -> str:
        command = [str(program), str(folder)]
        done = subprocess.run(
            command, input=requests, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run

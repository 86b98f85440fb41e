"""Encoders as functions of one padded batch, on each engine; and the ceiling that products set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Forward = Callable[[np.ndarray, np.ndarray], Any]  # input_ids, attention_mask, int32 [batch, tokens] each


def tensorflow(folder: Path) -> Forward:
    """Ours, compiled as `embed_passages` compiles it."""
    from dpr_tf import TFDPRContextEncoder
    from dpr_tf.inference import compile_forward

    model = TFDPRContextEncoder.from_pretrained(folder / "model")
    forward = compile_forward(model, ("input_ids", "attention_mask"), ("pooler_output",))
    return lambda ids, mask: forward({"input_ids": ids, "attention_mask": mask})


def torch(folder: Path) -> Forward:
    """Our PyTorch twin, which computes as Transformers does."""
    import torch

    from dpr_tf.models.torch import DPRContextEncoder

    model = DPRContextEncoder.from_pretrained(folder / "model").eval()

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).pooler_output.numpy()

    return forward


def openvino(folder: Path) -> Forward:
    """OpenVINO in float32, on our SavedModel: it computes the last block for the first token only, too."""
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "saved_model")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", settings)

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        names = {name: port for port in compiled.inputs for name in port.names}
        feed = {
            port: inputs[name.partition(":")[0].rpartition("_default_")[2]] for name, port in names.items()
        }
        return compiled(feed)[0]

    return forward


def encode(make: Callable[[Path], Forward]) -> Callable[[Path], Callable[[], dict[str, Any]]]:
    """An engine of a case: all batches that `prepare` wrote, one after the other, each timed."""

    def prepare(folder: Path) -> Callable[[], dict[str, Any]]:
        forward = make(folder)
        batches = list(np.load(folder / "batches.npz").values())

        def run() -> dict[str, Any]:
            seconds = []
            for ids in batches:
                start = time.perf_counter()
                forward(ids, (ids != 0).astype(np.int32))
                seconds.append(time.perf_counter() - start)
            return {"items": sum(len(ids) for ids in batches), "seconds": seconds}

        return run

    return prepare


def ceiling(folder: Path) -> Callable[[], dict[str, Any]]:
    """`tf.matmul` alone: texts a second if the products of their tokens, at its rate, were all the work."""
    import tensorflow as tf

    config = json.loads((folder / "model" / "config.json").read_text())
    batches = list(np.load(folder / "batches.npz").values())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    tokens = sum(int((ids != 0).sum()) for ids in batches)
    per_token = config["num_hidden_layers"] * 2 * (4 * hidden * hidden + 2 * hidden * inner)
    rows = max(np.prod(ids.shape) for ids in batches)
    left, right = tf.random.normal((int(rows), hidden)), tf.random.normal((hidden, inner))
    product = tf.function(lambda a, b: tf.matmul(a, b)[:1, :1])
    times = max(1, round(tokens * per_token / (2 * rows * hidden * inner)))

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(times):
            product(left, right).numpy()
        return {"items": sum(len(ids) for ids in batches), "seconds": [time.perf_counter() - start]}

    return run


def write_model(folder: Path, layers: int) -> None:
    """A context encoder of BERT-base's sizes with random weights, as checkpoint and as SavedModel."""
    import keras

    from dpr_tf import DPRConfig, TFDPRContextEncoder

    keras.utils.set_random_seed(1)
    model = TFDPRContextEncoder(DPRConfig(num_hidden_layers=layers))
    model.save_pretrained(folder / "model")
    model.export(folder / "saved_model")


def write_batches(folder: Path, rows: list[list[int]], batch_size: int) -> None:
    """Batches of rows of ids, those of similar length together, padded with 0."""
    rows = sorted(rows, key=len, reverse=True)
    batches = []
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        padded = np.zeros((len(batch), len(batch[0])), np.int32)
        for line, row in zip(padded, batch, strict=True):
            line[: len(row)] = row
        batches.append(padded)
    np.savez(folder / "batches.npz", *batches)


ENGINES = {
    "dpr_tf": encode(tensorflow),
    "pytorch": encode(torch),
    "openvino": encode(openvino),
    "tf.matmul": ceiling,
}

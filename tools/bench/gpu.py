"""Passages a second on a GPU, in bfloat16: Keras's other backends beside compiled PyTorch and the ceiling.

Needs a CUDA build of PyTorch, transformers, and JAX with CUDA in the Python that runs it; TensorFlow may be
absent. On a machine without a GPU it measures the CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import engines
import numpy as np
from encode import write_passages

UNIT = "passages"
OPTIONS = {"layers": 12, "passages": 4096, "batch_size": 256, "size": 8192, "file": "", "vocab": ""}


def ours(folder: Path, backend: str) -> engines.Stream:
    """As `embed_passages` runs it, on JAX or PyTorch."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the other engines are on the same GPU
    return engines.ours_ahead(folder, precision="bfloat16")


def torch_compiled(folder: Path) -> engines.Stream:
    """Transformers v5: its weights in bfloat16, attention by `scaled_dot_product_attention`, compiled."""
    import torch

    device = _device()
    model = torch.compile(engines.torch_model(folder).bfloat16().to(device))

    def each(batches: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        started = None
        for pair in batches:  # as ours: the next batch is started before the last one is fetched
            with torch.inference_mode():
                starting = model(*(torch.from_numpy(array).to(device) for array in pair)).float()
            if started is not None:
                yield started.cpu().numpy()
            started = starting
        if started is not None:
            yield started.cpu().numpy()

    return each


def ceiling(folder: Path) -> Callable[[], dict[str, Any]]:
    """A square product alone, in bfloat16: passages a second if products with weights were all the work."""
    import torch

    rows, operations = engines.work(folder)
    size = engines.read_options(folder)["size"]
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=_device()) for _ in range(2))
    times = max(1, round(operations / (2 * size**3)))

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(times):
            product = left @ right
        float(product[0, 0])  # waits for all of them
        return {"items": rows * times * 2 * size**3 / operations, "seconds": [time.perf_counter() - start]}

    return run


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _encode(make: Callable[..., engines.Stream], **settings: Any) -> Callable:
    """Padded to a multiple of 16, so that few shapes are compiled."""
    return engines.encode(make, multiple=16, ahead=True, **settings)


ENGINES = {
    "dpr_tf on JAX": ("ours", _encode(ours, backend="jax")),
    "dpr_tf on PyTorch": ("ours", _encode(ours, backend="torch")),
    "pytorch compiled": ("ours", _encode(torch_compiled)),
    "product alone": ("ours", ceiling),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model, and the passages as ids."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from dpr_tf import TFDPRContextEncoder

    engines.write(TFDPRContextEncoder, "context_encoder", folder / "model", options)
    write_passages(folder, options)

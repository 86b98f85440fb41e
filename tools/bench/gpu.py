"""Passages a second on a GPU, in bfloat16: Keras's other backends beside compiled PyTorch and the ceiling.

Needs a CUDA build of PyTorch, transformers, and JAX with CUDA in the Python that runs it; TensorFlow may be
absent. On a machine without a GPU it measures the CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np
from encode import write_passages
from engines import encode

UNIT = "passages"
OPTIONS = {"layers": 12, "passages": 4096, "batch_size": 256, "size": 8192, "file": ""}


def ours(folder: Path, backend: str) -> engines.Forward:
    """As `embed_passages` runs it, on JAX or PyTorch."""
    os.environ["KERAS_BACKEND"] = backend
    return engines.ours(folder, "bfloat16")


def torch_compiled(folder: Path) -> engines.Forward:
    """Transformers v5: its weights in bfloat16, attention by `scaled_dot_product_attention`, compiled."""
    import torch

    device = _device()
    model = torch.compile(engines.torch_model(folder).bfloat16().to(device))

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = [torch.from_numpy(array).to(device) for array in (ids, mask)]
            return model(*inputs).float().cpu().numpy()

    return forward


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


ENGINES = {
    "dpr_tf on JAX": ("ours", encode(ours, "few shapes", backend="jax")),
    "dpr_tf on PyTorch": ("ours", encode(ours, "few shapes", backend="torch")),
    "pytorch compiled": ("ours", encode(torch_compiled, "few shapes")),
    "product alone": ("ours", ceiling),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model, and the passages as ids."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    from dpr_tf import TFDPRContextEncoder

    engines.write(TFDPRContextEncoder, "context_encoder", folder / "model", options)
    write_passages(folder, options)

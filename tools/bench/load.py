"""Loading a checkpoint of 440 MB: time, and by how much the process grows at its peak. Linux only.

Every load has a process of its own, which has loaded a tiny model before, so that frameworks are warm.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import engines

UNIT = "loads"
OPTIONS = {"layers": 12}


def ours(folder: Path) -> None:
    """`from_pretrained` of safetensors."""
    from dpr_tf import TFDPRContextEncoder

    TFDPRContextEncoder.from_pretrained(folder / "model")


def transformers5(folder: Path) -> None:
    """Transformers v5, safetensors into PyTorch."""
    from transformers import DPRContextEncoder

    DPRContextEncoder.from_pretrained(folder / "model")


def transformers4(folder: Path) -> None:
    """Transformers v4.34, tf_model.h5 into TensorFlow."""
    from transformers import TFDPRContextEncoder

    TFDPRContextEncoder.from_pretrained(folder / "model_tf")


def read(folder: Path) -> None:
    """The file itself, into memory."""
    (folder / "model" / "model.safetensors").read_bytes()


LOADS = {
    "dpr_tf": ("ours", ours),
    "reading the file": ("ours", read),
    "transformers5": ("peers", transformers5),
    "transformers4": ("transformers4", transformers4),
}
ENGINES = {
    name: (environment, engines.in_new_process(__file__, name)) for name, (environment, _) in LOADS.items()
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model, and a tiny one."""
    engines.write_model(folder, options)
    (folder / "tiny").mkdir()
    engines.write_model(folder / "tiny", {"layers": 1, "hidden_size": 24, "vocab_size": 150})


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main(name: str, folder: str) -> None:
    """One load, in this process."""
    _, load = LOADS[name]
    load(Path(folder) / "tiny")
    before, cpu, start = _peak(), time.process_time(), time.perf_counter()
    load(Path(folder))
    found = {
        "items": 1,
        "seconds": [time.perf_counter() - start],
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": (_peak() - before) / 1e6,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Imports, each in a new process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "imports"
OPTIONS: dict[str, Any] = {}
CODE = """
import sys, time
cpu, start = time.process_time(), time.perf_counter()
{}
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def importing(statement: str) -> Callable[[Path], Callable[[], dict[str, Any]]]:
    """An engine that runs an import statement."""

    def make(folder: Path) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            command = [sys.executable, "-c", CODE.format(statement)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, cpu = map(float, done.stdout.split())
            return {"items": 1, "seconds": [seconds], "cpu_seconds": cpu}

        return run

    return make


ENGINES = {
    "import dpr_tf": ("ours", importing("import dpr_tf")),
    "dpr_tf, a model": ("ours", importing("from dpr_tf import TFDPRReader")),
    "tensorflow alone": ("ours", importing("import tensorflow")),
    "import transformers5": ("peers", importing("import transformers")),
    "transformers5, a model": ("peers", importing("from transformers import DPRReader")),
    "transformers4, a model": ("transformers4", importing("from transformers import TFDPRReader")),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Nothing: there is nothing to read."""

"""Imports, each in a new process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engines import in_new_process

UNIT = "imports"
OPTIONS: dict[str, Any] = {}
CODE = """
import sys, time
cpu, start = time.process_time(), time.perf_counter()
{}
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
import json
print(json.dumps({{"items": 1, "seconds": [seconds], "cpu_seconds": cpu}}))
"""


def importing(statement: str) -> Callable[[Path], Callable[[], dict[str, Any]]]:
    """An engine that runs an import statement."""
    return in_new_process("-c", CODE.format(statement))


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

"""One engine of one case: started by run.py, it answers each line on stdin by a run, as a line of JSON."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

PACKAGES = (
    "tensorflow",
    "keras",
    "torch",
    "transformers",
    "sentence-transformers",
    "openvino",
    "onnxruntime",
    "tokenizers",
    "faiss-cpu",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of the packages that matter and are loaded."""
    modules = {name: name.replace("-cpu", "").replace("-", "_") for name in PACKAGES}
    loaded = [name for name, module in modules.items() if module in sys.modules]
    found = {"python": sys.version.split()[0]}
    for name in loaded:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # another build of it, such as tensorflow-cpu
            found[name] = sys.modules[modules[name]].__version__
    return found


def main(case: str, engine: str, folder: str) -> None:
    """Makes the run, warms it up, and serves."""
    # Libraries that print must not disturb the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run = importlib.import_module(case).ENGINES[engine][1](Path(folder))
    check = run().get("check")
    print(json.dumps({"versions": versions(), "check": check}), file=answers, flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        answer = run()
        print(json.dumps({"cpu_seconds": time.process_time() - start, **answer}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

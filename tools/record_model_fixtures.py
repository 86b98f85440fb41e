"""Copies recorded model behaviour into tests/data.

Expected outputs, activations, input forms, output objects.

The recordings were made with transformers 4.34.0, torch 2.13.0 and tensorflow 2.14.1 (Python 3.11) from tiny
models with random weights; they hold no text.

    python tools/record_model_fixtures.py RECORDINGS
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

DATA = Path(__file__).parents[1] / "tests" / "data"
API = ("tf_input_forms", "outputs", "behaviour")


def main() -> None:
    """Copies what the tests of models need."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, help="folder with expected/ and api/")
    recordings = parser.parse_args().recordings
    expected = DATA / "expected"
    shutil.rmtree(expected, ignore_errors=True)
    expected.mkdir(parents=True)
    for path in sorted((recordings / "expected").glob("*.npz")):
        shutil.copyfile(path, expected / path.name)
    for name in ("index", "activations"):
        compress((recordings / "expected" / f"{name}.json").read_bytes(), expected / f"{name}.json.gz")
    recipe = json.loads((recordings / "expected" / "minilm.json").read_text())["recipe"]
    compress(json.dumps(recipe).encode(), expected / "minilm.json.gz")  # the numbers without the sentences
    for name in API:
        compress((recordings / "api" / f"{name}.json").read_bytes(), DATA / "api" / f"{name}.json.gz")


def compress(content: bytes, target: Path) -> None:
    """Writes a gzip file that is the same on every run."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
        file.write(content)


if __name__ == "__main__":
    main()

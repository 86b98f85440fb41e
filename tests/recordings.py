"""Recorded reference behaviour: what the tests of models compare with, and the one parity assert."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any

import checkpoint_archive
import numpy as np

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-5


@functools.cache
def read_json(name: str) -> Any:
    """The content of tests/data/<name>.json.gz."""
    with gzip.open(DATA / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


@functools.cache
def weights() -> dict[str, dict]:
    """Per set of weights: kind, cases, the checkpoint it was computed from."""
    return read_json("expected/index")["weights"]


def checkpoints() -> list[dict]:
    """Per checkpoint: path, kind, family, and the set of weights whose outputs it must give."""
    return checkpoint_archive.index()


def checkpoint(path: str) -> Path:
    """Where a checkpoint of the index lies."""
    return checkpoint_archive.root() / path


@functools.cache
def expected(name: str) -> dict[str, np.ndarray]:
    """All arrays of a set of weights: <case>/in/<argument>, <case>/pt/<output>, <case>/tf/<output>."""
    with np.load(DATA / "expected" / f"{name}.npz") as arrays:
        return dict(arrays)


def case_inputs(name: str, case: str) -> dict[str, np.ndarray]:
    """The inputs of one case by argument."""
    start = f"{case}/in/"
    return {key.removeprefix(start): value for key, value in expected(name).items() if key.startswith(start)}


def case_outputs(name: str, case: str, framework: str = "pt") -> dict[str, np.ndarray]:
    """The outputs of one case by name; tuples as "hidden_states/0"."""
    start = f"{case}/{framework}/"
    return {
        key.removeprefix(start): value
        for key, value in expected(name).items()
        if key.startswith(start) and not key.startswith(start + "grad/")
    }


def forward_cases(name: str) -> dict[str, dict]:
    """The cases that compare outputs."""
    return {case: entry for case, entry in weights()[name]["cases"].items() if case != "grad"}


def assert_parity(model: Any, name: str, to_numpy: Any = np.asarray) -> None:
    """Asserts that a model gives the recorded PyTorch outputs of the weights in each case, to TOLERANCE."""
    differences = {}
    for case, entry in forward_cases(name).items():
        output = model(**case_inputs(name, case), return_dict=True, **entry.get("kwargs", {}))
        wanted = case_outputs(name, case)
        assert wanted, f"no outputs recorded for {name}/{case}"
        for key, value in wanted.items():
            field, _, index = key.partition("/")
            found = output[field][int(index)] if index else output[field]
            found = to_numpy(found)
            assert found.shape == value.shape, f"{case}/{key}: {found.shape} instead of {value.shape}"
            if value.size:
                differences[f"{case}/{key}"] = float(np.abs(found - value).max())
    worst = max(differences, key=lambda key: np.nan_to_num(differences[key], nan=np.inf))
    assert differences[worst] <= TOLERANCE, f"{name}: {worst} differs by {differences[worst]}"

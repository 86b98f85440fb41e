"""The recorded checkpoints under tests/data/checkpoints, unpacked once per test session."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

DATA = Path(__file__).parent / "data" / "checkpoints"


@functools.cache
def root() -> Path:
    """The folder that the paths of `index` start from: DPR_TF_RECORDINGS, or a temporary one."""
    if "DPR_TF_RECORDINGS" in os.environ:
        return Path(os.environ["DPR_TF_RECORDINGS"])
    folder = Path(tempfile.mkdtemp(prefix="dpr_tf-checkpoints-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(DATA / "checkpoints.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    return folder


def index() -> list[dict]:
    """One entry per checkpoint: path, kind, family, and `weights`, the same word for the same weights."""
    return json.loads((DATA / "index.json").read_text(encoding="utf-8"))["checkpoints"]

"""Measures the peak memory of loading a BERT-base checkpoint (440 MB) in every format.

    python tools/measure_load_memory.py [numpy|model] [folder]

Writes synthetic checkpoints into the folder (default: a temporary one), loads each in a process of its own,
and prints by how much its peak (VmHWM) grew, as a multiple of the variables. "numpy": variables are NumPy
arrays of zeros. "model": `TFDPRContextEncoder.from_pretrained`, after a tiny model has been loaded and the
framework is warm. Linux only.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from dpr_tf.weights import convert, files, names

CONFIG = SimpleNamespace(num_hidden_layers=12, projection_dim=0, position_embedding_type="absolute")
SIZES = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
ROWS = names.rows(CONFIG, "ctx_encoder")
TARGET = 1.3


class Variable:
    """A NumPy array with the three members of a Keras variable that loading uses."""

    def __init__(self, shape: tuple[int, ...], dtype: str = "float32"):
        """Makes zeros, which take no memory before they are overwritten."""
        self.value = np.zeros(shape, dtype)
        self.shape, self.dtype = shape, dtype

    def assign(self, array: np.ndarray) -> None:
        """Copies the array into place."""
        self.value[...] = array

    def numpy(self) -> np.ndarray:
        """The array itself."""
        return self.value


def make_variables() -> dict[str, Variable]:
    """{Keras path: variable} of a BERT-base context encoder."""
    return {row.keras: Variable(tuple(SIZES[axis] for axis in row.axes)) for row in ROWS}


def write_checkpoints(folder: Path) -> list[Path]:
    """Writes one checkpoint per format and returns what to read."""
    rng = np.random.default_rng(0)
    variables = make_variables()
    for variable in variables.values():
        variable.assign(rng.standard_normal(variable.shape, dtype="float32"))
    torch_arrays, tf_arrays = convert.to_torch(variables, ROWS), convert.to_tf_h5(variables, ROWS)
    for name, size in (("whole", "10GB"), ("sharded", "100MB")):
        files.write_safetensors(folder / f"safetensors-{name}", torch_arrays, size)
        files.write_h5(folder / f"h5-{name}", tf_arrays, names.TF_SCOPE["ctx_encoder"], size)
    half = {key: (lambda read=array: read().astype("float16")) for key, array in torch_arrays.items()}
    files.write_safetensors(folder / "safetensors-float16", half)
    try:
        import torch
    except ImportError:
        print("torch is not installed: .bin files are left out")
    else:
        state = {key: torch.from_numpy(np.array(array())) for key, array in torch_arrays.items()}
        for name, zipped in (("bin-zip", True), ("bin-legacy", False)):
            (folder / name).mkdir(exist_ok=True)
            torch.save(state, folder / name / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    folders = sorted(item for item in folder.iterdir() if item.is_dir())
    for item in folders:
        (item / "config.json").write_text(json.dumps({"model_type": "dpr", **SIZES}))
    return folders


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def load_numpy(path: Path) -> None:
    """Loads into NumPy variables."""
    convert.load_into(make_variables(), ROWS, files.read_checkpoint(path))


def load_model(path: Path) -> None:
    """Loads a model."""
    from dpr_tf import TFDPRContextEncoder

    TFDPRContextEncoder.from_pretrained(path)


def warm_up(kind: str) -> None:
    """Imports and starts what is not to be measured."""
    import h5py  # noqa: F401

    if kind == "model":
        from dpr_tf import DPRConfig, TFDPRContextEncoder

        config = DPRConfig(vocab_size=150, hidden_size=12, num_hidden_layers=1, intermediate_size=37)
        with tempfile.TemporaryDirectory() as folder:
            TFDPRContextEncoder(config).save_pretrained(folder)
            TFDPRContextEncoder.from_pretrained(folder)


def measure(kind: str, path: Path) -> None:
    """Loads one checkpoint in this process and prints the growth of its peak."""
    warm_up(kind)
    before, start = peak(), time.perf_counter()
    (load_model if kind == "model" else load_numpy)(path)
    seconds = time.perf_counter() - start
    size = sum(4 * math.prod(SIZES[axis] for axis in row.axes) for row in ROWS)
    grown = peak() - before
    print(
        f"{path.name:20} {kind}: variables {size / 1e6:.0f} MB, peak {grown / 1e6:.0f} MB = "
        f"{grown / size:.2f} x (at most {TARGET}), {seconds:.2f} s"
    )


def main(arguments: list[str]) -> None:
    """Writes the checkpoints and measures each in a new process."""
    if arguments[:1] == ["--one"]:
        measure(arguments[1], Path(arguments[2]))
        return
    kind = arguments[0] if arguments else "numpy"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments[1]) if len(arguments) > 1 else Path(temporary)
        for path in write_checkpoints(folder):
            subprocess.run([sys.executable, __file__, "--one", kind, str(path)], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])

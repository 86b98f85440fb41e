"""tf_model.h5: the layout in which Keras 2, and with it Hugging Face's TensorFlow models, kept weights.

A whole file has one group per top-level layer whose attribute `weight_names` lists the arrays below it; a
shard has the arrays themselves, listed in the attribute `layer_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpr_tf.weights.arrays import Checkpoint, CheckpointError, LazyArray, empty

if TYPE_CHECKING:
    import h5py

HDF5_START = b"\x89HDF\r\n\x1a\n"
# What loaders compare to tell this layout from older ones.
LAYOUT_VERSION = "2.14.0"
MOST_ITEMS, DEEPEST = 100_000, 30  # groups and datasets in a file; slashes in a name
LARGEST_LIST = 4000  # names; HDF5 refuses attributes of 64 KiB, longer lists are split into name0, name1, ...


def read_hdf5(path: Path) -> Checkpoint:
    """Reads the names and shapes of a tf_model.h5 or one of its shards; numbers are read when asked for.

    Args:
        path: the file.

    Returns:
        The arrays by their names as listed, e.g. "tfdpr_reader/span_predictor/qa_outputs/bias:0".

    Raises:
        CheckpointError: if the file is damaged or cut off, lists no weights, or refers to other files.
    """
    import h5py

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: _lazy(path, file, place) for name, place in _places(path, file).items()}
    except CheckpointError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged or cut off: {error}. Download or save it again") from error
    return Checkpoint(path, arrays)


def write_hdf5_file(path: Path, arrays: Mapping[str, LazyArray], scope: str) -> None:
    """Writes a whole tf_model.h5, one array in memory at a time.

    Args:
        path: where; overwritten.
        arrays: by name without the scope, e.g. "ctx_encoder/encode_proj/bias:0"; their order is kept.
        scope: the name of the model that comes before each weight's name, e.g. "tfdpr_context_encoder".
    """
    import h5py

    layers: dict[str, list[str]] = {}
    for name in arrays:
        layers.setdefault(name.split("/", 1)[0], []).append(name)
    with h5py.File(path, "w") as file:
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = LAYOUT_VERSION
        _write_names(file, "layer_names", list(layers))
        for layer, names in layers.items():
            group = file.create_group(layer)
            _write_names(group, "weight_names", [f"{scope}/{name}" for name in names])
            for name in names:
                _write_array(group, f"{scope}/{name}", arrays[name])
        _write_names(file.create_group("top_level_model_weights"), "weight_names", [])


def write_hdf5_shard(path: Path, arrays: Mapping[str, LazyArray]) -> None:
    """Writes one shard of a tf_model.h5, one array in memory at a time; names as in `write_hdf5_file`."""
    import h5py

    with h5py.File(path, "w") as file:
        _write_names(file, "layer_names", list(arrays))
        for name, array in arrays.items():
            _write_array(file, name, array)


def _write_array(group: h5py.Group, name: str, lazy: LazyArray) -> None:
    array = np.ascontiguousarray(lazy.read())
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)  # HDF5 has no bfloat16; float32 holds it exactly
    group.create_dataset(name, data=array)


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    if len(names) <= LARGEST_LIST:
        group.attrs[attribute] = names
        return
    for i, start in enumerate(range(0, len(names), LARGEST_LIST)):
        group.attrs[f"{attribute}{i}"] = names[start : start + LARGEST_LIST]


def _places(path: Path, file: h5py.File) -> dict[str, str]:
    """{weight name: path of its dataset in the file}.

    The lists of names are only looked for, not read: the datasets lie under the same names, and in a
    damaged file HDF5 may search for a list's texts without end.
    """
    if not _has_list(file, "layer_names"):
        raise CheckpointError(
            f"{path}: an HDF5 file, but not of Keras weights: no attribute layer_names. A file that Keras 3 "
            "wrote (.weights.h5) is read with model.load_weights"
        )
    whole = {name for name in file if _has_list(_inside(path, file, name), "weight_names")}
    datasets = _datasets(path, file)
    return {name.partition("/")[2] if name.split("/", 1)[0] in whole else name: name for name in datasets}


def _datasets(path: Path, file: h5py.File) -> list[str]:
    """The paths of all datasets."""
    import h5py

    found, waiting, seen = [], list(file), 0
    while waiting:
        name = waiting.pop()
        item = _inside(path, file, name)
        seen += 1
        if seen > MOST_ITEMS or name.count("/") > DEEPEST:
            raise CheckpointError(f"{path}: refused: groups without end at {name[:200]}")
        if isinstance(item, h5py.Dataset):
            found.append(name)
        elif isinstance(item, h5py.Group):
            waiting += [f"{name}/{child}" for child in item]
    return sorted(found)


def _inside(path: Path, file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise CheckpointError(f"{path}: refused: {name} is a link to another place")
    return file[name]


def _has_list(group: h5py.Group, attribute: str) -> bool:
    return any(name.rstrip("0123456789") == attribute for name in group.attrs)


def _lazy(path: Path, file: h5py.File, place: str) -> LazyArray:
    dataset = file[place]
    dtype = dataset.dtype
    if dtype.kind not in "fiub":
        raise CheckpointError(f"{path}: {place}: numbers expected, found {dtype}")
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{path}: refused: {place} lies in another file")
    stored = dataset.id.get_storage_size()
    if stored != dataset.nbytes:
        raise CheckpointError(
            f"{path}: {place}: {dataset.nbytes} bytes expected, {stored} stored: compressed or damaged. "
            "Save the weights again without compression"
        )
    native = dtype.newbyteorder("=")
    return LazyArray(dataset.shape, native, lambda: _read(path, place, empty(dataset.shape, native)))


def _read(path: Path, place: str, array: np.ndarray) -> np.ndarray:
    """Reads a dataset into an array of its shape, which it returns."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if array.size:
                file[place].read_direct(array)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: {place} cannot be read: {error}") from error
    return array

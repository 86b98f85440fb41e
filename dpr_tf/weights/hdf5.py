"""tf_model.h5: the layout in which Keras 2, and with it Hugging Face's TensorFlow models, kept weights.

A whole file has one group per top-level layer whose attribute `weight_names` lists the arrays below it; a
shard has the arrays themselves, listed in the attribute `layer_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpr_tf.weights.arrays import Checkpoint, CheckpointError, LazyArray

if TYPE_CHECKING:
    import h5py

HDF5_START = b"\x89HDF\r\n\x1a\n"
# What loaders compare to tell this layout from older ones.
LAYOUT_VERSION = "2.14.0"
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


def _read_names(group: h5py.Group, attribute: str) -> list[str] | None:
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        parts = []
        while f"{attribute}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{len(parts)}"])
        if not parts:
            return None
    return [_text(name) for part in parts for name in part]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _places(path: Path, file: h5py.File) -> dict[str, str]:
    """{weight name: path of its dataset in the file}."""
    layers = _read_names(file, "layer_names")
    if layers is None:
        raise CheckpointError(
            f"{path}: an HDF5 file, but not of Keras weights: no attribute layer_names. A file that Keras 3 "
            "wrote (.weights.h5) is read with model.load_weights"
        )
    places = {}
    for layer in layers:
        names = _read_names(file[layer], "weight_names")
        if names is None:
            places[layer] = layer
        else:
            places |= {name: f"{layer}/{name}" for name in names}
    return places


def _lazy(path: Path, file: h5py.File, place: str) -> LazyArray:
    dataset = file[place]
    dtype = dataset.dtype
    if dtype.kind not in "fiub":
        raise CheckpointError(f"{path}: {place}: numbers expected, found {dtype}")
    if dataset.file.filename != file.filename or dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{path}: refused: {place} lies in another file")
    stored = dataset.id.get_storage_size()
    if stored != dataset.nbytes:
        raise CheckpointError(
            f"{path}: {place}: {dataset.nbytes} bytes expected, {stored} stored: compressed or damaged. "
            "Save the weights again without compression"
        )
    return LazyArray(
        dataset.shape, dtype.newbyteorder("="), lambda: _read(path, place, dtype.newbyteorder("="))
    )


def _read(path: Path, place: str, dtype: np.dtype) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            array = np.empty(file[place].shape, dtype)
            if array.size:
                file[place].read_direct(array)
            return array
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: {place} cannot be read: {error}") from error

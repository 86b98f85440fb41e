"""The safetensors format: reading, every check of the header, and writing as the library does."""

import contextlib
import json
import random

import ml_dtypes
import numpy as np
import pytest

from dpr_tf.weights import files, safetensors
from dpr_tf.weights.arrays import CheckpointError, LazyArray

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([1.5, -2], dtype=np.float16),
    "c": np.array([[3.25]], dtype=ml_dtypes.bfloat16),
    "d": np.arange(3, dtype=np.float64),
    "é": np.array(7, dtype=np.int64),
    "f": np.array([True, False]),
    "empty": np.zeros((0, 5), np.float32),
}


def pack(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file, with all arrays."""

    def read(data):
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        return {name: array.read() for name, array in safetensors.read_safetensors(path).items()}

    return read


def write(path, arrays, metadata):
    lazy = {
        name: LazyArray(array.shape, array.dtype, lambda array=array: array) for name, array in arrays.items()
    }
    safetensors.write_safetensors_file(path, lazy, metadata)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "x.safetensors", ARRAYS, {"format": "pt"})
    found = safetensors.read_safetensors(tmp_path / "x.safetensors")
    assert found.metadata == {"format": "pt"}
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(found[name].read(), array)


def test_the_bytes_are_those_of_the_library(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    write(tmp_path / "ours", ARRAYS, {"format": "pt"})
    library.save_file(ARRAYS, tmp_path / "theirs", {"format": "pt"})
    ours, theirs = (tmp_path / "ours").read_bytes(), (tmp_path / "theirs").read_bytes()
    size = int.from_bytes(ours[:8], "little")
    assert size % 8 == 0
    assert sorted(library.load_file(tmp_path / "ours")) == sorted(ARRAYS)
    # The order of the numbers is the same; the header's may differ.
    assert ours[8 + size :] == theirs[8 + int.from_bytes(theirs[:8], "little") :]


def test_writing_a_recorded_file_gives_its_bytes(recorded, tmp_path):
    path = recorded("formats/ctx-safetensors/model.safetensors")
    checkpoint = files.read_checkpoint(path)
    files.write_safetensors(tmp_path, checkpoint, metadata={"format": "pt"})
    assert (tmp_path / "model.safetensors").read_bytes() == path.read_bytes()


def test_arrays_that_are_transposed_views_are_written_in_order(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write(tmp_path / "x", {"a": array}, {})
    np.testing.assert_array_equal(safetensors.read_safetensors(tmp_path / "x")["a"].read(), array)


def test_an_array_other_than_announced_is_not_written(tmp_path):
    lying = LazyArray((3,), np.float32, lambda: np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="announced"):
        safetensors.write_safetensors_file(tmp_path / "x", {"a": lying}, {})


def test_a_dtype_that_the_format_lacks(tmp_path):
    with pytest.raises(ValueError, match="a: safetensors has no dtype complex64"):
        write(tmp_path / "x", {"a": np.zeros(2, np.complex64)}, {})


BROKEN = {
    "empty": b"",
    "eight bytes": (100).to_bytes(8, "little"),
    "huge header": pack(b"{}", length=2**40),
    "negative header": b"\xff" * 8 + b"{}",
    "not JSON": pack(b"{{{{"),
    "not UTF-8": pack(b'{"\xff": 1}'),
    "deep JSON": pack(b"[" * 100_000),
    "a list": pack(b"[]"),
    "twice the same": pack(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "no dtype": pack({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "odd dtype": pack({"a": entry(dtype="F8_E4M3")}, bytes(8)),
    "entry is text": pack({"a": "F32"}, bytes(8)),
    "dtype is a list": pack({"a": entry(dtype=["F32"])}, bytes(8)),
    "negative size": pack({"a": entry(shape=(-2,))}, bytes(8)),
    "size is true": pack({"a": entry(shape=(True, 2))}, bytes(8)),
    "size is 2.0": pack({"a": entry(shape=(2.0,))}, bytes(8)),
    "three offsets": pack({"a": entry(offsets=(0, 4, 8))}, bytes(8)),
    "shape lies": pack({"a": entry(shape=(3,))}, bytes(8)),
    "shape overflows": pack({"a": entry(shape=(2**62, 4))}, bytes(8)),
    "outside": pack({"a": entry(offsets=(8, 16))}, bytes(8)),
    "reversed": pack({"a": entry(offsets=(8, 0))}, bytes(8)),
    "overlap": pack({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "same bytes": pack({"a": entry(), "b": entry()}, bytes(8)),
    "hole": pack({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
    "cut": pack({"a": entry()}, bytes(7)),
    "rest": pack({"a": entry()}, bytes(9)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name, read):
    with pytest.raises(CheckpointError, match=r"model\.safetensors: "):
        read(BROKEN[name])


def test_the_same_header_unbroken(read):
    np.testing.assert_array_equal(read(pack({"a": entry()}, bytes(8)))["a"], [0, 0])


@pytest.mark.parametrize("metadata", [None, {}, {"format": "mlx"}, "text"])
def test_metadata_does_not_decide(read, metadata):
    assert list(read(pack({"__metadata__": metadata, "a": entry()}, bytes(8)))) == ["a"]


def test_random_changes_end_in_arrays_or_in_the_one_error(recorded, read):
    data = recorded("formats/ctx-safetensors/model.safetensors").read_bytes()
    draw = random.Random(5)
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(5000)] = draw.randrange(256)
        with contextlib.suppress(CheckpointError):
            read(bytes(changed))

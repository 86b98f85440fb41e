"""Folders, shards and their index, and writing that leaves nothing half done."""

import json

import numpy as np
import pytest

from dpr_tf.weights import files
from dpr_tf.weights.arrays import CheckpointError, LazyArray

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),  # 24 bytes
    "b": np.arange(5, dtype=np.float32),  # 20
    "c": np.arange(20, dtype=np.float32).reshape(4, 5),  # 80
    "d": np.arange(1, dtype=np.float32),  # 4
}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_arrays(checkpoint, arrays=ARRAYS):
    assert sorted(checkpoint) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(checkpoint[name].read(), array)


@pytest.mark.parametrize(
    ("from_pt", "present", "chosen"),
    [
        (False, ["model.safetensors", "tf_model.h5", "pytorch_model.bin"], "model.safetensors"),
        (False, ["tf_model.h5", "pytorch_model.bin"], "tf_model.h5"),
        (False, ["pytorch_model.bin"], "pytorch_model.bin"),
        (True, ["model.safetensors", "tf_model.h5", "pytorch_model.bin"], "pytorch_model.bin"),
        (True, ["model.safetensors", "tf_model.h5"], "model.safetensors"),
    ],
)
def test_which_file_of_a_folder_is_taken(from_pt, present, chosen, recorded, tmp_path):
    folders = {
        "model.safetensors": "ctx-safetensors",
        "tf_model.h5": "ctx-h5",
        "pytorch_model.bin": "ctx-bin-zip",
    }
    for name in present:
        (tmp_path / name).write_bytes((recorded(f"formats/{folders[name]}") / name).read_bytes())
    assert files.read_checkpoint(tmp_path, from_pt).path.name == chosen


def test_the_content_decides_not_the_name(recorded, tmp_path):
    for source, name in (
        ("ctx-safetensors/model.safetensors", "x.bin"),
        ("ctx-bin-legacy/pytorch_model.bin", "x.safetensors"),
        ("ctx-h5/tf_model.h5", "weights"),
    ):
        (tmp_path / name).write_bytes(recorded(f"formats/{source}").read_bytes())
        assert len(files.read_checkpoint(tmp_path / name)) == 37


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors.*expected, found \[\]"):
        files.read_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        files.read_checkpoint(tmp_path / "x.bin")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "tf_model.h5"])
def test_a_git_lfs_pointer(name, tmp_path):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 438000000\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        files.read_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "tf_model.h5"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(100)])
def test_files_of_no_known_format(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        files.read_checkpoint(tmp_path)


# Writing


def test_one_file_if_it_fits(tmp_path):
    written = files.write_safetensors(tmp_path / "new" / "folder", ARRAYS)
    assert written == [tmp_path / "new" / "folder" / "model.safetensors"]
    checkpoint = files.read_checkpoint(tmp_path / "new" / "folder")
    assert checkpoint.metadata == {"format": "pt"}
    assert checkpoint.format == "pt"
    assert_arrays(checkpoint)


def test_shards_and_their_index(tmp_path):
    # 44 bytes: a + b fit exactly; c alone is larger than a shard; d is left
    files.write_safetensors(tmp_path, ARRAYS, 44)
    assert names_in(tmp_path) == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 128}
    assert index["weight_map"] == {
        "a": "model-00001-of-00003.safetensors",
        "b": "model-00001-of-00003.safetensors",
        "c": "model-00002-of-00003.safetensors",
        "d": "model-00003-of-00003.safetensors",
    }
    assert_arrays(files.read_checkpoint(tmp_path))


def test_an_older_save_does_not_stay_beside_the_new_one(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    files.write_safetensors(tmp_path, ARRAYS, 44)
    files.write_safetensors(tmp_path, {"a": ARRAYS["a"]})
    assert names_in(tmp_path) == ["config.json", "model.safetensors"]
    files.write_safetensors(tmp_path, ARRAYS, 100)
    assert names_in(tmp_path) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert_arrays(files.read_checkpoint(tmp_path))


@pytest.mark.parametrize(
    "write", [files.write_safetensors, lambda *args: files.write_h5(args[0], args[1], "s", args[2])]
)
@pytest.mark.parametrize("size", [30, "10GB"])
def test_a_failing_write_leaves_the_folder_as_it_was(write, size, tmp_path):
    write(tmp_path, {"x/y": ARRAYS["a"]}, "10GB")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail():
        raise OSError("disk full")

    arrays = {"x/a": ARRAYS["a"], "x/b": ARRAYS["b"], "x/c": LazyArray((3,), np.float32, fail)}
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, arrays, size)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_arrays_are_made_one_at_a_time_and_not_kept(tmp_path):
    alive, most = set(), []

    class Tracked(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def make():
        array = np.zeros(7, np.float32).view(Tracked)
        alive.add(id(array))
        most.append(len(alive))
        return array

    files.write_safetensors(tmp_path, {str(i): LazyArray((7,), np.float32, make) for i in range(5)})
    assert most == [1] * 5
    assert not alive


def test_functions_and_arrays_are_both_taken(tmp_path):
    files.write_safetensors(tmp_path, {"a": lambda: ARRAYS["a"], "b": ARRAYS["b"]})
    assert_arrays(files.read_checkpoint(tmp_path), {"a": ARRAYS["a"], "b": ARRAYS["b"]})


@pytest.mark.parametrize(
    ("text", "size"), [("10GB", 10**10), ("5 mb", 5 * 10**6), ("3KiB", 3072), (17, 17), ("2GiB", 2**31)]
)
def test_sizes_of_shards(text, size):
    assert files._bytes_of(text) == size


@pytest.mark.parametrize("text", ["10", "GB", "-1GB", 0, -5, "1TBx", 2.5])
def test_sizes_that_are_none(text, tmp_path):
    with pytest.raises(ValueError, match="max_shard_size"):
        files.write_safetensors(tmp_path, ARRAYS, text)
    assert not list(tmp_path.iterdir())


# Indexes


@pytest.fixture
def sharded(tmp_path):
    """A sharded save and a function that changes its index."""
    files.write_safetensors(tmp_path, ARRAYS, 44)
    path = tmp_path / "model.safetensors.index.json"

    def change(**places):
        index = json.loads(path.read_text())
        index["weight_map"] |= places
        path.write_text(json.dumps(index))
        return path

    return change


def test_shards_are_listed_for_downloading(sharded):
    assert files.shard_names(sharded()) == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/passwd", "a/b", "..", ".", "", "c:x", "a\\b", "a\0b"]
)
def test_shards_outside_the_folder_are_refused(name, sharded):
    with pytest.raises(CheckpointError, match="refused: shards that are not plain file names"):
        files.read_checkpoint(sharded(a=name))
    with pytest.raises(CheckpointError, match="refused"):
        files.shard_names(sharded())


def test_all_missing_shards_are_named(sharded, tmp_path):
    for i in (1, 3):
        (tmp_path / f"model-0000{i}-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"not in the folder: model-00001-of-00003\S+, model-00003-of"):
        files.read_checkpoint(sharded())


def test_all_weights_that_their_shard_lacks_are_named(sharded):
    path = sharded(a="model-00002-of-00003.safetensors", z="model-00003-of-00003.safetensors")
    with pytest.raises(CheckpointError, match=r"a in model-00002-of-00003\.safetensors, z in model-00003"):
        files.read_checkpoint(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[" * 10**5]
)
def test_indexes_that_are_none(text, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json: "):
        files.read_checkpoint(tmp_path)

"""PyTorch's two containers: what torch reads, and what lying, damaged and compressed files end in."""

import contextlib
import io
import json
import pickle
import random
import struct
import warnings
import zipfile

import numpy as np
import pytest

from dpr_tf.weights import arrays as arrays_module
from dpr_tf.weights import torch_files
from dpr_tf.weights.arrays import CheckpointError, LazyArray

CONTAINERS = ("zip", "legacy")


@pytest.fixture(params=CONTAINERS)
def sound(request, recorded):
    """The bytes of a sound file of each container."""
    return (recorded(f"formats/question-bin-{request.param}") / "pytorch_model.bin").read_bytes()


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file; all arrays, too."""

    def read(data):
        path = tmp_path / "pytorch_model.bin"
        path.write_bytes(data)
        return {key: array.read() for key, array in torch_files.read_torch(path).items()}

    return read


def rezip(data, change=None, compression=zipfile.ZIP_STORED, drop=(), rename=lambda name: name):
    """A zip container with members changed, dropped or renamed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            if not name.endswith(tuple(drop) or "\0"):
                content = old.read(name)
                new.writestr(rename(name), change(name, content) if change else content)
    return out.getvalue()


def test_nothing_of_a_tensor_is_read_before_it_is_asked_for(recorded, monkeypatch):
    reads = _watch_reads(monkeypatch)
    checkpoint = torch_files.read_torch(recorded("formats/ctx-bin-zip") / "pytorch_model.bin")
    assert len(checkpoint) == 37
    assert not reads


def test_optimizer_state_is_not_read(recorded, monkeypatch):
    path = recorded("original/biencoder-proj-training") / "checkpoint.cp"
    reads = _watch_reads(monkeypatch)
    checkpoint = torch_files.read_torch(path)
    arrays = {key: array.read() for key, array in checkpoint.items()}
    # two encoders, each 150 * 16 + ...: a third of the file, the rest is Adam's two moments
    assert sum(reads) == sum(array.size for array in arrays.values())
    assert 4 * sum(reads) < path.stat().st_size / 2.5
    assert all(key.startswith(("question_model.", "ctx_model.")) for key in arrays)


def _watch_reads(monkeypatch):
    """A list that grows by how many numbers each read of a file is asked for."""
    reads, real = [], arrays_module.read_block

    def watched(file, array, done=0):
        reads.append(array.size)
        real(file, array, done)

    for module in (arrays_module, torch_files):
        monkeypatch.setattr(module, "read_block", watched)
    return reads


def test_encoder_params_become_plain_data(recorded):
    old = torch_files.read_torch(recorded("original/reader-namedtuple-proj") / "checkpoint.cp")
    assert old.metadata["encoder_params"]["projection_dim"] == 16
    new = torch_files.read_torch(recorded("original/biencoder-proj-training") / "checkpoint.cp")
    assert new.metadata["encoder_params"]["encoder"]["projection_dim"] == 10
    json.dumps(new.metadata)


def test_views_share_storages_and_read_equal(recorded):
    plain = torch_files.read_torch(recorded("formats/ctx-bin-zip") / "pytorch_model.bin")
    for container in CONTAINERS:
        views = torch_files.read_torch(recorded(f"formats/ctx-bin-views-{container}") / "pytorch_model.bin")
        strided = 0
        for key, array in views.items():
            found = array.read()
            strided += not found.flags.c_contiguous
            np.testing.assert_array_equal(found, plain[key].read())
        assert strided > 0


def test_every_kind_of_tensor_equals_torch(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(60, dtype=torch.float32).reshape(5, 12)
    half = torch.tensor([[1.5, -2.25, 65504.0]])
    tensors = {
        "whole": base,
        "slice": base[1:4, 2:9],
        "transposed": base.T,
        "column": base[:, 7],
        "every third": base[::2, ::3],
        "expanded": base[0, :1].expand(7),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "double": base.double(),
        "half": half.half(),
        "bfloat16": half.bfloat16(),
        "long": torch.tensor([2**40, -1]),
        "int8": torch.tensor([-7], dtype=torch.int8),
        "bool": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base + 1),
        "grad": (base * 2).requires_grad_(),
    }
    for new in (True, False):
        path = tmp_path / f"{new}.pt"
        torch.save(tensors, path, _use_new_zipfile_serialization=new)
        found = torch_files.read_torch(path)
        assert list(found) == list(tensors)
        for key, tensor in tensors.items():
            wanted = tensor.detach()
            assert found[key].shape == tuple(wanted.shape), key
            assert found[key].dtype.name == str(wanted.dtype).removeprefix("torch."), key
            array = found[key].read()
            if array.dtype.name == "bfloat16":
                array, wanted = array.astype(np.float32), wanted.float()
            np.testing.assert_array_equal(array, wanted.numpy(), err_msg=key)


@pytest.mark.parametrize("wrap", ["model_dict", "state_dict", "model_state_dict", "model"])
def test_weights_below_a_name_of_training_scripts(tmp_path, wrap):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"epoch": 3, wrap: {"a": torch.ones(2)}, "optimizer": {"state": {0: torch.ones(5)}}}, path)
    assert list(torch_files.read_torch(path)) == ["a"]


def test_a_file_without_tensors_says_so(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"epoch": 3}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"no tensors in it.*'epoch'"):
        torch_files.read_torch(tmp_path / "x.pt")


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        torch_files.read_torch(tmp_path / "x.pt")


def test_every_cut_is_an_error(sound, read):
    for end in [*range(0, 200), *range(200, len(sound), 997), len(sound) - 1]:
        with pytest.raises(CheckpointError):
            read(sound[:end])


def test_random_changes_end_in_arrays_or_in_the_one_error(sound, read):
    draw = random.Random(3)
    for _ in range(300):
        changed = bytearray(sound)
        for _ in range(draw.randrange(1, 6)):
            where = draw.choice((draw.randrange(7000), draw.randrange(len(sound)), -draw.randrange(1, 3000)))
            changed[where] = draw.randrange(256)
        with contextlib.suppress(CheckpointError):
            assert all(isinstance(array, np.ndarray) for array in read(bytes(changed)).values())


def test_a_storage_said_to_be_longer_than_the_file(sound, read):
    # The storage of the [10, 16] projection has BININT1 160 numbers; 0xA0 becomes 255. Behind it the zip
    # container's tuple ends, the older one's has one more element, None.
    ending = b"t" if sound.startswith(b"PK") else b"N"
    assert sound.count(b"K\xa0" + ending) == 1
    with pytest.raises(CheckpointError, match="does not fit into its storage"):
        read(sound.replace(b"K\xa0" + ending, b"K\xff" + ending))


def rewritten_pickle(read_data, old, new):
    """A zip container in whose pickle `old` is replaced."""
    return rezip(read_data, lambda name, data: data.replace(old, new) if name.endswith("data.pkl") else data)


@pytest.fixture
def zipped(recorded):
    return (recorded("formats/question-bin-zip") / "pytorch_model.bin").read_bytes()


def test_a_shape_larger_than_the_storage(zipped, read):
    # (10, 16), strides (16, 1), becomes (11, 16)
    with pytest.raises(CheckpointError, match=r"shape \(11, 16\).*does not fit"):
        read(rewritten_pickle(zipped, b"K\x0aK\x10\x86", b"K\x0bK\x10\x86"))


def test_negative_sizes(zipped, read):
    # BININT1 10 becomes BININT -10
    with pytest.raises(CheckpointError, match="whole number"):
        read(rewritten_pickle(zipped, b"K\x0aK\x10\x86", b"J\xf6\xff\xff\xffK\x10\x86"))


def test_a_storage_that_is_not_in_the_file(zipped, read):
    with pytest.raises(CheckpointError, match="is not in the file"):
        read(rezip(zipped, drop=["data/3"]))


def test_compressed_members_and_zip_bombs_are_refused_unread(zipped, read):
    with pytest.raises(CheckpointError, match="compressed"):
        read(rezip(zipped, compression=zipfile.ZIP_DEFLATED))
    bomb = rezip(
        zipped, lambda name, data: bytes(30_000_000) if "data/0" in name else data, zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 100_000
    with pytest.raises(CheckpointError, match="compressed"):
        read(bomb)


@pytest.mark.parametrize("front", ["../archive/", "/archive/", "a/b/", "..\\x/"])
def test_members_outside_are_refused(zipped, read, front):
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        read(rezip(zipped, rename=lambda name: front + name.split("/", 1)[1]))


def test_other_zip_files(zipped, read):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "text")
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        read(out.getvalue())
    script = io.BytesIO(rezip(zipped))
    with zipfile.ZipFile(script, "a") as archive:
        archive.writestr("archive/constants.pkl", "x")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read(script.getvalue())


def test_big_endian_files_are_refused(zipped, read):
    with pytest.raises(CheckpointError, match="big-endian"):
        read(rezip(zipped, lambda name, data: b"big" if name.endswith("byteorder") else data))


def test_a_member_that_reaches_past_the_end(zipped, read):
    # The central directory's size fields of the last member grow; 46 bytes of header, sizes at 20 and 24.
    data = bytearray(zipped)
    place = data.rindex(b"PK\x01\x02")
    data[place + 20 : place + 28] = struct.pack("<II", 10**8, 10**8)
    with pytest.raises(CheckpointError, match="cut off"):
        read(bytes(data))


def test_a_huge_pickle_is_refused(zipped, read, monkeypatch):
    monkeypatch.setattr(torch_files.pickles, "LARGEST_PICKLE", 1000)
    with pytest.raises(CheckpointError, match="no state_dict needs"):
        read(zipped)


def test_a_legacy_file_of_another_protocol(recorded, read):
    data = (recorded("formats/question-bin-legacy") / "pytorch_model.bin").read_bytes()
    assert data.count(b"M\xe9\x03.") == 1  # 1001, STOP
    with pytest.raises(CheckpointError, match="protocol 1001 expected, found 1002"):
        read(data.replace(b"M\xe9\x03.", b"M\xea\x03."))


def test_a_plain_pickle_is_no_checkpoint(read):
    with pytest.raises(CheckpointError, match=r"not a file that torch\.save wrote"):
        read(pickle.dumps({"a": [1.0]}))


def test_a_file_that_shrinks_after_it_was_opened(recorded, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes((recorded("formats/ctx-bin-legacy") / "pytorch_model.bin").read_bytes())
    checkpoint = torch_files.read_torch(path)
    path.write_bytes(path.read_bytes()[:7000])
    last = list(checkpoint.values())[-1]
    assert isinstance(last, LazyArray)
    with warnings.catch_warnings(), pytest.raises(CheckpointError, match="cut off"):
        last.read()

"""tf_model.h5: reading old and new layouts, refusing what reaches outside, and writing as v4.34 does."""

import h5py
import ml_dtypes
import numpy as np
import pytest

from dpr_tf.weights import files, hdf5, names
from dpr_tf.weights.arrays import CheckpointError, LazyArray

NAME = "ctx_encoder/encode_proj/bias:0"


def lazy(array):
    return LazyArray(array.shape, array.dtype, lambda: array)


def described(path):
    """Everything in a file but the numbers."""
    with h5py.File(path) as file:
        found = {"": {key: [str(x) for x in np.ravel(value)] for key, value in file.attrs.items()}}

        def visit(name, item):
            attributes = {key: [str(x) for x in np.ravel(value)] for key, value in item.attrs.items()}
            found[name] = (getattr(item, "shape", None), str(getattr(item, "dtype", None)), attributes)

        file.visititems(visit)
    return found


@pytest.mark.parametrize("kind", ["ctx", "question", "reader"])
def test_writing_a_recorded_file_gives_its_layout(kind, recorded, build, tmp_path):
    path = recorded(f"formats/{kind}-h5/tf_model.h5")
    checkpoint = files.read_checkpoint(path)
    rows, _ = build(path, kind)
    scope = names.TF_SCOPE[names.head_of(rows)]
    files.write_h5(tmp_path, {row.tf: checkpoint[f"{scope}/{row.tf}"] for row in rows}, scope)
    assert described(tmp_path / "tf_model.h5") == described(path)
    again = files.read_checkpoint(tmp_path)
    assert sorted(again) == sorted(checkpoint)
    for name in checkpoint:
        np.testing.assert_array_equal(again[name].read(), checkpoint[name].read())


def test_shards_have_flat_names_and_the_index_the_scope(recorded, build, tmp_path):
    checkpoint = files.read_checkpoint(recorded("formats/reader-h5/tf_model.h5"))
    rows, _ = build(checkpoint.path, "reader")
    arrays = {row.tf: checkpoint[f"tfdpr_reader/{row.tf}"] for row in rows}
    files.write_h5(tmp_path, arrays, "tfdpr_reader", 12_000)
    again = files.read_checkpoint(tmp_path)
    assert again.path.name == "tf_model.h5.index.json"
    assert sorted(again) == sorted(checkpoint)
    assert len(files.shard_names(again.path)) > 2
    for name in checkpoint:
        np.testing.assert_array_equal(again[name].read(), checkpoint[name].read())
    with h5py.File(tmp_path / files.shard_names(again.path)[0]) as shard:
        layers = list(shard.attrs["layer_names"])
        assert layers[0] == "span_predictor/encoder/bert_model/embeddings/word_embeddings/weight:0"
        assert isinstance(shard[layers[0]], h5py.Dataset)


def test_lists_of_names_longer_than_an_attribute_can_be_are_split(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "LARGEST_LIST", 40)
    arrays = {f"ctx_encoder/{i}:0": lazy(np.full(2, i, np.float32)) for i in range(70)}
    hdf5.write_hdf5_file(tmp_path / "x.h5", arrays, "scope")
    with h5py.File(tmp_path / "x.h5") as file:
        assert {"weight_names0", "weight_names1"} <= set(file["ctx_encoder"].attrs)
    found = hdf5.read_hdf5(tmp_path / "x.h5")
    assert sorted(found) == sorted(f"scope/{name}" for name in arrays)
    assert found["scope/ctx_encoder/61:0"].read()[0] == 61


def test_bfloat16_becomes_float32(tmp_path):
    files.write_h5(tmp_path, {NAME: np.array([1.5, 2.5], ml_dtypes.bfloat16)}, "scope")
    found = files.read_checkpoint(tmp_path)[f"scope/{NAME}"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.read(), [1.5, 2.5])


@pytest.fixture
def make(tmp_path):
    """Writes a file of one weight whose dataset `fill` makes."""

    def make(fill, names=("a:0",)):
        path = tmp_path / "tf_model.h5"
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [b"layer"]
            group = file.create_group("layer")
            group.attrs["weight_names"] = [name.encode() for name in names]
            fill(group)
        return path

    return make


def test_the_same_file_unbroken(make):
    path = make(lambda group: group.create_dataset("a:0", data=np.ones((2, 3), ">f8")))
    found = files.read_checkpoint(path)["a:0"]
    assert found.dtype == np.dtype("float64")
    np.testing.assert_array_equal(found.read(), np.ones((2, 3)))


def test_links_to_other_files_are_refused(make, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_dataset("secret", data=np.ones(3))
    path = make(
        lambda group: group.__setitem__("a:0", h5py.ExternalLink(str(tmp_path / "other.h5"), "secret"))
    )
    with pytest.raises(CheckpointError, match="refused: layer/a:0 is a link"):
        files.read_checkpoint(path)


def test_groups_that_hold_themselves_are_refused(make):
    def fill(group):
        for name in ("a:0", "b"):
            group[name] = group.parent["layer"]

    with pytest.raises(CheckpointError, match="without end"):
        files.read_checkpoint(make(fill))


def test_data_in_other_files_is_refused(make, tmp_path):
    (tmp_path / "raw").write_bytes(bytes(12))
    path = make(
        lambda group: group.create_dataset(
            "a:0", (3,), "f4", external=[(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        )
    )
    with pytest.raises(CheckpointError, match="lies in another file"):
        files.read_checkpoint(path)


@pytest.mark.parametrize(
    "fill",
    [
        lambda group: group.create_dataset("a:0", (10**9, 10**6), "f4"),  # claimed, never written
        lambda group: group.create_dataset("a:0", data=np.zeros(10**6, "f4"), compression="gzip"),
        lambda group: group.create_dataset("a:0", data=[b"text"]),
    ],
    ids=["unwritten", "compressed", "text"],
)
def test_datasets_that_are_no_weights(make, fill):
    with pytest.raises(CheckpointError):
        files.read_checkpoint(make(fill))


def test_a_file_of_keras_3(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("layers")
    with pytest.raises(CheckpointError, match=r"model\.load_weights"):
        files.read_checkpoint(tmp_path / "x.h5")


def test_every_cut_is_an_error(recorded, tmp_path):
    data = recorded("formats/ctx-h5/tf_model.h5").read_bytes()
    path = tmp_path / "tf_model.h5"
    for end in range(0, len(data), 5003):
        path.write_bytes(data[:end])
        with pytest.raises(CheckpointError):
            files.read_checkpoint(path)

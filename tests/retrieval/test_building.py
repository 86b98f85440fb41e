"""From a store of vectors to an index: the same as adding them by hand, and only for vectors that fit."""

import numpy as np
import pytest

from dpr_tf.data.vectors import write_vectors
from dpr_tf.retrieval import ExactIndex, VectorStore
from dpr_tf.retrieval.building import Built, build_index
from dpr_tf.retrieval.cutting import Planned
from dpr_tf.retrieval.indexes import Origin, load_index
from dpr_tf.retrieval.shards import begin, finish, write_shard

SIZES = (30, 17, 53)
IDS = [f"p{number}" for number in range(100)]
SETTINGS = {"model": "f1", "token_types": "zeros", "dtype": "float32", "dim": 8}
QUESTIONS = np.random.default_rng(2).normal(size=(5, 8)).astype(np.float32)


def drawn(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


VECTORS = drawn(100)


def make_store(folder, vectors=VECTORS, **changed):
    settings = {**SETTINGS, **changed}
    begin(folder, settings)
    shards, first = [], 0
    for number, size in enumerate(SIZES):
        rows = slice(first, first + size)
        write_shard(folder, f"{number:032x}", IDS[rows], vectors[rows], settings["dtype"])
        shards.append(Planned(f"{number:032x}", size))
        first += size
    finish(folder, settings, shards)
    return folder


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "vectors")


def build(vectors, folder, *arguments, **options):
    """Builds an index, and reads it."""
    built = build_index(vectors, folder, *arguments, progress=False, **options)
    index = load_index(folder)
    origin = index.origin or (None, None)
    assert built == Built(index.kind, len(index), 8, index.is_exact, *origin)
    return index


def assert_same(index, twin):
    assert list(index.ids) == list(twin.ids)
    for found, expected in zip(index.search(QUESTIONS, 100), twin.search(QUESTIONS, 100), strict=True):
        np.testing.assert_array_equal(found, expected)


def by_hand(vectors=VECTORS, **options):
    twin = ExactIndex(8, **options)
    twin.add(vectors, IDS)
    return twin


@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"first_pass": "int8"}], ids=str)
def test_an_exact_index_is_the_one_made_by_hand(tmp_path, store, options):
    index = build(store, tmp_path / "index", **options)
    assert_same(index, by_hand(**options))
    assert (index.origin, index.data) == (Origin("f1", "zeros"), [VectorStore.open(store).fingerprint])
    assert index.options == by_hand(**options).options


def test_the_dtype_is_the_vectors_own_if_none_is_named(tmp_path):
    half = make_store(tmp_path / "half", dtype="float16")
    index = build(half, tmp_path / "index")
    assert index.options["dtype"] == "float16"
    assert_same(index, by_hand(VECTORS.astype(np.float16), dtype="float16"))


def test_dprs_own_shards_make_the_same_index_of_unknown_origin(tmp_path):
    files = [tmp_path / "wiki_0", tmp_path / "wiki_1"]
    write_vectors(files[0], zip(IDS[:40], VECTORS[:40], strict=True))
    write_vectors(files[1], zip(IDS[40:], VECTORS[40:], strict=True))
    index = build(files, tmp_path / "index")
    assert index.origin is None
    assert_same(index, by_hand())
    assert len(build(files[1], tmp_path / "second")) == 60


def test_a_new_index_replaces_the_old_one_and_a_failure_leaves_it(tmp_path, store):
    build(store, tmp_path / "index")
    other = make_store(tmp_path / "other", drawn(100, seed=5))
    (shard,) = (tmp_path / "other").glob("*2.npy")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ValueError, match="its SHA-256 differs"):
        build(other, tmp_path / "index")
    assert_same(load_index(tmp_path / "index"), by_hand())
    build(make_store(tmp_path / "third", drawn(100, seed=7)), tmp_path / "index")
    assert_same(load_index(tmp_path / "index"), by_hand(drawn(100, seed=7)))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("heap", {}, "kind='heap': expected one of 'exact', 'faiss', 'milvus'"),
        ("exact", {"index_type": "hnsw"}, "kind 'exact' does not fit its options: .*index_type"),
        ("exact", {"dtype": "int8"}, "dtype='int8'"),
    ],
)
def test_refuses_kinds_and_options_that_are_none(tmp_path, store, kind, options, message):
    with pytest.raises(ValueError, match=message):
        build(store, tmp_path / "index", kind, **options)


def test_shows_progress(tmp_path, store, capsys):
    build_index(store, tmp_path / "index")
    assert "Indexing vectors: 100%" in capsys.readouterr().err


class TestFaiss:
    """Where FAISS is installed."""

    @pytest.fixture(autouse=True)
    def _faiss(self):
        pytest.importorskip("faiss", reason="the extra faiss is not installed")

    def test_learns_from_all_shards(self, tmp_path):
        # The first shard alone spans a tenth of the range that SQ8 must cover.
        vectors = VECTORS.copy()
        vectors[:30] /= 10
        store = make_store(tmp_path / "vectors", vectors)
        index = build(store, tmp_path / "index", "faiss", index_type="sq8")
        scores, _ = index.search(QUESTIONS, 100)
        np.testing.assert_allclose(scores, by_hand(vectors).search(QUESTIONS, 100)[0], atol=0.1)

    def test_options_reach_the_index(self, tmp_path, store):
        options = {"index_type": "ivf", "lists": 2, "probes": 2, "rescore": 3, "dtype": "float16"}
        index = build(store, tmp_path / "index", "faiss", **options)
        assert {name: index.options[name] for name in options} == options
        assert_same(index, by_hand(dtype="float16"))


class TestMilvus:
    """Where Milvus is installed."""

    @pytest.fixture(autouse=True)
    def _milvus(self):
        pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
        pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

    def test_each_build_is_a_collection_and_the_replaced_one_goes(self, tmp_path, store):
        from pymilvus import MilvusClient

        names = []
        for seed in (1, 5):
            folder = make_store(tmp_path / f"vectors{seed}", drawn(100, seed))
            index = build(folder, tmp_path / "index", "milvus", uri=str(tmp_path / "a.db"), collection="mine")
            found, expected = index.search(QUESTIONS, 100), by_hand(drawn(100, seed)).search(QUESTIONS, 100)
            np.testing.assert_array_equal(found[1], expected[1])
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
            names.append(index.options["collection"])
            index.close()
            client = MilvusClient(str(tmp_path / "a.db"))
            assert client.list_collections() == names[-1:]
            client.close()
        assert names[0] != names[1]
        assert all(name.startswith("mine_") for name in names)
        (shard,) = store.glob("*2.npy")
        shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
        with pytest.raises(ValueError, match="its SHA-256 differs"):
            build(store, tmp_path / "index", "milvus", uri=str(tmp_path / "a.db"))
        client = MilvusClient(str(tmp_path / "a.db"))
        assert client.list_collections() == names[-1:]
        client.close()

"""The Milvus index against the exact one: in a file, and over the network from a server on this machine."""

import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

from dpr_tf.retrieval.indexes import ExactIndex, Origin, load_index
from dpr_tf.retrieval.indexes.milvus import MilvusIndex

ORIGIN = Origin("m", "zeros")


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(4)
    centres = random.normal(size=(12, 16))
    return (centres[random.integers(12, size=330)] + random.normal(size=(330, 16)) * 0.5).astype(np.float32)


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "passages.db")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Milvus's own protocol, served on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--data-dir", str(tmp_path_factory.mktemp("milvus")), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([sys.executable, "-m", "milvus_lite", "server", *place]) as run:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        run.terminate()


def filled(vectors, uri, **options):
    index = MilvusIndex(16, ORIGIN, uri=uri, **options)
    index.add(vectors[:200], origin=ORIGIN)
    index.add(vectors[200:300].astype(np.float16), origin=ORIGIN)
    return index


def exact(vectors):
    twin = ExactIndex(16, ORIGIN)
    twin.add(vectors[:200], origin=ORIGIN)
    twin.add(vectors[200:300].astype(np.float16), origin=ORIGIN)
    return twin


def assert_same(index, twin, questions, k, **filters):
    found, expected = index.search(questions, k, **filters), twin.search(questions, k, **filters)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", ["file", "server"])
def test_finds_what_the_exact_index_finds(request, tmp_path, vectors, place):
    uri = request.getfixturevalue(place)
    index, twin, questions = filled(vectors, uri), exact(vectors), vectors[300:]
    for k in (1, 10, 400):  # 300 are there
        assert_same(index, twin, questions, k)
    for one in (index, twin):
        one.remove([str(row) for row in range(0, 300, 7)])
    filters = {"only": np.arange(3, 290), "exclude": [[row, 5] for row in range(10, 40)]}
    assert_same(index, twin, questions, 10, **filters)
    assert_same(index, twin, questions, 10, only=np.array([2, 3, 7]))
    index.save(tmp_path / "index")
    assert index.is_exact
    assert_same(index, twin, questions, 10)
    index.close()
    loaded = load_index(tmp_path / "index")
    assert (type(loaded), loaded.options, loaded.origin) == (MilvusIndex, index.options, ORIGIN)
    for one in (loaded, twin):
        one.add(vectors[300:310], [f"new {row}" for row in range(10)], origin=ORIGIN)
    assert_same(loaded, twin, questions, 20)
    loaded.drop()
    loaded.close()


def test_equal_scores_are_ordered_by_row_and_none_is_left_out(file):
    index = MilvusIndex(4, uri=file)
    assert index.search(np.ones((1, 4), np.float32), k=2)[1].tolist() == [[-1, -1]]
    stored = np.ones((200, 4), np.float32)
    stored[::2] = 2
    index.add(stored)
    index.remove(["2"])
    scores, rows = index.search(np.ones((2, 4), np.float32), k=6)
    assert rows.tolist() == [[0, 4, 6, 8, 10, 12]] * 2
    assert scores.tolist() == [[8.0] * 6] * 2
    rows = index.search(np.ones((1, 4), np.float32), k=202)[1]
    assert rows.tolist() == [[0, *range(4, 200, 2), *range(1, 200, 2), -1, -1, -1]]
    index.close()


def test_what_was_not_saved_is_not_there(tmp_path, vectors, file):
    index = filled(vectors, file)
    index.save(tmp_path / "index")
    index.add(vectors[300:310], origin=ORIGIN)
    index.remove(["4"])
    index.close()  # as if killed
    loaded, twin = load_index(tmp_path / "index"), exact(vectors)
    assert_same(loaded, twin, vectors[300:], 10)
    for one in (loaded, twin):  # the same rows again
        one.add(vectors[320:], origin=ORIGIN)
    assert_same(loaded, twin, vectors[300:], 10)
    loaded.close()


def test_a_graph_finds_most(vectors, file):
    index, twin = filled(vectors, file, index_type="hnsw"), exact(vectors)
    found, expected = index.search(vectors[300:], 10)[1], twin.search(vectors[300:], 10)[1]
    assert (
        np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), expected.tolist(), strict=True)])
        > 0.95
    )
    assert not index.is_exact
    index.close()


def test_refuses_a_collection_that_is_there_or_gone_or_of_another_width(tmp_path, vectors, file):
    index = filled(vectors, file)
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match="has a collection 'passages' already"):
        MilvusIndex(16, uri=file).add(vectors)
    index.drop()
    index.close()
    with pytest.raises(FileNotFoundError, match="has no collection 'passages', with the vectors of"):
        load_index(tmp_path / "index")
    narrow = MilvusIndex(5, uri=file)
    narrow.add(np.ones((2, 5), np.float32))
    with pytest.raises(ValueError, match="expected vectors of 16 numbers, found 5"):
        load_index(tmp_path / "index")
    narrow.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index_type": "pq"}, "index_type='pq': expected one of 'flat', 'hnsw'"),
        ({"ef_search": 0}, "ef_search must be at least 1, got 0"),
    ],
)
def test_refuses_options_that_are_none(file, options, message):
    with pytest.raises(ValueError, match=message):
        MilvusIndex(3, uri=file, **options)

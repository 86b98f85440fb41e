"""FAISS indexes against the exact one, on vectors with neighbours as encoders make them."""

import json

import numpy as np
import pytest

pytest.importorskip("faiss", reason="the extra faiss is not installed")

from dpr_tf.retrieval.indexes import ExactIndex, FaissIndex, Origin, load_index

# index_type and options -> the least recall@10 on the vectors below
LEAST = [
    ({"index_type": "flat"}, 1.0),
    ({"index_type": "fp16"}, 0.99),
    ({"index_type": "sq8"}, 0.95),
    ({"index_type": "sq8", "rescore": 3}, 1.0),
    ({"index_type": "ivf", "lists": 20, "probes": 10}, 0.9),
    ({"index_type": "hnsw"}, 0.95),
    ({"index_type": "rabitq", "rescore": 20}, 0.9),
]
each_type = pytest.mark.parametrize(("options", "least"), LEAST, ids=lambda value: str(value))


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(4)
    centres = random.normal(size=(12, 32))
    drawn = centres[random.integers(12, size=2_050)] + random.normal(size=(2_050, 32)) * 0.5
    return drawn.astype(np.float32)


@pytest.fixture(scope="module")
def questions(vectors):
    return vectors[2_000:]


@pytest.fixture(scope="module")
def exact(vectors):
    index = ExactIndex(32)
    index.add(vectors[:2_000])
    return index


def filled(vectors, options):
    index = FaissIndex(32, Origin("m", "zeros"), **options)
    index.add(vectors[:1_500], origin=Origin("m", "zeros"))
    index.add(vectors[1_500:2_000].astype(np.float16), origin=Origin("m", "zeros"))
    return index


def recall(rows, expected):
    return np.mean(
        [len(set(a) & set(b)) / len(b) for a, b in zip(rows.tolist(), expected.tolist(), strict=True)]
    )


@each_type
def test_recall_filters_and_files(tmp_path, vectors, questions, options, least):
    index = filled(vectors, options)
    twin = ExactIndex(32)
    twin.add(vectors[:1_500])
    twin.add(vectors[1_500:2_000].astype(np.float16))
    for one in (index, twin):
        one.remove([str(row) for row in range(0, 2_000, 7)])
    only = np.arange(3, 1_990)
    exclude = [[row, 5] for row in range(10, 60)]
    found = index.search(questions, 10, only=only, exclude=exclude)
    expected = twin.search(questions, 10, only=only, exclude=exclude)
    assert recall(found[1], expected[1]) >= least
    assert not np.isin(found[1], [0, 1, 2, 5, 7, 14, *range(1_990, 2_000)]).any()
    assert (np.diff(found[0]) <= 0).all()
    assert index.is_exact == (options["index_type"] == "flat")
    index.save(tmp_path)
    for memory_map in (False, True):
        loaded = load_index(tmp_path, memory_map=memory_map)
        assert (type(loaded), loaded.options, len(loaded)) == (FaissIndex, index.options, len(index))
        again = loaded.search(questions, 10, only=only, exclude=exclude)
        np.testing.assert_array_equal(again[1], found[1])
        np.testing.assert_array_equal(again[0], found[0])
    with pytest.raises(ValueError, match="memory-mapped FAISS index cannot grow"):
        loaded.add(questions[:1], ["new"], origin=Origin("m", "zeros"))
    loaded.save(tmp_path)  # over the files that it is mapped from
    loaded = load_index(tmp_path)
    loaded.add(questions[:1], ["new"], origin=Origin("m", "zeros"))
    assert 2_000 in loaded.search(questions[:1], 10)[1]


def test_rescored_scores_are_the_exact_ones(vectors, questions, exact):
    index = FaissIndex(32, index_type="sq8", rescore=3)
    index.add(vectors[:2_000])
    for found, expected in zip(index.search(questions, 10), exact.search(questions, 10), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_k_larger_than_the_index_and_equal_scores():
    index = FaissIndex(4, index_type="flat")
    assert index.search(np.ones((1, 4), np.float32), k=2)[1].tolist() == [[-1, -1]]
    index.add(np.ones((5, 4), np.float32))
    index.remove(["1"])
    scores, rows = index.search(np.ones((2, 4), np.float32), k=6)
    assert rows.tolist() == [[0, 2, 3, 4, -1, -1]] * 2
    assert scores.tolist() == [[4, 4, 4, 4, -np.inf, -np.inf]] * 2


def test_an_empty_index_comes_back(tmp_path):
    FaissIndex(4, index_type="ivf", rescore=2).save(tmp_path)
    loaded = load_index(tmp_path)
    loaded.add(np.ones((90, 4), np.float32))
    assert len(loaded) == 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index_type": "pq"}, "index_type='pq': expected one of 'flat', 'hnsw', 'sq8'"),
        ({"index_type": "sq8", "rescore": -1}, "rescore must be at least 0, got -1"),
        ({"index_type": "ivf", "probes": 0}, "probes must be at least 1, got 0"),
    ],
)
def test_refuses_options_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        FaissIndex(3, **options)


def test_refuses_more_lists_than_vectors():
    with pytest.raises(ValueError, match="9 lists need as many vectors to learn from, got 2"):
        FaissIndex(3, index_type="ivf", lists=9).add(np.ones((2, 3), np.float32))


@pytest.mark.parametrize("content", [b"", b"IxFI", b"\0" * 64])
def test_refuses_a_file_that_is_no_faiss_index(tmp_path, content):
    index = FaissIndex(3, index_type="flat")
    index.add(np.ones((2, 3), np.float32))
    index.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / manifest["files"]["faiss"]["name"]).write_bytes(content)
    manifest["files"]["faiss"]["bytes"] = len(content)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="FAISS cannot read it"):
        load_index(tmp_path, verify=False)

"""BM25 against a twin that computes every score from the published formula, one by one."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from dpr_tf.data import Passage
from dpr_tf.retrieval import BM25Index, BM25Retriever
from dpr_tf.retrieval.bm25 import words

pytest.importorskip("bm25s")

PASSAGES = [
    Passage("a", "Bridge", "The old bridge over the river was built of stone."),
    Passage("b", "", "Émile Zola was in Paris, in the red tower."),
    Passage("c", "Queen", "The king, the queen and the old, old bridge."),
    Passage("d", "", "..."),
    Passage("e", "Bridge", "The old bridge over the river was built of stone."),
]


@pytest.fixture(scope="module")
def index():
    return BM25Index.build(iter(PASSAGES))


def slow_scores(passages, question, k1, b):
    """sum over the question's words of idf * tf / (tf + k1 * (1 - b + b * length / mean length))."""
    texts = [words(f"{passage.title} {passage.text}") for passage in passages]
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        score = 0.0
        for word in words(question):
            having = sum(word in other for other in texts)
            idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
            tf = text.count(word)
            score += idf * tf / (tf + k1 * (1 - b + b * len(text) / mean)) if tf else 0.0
        scores.append(score)
    return scores


def slow_search(passages, question, k, k1, b):
    scores = slow_scores(passages, question, k1, b)
    order = sorted(
        (row for row, score in enumerate(scores) if score > 0), key=lambda row: (-scores[row], row)
    )[:k]
    return [scores[row] for row in order], order


def test_words():
    assert words("The Émile-Zola's “snake_case” x² ﬁn, 3.5") == [
        "the", "émile", "zola", "s", "snake", "case", "x2", "fin", "3", "5",
    ]  # fmt: skip
    assert words("E\u0301mile") == words("émile")
    assert words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert words("... \u200b") == []


@pytest.mark.parametrize(
    "question", ["the old bridge", "old old Bridge?", "ÉMILE zola in Rome", "queen", "the"]
)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_search_equals_the_formula(index, question, k):
    scores, rows = index.search([question], k)
    expected_scores, expected_rows = slow_search(PASSAGES, question, k, 0.9, 0.4)
    found = len(expected_rows)
    assert rows[0].tolist() == expected_rows + [-1] * (k - found)
    np.testing.assert_allclose(scores[0, :found], expected_scores, rtol=1e-6)
    assert not scores[0, found:].any()
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (0.0, 0.0), (2.0, 1.0)])
def test_search_equals_the_formula_on_random_passages(k1, b):
    generator = np.random.default_rng(4)
    vocabulary = [f"w{number}" for number in range(19)]

    def text(longest):
        return " ".join(generator.choice(vocabulary, generator.integers(1, longest)))

    passages = [Passage(str(number), text(3), text(23)) for number in range(41)]
    index = BM25Index.build(passages, k1=k1, b=b)
    questions = [text(7) for _ in range(31)]
    scores, rows = index.search(questions, 13)
    for question, some_scores, some_rows in zip(questions, scores, rows, strict=True):
        every = np.array(slow_scores(passages, question, k1, b))
        found = some_rows[some_rows >= 0]
        np.testing.assert_allclose(some_scores[: len(found)], every[found], rtol=1e-5)
        # the right ones, although rounding may swap those of nearly equal score
        np.testing.assert_allclose(some_scores[: len(found)], np.sort(every)[::-1][: len(found)], rtol=1e-5)
        assert len(found) == min(13, np.count_nonzero(every))


def test_equal_scores_go_by_row(index):
    _, rows = index.search(["stone river"], 1)
    assert rows.tolist() == [[0]]  # row 4 has the same text
    _, rows = index.search(["stone river"], 3)
    assert rows.tolist() == [[0, 4, -1]]


def test_questions_without_known_words_find_nothing(index):
    scores, rows = index.search(["Rome", "", "?!"], 2)
    assert (rows == -1).all()
    assert not scores.any()
    assert index.search([], 2)[1].shape == (0, 2)


@pytest.mark.parametrize("k", [0, 6])
def test_search_refuses_k_out_of_range(index, k):
    with pytest.raises(ValueError, match=f"between 1 and the index's 5 passages, got {k}"):
        index.search(["old"], k)


def test_search_refuses_a_single_str(index):
    with pytest.raises(TypeError, match="one str"):
        index.search("old", 1)


@pytest.mark.parametrize(
    ("passages", "options", "message"),
    [
        ([], {}, "no passages"),
        ([PASSAGES[3]], {}, "none of them has a word"),
        ([PASSAGES[0], PASSAGES[0]], {}, "'a' comes twice"),
        (PASSAGES, {"k1": -1}, "k1 of at least 0"),
        (PASSAGES, {"b": 1.5}, "b from 0 to 1"),
        (PASSAGES, {"k1": float("nan")}, "k1 of at least 0"),
    ],
)
def test_build_refuses(passages, options, message):
    with pytest.raises(ValueError, match=message):
        BM25Index.build(passages, **options)


def test_without_bm25s_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(ImportError, match=r'pip install "dpr_tf\[sparse\]"'):
        BM25Index.build(PASSAGES)


def test_save_and_load(index, tmp_path):
    path = tmp_path / "index"
    path.write_text("an older file")
    index.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["index"]
    loaded = BM25Index.load(path)
    assert (loaded.ids, loaded.k1, loaded.b) == (["a", "b", "c", "d", "e"], 0.9, 0.4)
    for question in ("the old bridge", "Zola"):
        for found, expected in zip(loaded.search([question], 5), index.search([question], 5), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_same_passages_same_bytes(tmp_path):
    for name in ("one", "two"):
        BM25Index.build(PASSAGES).save(tmp_path / name)
    with np.load(tmp_path / "one") as one, np.load(tmp_path / "two") as two:
        assert all((one[name] == two[name]).all() for name in ("head", "scores", "rows", "starts"))


def test_a_failed_save_leaves_the_old_file(index, tmp_path, monkeypatch):
    index.save(tmp_path / "index")
    before = (tmp_path / "index").read_bytes()

    def fail(stream, **arrays):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="disk full"):
        index.save(tmp_path / "index")
    assert (tmp_path / "index").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def saved(index, path, **changes):
    """An index file with other arrays, or another head."""
    index.save(path)
    with np.load(path) as arrays:
        content = dict(arrays)
    head = json.loads(content["head"].tobytes()) | changes.pop("head", {})
    content["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    for name, change in changes.items():
        content[name] = change(content[name].copy())
    with open(path, "wb") as stream:
        np.savez(stream, **content)


def with_item(array, place, value):
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": {"format": "other"}}, "another format"),
        ({"head": {"ids": ["a"]}}, "point outside of the 1 passages"),
        ({"head": {"ids": [1, 2, 3, 4, 5]}}, "no list of text"),
        ({"head": {"words": ["old"]}}, "do not fit 1 words"),
        ({"head": {"k1": "0.9"}}, "k1 is no number"),
        ({"rows": lambda rows: with_item(rows, 0, -1)}, "point outside"),
        ({"rows": lambda rows: with_item(rows, 0, 5)}, "point outside"),
        ({"rows": lambda rows: rows.astype(np.int64)}, "int32 rows"),
        ({"rows": lambda rows: rows[:-1]}, "do not fit"),
        ({"starts": lambda starts: with_item(starts, 1, 99)}, "point outside"),
        ({"starts": lambda starts: starts[::-1]}, "do not fit"),
        ({"scores": lambda scores: with_item(scores, 0, np.nan)}, "not finite"),
    ],
)
def test_load_refuses_what_does_not_fit(index, tmp_path, changes, message):
    saved(index, tmp_path / "index", **changes)
    with pytest.raises(ValueError, match=f"index: expected a BM25 index, found .*{message}.*build it again"):
        BM25Index.load(tmp_path / "index")


def test_load_refuses_damage_and_other_files(index, tmp_path):
    path = tmp_path / "index"
    index.save(path)
    whole = path.read_bytes()
    for content in (b"", b"id\ttext\n", whole[:-40], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="expected a BM25 index"):
            BM25Index.load(path)
    with open(path, "wb") as stream:
        np.savez(stream, head=np.array([{}], dtype=object))  # a pickle inside
    with pytest.raises(ValueError, match="expected a BM25 index"):
        BM25Index.load(path)
    with open(path, "wb") as stream:
        np.savez_compressed(stream, head=np.zeros(10**6, np.uint8))
    with pytest.raises(ValueError, match="unpacks to more than its size"):
        BM25Index.load(path)
    with pytest.raises(FileNotFoundError):
        BM25Index.load(tmp_path / "absent")


def test_retriever():
    retriever = BM25Retriever.build(PASSAGES)
    (stone, nothing) = retriever.retrieve(["Stone?", "Rome?"], 10)
    assert [(scored.passage, scored.rank) for scored in stone] == [(PASSAGES[0], 1), (PASSAGES[4], 2)]
    assert stone[0].score == stone[1].score > 0
    assert nothing == []


def test_retriever_refuses_other_passages(index):
    with pytest.raises(ValueError, match="the index holds 5 passages, the collection 4"):
        BM25Retriever(index, PASSAGES[:4])
    with pytest.raises(ValueError, match="passage 'b' where the collection has 'c'"):
        BM25Retriever(index, [PASSAGES[row] for row in (0, 2, 1, 3, 4)])


def test_sparse_retrieval_needs_no_keras():
    script = "import sys, dpr_tf.retrieval.bm25, dpr_tf.retrieval.hybrid, dpr_tf.retrieval.mining\n"
    script += "print([name for name in ('keras', 'tensorflow', 'bm25s') if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"

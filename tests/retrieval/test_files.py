"""From a file of questions to a file of what was found: dense, by words and hybrid."""

import os

import pytest
from small_words import save_checkpoints

from dpr_tf.checkpoints import load_checkpoint
from dpr_tf.data import Passage, Question, read_retrieved, write_passages, write_questions
from dpr_tf.retrieval import ExactIndex, Retriever, embed_passages, fuse_by_weight, retrieve, tune_weight
from dpr_tf.retrieval.bm25 import BM25Retriever

PASSAGES = [
    Passage("a", "Bridge", "the old bridge over the river was built of stone ."),
    Passage("b", "Zola", "emile zola was in paris , by the red tower ."),
    Passage("c", "", "the king and the queen ."),
    Passage("d", "Rome", "the green river in rome ."),
    Passage("e", "", "a small tower of wood ."),
]
QUESTIONS = [
    Question("who was in Paris?", ("Emile Zola", "zola"), "q1"),
    Question("what was built of stone?", ("bridge",), "q2"),
    Question("what was the tower built of?", ("wood",), "q3"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def vectors(folder):
    return embed_passages(
        *load_checkpoint("context_encoder", folder / "context_encoder"), PASSAGES, progress=False
    )


@pytest.fixture
def files(folder, vectors, tmp_path, monkeypatch):
    """Keywords for `retrieve`; the files are in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_passages("passages.tsv", PASSAGES)
    write_questions("questions.jsonl", QUESTIONS)
    index = ExactIndex(vectors.shape[1])
    # In another order than the collection, and one of them a second time, under a new row.
    index.add(vectors[[3, 0, 1]], ["d", "a", "b"])
    index.remove(["a"])
    index.add(vectors[[2, 4, 0]], ["c", "e", "a"])
    index.save("index")
    encoder = str(folder / "question_encoder")
    return {"passages": "passages.tsv", "index": "index", "question_encoder": encoder, "progress": False}


@pytest.fixture
def dense(folder, vectors):
    index = ExactIndex(vectors.shape[1])
    index.add(vectors)
    return Retriever(
        *load_checkpoint("question_encoder", folder / "question_encoder"), index, PASSAGES
    ).retrieve


def found(path="found.json"):
    return [
        (one.question, [(passage.id, pytest.approx(passage.score, rel=1e-5)) for passage in one.passages])
        for one in read_retrieved(path)
    ]


def wanted(rankings):
    return [
        (question.text, [(scored.passage.id, scored.score) for scored in ranking])
        for question, ranking in zip(QUESTIONS, rankings, strict=True)
    ]


def test_dense_finds_what_the_retriever_finds_whatever_the_order_of_the_index(files, dense):
    counts = retrieve("questions.jsonl", "found.json", **files, k=4, batch_size=2)
    assert found() == wanted(dense([question.text for question in QUESTIONS], 4))
    assert (counts.questions, counts.passages, counts.weight) == (3, 12, None)
    first = next(read_retrieved("found.json"))
    assert (first.id, first.answers) == ("q1", ("Emile Zola", "zola"))
    assert {p.id for p in first.passages if p.has_answer} == {p.id for p in first.passages if p.id == "b"}
    assert all(passage.passage in PASSAGES for passage in first.passages)


def test_the_question_encoder_computes_in_bfloat16_if_asked(files, dense):
    retrieve("questions.jsonl", "found.json", **files, k=4, precision="bfloat16")
    exact = [scored.score for ranking in dense([one.text for one in QUESTIONS], 4) for scored in ranking]
    half = [passage.score for one in read_retrieved("found.json") for passage in one.passages]
    assert half == pytest.approx(exact, rel=0.05)
    assert half != pytest.approx(exact, rel=1e-5)


def test_by_words_needs_no_index(files):
    pytest.importorskip("bm25s")
    counts = retrieve("questions.jsonl", "found.json", passages="passages.tsv", bm25=True, progress=False)
    texts = [question.text for question in QUESTIONS]
    assert found() == wanted(BM25Retriever.build(PASSAGES).retrieve(texts, 100))
    # "what was the tower built of?" shares more words with the bridge than with the tower of wood.
    assert counts.accuracy == {1: 2 / 3, 5: 1.0, 20: 1.0, 100: 1.0}


def test_a_bm25_index_is_kept_and_used_again(files, monkeypatch):
    bm25s = pytest.importorskip("bm25s")
    options = {"passages": "passages.tsv", "bm25_index": "words.npz", "progress": False}
    retrieve("questions.jsonl", "first.json", **options)
    monkeypatch.setattr(bm25s.BM25, "build_index_from_ids", None)  # is not called again
    retrieve("questions.jsonl", "second.json", **options)
    assert found("first.json") == found("second.json")
    write_passages("passages.tsv", PASSAGES[::-1])
    with pytest.raises(ValueError, match="the index has passage 'a' where the collection has 'e'"):
        retrieve("questions.jsonl", "third.json", **options)


def test_hybrid_fuses_with_the_given_or_the_tuned_weight_or_by_rank(files, dense):
    pytest.importorskip("bm25s")
    texts = [question.text for question in QUESTIONS]
    pools = BM25Retriever.build(PASSAGES).retrieve(texts, 100), dense(texts, 100)
    counts = retrieve("questions.jsonl", "found.json", **files, bm25=True, weight=0.5, k=3)
    assert counts.weight == 0.5
    assert found() == wanted([fuse_by_weight(*pair, 0.5, 3) for pair in zip(*pools, strict=True)])
    counts = retrieve("questions.jsonl", "found.json", **files, bm25=True, tune="questions.jsonl")
    best = tune_weight(*pools, [question.answers for question in QUESTIONS])
    assert counts.weight == pytest.approx(best.weight, rel=1e-5)
    retrieve("questions.jsonl", "found.json", **files, bm25=True)
    assert max(passage.score for one in read_retrieved("found.json") for passage in one.passages) <= 2 / 61


def test_without_answers_nothing_is_judged(files):
    write_questions("bare.jsonl", [QUESTIONS[0], Question("who was the king?")])
    counts = retrieve("bare.jsonl", "found.json", **files)
    assert counts.accuracy == {}
    last = list(read_retrieved("found.json"))[-1]
    assert {passage.has_answer for passage in last.passages} == {None}


@pytest.mark.parametrize(
    ("passages", "message"),
    [
        (PASSAGES[:4], "it holds 5 passages, the collection 4, of which 4 are the same"),
        ([*PASSAGES[:4], Passage("f", "", "other")], "1 of 5 ids are not in the index, the first is 'f'"),
        ([*PASSAGES, PASSAGES[0]], "it holds 5 passages, the collection 6, of which 5 are the same"),
    ],
)
def test_refuses_an_index_of_other_passages(files, passages, message):
    write_passages("passages.tsv", passages)
    with pytest.raises(ValueError, match=f"index is no index of passages.tsv: {message}"):
        retrieve("questions.jsonl", "found.json", **files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": None}, "index and question_encoder belong together"),
        ({"index": None, "question_encoder": None}, "nothing to search with"),
        ({"weight": 1.0}, "weight and tune are of hybrid retrieval"),
        ({"bm25": True, "weight": 1.0, "tune": "questions.jsonl"}, "there is nothing to tune"),
        ({"bm25": True, "tune": "bare.jsonl"}, "bare.jsonl: expected questions with answers"),
        ({"k": 0}, "must be at least 1, got 0, 100 and 256"),
        ({"precision": "half"}, "precision='half': expected 'float32' or 'bfloat16'"),
    ],
)
def test_refuses_options_that_do_not_fit(files, options, message):
    write_questions("bare.jsonl", [Question("who was the king?")])
    with pytest.raises(ValueError, match=message):
        retrieve("questions.jsonl", "found.json", **{**files, **options})


def test_what_stops_it_leaves_no_half_file(files, monkeypatch):
    def stop(self, questions, k):
        raise KeyboardInterrupt

    monkeypatch.setattr(Retriever, "retrieve", stop)
    before = sorted(os.listdir())
    with pytest.raises(KeyboardInterrupt):
        retrieve("questions.jsonl", "found.json", **files)
    assert sorted(os.listdir()) == before

"""From a file of what was found to a file of answers, measured on the way."""

import json
from pathlib import Path

import pytest
from small_words import save_checkpoints

from dpr_tf.checkpoints import load_checkpoint
from dpr_tf.data import Passage, Retrieved, RetrievedPassage, write_retrieved
from dpr_tf.evaluation import exact_match
from dpr_tf.reading import Reader, answer
from dpr_tf.retrieval import ScoredPassage

TEXTS = ["the old bridge was built of stone .", "emile zola was in paris .", "the king and the queen ."]
PASSAGES = [Passage(str(row), "the", text) for row, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def ranked(*rows):
    return [ScoredPassage(PASSAGES[row], 9.0 - rank, rank) for rank, row in enumerate(rows, start=1)]


QUESTIONS = ["who was it?", "what?", "when was the tower built?"]
RANKINGS = [ranked(1, 0, 2), ranked(2), []]


@pytest.fixture(scope="module")
def wanted(folder):
    """What the reader gives for each question, all passages' answers."""
    reader = Reader(*load_checkpoint("reader", folder / "reader"))
    return [reader.answer(*one, 3) for one in zip(QUESTIONS, RANKINGS, strict=True)]


@pytest.fixture
def retrieved(tmp_path, monkeypatch, wanted):
    """The file; the right answers are what the reader finds: in the first question's 2nd passage."""
    monkeypatch.chdir(tmp_path)
    second = next(one for one in wanted[0] if one.retrieval_rank == 2)
    right = [("nothing", second.text), (wanted[1][0].text,), ("nothing",)]
    rows = zip(QUESTIONS, right, RANKINGS, strict=True)
    write_retrieved(
        "found.json",
        (
            Retrieved(text, answers, tuple(RetrievedPassage(*one.passage, one.score) for one in some), "q")
            for text, answers, some in rows
        ),
    )
    return "found.json"


def test_writes_what_the_reader_says(folder, retrieved, wanted, monkeypatch):
    monkeypatch.setattr("dpr_tf.reading.files._TOGETHER", 2)
    counts = answer(retrieved, "answers.json", reader=str(folder / "reader"), answers=2, progress=False)
    written = json.loads(Path("answers.json").read_text())
    assert [one["question"] for one in written] == QUESTIONS
    for one, answers in zip(written, wanted, strict=True):
        assert [prediction["text"] for prediction in one["predictions"]] == [a.text for a in answers[:2]]
        for prediction, expected in zip(one["predictions"], answers, strict=False):
            text = prediction["passage"]["text"][prediction["start"] : prediction["end"]]
            assert text == prediction["text"]
            assert prediction["relevance_score"] == pytest.approx(expected.relevance_score, abs=1e-5)
            assert prediction["retrieval_rank"] == expected.retrieval_rank
    assert (counts.questions, counts.answered) == (3, 2)


def test_measures_exact_match_over_k(folder, retrieved, wanted):
    counts = answer(
        retrieved, "answers.json", reader=str(folder / "reader"), measure=[1, 2, 3], progress=False
    )
    right = json.loads(Path(retrieved).read_text())[0]["answers"]
    for k in (1, 2, 3):
        best = next(one for one in wanted[0] if one.retrieval_rank <= k)
        # The second question is answered right by construction, the third has nothing to read.
        assert counts.scores[k].exact_match == pytest.approx((1 + exact_match(best.text, right)) / 3)
    assert str(counts).splitlines()[0] == "2 of 3 questions answered"
    fewer = answer(retrieved, "fewer.json", reader=str(folder / "reader"), k=1, progress=False)
    assert fewer.scores == {1: counts.scores[1]}


def test_without_answers_nothing_is_measured(folder, tmp_path):
    write_retrieved(tmp_path / "bare.jsonl", [Retrieved("who?", (), (RetrievedPassage("1", "", "red"),))])
    counts = answer(
        str(tmp_path / "bare.jsonl"), str(tmp_path / "out"), reader=str(folder / "reader"), progress=False
    )
    assert counts.scores == {}


def test_the_reader_computes_in_bfloat16_if_asked(folder, retrieved, wanted):
    answer(retrieved, "answers.json", reader=str(folder / "reader"), precision="bfloat16", progress=False)
    found = [one["predictions"][0] for one in json.loads(Path("answers.json").read_text())[:2]]
    exact, half = [one[0].relevance_score for one in wanted[:2]], [one["relevance_score"] for one in found]
    assert half == pytest.approx(exact, abs=0.1)
    assert half != pytest.approx(exact, abs=1e-5)


def test_refuses_another_precision(folder, retrieved):
    with pytest.raises(ValueError, match="precision='half': expected 'float32' or 'bfloat16'"):
        answer(retrieved, "answers.json", reader=str(folder / "reader"), precision="half")


@pytest.mark.parametrize("options", [{"k": 0}, {"answers": 0}, {"measure": [5, 0]}, {"batch_size": 0}])
def test_refuses_numbers_below_one(folder, retrieved, options):
    with pytest.raises(ValueError, match="must be at least 1"):
        answer(retrieved, "answers.json", reader=str(folder / "reader"), **options)


def test_refuses_a_file_without_questions(tmp_path):
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(ValueError, match=r"empty.json: there are no questions"):
        answer(str(tmp_path / "empty.json"), str(tmp_path / "out.json"), reader="none")

"""Exact match while a reader is trained, with a reader whose answers are chosen by hand."""

from types import SimpleNamespace

import pytest

from dpr_tf.data import Retrieved, RetrievedPassage, write_retrieved
from dpr_tf.training.reader_validation import ExactMatch, score_reader


class LastWord:
    """Answers with the last word of the best passage that it is given; none for "nothing"."""

    def answer(self, questions, passages, top_answers):
        assert len(questions) == len(passages) <= 2
        self.read = [(scored.rank, scored.score) for scored in passages[0]]
        return [self.last_word(some) for some in passages]

    @staticmethod
    def last_word(passages):
        words = passages[0].passage.text.split()[-1:] if passages else []
        return [SimpleNamespace(text=word) for word in words if word != "nothing"]


def found(*texts, answers=("the king",)):
    return Retrieved("who?", answers, tuple(RetrievedPassage("", "", text, 3.0) for text in texts))


QUESTIONS = [
    found("by the King!"),  # equal but for case, article and punctuation
    found("of king Emile", answers=("king Emile",)),  # "Emile" of two words: F1 is 2/3
    found("nothing"),
    found(),
]


@pytest.fixture(autouse=True)
def _two_questions_at_a_time(monkeypatch):
    monkeypatch.setattr("dpr_tf.training.reader_validation._AT_A_TIME", 2)


def test_scores_the_best_answer():
    scores = score_reader(LastWord(), QUESTIONS)
    assert scores.exact_match == 1 / 4
    assert scores.f1 == pytest.approx((1 + 2 / 3) / 4)


def test_reads_so_many_passages():
    reader = LastWord()
    score_reader(reader, [found(*["the king"] * 9)], passages=3)
    assert reader.read == [(1, 3.0), (2, 3.0), (3, 3.0)]


def test_reports_after_each_epoch(tmp_path):
    write_retrieved(tmp_path / "dev.json", QUESTIONS)
    logs = {"loss": 1.0}
    ExactMatch(LastWord(), tmp_path / "dev.json").on_epoch_end(0, logs)
    assert logs == {"loss": 1.0, "val_exact_match": 1 / 4, "val_f1": pytest.approx(5 / 12)}


def test_needs_questions():
    with pytest.raises(ValueError, match="expected one entry per question, and questions"):
        score_reader(LastWord(), [])

"""The demo's conversation: what is asked, and how it ends."""

import io
import sys

import pytest

from dpr_tf import demo
from dpr_tf.data import Passage
from dpr_tf.retrieval import ScoredPassage


class Terminal(io.StringIO):
    def isatty(self):
        return True


PASSAGES = [
    Passage("1", "Hokusai", "The artist designed a huge breaker at sea."),
    Passage("2", "Prints", "A print is made of wood."),
    Passage("3", "Rivers", "Water."),
]


class Echo:
    """Stands in for the question answering system: remembers questions, gives no answers."""

    def __init__(self):
        self.asked = []
        self.retriever = self
        self.passages = PASSAGES

    def retrieve(self, questions, k):
        return [[ScoredPassage(PASSAGES[row], 2.0 - rank, rank) for rank, row in enumerate((1, 2), start=1)]]

    def answer(self, question):
        from dpr_tf.answering import Answered

        self.asked.append(question)
        if question == "too long":
            raise ValueError("ask a shorter question")
        return Answered(question, [], [], 0.0, 0.0)


@pytest.fixture
def system(monkeypatch):
    system = Echo()
    monkeypatch.setattr(demo, "_start", lambda console: system)
    return system


def type_in(monkeypatch, *lines):
    """Makes stdin a terminal on which someone types lines; an exception among them is raised."""
    remaining = iter(lines)

    def answer(prompt):
        line = next(remaining)
        if isinstance(line, type):
            raise line
        return line

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    return remaining


def test_asks_nothing_without_a_terminal(system, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("who is it?\n"))
    demo.run()
    assert tuple(system.asked) == demo.QUESTIONS
    assert "empty line ends" not in capsys.readouterr().out


@pytest.mark.parametrize("end", ["", "  ", EOFError, KeyboardInterrupt])
def test_takes_questions_until_told_to_end(system, monkeypatch, capsys, end):
    remaining = type_in(monkeypatch, "who was it?", " when? ", end, "never asked")
    demo.run()
    assert system.asked == [*demo.QUESTIONS, "who was it?", "when?"]
    assert next(remaining) == "never asked"
    assert "Q  when?" in capsys.readouterr().out


def test_a_question_that_fails_is_told_and_the_next_is_taken(system, monkeypatch, capsys):
    type_in(monkeypatch, "too long", "who?", "")
    demo.run()
    assert system.asked[-2:] == ["too long", "who?"]
    assert "   ask a shorter question\n" in capsys.readouterr().out


def test_shows_the_scores_of_both_retrievers(system, monkeypatch, capsys):
    pytest.importorskip("bm25s")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    demo.run()
    shown = capsys.readouterr().out.split("R  ")[1].splitlines()
    table = [line.split() for line in shown[2:5]]
    # Words find the first passage, in which six stand, and the second; vectors the second and the third.
    assert [row[3] for row in table] == ["Hokusai", "Prints", "Rivers"]
    assert [row[1] == "-" for row in table] == [False, False, True]
    assert [row[2] for row in table] == ["-", "1.00", "0.00"]
    hybrid, by_words, by_vectors = map(float, table[1][:3])
    assert hybrid == pytest.approx(by_words + 0.9 * by_vectors, abs=0.02)


def test_without_bm25_it_says_what_to_install(system, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    demo.run()
    assert 'BM25 needs bm25s: pip install "dpr_tf[sparse]"' in capsys.readouterr().out

"""What people see: the answer marked in its passage, in colour on a terminal only."""

import io
import os
import re
import subprocess
import sys

import pytest

from dpr_tf.console import Console, hushed_stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


TEXT = (
    "The bridge over the old river was built of stone by the king, who came from Paris with forty-two "
    "masons in the year 1890 and never went home again."
)


@pytest.fixture
def answered():
    # The records need TensorFlow to be imported, which the console does without.
    from dpr_tf.answering import Answered
    from dpr_tf.data import Passage
    from dpr_tf.reading import Answer
    from dpr_tf.retrieval import ScoredPassage

    passages = [Passage("p1", "Rivers", "Water."), Passage("p2", "Bridges", TEXT)]
    retrieved = [ScoredPassage(passage, 7.5 - rank, rank) for rank, passage in enumerate(passages, start=1)]
    start = TEXT.index("the king")
    answer = Answer("the king", passages[1], start, start + 8, 11.25, 3.5, 5.5, 2)
    return Answered("who built it?", [answer], retrieved, 0.012, 0.3456)


def show(stream, answered):
    Console(stream).show(answered)
    return stream.getvalue()


def test_shows_the_answer_marked_in_its_passage_with_scores_and_timings(answered):
    shown = show(io.StringIO(), answered)
    assert shown.splitlines() == [
        "Q  who built it?",
        "A  the king",
        "   Bridges",
        "   The bridge over the old river was built of stone by **the king**, who came from Paris with",
        "   forty-two masons in the year 1890 and never went home again.",
        "   retrieval score 5.50 (rank 2), relevance 3.50, span score 11.25",
        "   2 passages retrieved in 12 ms, read in 346 ms",
        "",
    ]


def test_a_terminal_gets_colour_and_the_same_words(answered, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    shown = show(Terminal(), answered)
    assert "by \x1b[1;32mthe king\x1b[0m, who" in shown
    assert re.sub("\x1b\\[[0-9;]*m", "", shown) == show(io.StringIO(), answered).replace("**", "")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colour_gets_marks(answered, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    shown = show(Terminal(), answered)
    assert "\x1b" not in shown
    assert "**the king**" in shown


def test_lines_fit_a_narrow_terminal(answered, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    lines = show(Terminal(), answered).splitlines()
    passage = lines[3:-3]
    assert len(passage) == 4
    assert max(map(len, passage)) <= 52  # 50, and the marks of the answer
    assert " ".join(line.strip() for line in passage).replace("**", "") == TEXT


def test_passages_cannot_control_the_terminal(answered):
    answer = answered.answers[0]
    hostile = TEXT.replace("the old river", "the\x1b[31m\triver")
    start = hostile.index("the king")
    answer = answer._replace(
        passage=answer.passage._replace(title="Bri\x07dges", text=hostile), start=start, end=start + 8
    )
    shown = show(io.StringIO(), answered._replace(answers=[answer]))
    assert "**the king**" in shown
    assert not set("\x1b\x07\t") & set(shown)


def test_an_untitled_passage_shows_its_id_and_no_answer_is_said(answered):
    answer = answered.answers[0]
    untitled = answer._replace(passage=answer.passage._replace(title=""))
    assert "   passage p2\n" in show(io.StringIO(), answered._replace(answers=[untitled]))
    assert "   No answer found.\n" in show(io.StringIO(), answered._replace(answers=[]))


HUSHED = """
import os
from dpr_tf.console import hushed_stderr
with hushed_stderr():
    os.write(2, b"noise")
    {}
"""


def hushed(statement):
    """What a process writes to stderr when it runs a statement hushed."""
    command = [sys.executable, "-c", HUSHED.format(statement)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_native_messages_are_held_back_unless_something_fails():
    assert hushed("pass") == ""
    shown = hushed("raise ImportError('no tensorflow')")
    assert shown.startswith("noise")
    assert "ImportError: no tensorflow" in shown


def test_stderr_works_again_afterwards(capfd):
    with hushed_stderr():
        os.write(2, b"held back")
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"

"""The demo's conversation: what is asked, and how it ends."""

import io

import pytest

from dpr_tf import demo


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Echo:
    """Stands in for the question answering system: remembers questions, gives no answers."""

    def __init__(self):
        self.asked = []

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

"""What the commands print: answers highlighted in their passages, with or without colour."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # importing them takes seconds: they bring TensorFlow
    from dpr_tf.answering import Answered
    from dpr_tf.reading.reader import Answer

_OPEN, _CLOSE = "\x02", "\x03"  # stand for the highlight while lines are wrapped


class Console:
    """Writes for people: colour on a terminal, plain marks elsewhere.

    Args:
        stream: where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()
        self._coloured = (
            self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        self._width = min(shutil.get_terminal_size().columns, 100) if self.is_terminal else 100

    def line(self, text: str = "") -> None:
        """Writes a line, at once."""
        print(text, file=self._stream, flush=True)

    def bold(self, text: str) -> str:
        """`text` in bold, if there is colour."""
        return self._styled("1", text)

    def faint(self, text: str) -> str:
        """`text` in a paler colour, if there is colour."""
        return self._styled("2", text)

    def _styled(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text

    def show(self, answered: Answered) -> None:
        """Writes a question, its answers, each in its passage, and how long it took."""
        self.line(self.bold(f"Q  {_printable(answered.question)}"))
        if not answered.answers:
            self.line("   No answer found.")
        for answer in answered.answers:
            self._show_answer(answer)
        retrieval, reading = (1000 * s for s in (answered.retrieval_seconds, answered.reading_seconds))
        count = len(answered.passages)
        self.line(
            self.faint(f"   {count} passages retrieved in {retrieval:.0f} ms, read in {reading:.0f} ms")
        )
        self.line()

    def _show_answer(self, answer: Answer) -> None:
        self.line(f"A  {self._styled('1;32', _printable(answer.text))}")
        title = _printable(answer.passage.title or f"passage {answer.passage.id}")
        self.line(f"   {self.bold(title)}")
        for line in self._wrapped(answer):
            self.line(f"   {line}")
        self.line(
            self.faint(
                f"   retrieval score {answer.retrieval_score:.2f} (rank {answer.retrieval_rank}), relevance "
                f"{answer.relevance_score:.2f}, span score {answer.span_score:.2f}"
            )
        )

    def _wrapped(self, answer: Answer) -> list[str]:
        """Lines of the passage with the answer highlighted."""
        text = _printable(answer.passage.text)
        marked = f"{text[: answer.start]}{_OPEN}{text[answer.start : answer.end]}{_CLOSE}{text[answer.end :]}"
        lines = textwrap.wrap(marked, self._width - 3, break_long_words=False, break_on_hyphens=False)
        marks = ("\x1b[1;32m", "\x1b[0m") if self._coloured else ("**", "**")
        return [line.replace(_OPEN, marks[0]).replace(_CLOSE, marks[1]) for line in lines]


def _printable(text: str) -> str:
    """The text, character for character, with spaces for what would control the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def hush_tensorflow() -> None:
    """Has TensorFlow imported in silence, whoever imports it first."""
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Hush())


class _Hush(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as Python does, and lets its import write nothing to stderr unless it fails."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                with hushed_stderr():
                    run(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def hushed_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr; shows it after all if an exception ends the block.

    TensorFlow logs while it is imported, before it has looked at TF_CPP_MIN_LOG_LEVEL.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)

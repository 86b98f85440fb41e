"""What a retriever found: DPR's JSON of questions with scored passages, which is also the reader's input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dpr_tf.data.examples import PASSAGE_ID
from dpr_tf.data.faults import Scan, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.json_items import scan_records, write_json
from dpr_tf.data.passages import Passage

_KEY = "ctxs"
_PASSAGE_ID = ("id", *PASSAGE_ID[:2])


class RetrievedPassage(NamedTuple):
    """A passage that was found for a question.

    Attributes:
        id: of the passage in its collection; empty if the file does not say.
        title: may be empty.
        text: never empty.
        score: of the retriever; higher is better, no fixed range.
        has_answer: whether the text contains an answer; None if nobody looked.
    """

    id: str
    title: str
    text: str
    score: float | None = None
    has_answer: bool | None = None

    @property
    def passage(self) -> Passage:
        """The passage alone."""
        return Passage(self.id, self.title, self.text)


class Retrieved(NamedTuple):
    """A question and what was found for it.

    Attributes:
        question: the question.
        answers: its phrasings; may be none.
        passages: best first.
        id: of the question; may be empty.
    """

    question: str
    answers: tuple[str, ...]
    passages: tuple[RetrievedPassage, ...]
    id: str = ""


def read_retrieved(path: str | os.PathLike[str]) -> Iterator[Retrieved]:
    """Streams the output of a retriever: a JSON array of any size, or JSON lines; plain or gzip.

    Each is an object with `question`, `answers` and `ctxs`, each passage in it one with `id`, `title`,
    `text`, `score` (DPR writes it as a string) and `has_answer`. Needed are question, `ctxs` and texts.

    Args:
        path: the file.

    Yields:
        The questions in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for what is no such object, with line and field.
    """
    return sound(path, scan_retrieved(path))


def scan_retrieved(path: str | os.PathLike[str]) -> Scan[Retrieved]:
    """`read_retrieved`, with the faults in their places."""
    return scan_records(path, _retrieved)


def _retrieved(fields: Fields) -> Retrieved:
    passages = tuple(
        RetrievedPassage(
            id=passage.name(*_PASSAGE_ID, default=""),
            title=passage.text("title", default=""),
            text=passage.text("text"),
            score=passage.number("score"),
            has_answer=passage.truth("has_answer"),
        )
        for passage in fields.objects(_KEY)
    )
    return Retrieved(
        fields.text("question"), fields.texts("answers", default=()), passages, fields.name("id", default="")
    )


def write_retrieved(path: str | os.PathLike[str], found: Iterable[Retrieved]) -> int:
    """Writes what was found as it comes, aside, and renames the file when it is complete.

    Args:
        path: `.jsonl` writes JSON lines, any other name one array; `.gz` behind it packs.
        found: any number of questions.

    Returns:
        The number of questions.
    """
    return write_json(path, map(_as_json, found))


def _as_json(found: Retrieved) -> dict[str, Any]:
    return {
        **({"id": found.id} if found.id else {}),
        "question": found.question,
        "answers": list(found.answers),
        _KEY: [_passage_as_json(passage) for passage in found.passages],
    }


def _passage_as_json(passage: RetrievedPassage) -> dict[str, Any]:
    written: dict[str, Any] = {"id": passage.id, "title": passage.title, "text": passage.text}
    if passage.score is not None:
        written["score"] = str(float(passage.score))  # as DPR; the shortest text that reads back the same
    if passage.has_answer is not None:
        written["has_answer"] = passage.has_answer
    return written

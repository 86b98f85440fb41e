"""Training examples for the retriever: DPR's JSON of questions with positives and negatives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dpr_tf.data.faults import Scan, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.json_items import scan_records, write_json
from dpr_tf.data.passages import Passage

PASSAGE_ID = ("passage_id", "psg_id", "id")  # DPR's own files have the first or the second


class ExamplePassage(NamedTuple):
    """A passage of a training example.

    Attributes:
        id: of the passage in its collection; empty if the file does not say.
        title: may be empty.
        text: never empty.
        score: how the retriever that found it scored it.
        title_score: whether its title is that of the gold article, in DPR's files 1 or 0.
    """

    id: str
    title: str
    text: str
    score: float | None = None
    title_score: float | None = None

    @property
    def passage(self) -> Passage:
        """The passage alone."""
        return Passage(self.id, self.title, self.text)


class Example(NamedTuple):
    """What a bi-encoder is trained on: a question, passages that answer it and passages that do not.

    Attributes:
        question: the question.
        answers: its phrasings; may be none.
        positives: passages that answer it; the first is the one DPR trains with.
        hard_negatives: passages that look as if they did.
        negatives: others.
        dataset: where the question comes from; may be empty.
    """

    question: str
    answers: tuple[str, ...]
    positives: tuple[ExamplePassage, ...]
    hard_negatives: tuple[ExamplePassage, ...] = ()
    negatives: tuple[ExamplePassage, ...] = ()
    dataset: str = ""


def read_examples(path: str | os.PathLike[str]) -> Iterator[Example]:
    """Streams the examples of a JSON array of any size, or of JSON lines; plain or gzip.

    Each is an object with `question`, `answers`, `positive_ctxs`, `negative_ctxs`, `hard_negative_ctxs` and
    `dataset`; each passage in it one with `title`, `text`, `score`, `title_score` and `passage_id`
    (`psg_id` in some of DPR's files). Needed are question and texts. Examples without a positive are passed
    on as they are.

    Args:
        path: the file.

    Yields:
        The examples in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for what is no such example, with line and field.
    """
    return sound(path, scan_examples(path))


def scan_examples(path: str | os.PathLike[str]) -> Scan[Example]:
    """`read_examples`, with the faults in their places."""
    return scan_records(path, _example)


def _example(fields: Fields) -> Example:
    return Example(
        question=fields.text("question"),
        answers=fields.texts("answers", default=()),
        positives=_passages(fields, "positive_ctxs"),
        hard_negatives=_passages(fields, "hard_negative_ctxs"),
        negatives=_passages(fields, "negative_ctxs"),
        dataset=fields.text("dataset", default=""),
    )


def _passages(fields: Fields, name: str) -> tuple[ExamplePassage, ...]:
    return tuple(
        ExamplePassage(
            id=passage.name(*PASSAGE_ID, default=""),
            title=passage.text("title", default=""),
            text=passage.text("text"),
            score=passage.number("score"),
            title_score=passage.number("title_score"),
        )
        for passage in fields.objects(name, default=())
    )


def write_examples(path: str | os.PathLike[str], examples: Iterable[Example]) -> int:
    """Writes examples as they come, aside, and renames the file when it is complete.

    Args:
        path: `.jsonl` writes JSON lines, any other name one array; `.gz` behind it packs.
        examples: any number.

    Returns:
        The number of examples.
    """
    return write_json(path, map(_as_json, examples))


def _as_json(example: Example) -> dict[str, Any]:
    return {
        "dataset": example.dataset,
        "question": example.question,
        "answers": list(example.answers),
        "positive_ctxs": [_passage_as_json(passage) for passage in example.positives],
        "negative_ctxs": [_passage_as_json(passage) for passage in example.negatives],
        "hard_negative_ctxs": [_passage_as_json(passage) for passage in example.hard_negatives],
    }


def _passage_as_json(passage: ExamplePassage) -> dict[str, Any]:
    found: dict[str, Any] = {"title": passage.title, "text": passage.text}
    for name in ("score", "title_score"):
        if (value := getattr(passage, name)) is not None:
            found[name] = value
    if passage.id:
        found["passage_id"] = passage.id
    return found

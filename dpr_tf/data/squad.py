"""SQuAD's JSON, versions 1.1 and 2.0: articles of paragraphs of questions, as a stream of questions."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dpr_tf.data.faults import Scan, Scanned, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.json_items import scan_items, write_json
from dpr_tf.data.questions import Question


class SquadAnswer(NamedTuple):
    """An answer and its place.

    Attributes:
        text: the answer.
        start: where it begins in the paragraph, in characters from 0.
    """

    text: str
    start: int


class SquadQuestion(NamedTuple):
    """A question about a paragraph.

    Attributes:
        id: unique in the file.
        text: the question.
        answers: none if it is impossible to answer.
        title: of the article.
        paragraph: the text that the answers stand in.
        is_impossible: version 2.0: the paragraph has no answer.
    """

    id: str
    text: str
    answers: tuple[SquadAnswer, ...]
    title: str
    paragraph: str
    is_impossible: bool = False

    @property
    def question(self) -> Question:
        """The question with the different phrasings of its answer."""
        return Question(self.text, tuple(dict.fromkeys(answer.text for answer in self.answers)), self.id)


def read_squad(path: str | os.PathLike[str]) -> Iterator[SquadQuestion]:
    """Streams the questions of a SQuAD file, plain or gzip, one article in memory at a time.

    Args:
        path: a JSON object with `data`, a list of articles.

    Yields:
        The questions in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for what is no such question, or an answer that does not stand where the file says; with
            the line where its article begins, and the field.
    """
    return sound(path, scan_squad(path))


def scan_squad(path: str | os.PathLike[str]) -> Scan[SquadQuestion]:
    """`read_squad`, with the faults in their places."""
    for article in scan_items(path, key="data"):
        if article.faults:
            yield article  # type: ignore[misc]
        else:
            yield from _questions(article.value)


def _questions(article: Fields) -> Scan[SquadQuestion]:
    title = article.text("title", default="")
    for paragraph in article.objects("paragraphs"):
        text = paragraph.raw_text("context")
        for question in paragraph.objects("qas"):
            record = _question(question, title, text)
            yield Scanned(article.line, record, tuple(article.faults))
            article.faults.clear()
    if article.faults:
        yield Scanned(article.line, SquadQuestion("", "", (), "", ""), tuple(article.faults))


def _question(fields: Fields, title: str, paragraph: str) -> SquadQuestion:
    is_impossible = bool(fields.truth("is_impossible"))
    answers = tuple(_answer(answer, paragraph) for answer in fields.objects("answers"))
    if not answers and not is_impossible:
        fields.note("answers", "is an empty list, but is_impossible is not true")
    return SquadQuestion(fields.name("id"), fields.text("question"), answers, title, paragraph, is_impossible)


def _answer(fields: Fields, paragraph: str) -> SquadAnswer:
    answer = SquadAnswer(fields.raw_text("text"), fields.whole("answer_start"))
    there = paragraph[answer.start : answer.start + len(answer.text)]
    if there != answer.text:
        fields.note(
            "answer_start",
            f"at character {answer.start} of the context stands {there!r}, not {answer.text!r}",
        )
    return answer


def write_squad(path: str | os.PathLike[str], questions: Iterable[SquadQuestion]) -> int:
    """Writes a SQuAD file article by article; it appears when it is complete.

    Args:
        path: the file; `.gz` packs.
        questions: those of one article, and in it of one paragraph, one after the other. `is_impossible` is
            written where it is true.

    Returns:
        The number of questions.
    """
    counted = itertools.count()
    numbered = (question for question, _ in zip(questions, counted, strict=False))
    articles = itertools.groupby(numbered, key=lambda question: question.title)
    objects = (_article_as_json(title, group) for title, group in articles)
    write_json(path, objects, before=f'{{"version": {json.dumps("dpr_tf")}, "data": [\n', after="\n]}\n")
    return next(counted)


def _article_as_json(title: str, questions: Iterable[SquadQuestion]) -> dict[str, Any]:
    paragraphs = itertools.groupby(questions, key=lambda question: question.paragraph)
    return {
        "title": title,
        "paragraphs": [{"context": text, "qas": list(map(_as_json, group))} for text, group in paragraphs],
    }


def _as_json(question: SquadQuestion) -> dict[str, Any]:
    answers = [{"text": answer.text, "answer_start": answer.start} for answer in question.answers]
    impossible = {"is_impossible": True} if question.is_impossible else {}
    return {"id": question.id, "question": question.text, "answers": answers, **impossible}

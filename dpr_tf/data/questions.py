"""Questions with their answers: DPR's files of question and list of answers, and JSON lines."""

from __future__ import annotations

import ast
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dpr_tf.data.faults import Scan, Scanned, faulty, shown, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.files import Lines, opened, unpacked_suffix
from dpr_tf.data.json_items import is_json, scan_records, write_json
from dpr_tf.data.tsv import scan_rows, write_rows

_TEXT, _ANSWERS, _ID = ("question", "text"), ("answers", "answer"), ("id", "_id")  # and BEIR's names


class Question(NamedTuple):
    """A question and the answers that count as right.

    Attributes:
        text: the question.
        answers: one or more phrasings; none where a file has only questions, as BEIR's `queries.jsonl`.
        id: unique in its file, or empty: DPR's own files have no ids.
    """

    text: str
    answers: tuple[str, ...] = ()
    id: str = ""


def clean_question(question: str) -> str:
    """A question as DPR's training data has it: straight apostrophes, no surrounding white space."""
    return question.replace("\u2019", "'").strip()


def read_questions(path: str | os.PathLike[str]) -> Iterator[Question]:
    """Streams the questions of a TSV, CSV or JSON file, plain or gzip.

    In TSV and CSV each row is a question and a list of answers, written as JSON or as a Python literal (DPR's
    own files, which are tab-separated whatever their name). The list is parsed as data and never executed. A
    first row that names the columns (`question`, `answers`, `id`) sets their order. In JSON each question
    is an object with `question` or `text`, and maybe `answers` or `answer`, `id` or `_id`; one a line, or
    an array.

    Args:
        path: the file. Which kind it is shows in its first character, and in whether its first line has a
            tab.

    Yields:
        The questions in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a row that is not a question and a non-empty list of strings, with the line.
    """
    return sound(path, scan_questions(path))


def scan_questions(path: str | os.PathLike[str]) -> Scan[Question]:
    """`read_questions`, with the faults in their places."""
    return scan_records(path, _from_json) if is_json(path) else _scan_rows(path)


def write_questions(path: str | os.PathLike[str], questions: Iterable[Question]) -> int:
    """Writes questions as they come, aside, and renames the file when it is complete.

    Args:
        path: `.jsonl` or `.json` writes JSON, any other name DPR's tab-separated rows of question and answers
            (as JSON lists, which are Python literals too), which have no place for ids; `.gz` behind it
            packs.
        questions: any number; for tab-separated rows each with answers.

    Returns:
        The number of questions.

    Raises:
        ValueError: if a question without answers, or with an id, should become a tab-separated row.
    """
    if unpacked_suffix(path) in (".jsonl", ".json"):
        return write_json(path, map(_as_json, questions))
    return write_rows(path, map(_as_row, questions))


def _as_json(question: Question) -> dict[str, Any]:
    found: dict[str, Any] = {"id": question.id} if question.id else {}
    found["question"] = question.text
    if question.answers:
        found["answers"] = list(question.answers)
    return found


def _as_row(question: Question) -> tuple[str, str]:
    if question.id or not question.answers:
        raise ValueError(
            f"rows of question and answers have no place for {question!r}: "
            f"{'its id' if question.id else 'it has no answers'}; write a .jsonl file"
        )
    return question.text, json.dumps(question.answers, ensure_ascii=False)


def _from_json(fields: Fields) -> Question:
    return Question(fields.text(*_TEXT), fields.texts(*_ANSWERS, default=()), fields.name(*_ID, default=""))


def _scan_rows(path: str | os.PathLike[str]) -> Scan[Question]:
    columns: list[str] | None = None
    for row in scan_rows(path, _delimiter(path)):
        if row.faults:
            yield row  # type: ignore[misc]
            continue
        if columns is None:
            names = [name.strip().lower() for name in row.value]
            columns = ["question", "answers"]
            if "question" in names and len({*names} & {*_ANSWERS}) == 1 and len({*names}) == len(names):
                columns = names
                continue
        yield _from_row(row.line, columns, row.value)


def _delimiter(path: str | os.PathLike[str]) -> str:
    with opened(path) as stream:
        return "\t" if "\t" in next(iter(Lines(stream)), "\t") else ","


def _from_row(line: int, columns: list[str], row: list[str]) -> Scanned[Question]:
    if len(row) != len(columns):
        wanted = "a question, a tab and a list of answers"
        wanted = wanted if len(columns) == 2 else f"{len(columns)} fields ({', '.join(columns)})"
        return faulty(line, f"expected {wanted}, found {len(row)} field{'s' * (len(row) > 1)}")
    values: dict[str, Any] = dict(zip(columns, row, strict=True))
    name = next(name for name in _ANSWERS if name in values)
    if (answers := _answers(values[name])) is None:
        message = f'expected a list of answers such as ["Paris", "the capital"], found {shown(values[name])}'
        return faulty(line, message, name)
    fields = Fields({**values, name: answers}, line)
    return fields.scanned(
        Question(fields.text("question"), fields.texts(name), fields.name("id", default=""))
    )


def _answers(field: str) -> list[str] | None:
    """The list of strings that a field spells, if it does."""
    for parse in (json.loads, _literal):
        try:
            answers = parse(field)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: brackets in brackets
            continue
    else:
        return None
    right = isinstance(answers, list) and answers and all(isinstance(answer, str) for answer in answers)
    return answers if right else None


def _literal(field: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # regular expressions as answers: '\d' is no escape of Python's
        return ast.literal_eval(field)

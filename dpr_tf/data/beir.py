"""BEIR's folders: corpus.jsonl, queries.jsonl and qrels/*.tsv."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dpr_tf.data.json_items import write_json
from dpr_tf.data.passages import Passage, read_passages
from dpr_tf.data.questions import Question, read_questions
from dpr_tf.data.trec import Judgement, read_qrels, write_qrels


class Beir(NamedTuple):
    """A data set, each part a stream that can be read once.

    Attributes:
        passages: of the corpus.
        questions: of all splits, with ids and without answers.
        judgements: of one split.
    """

    passages: Iterator[Passage]
    questions: Iterator[Question]
    judgements: Iterator[Judgement]


def read_beir(folder: str | os.PathLike[str], split: str = "test") -> Beir:
    """Opens a data set in BEIR's layout.

    Args:
        folder: holds `corpus.jsonl` and `queries.jsonl`, plain or as `.gz`, and `qrels/<split>.tsv`.
        split: of the judgements.

    Raises:
        FileNotFoundError: if one of the three is missing; says which splits there are.
        ValueError: while a stream is read: see `read_passages`, `read_questions`, `read_qrels`.
    """
    qrels = Path(folder, "qrels")
    judgements = qrels / f"{split}.tsv"
    if not judgements.is_file():
        splits = ", ".join(sorted(path.stem for path in qrels.glob("*.tsv"))) or "none"
        raise FileNotFoundError(f"{judgements} is not there; splits in {qrels}: {splits}")
    corpus, queries = (_plain_or_packed(Path(folder, name)) for name in ("corpus.jsonl", "queries.jsonl"))
    return Beir(read_passages(corpus), read_questions(queries), read_qrels(judgements))


def _plain_or_packed(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    found = packed if packed.is_file() and not path.is_file() else path
    if not found.is_file():
        raise FileNotFoundError(
            f"{path} is not there; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels"
        )
    return found


def write_beir(
    folder: str | os.PathLike[str],
    passages: Iterable[Passage],
    questions: Iterable[Question],
    judgements: Iterable[Judgement],
    split: str = "test",
) -> None:
    """Writes a data set in BEIR's layout; folders are made, each file appears when it is complete.

    Args:
        folder: where to.
        passages: of the corpus.
        questions: with ids; their answers have no place in this format and are left out.
        judgements: of the split.
        split: its name.

    Raises:
        ValueError: for a question without an id.
    """
    Path(folder, "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": p.id, "title": p.title, "text": p.text, "metadata": {}} for p in passages)
    write_json(Path(folder, "corpus.jsonl"), corpus)
    write_json(Path(folder, "queries.jsonl"), map(_question_as_json, questions))
    write_qrels(Path(folder, "qrels", f"{split}.tsv"), judgements, layout="beir")


def _question_as_json(question: Question) -> dict[str, object]:
    if not question.id:
        raise ValueError(f"BEIR's questions need ids; {question.text!r} has none")
    return {"_id": question.id, "text": question.text, "metadata": {}}

"""Small collections under the file names of the guides in docs/, and a BERT small enough to train on them."""

from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path
from typing import NamedTuple

from dpr_tf import Passage, sample_folder
from dpr_tf.data import (
    Question,
    read_passages,
    read_questions,
    write_examples,
    write_passages,
    write_questions,
)
from dpr_tf.data.examples import Example, ExamplePassage
from dpr_tf.weights import files

# A folder of SQuAD in DPR's formats, for whoever has one: psgs_w100.squad-train.tsv, squad-train.qa.csv, ...
SQUAD = os.environ.get("DPR_TF_SQUAD")


class Collection(NamedTuple):
    """Passages, and questions with the ids of the passages that they were written for."""

    passages: list[Passage]
    train: list[tuple[Question, str]]
    dev: list[tuple[Question, str]]


def sample() -> Collection:
    """The bundled sample: a third of its questions for training, a sixth for development."""
    folder = sample_folder()
    gold = dict(_lines(folder / "questions.gold.tsv"))
    questions = [
        (question, gold[str(row)]) for row, question in enumerate(read_questions(folder / "questions.tsv"))
    ]
    return Collection(list(read_passages(folder / "passages.tsv")), questions[1::3], questions[::6])


def squad(folder: str) -> Collection:
    """300 training and 100 development questions of SQuAD, their passages and 600 others."""
    chosen = random.Random(0)
    kinds = []
    for name, count in (("squad-train", 300), ("squad-dev", 100)):
        gold = dict(_lines(Path(folder) / f"{name}.gold.tsv"))
        questions = enumerate(read_questions(Path(folder) / f"{name}.qa.csv"))
        kinds.append(chosen.sample([(question, gold[str(row)]) for row, question in questions], count))
    wanted = {id_ for kind in kinds for _, id_ in kind}
    passages = list(read_passages(Path(folder) / "psgs_w100.squad-train.tsv"))
    others = chosen.sample([passage for passage in passages if passage.id not in wanted], 600)
    wanted |= {passage.id for passage in others}
    return Collection([passage for passage in passages if passage.id in wanted], *kinds)


def _lines(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def examples(collection: Collection, questions: list[tuple[Question, str]]) -> list[Example]:
    """Each question with its passage, and as hard negative one that has neither its title nor an answer."""
    chosen = random.Random(1)
    by_id = {passage.id: passage for passage in collection.passages}
    made = []
    for question, id_ in questions:
        positive = by_id[id_]
        while True:
            negative = chosen.choice(collection.passages)
            if negative.title != positive.title and not any(a in negative.text for a in question.answers):
                break
        pair = (ExamplePassage(p.id, p.title, p.text) for p in (positive, negative))
        made.append(Example(question.text, question.answers, (next(pair),), (next(pair),)))
    return made


def lay_out(collection: Collection, folder: Path) -> None:
    """Writes the files that the guides start from."""
    for name in ("passages.tsv", "psgs_w100.tsv"):
        write_passages(folder / name, collection.passages)
    with open(folder / "articles.jsonl", "w", encoding="utf-8") as file:
        for passage in collection.passages:
            file.write(json.dumps({"title": passage.title, "text": passage.text}) + "\n")
    for kind, names in (
        ("train", ("train-questions.tsv", "nq-train.qa.csv")),
        ("dev", ("dev-questions.tsv", "nq-dev.qa.csv", "nq-test.qa.csv", "questions.tsv")),
    ):
        questions = getattr(collection, kind)
        for name in names:
            write_questions(folder / name, [question for question, _ in questions])
        write_examples(folder / f"biencoder-nq-{kind}.json", examples(collection, questions))
    for name in ("bert", "bert-base-uncased"):
        write_bert(folder / name)
    for name in ("context_encoder", "question_encoder"):
        (folder / name).symlink_to(sample_folder() / name)


def write_bert(folder: Path) -> None:
    """The BERT inside the sample's context encoder, as a plain BERT checkpoint."""
    source = sample_folder() / "context_encoder"
    prefix = "ctx_encoder.bert_model."
    arrays = files.read_checkpoint(source)
    kept = {key.removeprefix(prefix): arrays[key].read() for key in arrays if key.startswith(prefix)}
    folder.mkdir()
    files.write_safetensors(folder, kept)
    config = json.loads((source / "config.json").read_text())
    config.update(model_type="bert", architectures=["BertModel"])
    config.pop("projection_dim")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_bytes((source / "vocab.txt").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))

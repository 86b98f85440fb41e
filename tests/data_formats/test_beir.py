"""BEIR's folders."""

import gzip
import json

import pytest

from dpr_tf.data import Judgement, Passage, Question, read_beir, write_beir

PASSAGES = [Passage("p1", "Title", "Text."), Passage("p2", "", "Two.")]
QUESTIONS = [Question("who?", (), "q1")]
JUDGEMENTS = [Judgement("q1", "p2", 1)]


def lists(data):
    return tuple(map(list, data))


def test_both_ways(tmp_path):
    write_beir(tmp_path / "a/b", iter(PASSAGES), iter(QUESTIONS), iter(JUDGEMENTS), split="dev")
    assert lists(read_beir(tmp_path / "a/b", "dev")) == (PASSAGES, QUESTIONS, JUDGEMENTS)
    first = (tmp_path / "a/b/corpus.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == {"_id": "p1", "title": "Title", "text": "Text.", "metadata": {}}


def test_reads_a_packed_corpus(tmp_path):
    write_beir(tmp_path, PASSAGES, QUESTIONS, JUDGEMENTS)
    corpus = tmp_path / "corpus.jsonl"
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus.read_bytes()))
    corpus.unlink()
    assert lists(read_beir(tmp_path)) == (PASSAGES, QUESTIONS, JUDGEMENTS)


def test_what_is_missing_is_named(tmp_path):
    write_beir(tmp_path, PASSAGES, QUESTIONS, JUDGEMENTS, split="train")
    with pytest.raises(FileNotFoundError, match=r"test\.tsv is not there; splits in .*qrels: train"):
        read_beir(tmp_path)
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match=r"queries\.jsonl is not there"):
        read_beir(tmp_path, "train")


def test_questions_need_ids(tmp_path):
    with pytest.raises(ValueError, match="BEIR's questions need ids; 'who\\?' has none"):
        write_beir(tmp_path, PASSAGES, [Question("who?")], JUDGEMENTS)

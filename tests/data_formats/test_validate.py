"""Validation: every fault of a file with line and field, whatever the kind."""

import gzip
import json
import pickle
import tracemalloc

import numpy as np
import pytest

from dpr_tf.data import KINDS, guess_kind, validate

EXAMPLE = {"question": "q", "answers": ["a"], "positive_ctxs": [{"text": "t", "passage_id": "1"}]}
SQUAD = {"data": [{"title": "T", "paragraphs": [{"context": "c", "qas": []}]}]}

SOUND_QUESTION = {"id": "1", "question": "q", "answers": [{"text": "c", "answer_start": 0}]}

# Kind -> name and content of sound files of that kind.
SOUND = {
    "passages": [
        ("a.tsv", "id\ttext\ttitle\n1\tText\tT\n"),
        ("a", "1\tSome text.\tT\n"),
        ("a.jsonl", '{"id": "1", "text": "x", "title": ""}\n'),
        ("corpus.jsonl", '{"_id": "1", "text": "x"}\n'),
    ],
    "questions": [
        ("a.csv", 'who?\t["he"]\n'),
        ("a.tsv", """who?\t"['he', ""it's""]"\n"""),
        ("b.csv", 'who?,"[""he""]"\n'),
        ("a.tsv", 'question\tanswers\nwho?\t["he"]\n'),
        ("a.jsonl", '{"question": "who?", "answer": ["he"]}\n'),
        ("queries.jsonl", '{"_id": "1", "text": "who?"}\n'),
    ],
    "examples": [("a.json", json.dumps([EXAMPLE])), ("a.jsonl", json.dumps(EXAMPLE))],
    "retrieved": [("a.json", json.dumps([{"question": "q", "answers": ["a"], "ctxs": []}], indent=4))],
    "squad": [("a.json", json.dumps(SQUAD))],
    "qrels": [("a", "q1 0 p1 1\n"), ("a.tsv", "query-id\tcorpus-id\tscore\nq\tp\t1\n")],
    "run": [("a", "q1 Q0 p1 1 2.5 dpr\n")],
}


def write(tmp_path, content, name="file"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path, kind=None):
    return [(fault.line, fault.field, fault.message) for fault in validate(path, kind).faults]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("kind", "name", "content"), [(kind, *file) for kind, files in SOUND.items() for file in files]
)
def test_kind_is_told_from_the_content(tmp_path, kind, name, content, packed):
    path = write(tmp_path, gzip.compress(content.encode()) if packed else content, name)
    assert guess_kind(path) == kind
    report = validate(path)
    if kind != "squad":  # the one above has no questions
        assert report == (str(path), kind, 1, 0, ())
        assert str(report) == f"{path}: {kind}, records: 1, faults: 0"


@pytest.mark.parametrize("protocol", range(6))
def test_kind_of_a_shard(tmp_path, protocol):
    path = write(tmp_path, pickle.dumps([("1", np.ones(3, "f4"))], protocol))
    assert validate(path) == (str(path), "vectors", 1, 0, ())


def test_every_kind_is_told():
    assert {*SOUND, "vectors"} == set(KINDS)


@pytest.mark.parametrize("content", ["", "0\t1\n", "Some text.\n", '{"a": 1}', "[]", "7"])
def test_an_unknown_kind_is_an_error_that_lists_them(tmp_path, content):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=r"looks like none of passages, questions, .*, run; say which"):
        validate(path)
    with pytest.raises(ValueError, match=r"kind: expected one of passages, .*, got 'csv'"):
        validate(path, "csv")


def test_a_damaged_packed_file_of_unknown_kind_is_an_error(tmp_path):
    path = write(tmp_path, gzip.compress(b"id\ttext\n" * 10)[:-9])
    with pytest.raises(ValueError, match="the gzip stream is damaged"):
        validate(path)


def test_all_faults_of_passages(tmp_path):
    content = (
        b"id\ttext\ttitle\n"
        b"1\tText.\tT\n"
        b"2\t \tT\n"  # line 3
        b"\t\tT\n"  # line 4: two faults
        b"5\tA b.\n"  # line 5
        b'6\t"Two\nlines."\tT\n'  # lines 6 and 7
        b"7\tCaf\xe9.\tT\n"  # line 8
        b'8\t"x" y\tT\n'  # line 9
        b"6\tAgain.\tT\n"  # line 10
        b"1\tAgain.\tT\n"
    )
    path = write(tmp_path, content)
    report = validate(path)
    assert [(fault.line, fault.field) for fault in report.faults] == [
        (3, "text"),
        (4, "id"),
        (4, "text"),
        (5, ""),
        (8, ""),
        (9, ""),
        (10, "id"),
        (11, "id"),
    ]
    assert (report.records, report.fault_count) == (9, 8)
    assert "is not unique: it stands in line 6 too" in str(report)
    assert str(report).splitlines()[0] == f"{path}, line 3, text: is empty; remove the record, or fill it in"
    assert str(report).splitlines()[-1] == f"{path}: passages, records: 9, faults: 8"


def test_an_unclosed_quote_is_one_fault_where_it_opens(tmp_path):
    path = write(tmp_path, 'id\ttext\n1\tText.\n2\t"Text.\n3\tText.\n')
    assert [fault[:2] for fault in found(path)] == [(3, "")]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("questions", 'a\t["x"]\nb\t[]\nc\n', [(2, "answers"), (3, "")]),
        ("questions", '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n', [(2, "id")]),
        ("examples", json.dumps([EXAMPLE, {**EXAMPLE, "positive_ctxs": []}]), [(1, "positive_ctxs")]),
        (
            "examples",
            json.dumps({**EXAMPLE, "hard_negative_ctxs": [{"text": "x"}, {"text": "y", "passage_id": 1}]}),
            [(1, "hard_negative_ctxs[1]")],
        ),
        (
            "examples",
            json.dumps([{**EXAMPLE, "negative_ctxs": [{"text": "t"}]}]),
            [(1, "negative_ctxs[0]")],
        ),
        (
            "retrieved",
            json.dumps(
                {
                    "question": "q",
                    "ctxs": [
                        {"id": "1", "text": "a", "score": "3"},
                        {"id": "2", "text": "b", "score": "4"},
                        {"id": "1", "text": "a", "score": "1"},
                    ],
                }
            ),
            [(1, "ctxs[1].score"), (1, "ctxs[2].id")],
        ),
        ("qrels", "q 0 p 1\nq 0 r 1\nq 0 p 0\n", [(3, "question and passage")]),
        ("run", "q Q0 p 1 3 t\nq Q0 p 2 2 t\nq Q0 r 3 x t\n", [(2, "question and passage"), (3, "score")]),
        ("passages", "id\ttext\n", [(0, "")]),
        ("passages", "id\tbody\n1\tx\n", [(1, "")]),
        ("squad", json.dumps({"data": 7}), [(1, "data")]),
        (
            "squad",
            json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{}, SOUND_QUESTION]}]}]}),
            [
                (1, f"data[0].paragraphs[0].qas[0].{name}")
                for name in ("answers", "answers", "id", "question")
            ],
        ),
        ("run", b"q Q0 p 1 2 \xff\nq Q0 r 2 1 t", [(1, "")]),
    ],
)
def test_faults_of_other_kinds(tmp_path, kind, content, expected):
    assert [fault[:2] for fault in found(write(tmp_path, content), kind)] == expected


def test_faults_of_a_shard(tmp_path):
    ones = np.ones(3, "f4")
    vectors = [("1", ones), ("2", np.ones(2, "f4")), ("3", np.full(3, np.nan, "f4")), ("1", ones + 1)]
    path = write(tmp_path, pickle.dumps(vectors))
    assert [fault[1] for fault in found(path)] == ["[1]", "[2]", "[3].id"]


def test_more_faults_than_asked_for_are_counted(tmp_path):
    path = write(tmp_path, "id\ttext\n" + "1\t\n" * 1000)
    report = validate(path, most=3)
    assert [fault.line for fault in report.faults] == [2, 3, 4]
    assert (report.records, report.fault_count) == (1000, 1000)
    assert str(report).splitlines()[3] == f"{path}: and 997 more"


@pytest.mark.parametrize("text", ["Text.", ""], ids=["sound", "faulty"])
def test_memory_does_not_grow_with_the_file(tmp_path, text):
    def peak(count):
        path = write(tmp_path, "".join(f"wiki:{i}\t{text}\tT\n" for i in range(count)))
        tracemalloc.start()
        validate(path, "passages")
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(100_000) < 6 * 2**20  # as a set of ids: 10 MB

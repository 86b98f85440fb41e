"""TREC's and BEIR's judgements, TREC's runs, both ways."""

import pytest

from dpr_tf.data import Judgement, RunLine, read_qrels, read_run, write_qrels, write_run

QRELS = [Judgement("q1", "p1", 1), Judgement("q1", "p2", 0), Judgement("q2", "p1", -1)]
RUN = [RunLine("q1", "p2", 1, 12.5, "dpr"), RunLine("q1", "p1", 2, 0.1 + 0.2, "dpr")]


@pytest.mark.parametrize(
    "content",
    [
        "q1 0 p1 1\nq1\t0\tp2   0\n\nq2 Q0 p1 -1\n",
        "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tp2\t0\nq2\tp1\t-1",
    ],
    ids=["TREC", "BEIR"],
)
def test_reads_judgements(tmp_path, content):
    path = tmp_path / "qrels"
    path.write_text(content)
    assert list(read_qrels(path)) == QRELS


@pytest.mark.parametrize(
    ("layout", "content"),
    [
        ("trec", "q1 0 p1 1\nq1 0 p2 0\nq2 0 p1 -1\n"),
        ("beir", "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tp2\t0\nq2\tp1\t-1\n"),
    ],
)
def test_writes_judgements(tmp_path, layout, content):
    path = tmp_path / "qrels"
    assert write_qrels(path, iter(QRELS), layout) == 3
    assert path.read_text() == content
    assert list(read_qrels(path)) == QRELS


def test_runs_both_ways(tmp_path):
    path = tmp_path / "run"
    assert write_run(path, iter(RUN)) == 2
    assert path.read_text() == "q1 Q0 p2 1 12.5 dpr\nq1 Q0 p1 2 0.30000000000000004 dpr\n"
    assert list(read_run(path)) == RUN


@pytest.mark.parametrize(
    ("read", "line", "message"),
    [
        (read_qrels, "q2 0 p1", r"line 2: expected 4 fields .*, found 3: q2 0 p1"),
        (read_qrels, "q2 0 p1 yes", "line 2, relevance: expected a whole number, found yes"),
        (read_run, "q2 Q0 p1 1 2.5", "line 2: expected 6 fields .*, found 5"),
        (read_run, "q2 Q0 p1 one 2.5 x", "line 2, rank: expected a whole number"),
        (read_run, "q2 Q0 p1 1 nan x", "line 2, score: expected a finite number, found nan"),
    ],
)
def test_a_fault_has_line_and_field(tmp_path, read, line, message):
    path = tmp_path / "file"
    path.write_text(("q1 0 p1 1" if read is read_qrels else "q1 Q0 p1 1 2.5 x") + f"\n{line}\n")
    with pytest.raises(ValueError, match=message):
        list(read(path))


@pytest.mark.parametrize("name", ["", "a b", "a\t", "\u2003"])
def test_ids_with_white_space_are_not_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"record 1: .* is empty or holds white space"):
        write_qrels(tmp_path / "q", [Judgement("q1", name, 1)])
    with pytest.raises(ValueError, match=r"record 1: .* is empty or holds white space"):
        write_run(tmp_path / "r", [RunLine(name, "p", 1, 1.0, "t")])
    assert list(tmp_path.iterdir()) == []


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layout: expected 'trec' or 'beir', got 'csv'"):
        write_qrels(tmp_path / "q", QRELS, "csv")

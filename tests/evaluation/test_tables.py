"""Several files side by side."""

import json

import pytest

from dpr_tf.evaluation import evaluate_files


def write(path, *ranks, passages=6):
    """A retriever output whose answers stand at these ranks, 0 for nowhere."""
    found = [
        {
            "question": f"{number}?",
            "answers": ["yes"],
            "ctxs": [{"text": "yes" if place == rank else "no"} for place in range(1, passages + 1)],
        }
        for number, rank in enumerate(ranks)
    ]
    path.write_text(json.dumps(found))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "one.json", 1, 3, 0, 6)
    write(tmp_path / "two.json", 2, 0, passages=2)
    return ["one.json", "two.json"]


def test_table(files):
    table = evaluate_files(files)
    assert table.questions == {"one.json": 4, "two.json": 2}
    assert list(table.rows) == ["top-1", "top-5", "MRR"]
    assert table.rows["top-5"]["one.json"].mean == 0.5
    assert table.curves == {"one.json": [0.25, 0.25, 0.5, 0.5, 0.5, 0.75], "two.json": [0.0, 0.5]}
    lines = str(table).splitlines()
    assert lines[0].split() == ["one.json", "two.json"]
    assert lines[1].split() == ["questions", "4", "2"]
    assert lines[2].split() == ["top-1", "25.0", "(0.0-75.0)", "0.0", "(0.0-0.0)"]
    assert lines[3].split()[-1] == "-"  # two.json has 2 passages
    # (1 + 1/3 + 1/6) / 4 = 0.375 and (1/2) / 2
    assert lines[4].split()[1::2] == ["37.5", "25.0"]
    assert lines[-1] == "In percent; in brackets 95 % confidence intervals."
    assert len({len(line) for line in lines[:5]}) == 1


def test_json(files):
    shown = json.loads(json.dumps(evaluate_files(files, k=[2]).as_json()))
    assert shown["level"] == 0.95
    one, two = shown["files"]
    assert (one["file"], one["questions"], one["accuracy_by_k"][5]) == ("one.json", 4, 0.75)
    assert two["measures"]["top-2"]["mean"] == 0.5
    assert list(two["measures"]) == ["top-2", "MRR"]


def test_runs(tmp_path):
    (tmp_path / "run").write_text("q Q0 a 1 2.0 t\nq Q0 b 2 1.0 t\n")
    (tmp_path / "qrels").write_text("q 0 b 1\n")
    table = evaluate_files([tmp_path / "run"], qrels=tmp_path / "qrels", measures=["RR@10", "R@2"])
    run = str(tmp_path / "run")
    assert {name: row[run].mean for name, row in table.rows.items()} == {"RR@10": 0.5, "R@2": 1.0}
    assert "accuracy_by_k" not in table.as_json()["files"][0]
    for options in ({"k": [1]}, {"plot": "curve.png"}):
        with pytest.raises(ValueError, match="Success@20"):
            evaluate_files([run], qrels=tmp_path / "qrels", **options)


def test_k_beyond_what_was_retrieved(files):
    with pytest.raises(ValueError, match=r"at most 2 passages .* no top-3"):
        evaluate_files(files, k=[1, 3])


def test_plot(files, tmp_path):
    pytest.importorskip("matplotlib")
    evaluate_files(files, plot=tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"

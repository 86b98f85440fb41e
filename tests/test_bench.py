"""The benchmark under tools/: a case runs, and what it finds is written down."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "tools" / "bench" / "run.py"


def bench(output, *arguments, run=BENCH):
    command = [sys.executable, str(run), *arguments, "--rounds", "2", "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_case_is_measured_in_two_sizes(tmp_path):
    done = bench(tmp_path, "tokenization", "--only", "dpr_tf", "tokenizers", "--grow", "passages=20,40")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "tokenization.json").read_text())
    assert [run["options"]["passages"] for run in found["runs"]] == [20, 40]
    for run in found["runs"]:
        assert set(run["engines"]) == {"dpr_tf", "tokenizers"}
        for engine in run["engines"].values():
            assert 0 < engine["lowest"] <= engine["rate"] <= engine["highest"]
            assert "tokenizers" in engine["versions"]
    table = (tmp_path / "tokenization.md").read_text()
    assert "tokenization, passages=20" in table
    assert "| tokenizers |" in table


CASE = """
UNIT, OPTIONS = "things", {}


def engine(number):
    return lambda folder: lambda: {"items": 3, "seconds": [0.5, 1.5], "check": [number]}


ENGINES = {
    "first": ("ours", engine(1.0)),
    "alike": ("ours", engine(1.05)),
    "other": ("ours", engine(3.0)),
    "broken": ("ours", lambda folder: 1 / 0),
    "half bfloat16": ("ours", engine(1.01)),
}


def prepare(folder, options):
    pass
"""


@pytest.fixture
def own_cases(tmp_path):
    """A copy of the benchmark with two cases more."""
    shutil.copytree(BENCH.parent, tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("things", "others"):
        (tmp_path / "bench" / f"{name}.py").write_text(CASE)
    return tmp_path / "bench" / "run.py"


def test_engines_that_compute_something_else_or_nothing_are_left_out(tmp_path, own_cases):
    done = bench(tmp_path, "things", run=own_cases)
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads((tmp_path / "things.json").read_text())["runs"]
    found = measured["engines"]
    assert found["first"]["rate"] == found["alike"]["rate"] == 1.5
    assert found["first"]["p50_ms"] == 1000.0
    assert found["other"] == {"error": "it computes other numbers"}
    assert found["broken"] == {"error": "ZeroDivisionError: division by zero"}


def test_bfloat16_is_measured_where_the_processor_knows_it_or_if_asked_for(tmp_path, own_cases):
    done = bench(tmp_path, "things", "others", run=own_cases)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "others.json").read_text())
    assert ("half bfloat16" in found["runs"][0]["engines"]) == ("bf16" in found["processor"])
    report = (tmp_path / "report.md").read_text()
    assert report.startswith(found["processor"])
    assert report.index("| things |") < report.index("| others |")
    bench(tmp_path, "things", "--only", "half bfloat16", run=own_cases)
    (measured,) = json.loads((tmp_path / "things.json").read_text())["runs"]
    assert measured["engines"]["half bfloat16"]["rate"] == 1.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["span"], "invalid choice: 'span'"),
        (["spans", "--set", "pasages=3"], "pasages=3: expected OPTION=VALUE; this case has the options ['pa"),
        (["spans", "--set", "passages"], "passages: expected OPTION=VALUE"),
        (["spans", "--grow", "passages=3,many"], "passages=3,many: expected int"),
        (["spans", "--only", "dpr"], "--only 'dpr': spans has the engines ['dpr_tf', "),
        (["spans", "tokenization", "--set", "tokens=8"], "tokens=8: expected OPTION=VALUE"),
    ],
)
def test_what_a_case_does_not_have_is_refused_before_anything_is_measured(tmp_path, arguments, message):
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())

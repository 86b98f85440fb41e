"""Every command of the guides in docs/ runs, in their order, on small data; and what comes of it is good."""

import json
import re
import shlex
from pathlib import Path

import guide_files
import keras
import pytest

from dpr_tf.cli import main
from dpr_tf.evaluation import evaluate_retrieved

GUIDES = Path(__file__).parents[2] / "docs"
# What makes the commands fit small data and this processor; the last one given counts.
SMALLER = {
    "train-biencoder": "--epochs 1 --batch-size 16 --warmup 2 --learning-rate 1e-4 --max-length 128 "
    "--rank-questions 50 --dtype float32",
    "train-reader": "--epochs 1 --batch-size 8 --passages 4 --max-length 160 --dev-passages 5 "
    "--learning-rate 3e-4",
    "retrieve": "--k 20",
    "answer": "--k 5",
}

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="serving and training need TensorFlow"
)


def commands(guide: str) -> list[list[str]]:
    """The commands of a guide in their order, without those of other programs."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).splitlines()
    return [shlex.split(line) for line in lines if line.startswith("dpr-tf ")]


def follow(guide: str) -> None:
    for _, command, *arguments in commands(guide):
        print("dpr-tf", command, *arguments)
        assert main([command, *arguments, *shlex.split(SMALLER.get(command, ""))]) == 0


def accuracy(path: str, k: int) -> float:
    return evaluate_retrieved(path).accuracy[k - 1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_your_own_data(here, collection):
    guide_files.lay_out(collection, here)
    follow("your-own-data.md")
    bm25, dense, hybrid = (accuracy(f"dev-{name}.json", 5) for name in ("bm25", "dense", "hybrid"))
    assert hybrid >= max(bm25, dense) - 0.02
    answers = json.loads((here / "answers.json").read_text())
    assert len(answers) == len(collection.dev)


def test_your_own_data(here):
    check_your_own_data(here, guide_files.sample())


@pytest.mark.skipif(not guide_files.SQUAD, reason="DPR_TF_SQUAD names no folder of SQuAD in DPR's formats")
def test_your_own_data_on_squad(here):
    check_your_own_data(here, guide_files.squad(guide_files.SQUAD))


def test_ten_million_passages(here):
    guide_files.lay_out(guide_files.sample(), here)
    follow("ten-million-passages.md")
    assert accuracy("found-sq8.json", 20) > accuracy("found.json", 20) - 0.02
    alone, together = (sorted((here / name).glob("*.npy")) for name in ("vectors", "vectors-of-two"))
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in together]
    python = re.search(
        r"```python\n(.*?)```", (GUIDES / "ten-million-passages.md").read_text(), flags=re.DOTALL
    )
    exec(compile(python[1], "ten-million-passages.md", "exec"), {})


def test_the_papers_recipe(here):
    guide_files.lay_out(guide_files.sample(), here)
    follow("the-papers-recipe.md")
    assert (here / "answers.json").exists()

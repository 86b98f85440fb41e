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
    "train-biencoder": "--epochs 2 --batch-size 16 --warmup 4 --learning-rate 1e-4 --max-length 128 "
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


@pytest.fixture(
    params=[
        "sample",
        pytest.param(
            "squad",
            marks=pytest.mark.skipif(
                not guide_files.SQUAD, reason="DPR_TF_SQUAD names no folder of SQuAD in DPR's formats"
            ),
        ),
    ]
)
def here(request, tmp_path, monkeypatch):
    """The current folder, with the files that the guides start from."""
    monkeypatch.chdir(tmp_path)
    collection = guide_files.sample() if request.param == "sample" else guide_files.squad(guide_files.SQUAD)
    guide_files.lay_out(collection, tmp_path)
    return tmp_path


def test_your_own_data(here):
    follow("your-own-data.md")
    assert (
        accuracy("dev-hybrid.json", 5)
        >= max(accuracy("dev-bm25.json", 5), accuracy("dev-dense.json", 5)) - 0.01
    )
    answers = json.loads((here / "answers.json").read_text())
    assert len(answers) == len((here / "dev-questions.tsv").read_text().splitlines())


def test_ten_million_passages(here):
    follow("ten-million-passages.md")
    assert accuracy("found-sq8.json", 20) > accuracy("found.json", 20) - 0.02
    alone, together = (sorted((here / name).glob("*.npy")) for name in ("vectors", "vectors-of-two"))
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in together]
    python = re.search(
        r"```python\n(.*?)```", (GUIDES / "ten-million-passages.md").read_text(), flags=re.DOTALL
    )
    exec(compile(python[1], "ten-million-passages.md", "exec"), {})


def test_the_papers_recipe(here):
    follow("the-papers-recipe.md")
    assert (here / "answers.json").exists()

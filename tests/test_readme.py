"""The README's Python runs, and its file tree and links are those of the repository."""

import re
from pathlib import Path

import keras
import pytest

import dpr_tf

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
HUB = [block for block in BLOCKS if "facebook/" in re.sub(r"#.*", "", block)]


def test_the_blocks_are_found():
    assert len(BLOCKS) >= 4
    assert len(HUB) == 1  # the serving section names a model of the Hub


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="the README uses TensorFlow")
@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block not in HUB], ids=lambda block: block.split("\n")[0][:40]
)
def test_python(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    if "decode_best_spans" in block or "system.answer" in block:
        assert "leonardo da vinci" in capsys.readouterr().out.lower()


def test_the_quick_start_is_short():
    quick_start = next(block for block in BLOCKS if "decode_best_spans" in block)
    assert len([line for line in quick_start.splitlines() if line.strip()]) <= 20


def test_links_lead_somewhere():
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", README, flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", prose):
        installed = Path(dpr_tf.__file__).parents[1]  # the package, where it is installed elsewhere
        assert (ROOT / target).exists() or (installed / target).exists(), target


def test_the_file_tree_lists_every_module():
    tree = README.split("## Files", 1)[1].split("```", 2)[1]
    listed = set(re.findall(r"^\s*([\w.]+\.py)\s", tree, flags=re.MULTILINE))
    assert (ROOT / "dpr_tf").is_dir() or pytest.skip("the package is installed elsewhere")
    here = {
        path.name
        for path in (ROOT / "dpr_tf").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    assert here <= listed, sorted(here - listed)

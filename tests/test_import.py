"""What `import dpr_tf` loads, how long it takes, and what it offers."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dpr_tf

TORCH = ("DPRContextEncoder", "DPRQuestionEncoder", "DPRReader")
HUGGING_FACE = [
    "DPRConfig",
    *("DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer", "DPRReaderTokenizer"),
    *("DPRContextEncoderTokenizerFast", "DPRQuestionEncoderTokenizerFast", "DPRReaderTokenizerFast"),
    *("DPRContextEncoderOutput", "DPRQuestionEncoderOutput", "DPRReaderOutput"),
    *("TFDPRContextEncoderOutput", "TFDPRQuestionEncoderOutput", "TFDPRReaderOutput"),
    *("TFDPRContextEncoder", "TFDPRQuestionEncoder", "TFDPRReader"),
    *TORCH,
    "BatchEncoding",
    "DPRSpanPrediction",
]
FRAMEWORKS = "{'tensorflow', 'keras', 'torch', 'jax', 'transformers'}"


def run(program: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is left as it is elsewhere")
@pytest.mark.parametrize("told", [None, "0"])
def test_onednn_is_on_unless_told_otherwise(told):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    if told is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = told
    program = "{}; import os, dpr_tf; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    for before, expected in (("import sys", told or "1"), ("import tensorflow", str(told))):
        command = [sys.executable, "-c", program.format(before)]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        assert done.stdout.decode().strip() == expected


@pytest.mark.parametrize(
    "statement",
    [
        "import dpr_tf",
        "from dpr_tf import DPRConfig",
        "import dpr_tf.config, dpr_tf.hub, dpr_tf.outputs",
        "import dpr_tf.weights.names, dpr_tf.weights.pickles, dpr_tf.weights.files, dpr_tf.weights.convert",
        "import dpr_tf.tokenizers",
        "import dpr_tf.data, dpr_tf.evaluation, dpr_tf.cli",
    ],
)
def test_import_loads_no_framework(statement):
    done = run(f"import sys; {statement}; print(sorted({FRAMEWORKS} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stderr


def test_import_takes_under_a_tenth_of_a_second():
    # Of processor time, measured inside: neither other programs nor the interpreter's own start count.
    program = "import time; s = time.process_time(); import dpr_tf; print(time.process_time() - s)"
    assert min(float(run(program).stdout) for _ in range(5)) < 0.1


def test_public_names_include_hugging_faces():
    assert set(HUGGING_FACE) - set(dir(dpr_tf)) == set()
    assert len(dpr_tf.__all__) == len(set(dpr_tf.__all__))
    without_torch = set(dir(dpr_tf)) - set(TORCH)
    assert set(dpr_tf.__all__) == (set(dir(dpr_tf)) if importlib.util.find_spec("torch") else without_torch)


def test_all_names_can_be_imported_without_torch():
    program = "import sys; sys.modules['torch'] = None; from dpr_tf import *; print(TFDPRReader.__name__)"
    done = run(program)
    assert done.stdout == "TFDPRReader\n", done.stderr


@pytest.mark.parametrize("name", [name for name in dpr_tf.__all__ if name != "__version__"])
def test_public_name_is_documented(name):
    if name in TORCH:
        pytest.importorskip("torch")
    value = getattr(dpr_tf, name)
    assert value.__name__ == name
    methods = (
        [name for name, member in vars(value).items() if inspect.isfunction(member)]
        if inspect.isclass(value)
        else []
    )
    undocumented = [
        name for name in methods if not name.startswith("_") and not inspect.getdoc(getattr(value, name))
    ]
    assert value.__doc__
    assert undocumented == []


def test_every_module_class_and_function_is_documented():
    undocumented = []
    package = Path(dpr_tf.__file__).parent
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        for node in [tree, *named]:
            name = getattr(node, "name", "")
            if not (name.startswith("_") or ast.get_docstring(node) or "__doc__ = " in ast.unparse(node)):
                undocumented.append(f"{path.relative_to(package)}:{name}")
    assert undocumented == []


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dpr_tf' has no attribute 'TFBertModel'"):
        dpr_tf.TFBertModel  # noqa: B018 - the access is what fails


@pytest.mark.parametrize("name", TORCH)
def test_torch_twin_without_torch_names_what_to_install(name):
    # None in sys.modules makes `import torch` fail as if it were not installed.
    done = run(f"import sys; sys.modules['torch'] = None; import dpr_tf; dpr_tf.{name}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert re.search(r"pip install ['\"]dpr_tf\[torch\]['\"]", done.stderr)

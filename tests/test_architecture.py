"""Who may import whom: the drawing, and a test that the imports in the source agree with it."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("dpr_tf").origin).parent

# Module -> what of dpr_tf it may import; of several rows that fit, the first counts. `package.*` is a package
# and all that is in it.
DRAWING = {
    "": set(),  # dpr_tf/__init__.py names its modules in strings: nothing is imported before it is used
    # Data, records and files: no model, no text.
    "config": {"hub"},
    "hub": set(),
    "outputs": set(),
    "weights.names": set(),
    "weights.arrays": set(),
    "weights.*": {"weights.*"},
    # Models know neither text nor tokenizers; the layers in bert know no files.
    "models": set(),
    "models.activations": set(),
    "models.inputs": set(),
    "models.tree": set(),
    "models.bert": {
        "config",
        "models.activations",
        "models.dropout",
        "models.int8",
        "models.layouts",
        "models.packed",
    },
    "models.dropout": set(),
    "models.int8": {"models.activations", "models.packed"},  # takes a model as argument
    "models.layouts": set(),
    "models.openvino": {"models.dpr", "models.inputs"},
    "models.packed": set(),
    "models.held": set(),
    "models.sources": {"config", "hub", "weights.*"},
    "models.pretrained": {
        "config",
        "hub",
        "models.bert",
        "models.sources",
        "models.values",
        "serving",
        "weights.*",
    },
    "models.values": set(),
    "models.dpr": {
        "config",
        "outputs",
        "models.bert",
        "models.inputs",
        "models.pretrained",
        "models.tree",
        "serving",
    },
    "models.torch_bert": {"config"},
    "models.torch_pretrained": {"config", "hub", "models.sources", "weights.*"},
    "models.torch": {"config", "outputs", "models.torch_bert", "models.torch_pretrained"},
    "serving.*": {"serving.*"},
    # Tokenizers know no model.
    "tokenizers.*": {"hub", "tokenizers.*"},
    # Text to vectors to passages to answers; each takes its model and tokenizer as arguments.
    "inference": {"models.held", "models.layouts", "models.openvino", "models.packed"},
    "data.vectors": {"data.*", "weights.arrays", "weights.pickled", "weights.pickles"},  # no pickle runs code
    "data.*": {"data.*"},
    "retrieval": set(),  # names its modules in strings, so that what is sparse loads no Keras
    "retrieval.indexes.*": {"retrieval.indexes.*"},  # rows and vectors: they have never heard of text
    "retrieval.scored": {"data.passages"},
    "retrieval.bm25": {"data.passages", "retrieval.scored"},  # these three know words, no model
    "retrieval.hybrid": {"data.passages", "evaluation.answers", "retrieval.scored"},
    "retrieval.mining": {"data.examples", "data.retrieved", "evaluation.answers"},
    "retrieval.cutting": {"data.distinct", "data.passages"},  # passages, no vectors
    "retrieval.fingerprints": set(),
    "retrieval.shards": {"data.files", "retrieval.cutting", "retrieval.indexes.*"},  # vectors, no model
    "retrieval.pickled": {"data.vectors", "retrieval.cutting", "retrieval.shards"},
    "retrieval.progress": set(),
    "retrieval.building": {
        "retrieval.indexes.*",
        "retrieval.pickled",
        "retrieval.progress",
        "retrieval.shards",
    },
    "retrieval.store": {"checkpoints", "data.passages", "retrieval.*"},
    "retrieval.files": {"checkpoints", "data.*", "evaluation.*", "retrieval.*"},
    "retrieval.*": {"data.passages", "data.questions", "inference", "retrieval.*"},
    "reading.files": {"checkpoints", "data.*", "evaluation.measures", "reading.*", "retrieval.*"},
    "reading.*": {
        "data.passages",
        "data.questions",
        "data.retrieved",
        "inference",
        "reading.*",
        "retrieval.*",
        "tokenizers.spans",
    },
    # Training knows models and data records, not retrieval; retrieval does not know training.
    "training": set(),
    "training.replicas": set(),
    "training.lora": set(),  # takes the model as an argument
    "training.losses": set(),  # vectors and masks
    "training.steps": {"models.layouts"},  # takes the model as an argument
    "training.whole_batch": set(),  # told how to compute gradients
    "training.optimizers": {"training.replicas"},
    "training.biencoder": {"models.dpr", "training.*"},
    "training.resume": {"weights.arrays", "weights.safetensors"},
    "training.texts": set(),  # takes tokenizers as arguments
    "training.sampling": set(),  # numbers
    "training.stored_examples": {"data.examples"},
    "training.false_negatives": {"data.examples", "evaluation.answers"},
    "training.biencoder_batches": {
        "data.examples",
        "data.questions",
        "training.false_negatives",
        "training.sampling",
        "training.stored_examples",
        "training.texts",
    },
    "training.callbacks": {
        "data.examples",
        "data.questions",
        "evaluation.measures",
        "inference",
        "training.texts",
    },
    "training.biencoder_recipe": {"checkpoints", "data.examples", "training.*"},
    "training.reader_losses": set(),  # logits and masks
    "training.reader_passages": {
        "data.examples",
        "data.questions",
        "data.retrieved",
        "evaluation.answers",
    },
    "training.reader_data": {"training.reader_passages"},
    "training.reader": {"models.dpr", "training.*"},
    "training.reader_steps": {"training.replicas", "training.steps"},
    "training.reader_batches": {
        "training.reader_data",
        "training.reader_passages",
        "training.sampling",
    },
    "training.best": set(),  # told how to save
    "training.runs": {"data.files", "training.best", "training.resume"},  # no data, no text
    "training.reader_recipe": {
        "checkpoints",
        "data.examples",
        "data.files",
        "data.retrieved",
        "reading.reader",
        "training.*",
    },
    "training.reader_validation": {"data.retrieved", "evaluation.measures", "reading.*"},
    "evaluation": {"evaluation.*"},
    "evaluation.files": {"data.retrieved", "data.trec", "evaluation.*"},
    "evaluation.*": {"evaluation.*"},  # strings and numbers
    # What puts them together. Nothing imports cli but `python -m dpr_tf`.
    "checkpoints": {"config", "hub", "models.*", "serving", "tokenizers", "weights.*"},
    "answering": {"checkpoints", "data.passages", "reading.*", "retrieval.*"},
    "console": {"answering", "reading.reader"},
    "doctor": {"answering", "hub"},
    "demo": {"answering", "console", "data.passages", "retrieval.*"},
    "cli": {"", "cli.*", "console"},
    "cli.options": set(),  # knows functions, none of them
    "cli.declarations": {""},
    "cli.commands": {"console"},  # names functions in strings, of which it imports the one that is called for
    "__main__": {"cli"},
}

# Third-party package -> the only modules that import it. What has no row, as transformers, none imports.
THIRD_PARTY = {
    "bm25s": ["retrieval.bm25"],
    "faiss": ["retrieval.indexes.faiss"],
    "h5py": ["weights.hdf5"],
    "huggingface_hub": ["hub"],
    "ir_measures": ["evaluation.ranking"],
    "jax": ["inference", "models.tree", "models.values"],
    "keras": ["doctor", "inference", "models.*", "serving.*", "training.*"],
    "matplotlib": ["evaluation.curves"],
    "ml_dtypes": ["models.torch_pretrained", "weights.arrays"],
    "numpy": ["*"],
    "openvino": ["models.openvino"],
    "pymilvus": ["retrieval.indexes.milvus"],
    "optree": ["models.tree"],
    "regex": ["evaluation.answers"],
    "tensorflow": [
        "doctor",
        "inference",
        "models.dropout",
        "models.held",
        "models.int8",
        "models.layouts",
        "models.packed",
        "models.values",
        "retrieval.indexes.int8",
        "serving.saved_model",
        "training.biencoder",
        "training.biencoder_batches",
        "training.optimizers",
        "training.reader_batches",
        "training.reader_steps",
        "training.replicas",
        "training.steps",
    ],
    "tokenizers": ["tokenizers.*"],
    "torch": ["models.torch", "models.torch_bert", "models.torch_pretrained", "models.tree", "models.values"],
    "yaml": ["cli.options"],
    "tqdm": ["retrieval.embed", "retrieval.progress", "retrieval.store", "training.reader_recipe"],
}

# Modules that import by a name in a string, which the syntax tree does not show: exports, `return_tensors`.
BY_STRING = {"", "cli.commands", "retrieval", "tokenizers.encoding"}


def modules() -> dict[str, str]:
    """Name inside dpr_tf -> source; a package's `__init__` has the package's name, dpr_tf's own is empty."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix("__init__").rstrip(".")] = path.read_text(encoding="utf-8")
    return found


MODULES = modules()


def imports(name: str, source: str) -> set[str]:
    """Full names of the modules that a source imports, in functions too, but for type checkers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    is_package = name == "" or any(other.startswith(f"{name}.") for other in MODULES)
    package = f"dpr_tf.{name}".rstrip(".") if is_package else f"dpr_tf.{name}".rpartition(".")[0]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in (
                node.names
            ):  # `from dpr_tf import hub` imports hub; `from dpr_tf import __version__` does not
                submodule = f"{base}.{alias.name}"
                found.add(submodule if submodule.removeprefix("dpr_tf.") in MODULES else base)
    return found


def fits(name: str, pattern: str) -> bool:
    """Whether a module is `pattern`, or where that ends in `.*` the package itself or inside it."""
    inside = pattern.removesuffix("*")
    return name == pattern or (inside != pattern and f"{name}.".startswith(inside))


def offences(name: str, source: str) -> list[str]:
    """What a module imports although the drawing does not let it."""
    rows = [pattern for pattern in DRAWING if fits(name, pattern)]
    if not rows:
        return [f"{name or 'dpr_tf'} is not in the drawing"]
    found = []
    for target in sorted(imports(name, source)):
        top, _, inner = target.partition(".")
        if top == "dpr_tf":
            allowed = DRAWING[rows[0]]
        elif top in sys.stdlib_module_names:
            continue
        else:
            allowed, inner = THIRD_PARTY.get(top, set()), name
        if not any(fits(inner, pattern) for pattern in allowed):
            found.append(f"{name or 'dpr_tf'} imports {target}")
    if name not in BY_STRING and ("import_module(" in source or "__import__(" in source):
        found.append(f"{name} imports by a name in a string")
    return found


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name or "dpr_tf")
def test_module_imports_only_what_the_drawing_lets_it(name):
    assert offences(name, MODULES[name]) == []


@pytest.mark.parametrize(
    ("name", "source", "offence"),
    [
        ("models.new", "import numpy", "models.new is not in the drawing"),
        ("new", "", "new is not in the drawing"),
        ("weights.convert", "from dpr_tf.models import bert", "weights.convert imports dpr_tf.models.bert"),
        ("weights.convert", "from ..models.bert import Bert", "weights.convert imports dpr_tf.models.bert"),
        ("weights", "from .. import config", "weights imports dpr_tf.config"),
        ("weights.names", "from dpr_tf.weights import files", "weights.names imports dpr_tf.weights.files"),
        ("models.bert", "import dpr_tf.hub", "models.bert imports dpr_tf.hub"),
        ("models.bert", "from dpr_tf import TFDPRReader", "models.bert imports dpr_tf"),
        ("models.bert", "def build():\n    import torch.nn", "models.bert imports torch.nn"),
        (
            "retrieval.indexes.exact",
            "from dpr_tf.data import Passage",
            "retrieval.indexes.exact imports dpr_tf.data",
        ),
        ("tokenizers.fast", "import transformers", "tokenizers.fast imports transformers"),
        ("hub", "importlib.import_module('torch')", "hub imports by a name in a string"),
    ],
)
def test_drawing_refuses(name, source, offence):
    assert offences(name, source) == [offence]


def test_drawing_has_no_row_for_nothing():
    idle = [pattern for pattern in DRAWING if not any(fits(name, pattern) for name in MODULES)]
    assert idle == []
    imported = {target for name, source in MODULES.items() for target in imports(name, source)}
    assert sorted(set(THIRD_PARTY) - {target.partition(".")[0] for target in imported}) == []


def test_third_party_packages_are_declared():
    try:
        declared = importlib.metadata.requires("dpr_tf")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("dpr_tf runs from its source folder; its requirements are known once it is installed")
    names = {re.match(r"[\w.-]+", line)[0] for line in declared if "extra ==" not in line}
    # Keras brings optree, and has loaded torch or JAX before models.tree does; the rest are extras.
    assert set(THIRD_PARTY) - names == {
        "bm25s",
        "faiss",
        "ir_measures",
        "jax",
        "matplotlib",
        "openvino",
        "optree",
        "pymilvus",
        "regex",
        "torch",
        "yaml",  # of the package PyYAML
    }

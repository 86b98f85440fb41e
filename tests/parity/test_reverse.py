"""Export, and let the PyTorch side judge: it loads the file strictly and computes the same."""

import numpy as np
import pytest
import recordings
from keras import ops

import dpr_tf
from dpr_tf.weights import files

torch = pytest.importorskip("torch", reason='the PyTorch twins need torch: pip install "dpr_tf[torch]"')

KINDS = {"ctx": "ContextEncoder", "question": "QuestionEncoder", "reader": "Reader"}
ARCHITECTURES = [name for name, entry in recordings.weights().items() if "/arch/" in entry["computed_from"]]
SAVING = {"safetensors": {}, "shards": {"max_shard_size": "20KB"}, "h5": {"safe_serialization": False}}
# One file of every configuration; the other ways of writing for one of each kind.
CASES = [(name, "safetensors") for name in ARCHITECTURES] + [
    (name, saving) for name in ("ctx-relkey", "question-proj", "reader-base") for saving in ("shards", "h5")
]


def models(name):
    """The Keras model of a set of weights, and the class of its twin."""
    entry = recordings.weights()[name]
    path = recordings.checkpoint(entry["computed_from"])
    kind = KINDS[entry["kind"]]
    return getattr(dpr_tf, f"TFDPR{kind}").from_pretrained(path), getattr(dpr_tf, f"DPR{kind}")


def torch_call(model):
    """A torch model that takes NumPy arrays."""

    def call(**arguments):
        with torch.no_grad():
            return model(
                **{k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
            )

    return call


@pytest.mark.parametrize(("name", "saving"), CASES)
def test_the_twin_loads_what_the_keras_model_saves(name, saving, tmp_path):
    keras_model, twin_class = models(name)
    keras_model.save_pretrained(tmp_path, **SAVING[saving])
    twin, info = twin_class.from_pretrained(tmp_path, from_tf=saving == "h5", output_loading_info=True)
    assert not any(info.values()), info
    recordings.assert_parity(torch_call(twin.eval()), name)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pytorch_itself_finds_the_export_complete(name, tmp_path):
    keras_model, twin_class = models(name)
    keras_model.save_pretrained(tmp_path)
    state = {
        key: torch.from_numpy(array.read().copy()) for key, array in files.read_checkpoint(tmp_path).items()
    }
    twin_class(keras_model.config).load_state_dict(state, strict=True)


@pytest.mark.parametrize(("name", "saving"), CASES)
def test_the_keras_model_loads_what_the_twin_saves(name, saving, tmp_path):
    keras_model, twin_class = models(name)
    path = recordings.checkpoint(recordings.weights()[name]["computed_from"])
    twin_class.from_pretrained(path).save_pretrained(tmp_path, **SAVING[saving])
    other = type(keras_model).from_pretrained(tmp_path, from_pt=saving != "h5")
    for ours, theirs in zip(keras_model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))

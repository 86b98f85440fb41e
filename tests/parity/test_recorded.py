"""The Keras models against recorded outputs and gradients, as built and from every sound checkpoint file."""

import keras
import numpy as np
import pytest
import recordings
from keras import ops

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.weights import names

MODELS = {"ctx": TFDPRContextEncoder, "question": TFDPRQuestionEncoder, "reader": TFDPRReader}
ARCHITECTURES = [name for name, entry in recordings.weights().items() if "/arch/" in entry["computed_from"]]
SOUND = [entry for entry in recordings.checkpoints() if entry.get("weights")]
CONTROLS = [name for name in recordings.weights() if name.startswith("bad-control")]


def load(entry: dict):
    """The model of one entry of the checkpoint index."""
    path = recordings.checkpoint(entry["path"])
    if path.is_dir() and (path / "checkpoint.cp").is_file():
        path = path / "checkpoint.cp"
    return MODELS[entry["kind"]].from_pretrained(path, from_pt=True)


@pytest.mark.parametrize("name", ARCHITECTURES + CONTROLS)
def test_outputs_of_every_configuration(name):
    entry = recordings.weights()[name]
    model = load({"path": entry["computed_from"], "kind": entry["kind"]})
    recordings.assert_parity(model, name, ops.convert_to_numpy)


@pytest.mark.parametrize(
    "entry", SOUND, ids=lambda entry: f"{entry['path'].split('/', 1)[1]}-{entry['kind']}"
)
@pytest.mark.filterwarnings("ignore:.*not used:UserWarning")
def test_every_sound_checkpoint_gives_its_outputs(entry):
    recordings.assert_parity(load(entry), entry["weights"], ops.convert_to_numpy)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="takes gradients with a TensorFlow tape")
@pytest.mark.parametrize(
    "name", [name for name in ARCHITECTURES if "grad" in recordings.weights()[name]["cases"]]
)
def test_gradients_of_every_configuration(name):
    import tensorflow as tf

    entry = recordings.weights()[name]
    model = load({"path": entry["computed_from"], "kind": entry["kind"]})
    with tf.GradientTape() as tape:
        output = model(**recordings.case_inputs(name, "grad"), return_dict=True)
        heads = [value for key, value in output.items() if key not in ("hidden_states", "attentions")]
        loss = tf.add_n([tf.reduce_mean(tf.square(value)) for value in heads])
    variables = model.variables_by_path
    gradients = dict(zip(variables, tape.gradient(loss, [v.value for v in variables.values()]), strict=True))
    compared = []
    for row in names.rows(model.config, model.head):
        wanted = recordings.expected(name).get(f"grad/pt/grad/{row.torch}")
        if wanted is None:
            continue
        gradient = gradients[row.keras]
        found = np.zeros(wanted.shape) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        found = found.T if row.op == names.TRANSPOSE else found
        if row.torch.endswith("word_embeddings.weight"):
            # PyTorch leaves the padding row out of the gradient; Keras does not.
            found, wanted = (np.delete(g, model.config.pad_token_id, axis=0) for g in (found, wanted))
        assert np.abs(found - wanted).max() <= recordings.TOLERANCE, row.torch
        compared.append(f"grad/pt/grad/{row.torch}")
    assert sorted(compared) == sorted(
        key for key in recordings.expected(name) if key.startswith("grad/pt/grad/")
    )

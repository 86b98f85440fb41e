"""Who loads an exported model, and agrees with Keras: a C++ program, TensorFlow alone, OpenVINO."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dpr_tf.serving import export_saved_model

SHAPES = [(3, 7), (2, 11)]
ASKED = {"output_hidden_states": True, "output_attentions": True}


@pytest.fixture(scope="module", params=["context", "question", "reader"])
def exported(request, make_model, tmp_path_factory):
    """kind, model, SavedModel folder; the reader's configuration asks for states and attentions."""
    model = make_model(request.param, **(ASKED if request.param == "reader" else {}))
    folder = tmp_path_factory.mktemp("served") / request.param / "1"
    return request.param, model, export_saved_model(model, folder)


def requests_text(signature: str, inputs: dict[str, np.ndarray]) -> str:
    batch, tokens = inputs["input_ids"].shape
    lines = [" ".join(map(str, [name, batch, tokens, *values.ravel()])) for name, values in inputs.items()]
    return "\n".join([f"{signature} {len(inputs)}", *lines, ""])


def parse(line: str) -> tuple[str, str, np.ndarray]:
    signature, name, rank, *numbers = line.split()
    shape = [int(size) for size in numbers[: int(rank)]]
    return signature, name, np.array(numbers[int(rank) :], np.float32).reshape(shape)


def test_cpp_program_gets_the_same_outputs(serve, exported, make_inputs, expected_outputs):
    kind, model, folder = exported
    calls = [(signature, shape) for signature in ("serving_default", "int64_serving") for shape in SHAPES]
    requests = [requests_text(signature, make_inputs(kind, *shape)) for signature, shape in calls]
    lines = serve(folder, "".join(requests)).splitlines()
    for signature, shape in calls:
        expected = expected_outputs(model, make_inputs(kind, *shape))
        answers, lines = [parse(line) for line in lines[: len(expected)]], lines[len(expected) :]
        assert [name for _, name, _ in answers] == sorted(expected)
        assert {answered for answered, _, _ in answers} == {signature}
        for _, name, values in answers:
            np.testing.assert_allclose(values, expected[name], atol=1e-5, rtol=0, err_msg=name)
    assert not lines


WITHOUT_KERAS = """
import sys
sys.modules.update(keras=None, dpr_tf=None)  # importing either fails
import numpy as np, tensorflow as tf
folder, inputs, outputs = sys.argv[1:]
model = tf.saved_model.load(folder)
given = np.load(inputs)
np.savez(outputs, **{
    f"{name}/{key}": value.numpy()
    for name, dtype in (("serving_default", tf.int32), ("int64_serving", tf.int64))
    for key, value in model.signatures[name](**{k: tf.constant(given[k], dtype) for k in given.files}).items()
})
"""


def test_runs_without_keras_and_without_dpr_tf(exported, make_inputs, expected_outputs, tmp_path):
    kind, model, folder = exported
    inputs = make_inputs(kind, 3, 7)
    np.savez(tmp_path / "inputs.npz", **inputs)
    command = [sys.executable, "-c", WITHOUT_KERAS, str(folder), "inputs.npz", "outputs.npz"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = np.load(tmp_path / "outputs.npz")
    expected = expected_outputs(model, inputs)
    assert len(answers.files) == 2 * len(expected)
    for key in answers.files:
        np.testing.assert_allclose(answers[key], expected[key.split("/")[1]], atol=1e-5, rtol=0, err_msg=key)


@pytest.mark.filterwarnings("default")
def test_openvino_gets_the_same_outputs(exported, make_inputs, expected_outputs):
    openvino = pytest.importorskip("openvino", reason="needs openvino, an independent runtime")
    kind, model, folder = exported
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino.convert_model(folder), "CPU", options)
    for shape in SHAPES:
        inputs = make_inputs(kind, *shape)
        answers = {port.get_any_name(): values for port, values in compiled(inputs).items()}
        expected = expected_outputs(model, inputs)
        assert sorted(answers) == sorted(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(answers[name], values, atol=1e-5, rtol=0, err_msg=name)

"""Every activation against recorded values on a grid."""

import numpy as np
import pytest
import recordings
from keras import ops

from dpr_tf.config import ACTIVATIONS
from dpr_tf.models.activations import FUNCTIONS

EXPECTED = recordings.expected("activations")


def test_the_configuration_knows_the_same_names():
    assert set(ACTIVATIONS) == set(FUNCTIONS)
    recorded = {key.removesuffix("/pt") for key in EXPECTED if key.endswith("/pt")}
    assert recorded <= set(FUNCTIONS)


@pytest.mark.parametrize("name", [key.removesuffix("/pt") for key in EXPECTED if key.endswith("/pt")])
def test_values(name):
    found = ops.convert_to_numpy(FUNCTIONS[name](ops.convert_to_tensor(EXPECTED["x"])))
    np.testing.assert_allclose(found, EXPECTED[f"{name}/pt"], atol=recordings.TOLERANCE, rtol=1e-6)


def test_another_function_would_be_seen():
    # gelu and its tanh form differ by up to 5e-4, fifty times the tolerance.
    tanh_form = ops.convert_to_numpy(FUNCTIONS["gelu_new"](ops.convert_to_tensor(EXPECTED["x"])))
    assert np.abs(tanh_form - EXPECTED["gelu/pt"]).max() > 1e-4

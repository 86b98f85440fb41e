"""Twelve training steps here and in PyTorch, from the same weights on the same batches: equal losses."""

import importlib.util
from pathlib import Path

import pytest

import dpr_tf

pytest.importorskip("torch", reason='compares with PyTorch: pip install "dpr_tf[parity]"')
TOOL = Path(__file__).parents[2] / "tools" / "measure_training_parity.py"
if not TOOL.is_file():
    pytest.skip("the tool that is tested is not installed with the package", allow_module_level=True)
SPEC = importlib.util.spec_from_file_location("measure_training_parity", TOOL)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


def test_losses_of_the_biencoder():
    classes = (dpr_tf.TFDPRQuestionEncoder, dpr_tf.TFDPRContextEncoder)
    encoders = [
        tool.random_encoder(cls, seed, num_hidden_layers=1, vocab_size=99) for seed, cls in enumerate(classes)
    ]
    # A rate high enough that a wrong update shows in the next loss.
    sides = tool.biencoder_sides(encoders, tool.Recipe(3e-3, 12, 2), chunk_size=None)
    batches = list(tool.random_batches(11, 4, 9, 99))
    losses = list(tool.compare(sides, [*batches, batches[0]]))
    assert len(losses) == 12
    for ours, theirs in losses:
        assert ours == pytest.approx(theirs, rel=tool.TARGET)
    assert losses[-1][0] != pytest.approx(losses[0][0], rel=0.01)  # on the same batch, eleven updates later

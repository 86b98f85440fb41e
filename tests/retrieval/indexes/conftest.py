"""Blocks small enough for a test to cross."""

import pytest

from dpr_tf.retrieval.indexes import exact, int8, vectors


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 7 rows, groups of 14, batches of 3 questions, samples of 5 rows."""
    for module in (exact, int8, vectors):
        monkeypatch.setattr(module, "BLOCK", 7)
    for module in (exact, int8):
        monkeypatch.setattr(module, "GROUP", 14)
    monkeypatch.setattr(exact, "_QUESTIONS", 3)
    monkeypatch.setattr(exact, "_SAMPLE", 5)

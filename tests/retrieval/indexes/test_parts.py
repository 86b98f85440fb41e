"""The parts of the exact search against obvious twins: conversion, codes, error bounds, products."""

import numpy as np
import pytest

from dpr_tf.retrieval.indexes import int8
from dpr_tf.retrieval.indexes.vectors import Vectors, product_error, to_float32


def test_every_finite_float16_becomes_its_float32():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][None]
    found = to_float32(halves)
    np.testing.assert_array_equal(found.view(np.uint32), halves.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("product", [int8.float_product, int8.product()])
def test_integer_products_are_exact_up_to_float32(product):
    random = np.random.default_rng(1)
    rows = random.integers(0, 256, size=(31, 1100)).astype(np.uint8)
    questions = random.integers(-127, 128, size=(1100, 7)).astype(np.int8)
    rows[0], questions[:, 0] = 255, 127  # the largest sum
    found = product(rows, questions)
    expected = rows.astype(np.int64) @ questions.astype(np.int64)
    large = np.abs(expected) > 1 << 24
    assert large.any()
    np.testing.assert_array_equal(found[~large], expected[~large])
    np.testing.assert_allclose(found[large], expected[large], rtol=2.0**-23)


def test_without_a_right_kernel_the_product_is_numpys(monkeypatch):
    wrong = (np.zeros((3, 5), np.int32), np.zeros(0, np.int32))
    for broken in (lambda rows, questions: 1 / 0, *(lambda *_, found=found: found for found in wrong)):
        monkeypatch.setattr(int8, "onednn_product", broken)
        int8.product.cache_clear()
        assert int8.product() is int8.float_product
    int8.product.cache_clear()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_scores_lie_within_the_error_of_their_estimates(scale, shift):
    random = np.random.default_rng(2)
    vectors = ((random.standard_t(2, size=(90, 40)) + shift * random.normal(size=40)) * scale).astype(
        np.float32
    )
    vectors[:, 3] = 5 * scale  # a number that never changes
    questions = (random.standard_t(2, size=(6, 40)) * scale).astype(np.float32)
    stored = Vectors(40)
    stored.append(vectors)
    codes = int8.Codes(40)
    codes.catch_up(stored)
    (block,) = codes.blocks(questions)
    none = np.full(6, -1e30, np.float32)
    error = product_error(questions, float(np.linalg.norm(vectors, axis=1).max()))
    asked, rows, estimates, off = block.above(none, error, None)
    assert asked.tolist() == np.repeat(np.arange(6), 90).tolist()
    exact = questions.astype(np.float64) @ vectors.astype(np.float64).T
    distance = np.abs(exact[asked, rows] - estimates)
    assert (distance <= off[asked]).all()
    assert (distance > 1e-3 * off[asked]).mean() > 0.5  # nor is the bound beyond all measure


def test_small_additions_are_joined_and_large_ones_kept():
    stored = Vectors(2)
    pieces = [np.full((size, 2), number, np.float32) for number, size in enumerate([1, 1, 1, 9000, 2, 3, 3])]
    for piece in pieces:
        stored.append(piece)
    everything = np.concatenate(pieces)
    assert any(np.shares_memory(block, pieces[3]) for _, block in stored.blocks())
    np.testing.assert_array_equal(np.concatenate([block for _, block in stored.blocks()]), everything)
    assert [first for first, _ in stored.blocks()] == [0, 2, 3, 8195, 9003, 9008]
    rows = np.array([9010, 0, 9003, 2, 5000])
    np.testing.assert_array_equal(stored.take(rows), everything[rows])

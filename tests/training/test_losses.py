"""The steps of the loss: values worked by hand, and a NumPy twin on random batches."""

import numpy as np
import pytest
from keras import ops

from dpr_tf.training import losses

# Questions (1, 0) and (0, 2), passages (1, 1), (2, 0), (0, 3), (1, 0); positives in columns 0 and 2.
QUESTIONS = np.array([[1, 0], [0, 2]], "float32")
PASSAGES = np.array([[1, 1], [2, 0], [0, 3], [1, 0]], "float32")
SCORES = np.array([[1, 2, 0, 1], [2, 0, 6, 0]], "float32")
POSITIVES = np.array([0, 2], "int32")
PRESENT = np.array([True, True, True, False])
IGNORED = np.array([[False, False, True, False], [False, False, False, False]])


def slow_loss(scores, counted, positives):
    """Negative log-likelihood and rank of each question's positive, one question after the other."""
    nll, ranks = [], []
    for row, columns, positive in zip(scores.astype("float64"), counted, positives, strict=True):
        kept = row[columns]
        nll.append(np.log(np.exp(kept - kept.max()).sum()) + kept.max() - row[positive])
        order = sorted(np.flatnonzero(columns), key=lambda column: (-row[column], column))
        ranks.append(order.index(positive))
    return np.array(nll), np.array(ranks)


def test_scores_are_inner_products():
    assert ops.convert_to_numpy(losses.score_pairs(QUESTIONS, PASSAGES)).tolist() == SCORES.tolist()


def test_scores_of_half_precision_vectors_are_float32():
    # 300 * 300 = 90000 is no finite float16.
    vectors = np.full((1, 1), 300, "float16")
    assert ops.convert_to_numpy(losses.score_pairs(vectors, vectors)).tolist() == [[90000.0]]


def test_pairs_that_count():
    counted = ops.convert_to_numpy(losses.countable(PRESENT, IGNORED))
    assert counted.tolist() == [[True, True, False, False], [True, True, True, False]]
    assert ops.convert_to_numpy(losses.negatives(counted)).tolist() == [1, 2]


def test_loss_by_hand():
    # All pairs count: the first question has exp(1) among exp(1), exp(2), exp(0), exp(1), that is
    # log(e + e**2 + 1 + e) - 1 = log(13.826) - 1 = 1.6265; the second log(e**2 + 1 + e**6 + 1) - 6 = 0.0230.
    nll = ops.convert_to_numpy(losses.negative_log_likelihood(SCORES, POSITIVES))
    assert nll == pytest.approx([1.6265, 0.0230], abs=1e-4)
    # Masked, the first has (1, 2): log(1 + e) = 1.3133; the second (2, 0, 6):
    # log(e**-4 + e**-6 + 1) = 0.0206.
    counted = losses.countable(PRESENT, IGNORED)
    masked = losses.mask_scores(SCORES, counted)
    nll = ops.convert_to_numpy(losses.negative_log_likelihood(masked, POSITIVES))
    assert nll == pytest.approx([1.3133, 0.0206], abs=1e-4)


def test_ranks_by_hand():
    # 2 stands before the first question's 1, its equal in column 3 does not; nothing stands before 6.
    assert ops.convert_to_numpy(losses.positive_ranks(SCORES, POSITIVES)).tolist() == [1, 0]
    assert ops.convert_to_numpy(losses.positive_ranks(SCORES, np.array([3, 3], "int32"))).tolist() == [2, 3]


@pytest.mark.parametrize("size", [1.0, 40.0])  # of scores: small differences, and those of trained encoders
def test_random_batches_against_the_slow_twin(size):
    random = np.random.default_rng(3)
    for _ in range(20):
        scores = random.normal(0, size, (5, 15)).round(1).astype("float32")  # rounded: some are equal
        counted = random.random((5, 15)) < 0.7
        positives = random.permutation(15)[:5].astype("int32")
        counted[np.arange(5), positives] = True
        masked = losses.mask_scores(scores, counted)
        nll, ranks = slow_loss(scores, counted, positives)
        assert ops.convert_to_numpy(losses.negative_log_likelihood(masked, positives)) == pytest.approx(
            nll, rel=1e-5, abs=1e-5
        )
        assert ops.convert_to_numpy(losses.positive_ranks(masked, positives)).tolist() == ranks.tolist()

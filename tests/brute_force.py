"""The slow, obvious search that every index is compared with."""

import numpy as np


def brute_force(stored, questions, k, allowed=None):
    """The twin: one pair after the other in float64, scores by decreasing value, equal ones by row."""
    scores = np.full((len(questions), k), -np.inf, np.float32)
    rows = np.full((len(questions), k), -1, np.int64)
    for number, question in enumerate(questions):
        products = {
            row: np.float32(sum(float(a) * float(b) for a, b in zip(question, vector, strict=True)))
            for row, vector in enumerate(stored)
            if allowed is None or row in allowed
        }
        for place, row in enumerate(sorted(products, key=lambda row: (-products[row], row))[:k]):
            scores[number, place], rows[number, place] = products[row], row
    return scores, rows

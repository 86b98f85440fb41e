"""Measures of rankings: by hand, and against ir-measures when it is there."""

import math

import numpy as np
import pytest

from dpr_tf.evaluation import ranking_measures

JUDGEMENTS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 0}}


def test_by_hand():
    rankings = {"q1": ["c", "b", "x", "a"], "q9": ["a"]}
    found = ranking_measures(
        rankings, JUDGEMENTS, ["RR", "RR@1", "R@2", "P@2", "AP", "Success@1", "Success@2", "nDCG@10"]
    )
    # b is the first relevant one, at rank 2; of a and b one in the first two; q2 has no ranking, q3 none
    # that is relevant
    assert found["RR"].tolist() == [1 / 2, 0, 0]
    assert found["RR@1"].tolist() == [0, 0, 0]
    assert found["R@2"].tolist() == [1 / 2, 0, 0]
    assert found["P@2"].tolist() == [1 / 2, 0, 0]
    assert found["AP"].tolist() == [(1 / 2 + 2 / 4) / 2, 0, 0]
    assert found["Success@1"].tolist() == [0, 0, 0]
    assert found["Success@2"].tolist() == [1, 0, 0]
    # gains 1 at rank 2 and 2 at rank 4, against 2 at rank 1 and 1 at rank 2
    ideal = 2 + 1 / math.log2(3)
    assert found["nDCG@10"].tolist() == pytest.approx([(1 / math.log2(3) + 2 / math.log2(5)) / ideal, 0, 0])


def test_ideal_order_is_1():
    found = ranking_measures(
        {"q1": ["a", "b", "c"]}, {"q1": JUDGEMENTS["q1"]}, ["nDCG", "nDCG@1", "AP", "R", "RR"]
    )
    assert all(values.tolist() == [1.0] for values in found.values())


def test_equals_ir_measures():
    ir_measures = pytest.importorskip("ir_measures")
    generator = np.random.default_rng(2)
    passages = [f"p{number}" for number in range(40)]
    names = [f"{name}@{k}" for name in ("RR", "nDCG", "R", "P", "Success", "AP") for k in (1, 5, 20)]
    names += ["RR", "nDCG", "AP"]
    judgements, rankings = {}, {}
    for number in range(23):
        judged = generator.choice(passages, generator.integers(1, 9), replace=False)
        judgements[f"q{number}"] = {str(passage): int(generator.integers(0, 4)) for passage in judged}
        if number % 7:
            rankings[f"q{number}"] = generator.choice(
                passages, generator.integers(1, 31), replace=False
            ).tolist()
    run = {
        question: {passage: float(-rank) for rank, passage in enumerate(ranking)}
        for question, ranking in rankings.items()
    }
    found = ranking_measures(rankings, judgements, names)
    questions = list(judgements)
    measures = [ir_measures.parse_measure(name) for name in names]
    compared = 0
    for metric in ir_measures.iter_calc(measures, judgements, run):
        own = found[str(metric.measure)][questions.index(metric.query_id)]
        assert own == pytest.approx(metric.value, abs=1e-9), metric
        compared += 1
    assert compared >= len(names) * len(rankings)
    for measure, value in ir_measures.calc_aggregate(measures, judgements, run).items():
        assert found[str(measure)].mean() == pytest.approx(value, abs=1e-9), measure


@pytest.mark.parametrize(
    ("rankings", "judgements", "measure", "message"),
    [
        ({}, JUDGEMENTS, "MRR@10", r"unknown measure 'MRR@10': expected one of RR, nDCG"),
        ({}, JUDGEMENTS, "R@0", "unknown measure"),
        ({}, {}, "RR", "no judgements"),
        ({"q1": ["a", "a"]}, JUDGEMENTS, "RR", "'q1' names a passage twice"),
    ],
)
def test_refuses(rankings, judgements, measure, message):
    with pytest.raises(ValueError, match=message):
        ranking_measures(rankings, judgements, [measure])

"""Measures of rankings against values worked by hand."""

import math

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
        {"q1": ["a", "b", "c"]}, {"q1": JUDGEMENTS["q1"]}, ["nDCG", "nDCG@1", "AP", "R@9", "RR"]
    )
    assert all(values.tolist() == [1.0] for values in found.values())


def test_ranking_is_taken_as_given():
    # trec_eval would put "b" before "a" if their scores were equal.
    for ranking in (["a", "b"], ["b", "a"]):
        found = ranking_measures({"q2": ranking}, {"q2": {"a": 1}}, ["RR"])
        assert found["RR"].tolist() == [1 / (ranking.index("a") + 1)]


@pytest.mark.parametrize(
    ("rankings", "judgements", "measure", "message"),
    [
        ({}, JUDGEMENTS, "MRR@10", r"unknown measure 'MRR@10': expected RR, nDCG or AP"),
        ({}, JUDGEMENTS, "R@0", "unknown measure"),
        ({}, JUDGEMENTS, "R", "unknown measure"),
        ({}, {}, "RR", "no judgements"),
        ({"q1": ["a", "a"]}, JUDGEMENTS, "RR", "'q1' names a passage twice"),
    ],
)
def test_refuses(rankings, judgements, measure, message):
    with pytest.raises(ValueError, match=message):
        ranking_measures(rankings, judgements, [measure])

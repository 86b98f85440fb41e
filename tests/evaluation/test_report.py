"""The report on a retriever, and its picture."""

import sys

import numpy as np
import pytest

from dpr_tf.evaluation import bootstrap_interval, evaluate_retrieval, plot_accuracy

RESULTS = [
    (["Paris"], ["In Paris.", "Nothing."]),  # rank 1
    (["1889"], ["Nothing.", "Nothing.", "Built in 1889."]),  # rank 3
    (["Zola"], ["Nothing.", "Emile Zola.", "Zola"]),  # rank 2
    (["stone"], []),  # nothing was retrieved
]


def test_accuracy_for_every_k():
    report = evaluate_retrieval(iter(RESULTS), resamples=50, seed=4, level=0.5)
    assert report.ranks.tolist() == [1, 3, 2, 0]
    assert report.accuracy.tolist() == [0.25, 0.5, 0.75]
    hits = np.array([[1, 1, 1], [0, 0, 1], [0, 1, 1], [0, 0, 0]])
    low, high = bootstrap_interval(hits, resamples=50, seed=4, level=0.5)
    assert (report.low.tolist(), report.high.tolist()) == (low.tolist(), high.tolist())
    reciprocal = np.array([1, 1 / 3, 1 / 2, 0])
    low, high = bootstrap_interval(reciprocal, resamples=50, seed=4, level=0.5)
    assert report.mean_reciprocal_rank == pytest.approx((reciprocal.mean(), float(low), float(high)))
    assert report.level == 0.5


def test_estimate_of_one_k():
    report = evaluate_retrieval(RESULTS)
    assert report.estimate(3) == (0.75, report.low[2], report.high[2])
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"at most 3 passages were retrieved .* no top-{k}"):
            report.estimate(k)


@pytest.mark.parametrize(
    ("results", "message"),
    [([], "no questions"), ([(["a"], [])], "no passages"), ([([], ["text"])], "no answers")],
)
def test_refuses_nothing(results, message):
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(results)


def test_refuses_an_unknown_match():
    with pytest.raises(ValueError, match="expected one of 'string', 'regex'"):
        evaluate_retrieval(RESULTS, match="token")


def test_plot_writes_a_png_and_nothing_else(tmp_path):
    pytest.importorskip("matplotlib")
    report = evaluate_retrieval(RESULTS)
    path = tmp_path / "curve.png"
    path.write_text("an older picture")
    plot_accuracy({"BM25": report, "DPR": report}, path)
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


def test_plot_of_a_single_passage(tmp_path):
    pytest.importorskip("matplotlib")
    plot_accuracy({"one": evaluate_retrieval([(["a"], ["a"])])}, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_plot_refuses(tmp_path, monkeypatch):
    report = evaluate_retrieval(RESULTS)
    with pytest.raises(ValueError, match="at least one report"):
        plot_accuracy({}, tmp_path / "curve.png")
    with pytest.raises(ValueError, match=r"ends in .png"):
        plot_accuracy({"a": report}, tmp_path / "curve.svg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install"):
        plot_accuracy({"a": report}, tmp_path / "curve.png")

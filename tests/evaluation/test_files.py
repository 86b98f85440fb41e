"""Evaluation of files: retriever outputs and TREC runs."""

import gc
import io
import json

import ir_measures
import pytest

from dpr_tf.evaluation import evaluate_retrieval, evaluate_retrieved, evaluate_run

FOUND = [
    {"question": "where?", "answers": ["Paris"], "ctxs": [{"id": "1", "title": "", "text": "In Paris."}]},
    {
        "question": "when?",
        "answers": ["1889"],
        "ctxs": [
            {
                "id": "2",
                "title": "1889",
                "text": "Nothing.",
                "score": "2.5",
                "has_answer": True,
            },  # not in the text
            {"id": "3", "title": "", "text": "Built in 1889.", "score": "1.5", "has_answer": False},
        ],
    },
]

RUN = "q1 Q0 a 1 9.0 t\nq1 Q0 b 2 8.0 t\nq2 Q0 c 2 5.0 t\nq2 Q0 d 1 5.0 t\nq2 Q0 e 3 6.0 t\n"
QRELS = "q1 0 b 1\nq1 0 a 0\nq2 0 d 1\nq3 0 a 1\n"


def test_retriever_output(tmp_path):
    path = tmp_path / "found.json"
    path.write_text(json.dumps(FOUND))
    report = evaluate_retrieved(path, level=0.5)
    assert report.ranks.tolist() == [1, 2]
    results = [(item["answers"], [passage["text"] for passage in item["ctxs"]]) for item in FOUND]
    expected = evaluate_retrieval(results, level=0.5)
    assert report.low.tolist() == expected.low.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "found.json: there are no questions"),
        ('[{"question": "q", "answers": [], "ctxs": [{"text": "t"}]}]', "found.json: there are no answers"),
        ('[{"question": "q", "answers": ["a"]}]', "found.json.*ctxs"),
        ("[", "found.json"),
    ],
)
def test_retriever_output_that_cannot_be_evaluated(tmp_path, content, message):
    (tmp_path / "found.json").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        evaluate_retrieved(tmp_path / "found.json")
    assert str(caught.value).count("found.json") == 1
    # Closed, although the error and the frames it came through are still there.
    files = [item for item in gc.get_objects() if type(item) is io.BufferedReader]
    assert not [file for file in files if not file.closed and file.name == str(tmp_path / "found.json")]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "run.txt").write_text(RUN)
    (tmp_path / "qrels.txt").write_text(QRELS)
    return tmp_path / "run.txt", tmp_path / "qrels.txt"


def test_run_is_ordered_by_score_then_rank(files):
    report = evaluate_run(*files, measures=["RR", "R@1", "Success@2"])
    # q1: b is second; q2: e has the highest score, then d, whose rank is better than c's; q3 has no line
    assert report.questions == 3
    assert {name: estimate.mean for name, estimate in report.measures.items()} == pytest.approx(
        {"RR": (1 / 2 + 1 / 2 + 0) / 3, "R@1": 0, "Success@2": 2 / 3}
    )
    assert all(estimate.low <= estimate.mean <= estimate.high for estimate in report.measures.values())


def test_run_equals_ir_measures_on_the_files(files):
    names = ["RR@10", "nDCG@10", "R@100"]
    run, qrels = files
    run.write_text(RUN.replace("d 1 5.0", "d 1 5.5"))  # trec_eval orders equal scores by id, descending
    expected = ir_measures.calc_aggregate(
        [ir_measures.parse_measure(name) for name in names],
        ir_measures.read_trec_qrels(str(qrels)),
        ir_measures.read_trec_run(str(run)),
    )
    found = evaluate_run(run, qrels).measures
    assert {name: estimate.mean for name, estimate in found.items()} == pytest.approx(
        {str(measure): value for measure, value in expected.items()}
    )


@pytest.mark.parametrize(
    ("run", "qrels", "message"),
    [
        ("other Q0 a 1 9.0 t\n", QRELS, "none of its questions is judged"),
        (RUN, "", "no judgements"),
        (RUN + "q1 Q0 a 3 7.0 t\n", QRELS, "'q1' names a passage twice"),
        ("q1 Q0 a 1\n", QRELS, r"run\.txt, line 1"),
    ],
)
def test_runs_that_cannot_be_evaluated(files, run, qrels, message):
    files[0].write_text(run)
    files[1].write_text(qrels)
    with pytest.raises(ValueError, match=message):
        evaluate_run(*files)

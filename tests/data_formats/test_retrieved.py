"""Retriever output: DPR's layout, read and written."""

import json

import pytest

from dpr_tf.data import Passage, Retrieved, RetrievedPassage, read_retrieved, write_retrieved

FOUND = [
    Retrieved(
        "who was it",
        ("Curie",),
        (
            RetrievedPassage("wiki:7", "Marie", "It was Curie.", 80.25, True),
            RetrievedPassage("wiki:9", "", "It rained.", 0.1 + 0.2, False),
        ),
    ),
    Retrieved("why", (), (RetrievedPassage("", "", "So."),), "q2"),
]


def test_reads_dprs_output(tmp_path):
    passages = [
        {"id": "wiki:7", "title": "Marie", "text": "It was Curie.", "score": "80.25", "has_answer": True}
    ]
    path = tmp_path / "out.json"
    path.write_text(json.dumps([{"question": "who", "answers": ["Curie"], "ctxs": passages}], indent=4))
    (found,) = read_retrieved(path)
    assert found == Retrieved("who", ("Curie",), FOUND[0].passages[:1])
    assert found.passages[0].passage == Passage("wiki:7", "Marie", "It was Curie.")


@pytest.mark.parametrize("name", ["o.json", "o.json.gz", "o.jsonl"])
def test_written_output_reads_back_to_the_last_bit_of_a_score(tmp_path, name):
    assert write_retrieved(tmp_path / name, iter(FOUND)) == 2
    assert list(read_retrieved(tmp_path / name)) == FOUND


def test_scores_are_written_as_strings_as_dpr_does(tmp_path):
    write_retrieved(tmp_path / "o.json", FOUND)
    first = json.loads((tmp_path / "o.json").read_text())[0]
    assert list(first) == ["question", "answers", "ctxs"]
    assert [passage["score"] for passage in first["ctxs"]] == ["80.25", "0.30000000000000004"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"question": "q"}, r"line 1, \[0\]\.ctxs: is missing"),
        ({"question": "q", "ctxs": [{"text": ""}]}, r"line 1, \[0\]\.ctxs\[0\]\.text: is empty"),
        ({"question": "q", "ctxs": [{"text": "t", "has_answer": 1}]}, "has_answer: expected true or false"),
    ],
)  # fmt: skip
def test_a_fault_has_its_field(tmp_path, item, message):
    path = tmp_path / "o.json"
    path.write_text(json.dumps([item]))
    with pytest.raises(ValueError, match=message):
        list(read_retrieved(path))

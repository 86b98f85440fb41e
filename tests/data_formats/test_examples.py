"""DPR's retriever training files."""

import json

import pytest

from dpr_tf.data import Example, ExamplePassage, Passage, read_examples, write_examples

# All the spellings of DPR's own files: ids under two names, scores as numbers and as strings, extra keys.
CONTENT = """[
    {
        "dataset": "nq",
        "question": "who was it",
        "answers": ["Curie"],
        "positive_ctxs": [
            {"title": "Marie", "text": "It was Curie.", "score": 1000, "title_score": 1, "passage_id": "7"}
        ],
        "negative_ctxs": [{"title": "", "text": "It rained.", "score": "0.5", "psg_id": 9}],
        "hard_negative_ctxs": []
    },
    {"question": "why", "answers": [], "positive_ctxs": [], "negative_ctxs": [], "hard_negative_ctxs": []}
]"""
EXAMPLES = [
    Example(
        question="who was it",
        answers=("Curie",),
        positives=(ExamplePassage("7", "Marie", "It was Curie.", 1000.0, 1.0),),
        negatives=(ExamplePassage("9", "", "It rained.", 0.5, None),),
        dataset="nq",
    ),
    Example("why", (), ()),
]


def test_reads_dprs_files(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(CONTENT)
    assert list(read_examples(path)) == EXAMPLES
    assert EXAMPLES[0].positives[0].passage == Passage("7", "Marie", "It was Curie.")


def test_reads_json_lines(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in json.loads(CONTENT)))
    assert list(read_examples(path)) == EXAMPLES


@pytest.mark.parametrize("name", ["e.json", "e.json.gz", "e.jsonl"])
def test_written_examples_read_back(tmp_path, name):
    assert write_examples(tmp_path / name, iter(EXAMPLES)) == 2
    assert list(read_examples(tmp_path / name)) == EXAMPLES


def test_written_examples_have_dprs_keys(tmp_path):
    write_examples(tmp_path / "e.json", EXAMPLES)
    written = json.loads((tmp_path / "e.json").read_text())[0]
    original = json.loads(CONTENT)[0]
    assert written.keys() == original.keys()
    assert written["positive_ctxs"] == original["positive_ctxs"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, r"line 3, \[1\]\.question: is missing"),
        ({"question": "  "}, r"line 3, \[1\]\.question: is empty"),
        ({"answers": "x"}, None),  # one answer
        ({"answers": [7]}, r"line 3, \[1\]\.answers: expected a list of strings such as"),
        ({"positive_ctxs": {}}, r"line 3, \[1\]\.positive_ctxs: expected a list of objects, found \{\}"),
        ({"positive_ctxs": [7]}, r"line 3, \[1\]\.positive_ctxs\[0\]: expected an object, found 7"),
        (
            {"negative_ctxs": [{"text": "a"}, {"title": "b"}]},
            r"\[1\]\.negative_ctxs\[1\]\.text: is missing",
        ),
        (
            {"positive_ctxs": [{"text": "a", "score": "high"}]},
            r"score: expected a finite number, found high",
        ),
        ({"positive_ctxs": [{"text": "a", "score": float("nan")}]}, "score: expected a finite number"),
        ({"positive_ctxs": [{"text": "a", "score": True}]}, "score: expected a finite number, found True"),
        ({"positive_ctxs": [{"text": "a", "passage_id": 1.5}]}, r"passage_id: expected a string, found 1\.5"),
        ({"question": "\ud800"}, "question: half of a surrogate pair"),
    ],
)
def test_a_fault_has_its_line_and_field(tmp_path, change, message):
    good = {"question": "q", "answers": ["a"], "positive_ctxs": [{"text": "t"}]}
    path = tmp_path / "train.json"
    path.write_text(f"[\n{json.dumps(good)},\n{json.dumps({**good, **change})}\n]")
    if message is None:
        assert len(list(read_examples(path))) == 2
    else:
        with pytest.raises(ValueError, match=message):
            list(read_examples(path))

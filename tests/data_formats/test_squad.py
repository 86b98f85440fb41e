"""SQuAD's files, both versions."""

import json

import pytest

from dpr_tf.data import Question, SquadAnswer, SquadQuestion, read_squad, write_squad

PARAGRAPH = " The bridge was built in 1890. "
CONTENT = {
    "version": "v2.0",
    "data": [
        {
            "title": "Bridge",
            "paragraphs": [
                {
                    "context": PARAGRAPH,
                    "qas": [
                        {
                            "id": "q1",
                            "question": "When was it built?",
                            "answers": [
                                {"text": "1890", "answer_start": 25},
                                {"text": "in 1890", "answer_start": 22},
                                {"text": "1890", "answer_start": 25},
                            ],
                        },
                        {
                            "id": "q2",
                            "question": "Who?",
                            "answers": [],
                            "is_impossible": True,
                            "plausible_answers": [],
                        },
                    ],
                }
            ],
        },
        {"title": "Empty", "paragraphs": []},
    ],
}
ANSWERS = (SquadAnswer("1890", 25), SquadAnswer("in 1890", 22), SquadAnswer("1890", 25))
QUESTIONS = [
    SquadQuestion("q1", "When was it built?", ANSWERS, "Bridge", PARAGRAPH),
    SquadQuestion("q2", "Who?", (), "Bridge", PARAGRAPH, is_impossible=True),
]


def write(tmp_path, content):
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(content, indent=1))
    return path


def test_reads_questions_with_their_paragraph(tmp_path):
    assert list(read_squad(write(tmp_path, CONTENT))) == QUESTIONS
    assert QUESTIONS[0].question == Question("When was it built?", ("1890", "in 1890"), "q1")


def test_written_questions_read_back(tmp_path):
    more = [
        *QUESTIONS,
        QUESTIONS[0]._replace(id="q3", paragraph=PARAGRAPH + "Again."),
        QUESTIONS[0]._replace(id="q4", title="Other"),
    ]
    assert write_squad(tmp_path / "s.json.gz", iter(more)) == 4
    assert list(read_squad(tmp_path / "s.json.gz")) == more
    assert write_squad(tmp_path / "s.json", more) == 4
    written = json.loads((tmp_path / "s.json").read_text())
    # Bridge with two paragraphs, then Other with one.
    assert [[len(p["qas"]) for p in article["paragraphs"]] for article in written["data"]] == [[2, 1], [1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"answers": [{"text": "1890", "answer_start": 24}]},
            r"line 4, data\[0\]\.paragraphs\[0\]\.qas\[0\]\.answers\[0\]\.answer_start: at character 24 of "
            "the context stands ' 189', not '1890'",
        ),
        ({"answers": [{"text": "1890", "answer_start": -5}]}, "expected a whole number"),
        ({"answers": []}, r"answers: is an empty list, but is_impossible is not true"),
        ({"id": None}, r"qas\[0\]\.id: is missing"),
        ({"is_impossible": 1}, "is_impossible: expected true or false"),
    ],
)  # fmt: skip
def test_a_fault_has_line_and_field(tmp_path, change, message):
    content = json.loads(json.dumps(CONTENT))
    content["data"][0]["paragraphs"][0]["qas"][0].update(change)
    with pytest.raises(ValueError, match=message):
        list(read_squad(write(tmp_path, content)))


def test_a_file_without_articles_is_a_fault(tmp_path):
    with pytest.raises(ValueError, match="line 1, data: is missing"):
        list(read_squad(write(tmp_path, {"version": "1.1"})))
    with pytest.raises(ValueError, match=r"data\[0\]\.paragraphs: is missing"):
        list(read_squad(write(tmp_path, {"data": [{"title": "x"}]})))

"""Question files: both ways of writing the answers, and the mistakes."""

import pytest

from dpr_tf.data import Question, read_questions, write_questions


@pytest.mark.parametrize(
    "field",
    [
        '["Curie", "Marie \\"M.\\" Curie"]',
        """['Curie', 'Marie "M." Curie']""",
        '"[""Curie"", \'Marie ""M."" Curie\']"',
    ],
    ids=["JSON", "Python", "Python in CSV quotes"],
)
def test_reads_answers_as_json_or_python(tmp_path, field):
    path = tmp_path / "questions.tsv"
    path.write_text(f"who was it\t{field}\n")
    assert list(read_questions(path)) == [Question("who was it", ("Curie", 'Marie "M." Curie'))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("who was it", "line 2: expected a question, a tab and a list of answers, found 1 field"),
        ("who was it\tCurie", "line 2, answers: expected a list of answers such as"),
        ("who was it\t[]", "line 2, answers: expected a list of answers"),
        ("who was it\t[1867]", "line 2, answers: expected a list of answers"),
        ("who was it\t__import__('os').getcwd()", "line 2, answers: expected a list of answers"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path, row, message):
    path = tmp_path / "questions.tsv"
    path.write_text(f'fine\t["yes"]\n{row}\n')
    with pytest.raises(ValueError, match=message):
        list(read_questions(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.csv", 'who was it,"[""Curie"", ""Skłodowska""]"\n'),
        ("q.tsv", """answers\tquestion\n['Curie', 'Skłodowska']\twho was it\n"""),
        ("q.jsonl", '{"question": "who was it", "answer": ["Curie", "Skłodowska"]}\n'),
        ("q.json", '[{"text": "who was it", "answers": ["Curie", "Skłodowska"], "metadata": {}}]'),
    ],
    ids=["commas", "header in another order", "JSON lines", "JSON array"],
)
def test_other_layouts(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert list(read_questions(path)) == [Question("who was it", ("Curie", "Skłodowska"))]


def test_questions_without_answers_keep_their_ids(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"_id": 7, "text": " who? ", "metadata": {}}\n')
    assert list(read_questions(path)) == [Question("who?", (), "7")]


def test_a_regular_expression_as_python_literal_gives_no_warning(tmp_path):
    path = tmp_path / "questions.tsv"
    path.write_text(r"when was it" + "\t" + r"['\d{4}']" + "\n")
    assert next(read_questions(path)).answers == (r"\d{4}",)


def test_brackets_in_brackets_are_a_fault(tmp_path):
    path = tmp_path / "questions.tsv"
    path.write_text("who was it\t" + "[" * 100_000 + "\n")
    with pytest.raises(ValueError, match="line 1, answers: expected a list"):
        list(read_questions(path))


@pytest.mark.parametrize("name", ["q.tsv", "q.csv.gz", "q.jsonl", "q.json.gz"])
def test_written_questions_read_back(tmp_path, name):
    questions = [Question('was it "he"?', ('a "b"', "c\td")), Question("è?\nè", ("1", "'2'", "\\d"))]
    assert write_questions(tmp_path / name, iter(questions)) == 2
    assert list(read_questions(tmp_path / name)) == questions


@pytest.mark.parametrize("question", [Question("who?"), Question("who?", ("he",), "7")])
def test_rows_have_no_place_for_ids_and_need_answers(tmp_path, question):
    path = tmp_path / "q.tsv"
    with pytest.raises(ValueError, match=r"no place for .*; write a \.jsonl file"):
        write_questions(path, [question])
    assert not path.exists()
    write_questions(tmp_path / "q.jsonl", [question])
    assert list(read_questions(tmp_path / "q.jsonl")) == [question]

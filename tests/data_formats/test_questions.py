"""Question files: both ways of writing the answers, and the mistakes."""

import pytest

from dpr_tf.data import Question, read_questions


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
        ("who was it\tCurie", "line 2: expected a list of answers such as"),
        ("who was it\t[]", "line 2: expected a list of answers"),
        ("who was it\t[1867]", "line 2: expected a list of answers"),
        ("who was it\t__import__('os').getcwd()", "line 2: expected a list of answers"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path, row, message):
    path = tmp_path / "questions.tsv"
    path.write_text(f'fine\t["yes"]\n{row}\n')
    with pytest.raises(ValueError, match=message):
        list(read_questions(path))

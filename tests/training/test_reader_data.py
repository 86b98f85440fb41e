"""What a reader is trained with, on disk: the same as was chosen, counted, whole or not there."""

import numpy as np
import pytest
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRReaderTokenizerFast
from dpr_tf.data import Retrieved, RetrievedPassage
from dpr_tf.training.reader_data import ReaderCounts, ReaderData, write_reader_data
from dpr_tf.training.reader_passages import PassageChooser


def passage(text, has_answer=None, title="the"):
    return RetrievedPassage("", title, text, has_answer=has_answer)


@pytest.fixture
def questions(tmp_path):
    chooser = PassageChooser(make_tokenizer(DPRReaderTokenizerFast, tmp_path), 60, {"who?": "Paris"})
    found = [
        Retrieved("who?", ("king", "old"), (passage("the old king", title="Paris"), passage("red"))),
        Retrieved("what?", (), (passage("red"),)),
        Retrieved("when?", ("1889",), (passage("in 1889"), passage("1889 , 1889"), passage("1890", True))),
        Retrieved("what?", ("queen",), (passage("red"),)),
        Retrieved("what?", ("90",), (passage("1890", True),)),
    ]
    return [chooser.choose(each) for each in found]


@pytest.mark.parametrize("vocabulary", [len(VOCABULARY), 100_000])
def test_gives_back_what_was_chosen(questions, tmp_path, vocabulary):
    write_reader_data(tmp_path / "data", iter(questions), vocabulary, {"seed": 3})
    data = ReaderData(tmp_path / "data")
    assert data.made_of == {"seed": 3}
    kept = [question for question in questions if not question.dropped]
    assert len(data) == len(kept) == 2
    for number, question in enumerate(kept):
        for rows, expected in zip(data[number], (question.positives, question.negatives), strict=True):
            assert [row._replace(ids=row.ids.tolist()) for row in rows] == [
                row._replace(ids=row.ids.tolist()) for row in expected.values()
            ]
            assert all(row.ids.dtype == np.int32 for row in rows)


def test_counts(questions, tmp_path):
    write_reader_data(tmp_path / "data", questions, len(VOCABULARY), {})
    assert ReaderData(tmp_path / "data").counts == ReaderCounts(
        questions=5,
        kept=2,
        without_answers=1,
        without_passage=1,
        without_tokens=1,
        from_gold_article=1,
        without_negatives=1,
        positives=3,
        negatives=1,
    )


def test_a_folder_is_whole_or_not_there(questions, tmp_path):
    def broken():
        yield questions[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_reader_data(tmp_path / "data", broken(), len(VOCABULARY), {})
    with pytest.raises(OSError, match="data"):
        ReaderData(tmp_path / "data")
    write_reader_data(tmp_path / "data", questions, len(VOCABULARY), {"run": 1})
    write_reader_data(tmp_path / "data", questions[:1], len(VOCABULARY), {"run": 2})
    assert ReaderData(tmp_path / "data").made_of == {"run": 2}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["data"]


def test_refuses_questions_of_which_none_has_a_positive(questions, tmp_path):
    message = "none of 3 questions .* 1 have no answers, for 1 no passage .* for 1 none contains its tokens"
    with pytest.raises(ValueError, match=message):
        write_reader_data(tmp_path / "data", [q for q in questions if q.dropped], len(VOCABULARY), {})
    assert not (tmp_path / "data").exists()


def test_refuses_another_format(questions, tmp_path):
    write_reader_data(tmp_path / "data", questions, len(VOCABULARY), {})
    (tmp_path / "data" / "manifest.json").write_text("{}")
    with pytest.raises(OSError, match="is not of 'dpr_tf reader data 1': remove the folder"):
        ReaderData(tmp_path / "data")

"""What a reader is trained with: what was chosen comes back, and is counted."""

import numpy as np
import pytest
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRReaderTokenizerFast
from dpr_tf.data import Retrieved, RetrievedPassage
from dpr_tf.training.reader_data import ReaderCounts, ReaderData
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
def test_gives_back_what_was_chosen(questions, vocabulary):
    data = ReaderData(iter(questions), vocabulary)
    kept = [question for question in questions if not question.dropped]
    assert len(data) == len(kept) == 2
    for number in (1, 0):
        expected = (kept[number].positives, kept[number].negatives)
        for rows, wanted in zip(data[number], expected, strict=True):
            assert [row._replace(ids=row.ids.tolist()) for row in rows] == [
                row._replace(ids=row.ids.tolist()) for row in wanted.values()
            ]
            assert all(row.ids.dtype == np.int32 for row in rows)


def test_counts(questions):
    assert ReaderData(questions, len(VOCABULARY)).counts == ReaderCounts(
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


def test_the_digest_is_that_of_the_data(questions):
    def digest(some):
        return ReaderData(some, len(VOCABULARY)).digest

    assert digest(questions) == digest(list(questions))
    assert digest(questions) != digest(questions[::-1])
    assert digest(questions) != digest(questions[:1])


def test_refuses_questions_of_which_none_has_a_positive(questions):
    message = r"none of 3 questions .* 1 have no answers, for 1 no passage .* for 1 none contains its tokens"
    with pytest.raises(ValueError, match=message):
        ReaderData([question for question in questions if question.dropped], len(VOCABULARY))

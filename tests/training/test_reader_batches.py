"""Batches for the reader: shapes, what is drawn, and that any batch follows from seed, epoch and number."""

import itertools

import numpy as np
import pytest
from reader_questions import retrieved
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRReaderTokenizerFast
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderData
from dpr_tf.training.reader_passages import PassageChooser


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    chooser = PassageChooser(make_tokenizer(DPRReaderTokenizerFast, folder), 16)
    return ReaderData(map(chooser.choose, retrieved(7)), len(VOCABULARY))


def rows_of(batch):
    """The rows of each question in a batch, without padding."""
    ids, mask = batch[0]["input_ids"], batch[0]["attention_mask"]
    return [
        [tuple(row[kept > 0]) for row, kept in zip(*of_question, strict=True)]
        for of_question in zip(ids, mask, strict=True)
    ]


def number_of(data, rows):
    """Which question of `data` a positive is of."""
    return next(n for n in range(len(data)) if rows[0] in {tuple(row.ids) for row in data[n].positives})


def test_each_question_once_in_an_epoch_with_its_own_passages(data):
    batches = ReaderBatches(data, 0, batch_size=3, passages=4, seed=5)
    assert len(batches) == 3
    made = [batches.batch(0, number) for number in range(3)]
    assert [len(x["input_ids"]) for x, _ in made] == [3, 2, 2]
    questions = [rows for batch in made for rows in rows_of(batch)]
    assert sorted(number_of(data, rows) for rows in questions) == list(range(7))
    for rows in questions:
        negatives = {tuple(row.ids) for row in data[number_of(data, rows)].negatives}
        assert {*rows[1:]} <= negatives
        assert len({*rows[1:]}) == 3


def test_marks_the_answers_of_the_positive(data):
    x, y = ReaderBatches(data, 0, batch_size=7, passages=2).batch(0, 0)
    words = np.array(VOCABULARY)
    for rows, starts, ends in zip(x["input_ids"], y["starts"], y["ends"], strict=True):
        assert starts.shape == (10,)
        kept = starts >= 0
        assert kept.any()
        assert (starts[kept] == ends[kept]).all()
        assert {*words[rows[0][starts[kept]]]} <= {"king", "queen", "paris", "rome", "zola"}
        assert (ends[~kept] == -1).all()


def test_at_most_so_many_spans(data):
    y = ReaderBatches(data, 0, batch_size=7, spans=1).batch(0, 0)[1]
    assert y["starts"].shape == (7, 1)
    assert (y["starts"] >= 0).all()


def test_empty_rows_stand_where_negatives_are_missing(data):
    x, y = ReaderBatches(data, 0, batch_size=7, passages=9).batch(0, 0)
    np.testing.assert_array_equal(y["present"].sum(axis=1), [5] * 7)  # of six passages two have the answer
    assert (x["input_ids"][~y["present"]] == 0).all()
    assert (x["attention_mask"].any(axis=2) == y["present"]).all()
    assert x["input_ids"].shape[2] == x["attention_mask"].sum(axis=2).max()


def test_draws_anew_in_every_epoch_and_the_same_for_the_same_seed(data):
    def epoch(seed, number):
        batches = ReaderBatches(data, 0, batch_size=2, passages=3, seed=seed)
        return [rows_of(batches.batch(number, n)) for n in range(len(batches))]

    assert epoch(1, 0) == epoch(1, 0)
    assert epoch(1, 0) != epoch(1, 1)
    assert epoch(1, 0) != epoch(2, 0)
    positives = {rows[0] for number in range(20) for batch in epoch(1, number) for rows in batch}
    assert len(positives) == 14  # both of all seven


def test_goes_on_from_any_batch(data):
    batches = ReaderBatches(data, 0, batch_size=3, passages=3)
    whole = [rows_of(batch) for batch in itertools.islice(batches.batches(), 8)]
    rest = [rows_of(batch) for batch in itertools.islice(batches.batches(1, 2), 3)]
    assert rest == whole[5:]
    from_dataset = batches.dataset(1, 2).take(3).as_numpy_iterator()
    assert [rows_of(batch) for batch in from_dataset] == whole[5:]


def test_refuses_what_gives_no_batch(data):
    with pytest.raises(ValueError, match="at least 1, got 0, 24 and 10"):
        ReaderBatches(data, 0, batch_size=0)

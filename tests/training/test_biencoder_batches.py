"""Batches: what stands in them, that they follow from their position, and the guards."""

import itertools

import numpy as np
import pytest
from small_examples import BRIDGE, EXAMPLES, KING, QUEEN, RIVER, TOWER
from small_words import ids

from dpr_tf.data import Example, ExamplePassage, write_examples
from dpr_tf.training.biencoder_batches import BiEncoderBatches
from dpr_tf.training.false_negatives import answering_passages, same_passages

ROWS = {  # as the passages' tokenizer has them: at most 9 tokens
    TOWER: "[CLS] paris [SEP] the old tower [SEP]",
    BRIDGE: "[CLS] rome [SEP] a stone bridge over the [SEP]",
    RIVER: "[CLS] river by the bridge [SEP]",
    KING: "[CLS] rome [SEP] built by the king [SEP]",
    QUEEN: "[CLS] the queen [SEP] red , blue [SEP]",
    None: "[CLS] [SEP]",
}


@pytest.fixture
def make(tmp_path, questions, passages):
    """Makes batches of the examples, or of others."""

    def make(*files, **options):
        paths = [tmp_path / f"{number}.json" for number in range(len(files) or 1)]
        for path, examples in zip(paths, files or [EXAMPLES], strict=True):
            write_examples(path, examples)
        return BiEncoderBatches(paths, questions, passages, **options)

    return make


def texts(rows):
    """Rows of ids as pieces between spaces, without padding."""
    known = {tuple(ids(text)): passage for passage, text in ROWS.items()}
    return [known[tuple(row[row > 0].tolist())] for row in rows]


def groups(batch):
    """Question -> passages, and the examples in their order."""
    x, y = batch
    by_row = {tuple(ids("[CLS] " + e.question.lower() + " [SEP]")): e for e in EXAMPLES}
    examples = [by_row[tuple(row[row > 0].tolist())] for row in x["questions"]["input_ids"]]
    return examples, [texts(group) for group in x["passages"]["input_ids"]], y


def equal(one, other):
    flat = [
        np.concatenate([array.ravel() for part in x.values() for array in part.values()])
        for x, _ in (one, other)
    ]
    return (
        len(flat[0]) == len(flat[1])
        and (flat[0] == flat[1]).all()
        and all((one[1][name] == other[1][name]).all() for name in one[1])
    )


def test_groups_are_positive_hard_negatives_others_filler(make):
    batches = make(batch_size=4, hard_negatives=2)
    assert len(batches) == 1
    seen = set()
    for epoch in range(30):
        examples, passages, y = groups(batches.batch(epoch, 0))
        assert sorted(examples) == sorted(e for e in EXAMPLES if e.positives)
        for example, (positive, *negatives), present in zip(examples, passages, y["present"], strict=True):
            assert positive == example.positives[0]
            wanted = [*example.hard_negatives, *example.negatives]
            hard = min(2, len(example.hard_negatives))
            assert set(negatives[:hard]) <= set(example.hard_negatives)
            assert [passage is not None for passage in negatives] == [True] * min(2, len(wanted)) + [
                False
            ] * (2 - min(2, len(wanted)))
            assert set(negatives) - {None} <= set(wanted)
            assert present.tolist() == [passage is not None for passage in (positive, *negatives)]
            seen.add((example.question, *negatives))
    # 1 of 2 others behind the one hard negative; the only other; 3 * 2 orders of hard ones; none.
    assert len(seen) == 2 + 1 + 6 + 1


def test_shapes_and_dtypes(make):
    x, y = make(batch_size=4, hard_negatives=2).batch(0, 0)
    assert x["questions"]["input_ids"].shape == (4, 8)
    assert x["passages"]["input_ids"].shape == x["passages"]["attention_mask"].shape == (4, 3, 9)
    assert (y["present"].shape, y["ignored"].shape) == ((4, 3), (4, 12))
    assert {array.dtype.name for array in y.values()} == {"bool"}
    assert {array.dtype.name for part in x.values() for array in part.values()} == {"int32"}


def test_positives_are_drawn_on_request(make):
    batches = make(batch_size=4, hard_negatives=0, shuffle_positives=True)
    drawn = set()
    for epoch in range(20):
        examples, passages, _ = groups(batches.batch(epoch, 0))
        drawn |= {(example.question, group[0]) for example, group in zip(examples, passages, strict=True)}
    assert drawn == {(example.question, positive) for example in EXAMPLES for positive in example.positives}


@pytest.mark.parametrize(("same", "answers"), [(True, True), (True, False), (False, True), (False, False)])
def test_false_negatives_are_ignored_on_request_but_for_the_own_positive(make, same, answers):
    batch = make(batch_size=4, hard_negatives=2, ignore_same=same, ignore_answers=answers).batch(0, 0)
    examples, passages, y = groups(batch)
    columns = [passage for group in passages for passage in group]
    expected = np.zeros((4, 12), bool)
    expected |= same & same_passages(examples, columns)
    expected |= answers & answering_passages(examples, columns)
    for row in range(4):
        expected[row, 3 * row] = False
    np.testing.assert_array_equal(y["ignored"], expected)
    assert expected.any() == (same or answers)


def test_questions_are_cleaned(make):
    example = Example("  Who\u2019 ?", (), (TOWER,), (QUEEN,))
    x, _ = make([example, example], batch_size=2).batch(0, 0)
    assert x["questions"]["input_ids"].tolist() == [ids("[CLS] who ' ? [SEP]")] * 2


def test_any_position_gives_the_same_batches(make):
    options = {"batch_size": 2, "sampling_rates": [1.0, 0.5], "seed": 3}
    first = make(EXAMPLES, EXAMPLES[:3], **options)
    again = make(EXAMPLES, EXAMPLES[:3], **options)
    run = list(itertools.islice(first.batches(), 4 * len(first)))
    for epoch, number in ((3, 1), (0, 2), (1, 0)):
        place = epoch * len(first) + number
        assert equal(again.batch(epoch, number), run[place])
        assert equal(next(again.batches(epoch, number)), run[place])
        assert equal(next(iter(again.dataset(epoch, number).as_numpy_iterator())), run[place])
    other = make(EXAMPLES, EXAMPLES[:3], **{**options, "seed": 4})
    assert not all(equal(a, b) for a, b in zip(run, other.batches(), strict=False))


def test_dataset_crosses_epochs(make):
    batches = make(batch_size=2)
    run = list(itertools.islice(batches.batches(), 5))
    taken = list(batches.dataset().take(5).as_numpy_iterator())
    assert len(batches) == 2
    assert all(equal(one, other) for one, other in zip(run, taken, strict=True))


def test_refuses_batches_without_a_negative(make):
    with pytest.raises(ValueError, match="batch_size=1 without hard negatives"):
        make(batch_size=1, hard_negatives=0)
    with pytest.raises(ValueError, match="batch_size of at least 1 and hard_negatives of at least 0"):
        make(batch_size=0)


def test_speaks_of_files_that_do_not_fit(make):
    with pytest.raises(ValueError, match="expected 1 sampling rates above 0, one for each file"):
        make(sampling_rates=[1.0, 2.0])
    with pytest.raises(ValueError, match="has a positive"):
        make(EXAMPLES, [Example("who", (), (), (ExamplePassage("1", "", "red"),))])

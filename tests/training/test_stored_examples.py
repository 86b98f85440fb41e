"""Examples come back from disk as they were read, whatever the format of their file."""

import pytest
from small_examples import EXAMPLES

from dpr_tf.data import write_examples
from dpr_tf.training.stored_examples import StoredExamples

SOUND = [example for example in EXAMPLES if example.positives]


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.json.gz"])
def test_gives_examples_by_number(tmp_path, name):
    write_examples(tmp_path / name, EXAMPLES)
    stored = StoredExamples([tmp_path / name])
    assert len(stored) == 4
    assert [stored[number] for number in (3, 0, 2, 1)] == [SOUND[number] for number in (3, 0, 2, 1)]
    assert (stored.sizes, stored.without_positive) == ([4], [1])


def test_numbers_several_files_through(tmp_path):
    write_examples(tmp_path / "a.json", EXAMPLES[:2])
    write_examples(tmp_path / "b.jsonl", EXAMPLES[2:])
    stored = StoredExamples([tmp_path / "a.json", tmp_path / "b.jsonl"])
    assert (stored.sizes, stored.without_positive) == ([2, 2], [0, 1])
    assert [stored[number] for number in range(4)] == SOUND


def test_digest_tells_examples_apart(tmp_path):
    digests = []
    for number, examples in enumerate([EXAMPLES, EXAMPLES, EXAMPLES[1:], [*EXAMPLES[1:], EXAMPLES[0]]]):
        write_examples(tmp_path / f"{number}.json", examples)
        digests.append(StoredExamples([tmp_path / f"{number}.json"]).digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_stores_only_what_is_kept(tmp_path):
    write_examples(tmp_path / "a.json", EXAMPLES)
    stored = StoredExamples([tmp_path / "a.json"], lambda example: example._replace(negatives=()))
    assert stored[0] == EXAMPLES[0]._replace(negatives=())


def test_refuses_files_without_anything_to_train_with(tmp_path):
    write_examples(tmp_path / "a.json", [EXAMPLES[3]])
    with pytest.raises(ValueError, match=r"a.json: none of its 1 examples has a positive"):
        StoredExamples([tmp_path / "a.json"])
    with pytest.raises(ValueError, match="expected at least one file"):
        StoredExamples([])

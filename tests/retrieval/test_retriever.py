"""The retriever: passages in the order of their inner products with the question's vector."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRQuestionEncoderTokenizerFast
from dpr_tf.data import Passage
from dpr_tf.retrieval import ExactIndex, Retriever, ScoredPassage

PASSAGES = [Passage("a", "", "red"), Passage("b", "", "blue"), Passage("c", "", "green")]
VECTORS = np.array([[1, 0], [0, 1], [2, -1]], np.float32)


class CountingEncoder:
    """Vector of a question: how often "red" and "blue" stand in it."""

    config = SimpleNamespace(projection_dim=0, hidden_size=2, max_position_embeddings=16)

    def __call__(self, batch):
        counts = [
            keras.ops.sum(keras.ops.cast(batch["input_ids"] == VOCABULARY.index(word), "float32"), axis=1)
            for word in ("red", "blue")
        ]
        return {"pooler_output": keras.ops.stack(counts, axis=1)}


@pytest.fixture
def tokenizer(tmp_path):
    return make_tokenizer(DPRQuestionEncoderTokenizerFast, tmp_path)


@pytest.fixture
def index():
    index = ExactIndex(2)
    index.add(VECTORS)
    return index


def test_retrieves_in_the_order_of_inner_products(tokenizer, index):
    retriever = Retriever(CountingEncoder(), tokenizer, index, PASSAGES)
    # "red blue blue" is (1, 2): products 1, 2, 0. "red red" is (2, 0): products 2, 0, 4.
    assert retriever.retrieve(["red blue BLUE", "red red"], k=2) == [
        [ScoredPassage(PASSAGES[1], 2.0, 1), ScoredPassage(PASSAGES[0], 1.0, 2)],
        [ScoredPassage(PASSAGES[2], 4.0, 1), ScoredPassage(PASSAGES[0], 2.0, 2)],
    ]


def test_more_than_there_are_gives_all(tokenizer, index):
    (found,) = Retriever(CountingEncoder(), tokenizer, index, PASSAGES).retrieve(["red"], k=100)
    assert [scored.passage.id for scored in found] == ["c", "a", "b"]


def test_refuses_k_below_one_and_a_single_str(tokenizer, index):
    retriever = Retriever(CountingEncoder(), tokenizer, index, PASSAGES)
    with pytest.raises(ValueError, match="k must be at least 1"):
        retriever.retrieve(["red"], k=0)
    with pytest.raises(TypeError, match=r"retrieve\(\['red'\], k\)"):
        retriever.retrieve("red", k=1)


def test_refuses_parts_that_do_not_fit(tokenizer, index):
    with pytest.raises(ValueError, match="found 3 vectors, 2 passages"):
        Retriever(CountingEncoder(), tokenizer, index, PASSAGES[:2])
    wide = ExactIndex(5)
    wide.add(np.ones((3, 5), np.float32))
    with pytest.raises(ValueError, match="makes vectors of 2 numbers, the index holds 5"):
        Retriever(CountingEncoder(), tokenizer, wide, PASSAGES)

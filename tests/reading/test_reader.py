"""The reader, on logits chosen by hand: which span, which passage, which characters."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_words import VOCABULARY, make_tokenizer

from dpr_tf import DPRReaderTokenizer, DPRReaderTokenizerFast
from dpr_tf.data import Passage
from dpr_tf.reading import Reader
from dpr_tf.retrieval import ScoredPassage


class TableReader:
    """Looks logits up by token: those a test names get its numbers, all others 0. Records the rows it gets.

    The relevance of a passage is the number of "river" in it, so padding must not matter.
    """

    def __init__(self, starts, ends, positions=64):
        self.config = SimpleNamespace(max_position_embeddings=positions)
        self._starts, self._ends = self._table(starts), self._table(ends)

    @staticmethod
    def _table(values):
        return np.array([values.get(piece, 0.0) for piece in VOCABULARY], np.float32)

    def __call__(self, batch):
        ids, mask = batch["input_ids"], keras.ops.cast(batch["attention_mask"], "float32")
        river = keras.ops.cast(ids == VOCABULARY.index("river"), "float32")
        return {
            "start_logits": keras.ops.take(self._starts, ids, axis=0)
            + 100 * (1 - mask),  # padding looks best
            "end_logits": keras.ops.take(self._ends, ids, axis=0) + 100 * (1 - mask),
            "relevance_logits": keras.ops.sum(river * mask, axis=1),
        }


@pytest.fixture
def tokenizer(tmp_path):
    return make_tokenizer(DPRReaderTokenizerFast, tmp_path)


def retrieved(*texts, title="the"):
    return [ScoredPassage(Passage(str(n), title, text), 10.0 - n, n) for n, text in enumerate(texts, start=1)]


def test_cuts_the_answer_verbatim_from_the_text(tokenizer):
    reader = Reader(TableReader({"emile": 3.0}, {"zola": 2.0}), tokenizer)
    passages = retrieved("the river , by  ÉMILE\n Zola, in Paris.")
    (answer,) = reader.answer("who was it?", passages)
    assert answer.text == "ÉMILE\n Zola"
    assert (answer.start, answer.end) == (16, 27)
    assert passages[0].passage.text[16:27] == answer.text
    assert (answer.passage, answer.retrieval_score, answer.retrieval_rank) == (passages[0].passage, 9.0, 1)
    assert (answer.span_score, answer.relevance_score) == (5.0, 1.0)


def test_extends_to_whole_words_on_both_sides(tokenizer):
    reader = Reader(TableReader({"##ing": 3.0}, {"18": 2.0}), tokenizer)
    (answer,) = reader.answer("what?", retrieved("the old Washington 1889, by"))
    assert answer.text == "Washington 1889"


def test_an_answer_is_never_in_the_question_or_title(tokenizer):
    reader = Reader(TableReader({"king": 9.0, "queen": 1.0}, {"king": 9.0, "queen": 1.0}), tokenizer)
    (answer,) = reader.answer("the king?", retrieved("the old queen", title="king"))
    assert answer.text == "queen"


def test_passages_go_by_relevance_and_keep_their_order_when_equal(tokenizer):
    reader = Reader(TableReader({"king": 9.0, "red": 1.0, "blue": 2.0}, {}), tokenizer, batch_size=2)
    passages = retrieved("king", "river red", "river river blue", "river green", "king")
    answers = reader.answer("who?", passages, top_answers=4)
    assert [answer.retrieval_rank for answer in answers] == [3, 2, 4, 1]
    assert [answer.relevance_score for answer in answers] == [2.0, 1.0, 1.0, 0.0]


def test_batches_change_nothing(tokenizer):
    model = TableReader({"red": 1.0, "blue": 2.0, "stone": 3.0}, {"wood": 1.0})
    passages = retrieved(
        "river red", "a small blue", "the old stone , the wood over the river", "river", "wood", "red"
    )
    answers = [Reader(model, tokenizer, batch_size=size).answer("who?", passages, 6) for size in (1, 4, 6)]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 6


def test_the_length_of_answers_is_limited(tokenizer):
    model = TableReader({"red": 3.0}, {"blue": 3.0, "stone": 1.0})
    passages = retrieved("red stone green green blue")
    assert (
        Reader(model, tokenizer, max_answer_length=5).answer("?", passages)[0].text
        == "red stone green green blue"
    )
    assert Reader(model, tokenizer, max_answer_length=4).answer("?", passages)[0].text == "red stone"


def test_reads_no_further_than_the_models_positions(tokenizer):
    # [CLS] ? [SEP] the [SEP] and three tokens of the text
    reader = Reader(TableReader({"blue": 1.0, "king": 9.0}, {}, positions=8), tokenizer)
    (answer,) = reader.answer("?", retrieved("red blue green king"))
    assert answer.text.startswith("blue")


def test_a_passage_without_room_for_text_gives_no_answer(tokenizer):
    reader = Reader(TableReader({}, {}, positions=8), tokenizer)
    passages = [*retrieved("red", title="the old king of the river"), *retrieved("blue")]
    assert [answer.text for answer in reader.answer("?", passages, top_answers=2)] == ["blue"]


def test_a_question_that_leaves_no_room_is_an_error(tokenizer):
    reader = Reader(TableReader({}, {}, positions=8), tokenizer)
    with pytest.raises(
        ValueError, match=r"have 8 tokens or more, .*: ask a shorter question than 'who was the old king \?'"
    ):
        reader.answer("who was the old king ?", retrieved("red"))


def test_several_questions_get_what_each_gets_alone(tokenizer, monkeypatch):
    monkeypatch.setattr("dpr_tf.reading.reader._WINDOW", 2)  # and so the passages of one are read in two
    model = TableReader({"red": 1.0, "blue": 2.0, "stone": 3.0}, {"wood": 1.0})
    passages = [
        retrieved("river red", "a small blue river river", "the old stone"),
        [],
        retrieved("the wood over the river", "river red", title=""),
        retrieved("blue"),
    ]
    questions = ["who?", "when?", "what was the old tower built of?", "who was it?"]
    reader = Reader(model, tokenizer, batch_size=2)
    together = reader.answer(questions, passages, top_answers=2)
    alone = [reader.answer(*pair, top_answers=2) for pair in zip(questions, passages, strict=True)]
    assert together == alone
    assert [len(answers) for answers in together] == [2, 0, 2, 1]
    assert reader.answer([], []) == []


def test_batches_are_filled_across_questions(tokenizer):
    model, sizes = TableReader({"red": 1.0}, {}), []
    reader = Reader(model, tokenizer, batch_size=4)
    each = reader._forward.each
    reader._forward.each = lambda batches: each(
        sizes.append(len(batch["input_ids"])) or batch for batch in batches
    )
    reader.answer(["who?"] * 3, [retrieved("red", "river red", "the old red")] * 3)
    assert sizes == [4, 4, 1]


def test_refuses_questions_without_their_passages(tokenizer):
    with pytest.raises(ValueError, match="got 2 questions, but passages for 1"):
        Reader(TableReader({}, {}), tokenizer).answer(["who?", "when?"], [retrieved("red")])


def test_no_passages_give_no_answers(tokenizer):
    assert Reader(TableReader({}, {}), tokenizer).answer("who?", []) == []


def test_refuses_a_slow_tokenizer(tmp_path):
    with pytest.raises(ValueError, match="needs a DPRReaderTokenizerFast, got DPRReaderTokenizer"):
        Reader(TableReader({}, {}), make_tokenizer(DPRReaderTokenizer, tmp_path))

"""Answers a question from passages: reads each, ranks the spans of all. Knows no index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dpr_tf.data.passages import Passage
from dpr_tf.data.questions import clean_question
from dpr_tf.inference import compile_forward
from dpr_tf.retrieval.scored import ScoredPassage
from dpr_tf.tokenizers.spans import best_spans


class Answer(NamedTuple):
    """A span of a passage's text.

    Attributes:
        text: the span, as it stands in the passage.
        passage: the passage.
        start, end: characters `[start, end)` of the passage's text.
        span_score: start logit plus end logit.
        relevance_score: the reader's relevance logit of the passage.
        retrieval_score: the retriever's score of the passage.
        retrieval_rank: the retriever's rank of the passage, 1 for the best.
    """

    text: str
    passage: Passage
    start: int
    end: int
    span_score: float
    relevance_score: float
    retrieval_score: float
    retrieval_rank: int


class _Row(NamedTuple):
    """A passage as the reader sees it: `[CLS] question [SEP] title [SEP] text`."""

    ids: list[int]
    text_start: int
    offsets: list[tuple[int, int]]
    words: list[int]


class Reader:
    """Finds answers in the texts of passages.

    Args:
        model: a TFDPRReader.
        tokenizer: a DPRReaderTokenizerFast; the slow class does not know where a token stands in the text.
        max_length: tokens of question, title and text together; the rest of the text is not read. At most the
            model's positions are used.
        max_answer_length: tokens per answer, before it is extended to whole words.
        batch_size: passages per forward pass.

    Raises:
        ValueError: for a slow tokenizer.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int = 350,
        max_answer_length: int = 10,
        batch_size: int = 16,
    ) -> None:
        if not tokenizer.is_fast:
            raise ValueError(f"Reader needs a DPRReaderTokenizerFast, got {type(tokenizer).__name__}")
        self._tokenizer = tokenizer
        self._max_length = min(max_length, model.config.max_position_embeddings)
        self._max_answer_length = max_answer_length
        self._batch_size = batch_size
        outputs = ("start_logits", "end_logits", "relevance_logits")
        self._forward = compile_forward(model, ("input_ids", "attention_mask"), outputs)

    def answer(self, question: str, passages: Sequence[ScoredPassage], top_answers: int = 1) -> list[Answer]:
        """Finds the best answers.

        Passages go by relevance, as in DPR; each gives its best span. Spans lie in the text, never in the
        title, and are whole words.

        Adding the log-probabilities of the span and of the retriever to that of the relevance was tried on
        2,200 of SQuAD's questions with models such as the bundled sample's: it left exact match at 19.6 to
        19.7 %; the best of nine weightings reached 20.4 %, too little to depart from DPR.

        Args:
            question: the question.
            passages: where to look.
            top_answers: how many answers to return, one per passage.

        Returns:
            At most `top_answers` answers, best first. Passages without room for text give none.

        Raises:
            ValueError: if the question leaves no room for any text.
        """
        question = clean_question(question)
        rows = self._tokenize(question, passages)
        answers: list[Answer] = []
        for first in range(0, len(rows), self._batch_size):
            batch = slice(first, first + self._batch_size)
            answers += self._read(rows[batch], passages[batch])
        answers.sort(key=lambda answer: -answer.relevance_score)
        return answers[:top_answers]

    def _tokenize(self, question: str, passages: Sequence[ScoredPassage]) -> list[_Row]:
        """Rows without padding, in the order of `passages`."""
        if not passages:
            return []
        titles = [scored.passage.title for scored in passages]
        texts = [scored.passage.text for scored in passages]
        heads = self._tokenizer([question] * len(titles), titles)["input_ids"]
        tails = self._tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        if all(len(head) >= self._max_length for head in heads):
            raise ValueError(
                f"the question and the titles alone have {min(map(len, heads))} tokens or more, "
                f"the reader takes {self._max_length} with the text: ask a shorter question"
            )
        rows = zip(heads, tails["input_ids"], tails["offset_mapping"], tails.encodings, strict=True)
        return [
            _Row((head + ids)[: self._max_length], len(head), offsets, encoding.word_ids)
            for head, ids, offsets, encoding in rows
        ]

    def _read(self, rows: list[_Row], passages: Sequence[ScoredPassage]) -> list[Answer]:
        """The best span of each passage with room for text."""
        padded = self._tokenizer.pad(
            {"input_ids": [row.ids for row in rows]}, padding=True, return_tensors="np"
        )
        start_logits, end_logits, relevance = self._forward(padded)
        answers = []
        for index, (row, scored) in enumerate(zip(rows, passages, strict=True)):
            spans = best_spans(
                start_logits[index],
                end_logits[index],
                self._max_answer_length,
                1,
                text_start=row.text_start,
                text_end=len(row.ids),
            )
            for first, last in spans:
                start, end = _characters(row, first - row.text_start, last - row.text_start)
                answers.append(
                    Answer(
                        text=scored.passage.text[start:end],
                        passage=scored.passage,
                        start=start,
                        end=end,
                        span_score=float(start_logits[index, first] + end_logits[index, last]),
                        relevance_score=float(relevance[index]),
                        retrieval_score=scored.score,
                        retrieval_rank=scored.rank,
                    )
                )
        return answers


def _characters(row: _Row, first: int, last: int) -> tuple[int, int]:
    """Characters `[start, end)` of tokens first..last of the text, extended to whole words."""
    words = row.words
    while first > 0 and words[first - 1] == words[first]:
        first -= 1
    while last + 1 < len(words) and words[last + 1] == words[last]:
        last += 1
    return row.offsets[first][0], row.offsets[last][1]

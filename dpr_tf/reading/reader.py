"""Answers a question from passages: reads each, ranks the spans of all. Knows no index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from dpr_tf.data.passages import Passage
from dpr_tf.data.questions import clean_question
from dpr_tf.inference import compile_forward
from dpr_tf.retrieval.scored import ScoredPassage
from dpr_tf.tokenizers.spans import best_spans

_WINDOW = 16  # batches that are tokenized, and sorted by length, at a time


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


class _Task(NamedTuple):
    """A passage to look for an answer in, and the number of its question."""

    number: int
    question: str
    scored: ScoredPassage


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

    @overload
    def answer(
        self, question: str, passages: Sequence[ScoredPassage], top_answers: int = 1
    ) -> list[Answer]: ...

    @overload
    def answer(
        self, question: Sequence[str], passages: Sequence[Sequence[ScoredPassage]], top_answers: int = 1
    ) -> list[list[Answer]]: ...

    def answer(self, question: Any, passages: Any, top_answers: int = 1) -> Any:
        """Finds the best answers to a question, or to each of several.

        Passages go by relevance, as in DPR; each gives its best span. Spans lie in the text, never in the
        title, and are whole words. Passages of several questions share batches.

        Adding the log-probabilities of the span and of the retriever to that of the relevance was tried on
        2,200 of SQuAD's questions with models such as the bundled sample's: it left exact match at 19.6 to
        19.7 %; the best of nine weightings reached 20.4 %, too little to depart from DPR.

        Args:
            question: the question, or a list of questions.
            passages: where to look; for a list of questions a list for each.
            top_answers: how many answers to return, one per passage.

        Returns:
            At most `top_answers` answers, best first; for a list of questions a list for each. Passages
            without room for text give none.

        Raises:
            ValueError: if a question leaves no room for any text, or there are not as many lists of passages
                as questions.
        """
        if isinstance(question, str):
            return self._answers([question], [passages], top_answers)[0]
        return self._answers(question, passages, top_answers)

    def _answers(
        self, questions: Sequence[str], passages: Sequence[Sequence[ScoredPassage]], top_answers: int
    ) -> list[list[Answer]]:
        if len(questions) != len(passages):
            raise ValueError(f"got {len(questions)} questions, but passages for {len(passages)}")
        tasks = [
            _Task(number, clean_question(question), scored)
            for number, (question, some) in enumerate(zip(questions, passages, strict=True))
            for scored in some
        ]
        answers: list[list[Answer]] = [[] for _ in questions]
        shortest = [self._max_length if some else 0 for some in passages]
        for first in range(0, len(tasks), self._batch_size * _WINDOW):
            window = tasks[first : first + self._batch_size * _WINDOW]
            rows = self._tokenize(window)
            for task, row, answer in zip(window, rows, self._read(rows, window), strict=True):
                shortest[task.number] = min(shortest[task.number], row.text_start)
                if answer is not None:
                    answers[task.number].append(answer)
        self._check_room(questions, shortest)
        for of_question in answers:
            of_question.sort(key=lambda answer: -answer.relevance_score)
        return [of_question[:top_answers] for of_question in answers]

    def _check_room(self, questions: Sequence[str], shortest: list[int]) -> None:
        for question, head in zip(questions, shortest, strict=True):
            if head >= self._max_length:
                raise ValueError(
                    f"the question and the titles alone have {self._max_length} tokens or more, as many as "
                    f"the reader takes with the text: ask a shorter question than {question[:100]!r}"
                )

    def _tokenize(self, tasks: Sequence[_Task]) -> list[_Row]:
        """Rows without padding, in the order of `tasks`."""
        titles = [task.scored.passage.title for task in tasks]
        texts = [task.scored.passage.text for task in tasks]
        heads = self._tokenizer([task.question for task in tasks], titles)["input_ids"]
        tails = self._tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        rows = zip(heads, tails["input_ids"], tails["offset_mapping"], tails.encodings, strict=True)
        return [
            _Row((head + ids)[: self._max_length], len(head), offsets, encoding.word_ids)
            for head, ids, offsets, encoding in rows
        ]

    def _read(self, rows: Sequence[_Row], tasks: Sequence[_Task]) -> list[Answer | None]:
        """The best span of each passage, None for those without room for text."""
        answers: list[Answer | None] = [None] * len(rows)
        # The longest first, and those of like length together: little is computed on padding.
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
        order = [place for place in order if rows[place].text_start < len(rows[place].ids)]
        parts = [order[n : n + self._batch_size] for n in range(0, len(order), self._batch_size)]
        found = self._forward.each(self._batch([rows[place].ids for place in part]) for part in parts)
        for chosen, (start_logits, end_logits, relevance) in zip(parts, found, strict=True):
            logits = zip(start_logits, end_logits, relevance.tolist(), strict=True)
            for place, (starts, ends, score) in zip(chosen, logits, strict=True):
                answers[place] = self._best(rows[place], tasks[place].scored, starts, ends, score)
        return answers

    def _batch(self, ids: list[list[int]]) -> dict[str, np.ndarray]:
        return dict(self._tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="np"))

    def _best(
        self, row: _Row, scored: ScoredPassage, starts: np.ndarray, ends: np.ndarray, relevance: float
    ) -> Answer | None:
        """The best span of a passage; `starts` and `ends` are float32 [tokens], padded."""
        spans = best_spans(
            starts, ends, self._max_answer_length, 1, text_start=row.text_start, text_end=len(row.ids)
        )
        for first, last in spans:
            start, end = _characters(row, first - row.text_start, last - row.text_start)
            return Answer(
                text=scored.passage.text[start:end],
                passage=scored.passage,
                start=start,
                end=end,
                span_score=float(starts[first] + ends[last]),
                relevance_score=relevance,
                retrieval_score=scored.score,
                retrieval_rank=scored.rank,
            )
        return None


def _characters(row: _Row, first: int, last: int) -> tuple[int, int]:
    """Characters `[start, end)` of tokens first..last of the text, extended to whole words."""
    words = row.words
    while first > 0 and words[first - 1] == words[first]:
        first -= 1
    while last + 1 < len(words) and words[last + 1] == words[last]:
        last += 1
    return row.offsets[first][0], row.offsets[last][1]

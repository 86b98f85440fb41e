"""Which retrieved passages a reader is trained with, where the answers stand in them, and why not others.

The rules are those of DPR's reader (Karpukhin et al. 2020, section 6.1, and facebookresearch/DPR):

- Only the first 200 retrieved passages are looked at.
- An answer stands where its tokens stand, one after the other, in the tokens of a text. A text that contains
  the answer as words may not contain it as tokens: `1990s` is one word and may be one token.
- Positives are the passages with an answer from the gold article, all of them; where there are none, or the
  gold article is not known, the first 20 passages with an answer, from whatever article.
- Negatives are the first passages without an answer: ten for each positive, but 50 at least and 150 at most.
- A question without positives is left out.

Three details are stricter than the original: a span counts once even if two phrasings of the answer give it,
an answer of unknown tokens only stands nowhere, and a passage whose answers all stand behind `max_length` is
no positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.data.examples import Example
from dpr_tf.data.questions import clean_question
from dpr_tf.data.retrieved import Retrieved, RetrievedPassage
from dpr_tf.evaluation.answers import AnswerMatcher

MOST_RETRIEVED = 200
MOST_POSITIVES = 20
NEGATIVES_PER_POSITIVE = 10
FEWEST_NEGATIVES = 50
MOST_NEGATIVES = 150

NO_ANSWERS = "the file gives no answers to it"
NO_PASSAGE = "no passage contains an answer"
NO_TOKENS = "no passage contains the tokens of an answer where the reader sees them"
_WITHOUT_TOKENS = "contains an answer, but not its tokens where the reader sees them"
_NOT_GOLD = "contains an answer, but is not of the gold article, as others are"
_TOO_MANY = f"contains an answer, as {MOST_POSITIVES} passages before it do"

Spans = tuple[tuple[int, int], ...]
Passages = Mapping[int, RetrievedPassage]  # by rank, from 1


class ReaderRow(NamedTuple):
    """A passage as the reader sees it.

    Attributes:
        ids: int32 [tokens], `[CLS] question [SEP] title [SEP] text`, cut to the maximal length.
        text_start: the first token of the text.
        spans: first and last tokens of the answers in the text, counted from [CLS]; none for negatives.
    """

    ids: np.ndarray
    text_start: int
    spans: Spans = ()


class ReaderQuestion(NamedTuple):
    """A question and what it is trained with.

    Attributes:
        found: the question with all that was retrieved.
        positives, negatives: rank of the passage, from 1 -> what the reader sees.
        from_gold_article: whether the positives were chosen by the title of the gold article.
        unfound_answers: answers whose tokens stand in none of the passages that contain an answer.
        left_out: rank -> why a passage with an answer is no positive.
        dropped: why the question is left out, which then has neither positives nor negatives; or empty.
    """

    found: Retrieved
    positives: dict[int, ReaderRow]
    negatives: dict[int, ReaderRow]
    from_gold_article: bool
    unfound_answers: tuple[str, ...]
    left_out: dict[int, str]
    dropped: str

    def explained(self) -> dict[str, Any]:
        """The choice in words and numbers that JSON can hold; passages are named by their ranks."""
        found = self.found
        return {
            **({"id": found.id} if found.id else {}),
            "question": found.question,
            "answers": list(found.answers),
            "dropped": self.dropped or None,
            "positives_from": "gold article" if self.from_gold_article else "any article",
            "positives": [self._explained(rank, row) for rank, row in self.positives.items()],
            "negatives": list(self.negatives),
            "answers_not_found_as_tokens": list(self.unfound_answers),
            "left_out": [{"rank": rank, "why": why} for rank, why in self.left_out.items()],
        }

    def _explained(self, rank: int, row: ReaderRow) -> dict[str, Any]:
        passage = self.found.passages[rank - 1]
        return {"rank": rank, "id": passage.id, "title": passage.title, "spans": [list(s) for s in row.spans]}


class PassageChooser:
    """Chooses passages for one question after the other.

    Args:
        tokenizer: a reader's tokenizer.
        max_length: tokens of question, title and text together; the rest of the text is cut off.
        gold_titles: question, as `clean_question` gives it -> title of the article that answers it.
    """

    def __init__(self, tokenizer: Any, max_length: int, gold_titles: Mapping[str, str] | None = None) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._gold_titles = gold_titles or {}

    def choose(self, found: Retrieved) -> ReaderQuestion:
        """Sorts what was retrieved for a question into positives, negatives and the rest."""
        if not found.answers:
            return ReaderQuestion(found, {}, {}, False, (), {}, NO_ANSWERS)
        question = clean_question(found.question)
        answering, others = _by_answer(found)
        rows, unfound = self._marked(self._rows(question, answering), found.answers)
        with_span = {rank: row for rank, row in rows.items() if row.spans}
        gold = self._of_gold_article(question, answering, with_span)
        positives = gold or dict(list(with_span.items())[:MOST_POSITIVES])
        left_out = {
            rank: (_NOT_GOLD if gold else _TOO_MANY) if row.spans else _WITHOUT_TOKENS
            for rank, row in rows.items()
            if rank not in positives
        }
        if not positives:
            why = NO_TOKENS if answering else NO_PASSAGE
            return ReaderQuestion(found, {}, {}, False, unfound, left_out, why)
        chosen = dict(list(others.items())[: negative_count(len(positives))])
        return ReaderQuestion(
            found, positives, self._rows(question, chosen), bool(gold), unfound, left_out, ""
        )

    def _of_gold_article(
        self, question: str, passages: Passages, rows: Mapping[int, ReaderRow]
    ) -> dict[int, ReaderRow]:
        title = self._gold_titles.get(question)
        if title is None:
            return {}
        return {rank: row for rank, row in rows.items() if passages[rank].title.lower() == title.lower()}

    def _rows(self, question: str, passages: Passages) -> dict[int, ReaderRow]:
        """What the reader sees, without spans."""
        if not passages:
            return {}
        titles = [passage.title for passage in passages.values()]
        texts = [passage.text for passage in passages.values()]
        heads = self._tokenizer([question] * len(titles), titles, verbose=False)["input_ids"]
        tails = self._ids(texts)
        return {
            rank: ReaderRow(np.array((head + tail)[: self._max_length], np.int32), len(head))
            for rank, head, tail in zip(passages, heads, tails, strict=True)
        }

    def _marked(
        self, rows: Mapping[int, ReaderRow], answers: Sequence[str]
    ) -> tuple[dict[int, ReaderRow], tuple[str, ...]]:
        """The rows with the spans of the answers, and the answers that are in none."""
        unknown = self._tokenizer.unk_token_id
        tokens = [np.array(ids if {*ids} - {unknown} else [], np.int32) for ids in self._ids(answers)]
        spans = {rank: [spans_of(answer, row) for answer in tokens] for rank, row in rows.items()}
        # dict.fromkeys: two phrasings may give one span
        marked = {
            rank: row._replace(spans=tuple(dict.fromkeys(itertools.chain(*spans[rank]))))
            for rank, row in rows.items()
        }
        unfound = [
            answer
            for number, answer in enumerate(answers)
            if not any(of_row[number] for of_row in spans.values())
        ]
        return marked, tuple(unfound)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]


def spans_of(answer: np.ndarray, row: ReaderRow) -> Spans:
    """Where the tokens of an answer stand in the text of a row.

    Args:
        answer: int32 [tokens] without special ones; an empty one stands nowhere.
        row: the row.
    """
    text = row.ids[row.text_start :]
    if not 0 < len(answer) <= len(text):
        return ()
    same = (np.lib.stride_tricks.sliding_window_view(text, len(answer)) == answer).all(axis=1)
    firsts = (np.flatnonzero(same) + row.text_start).tolist()
    return tuple((first, first + len(answer) - 1) for first in firsts)


def negative_count(positives: int) -> int:
    """How many negatives a question is trained with, if there are as many."""
    return min(max(NEGATIVES_PER_POSITIVE * positives, FEWEST_NEGATIVES), MOST_NEGATIVES)


def _by_answer(found: Retrieved) -> tuple[dict[int, RetrievedPassage], dict[int, RetrievedPassage]]:
    """The passages with an answer and those without, by rank; those the retriever did not look at are."""
    matcher = AnswerMatcher(found.answers)
    with_answer: dict[int, RetrievedPassage] = {}
    without: dict[int, RetrievedPassage] = {}
    for rank, passage in enumerate(found.passages[:MOST_RETRIEVED], start=1):
        contains = passage.has_answer
        if contains is None:
            contains = matcher.found_in(passage.text)
        (with_answer if contains else without)[rank] = passage
    return with_answer, without


def gold_titles(examples: Iterable[Example]) -> dict[str, str]:
    """Question -> title of its first positive, as training examples for the retriever have it."""
    return {
        clean_question(example.question): example.positives[0].title
        for example in examples
        if example.positives
    }

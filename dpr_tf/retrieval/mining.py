"""Hard negatives: passages that a retriever takes for an answer although they contain none.

Knows passages and answers, no model and no index: what any retriever found is mined.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from dpr_tf.data.examples import Example, ExamplePassage, read_examples, write_examples
from dpr_tf.data.retrieved import Retrieved, read_retrieved
from dpr_tf.evaluation.answers import AnswerMatcher


class HasText(Protocol):
    """What mining asks of a passage; `Passage` and the records of DPR's files are such."""

    @property
    def id(self) -> str:
        """Unique in the collection; may be empty if it is unknown."""
        ...

    @property
    def title(self) -> str:
        """May be empty."""
        ...

    @property
    def text(self) -> str:
        """Never empty."""
        ...


P = TypeVar("P", bound=HasText)


@dataclass(frozen=True)  # Python 3.10 has no generic NamedTuple
class MinedPassages(Generic[P]):
    """What a question is to be trained with.

    Attributes:
        positives: those that were given; without any, the first retrieved passage that contains an answer
            ("distant supervision"), or none.
        hard_negatives: retrieved passages without an answer, best first.
        with_answer: how many retrieved passages were left out because they contain an answer: no negatives,
            even though nobody marked them as positives.
    """

    positives: tuple[P, ...]
    hard_negatives: tuple[P, ...]
    with_answer: int


def mine_passages(
    answers: Sequence[str],
    positives: Sequence[P],
    retrieved: Sequence[P],
    *,
    count: int = 1,
    skip: int = 0,
    match: str = "string",
) -> MinedPassages[P]:
    """Picks hard negatives for one question from what a retriever found.

    The best passages are taken that contain no answer, neither in the text nor in the title, and are no
    positive: neither by id nor by title and text.

    Args:
        answers: phrasings of the answer; at least one, or it cannot be known what answers the question.
        positives: passages known to answer it; may be none.
        retrieved: by BM25, a trained model or both; best first.
        count: hard negatives to take; fewer if there are no more.
        skip: retrieved passages to leave out at the top as negatives, where a good retriever finds passages
            that answer the question in other words.
        match: "string" or "regex", as for `AnswerMatcher`.

    Raises:
        ValueError: if there are no answers, or `count` or `skip` is negative.
        TypeError: if `answers` is a single str.
    """
    if not answers or count < 0 or skip < 0:
        raise ValueError(
            "expected at least one answer, and no negative count or skip; "
            f"got {len(answers)} answers, count={count}, skip={skip}"
        )
    matcher = AnswerMatcher(answers, match)
    known = {passage.id for passage in positives if passage.id}
    texts = {(passage.title, passage.text) for passage in positives}
    chosen = tuple(positives)
    negatives: list[P] = []
    with_answer = 0
    for position, passage in enumerate(retrieved):
        if passage.id in known or (passage.title, passage.text) in texts:
            continue
        if matcher.found_in(passage.text):
            with_answer += 1
            chosen = chosen or (passage,)
        elif matcher.found_in(passage.title):
            with_answer += 1
        elif position >= skip and len(negatives) < count:
            negatives.append(passage)
    if not positives and chosen:
        with_answer -= 1  # that one is the positive
    return MinedPassages(chosen, tuple(negatives), with_answer)


class MiningCounts(NamedTuple):
    """What came of mining a file.

    Attributes:
        questions: read.
        examples: written.
        without_positive: questions left out, because no positive was known and no passage has an answer.
        without_hard_negative: examples without any, because every passage has an answer or is a positive.
        with_answer: retrieved passages that were left out because they contain an answer.
    """

    questions: int
    examples: int
    without_positive: int
    without_hard_negative: int
    with_answer: int

    def __str__(self) -> str:
        return (
            f"{self.examples:,} examples of {self.questions:,} questions; {self.without_positive:,} had no "
            f"positive, {self.without_hard_negative:,} of the examples have no hard negative; "
            f"{self.with_answer:,} passages were left out because they contain an answer"
        )


def mine_examples(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    positives: str | os.PathLike[str] | None = None,
    *,
    count: int = 1,
    skip: int = 0,
    match: Literal["string", "regex"] = "string",
) -> MiningCounts:
    """Makes training examples with hard negatives from what a retriever found.

    Takes the best retrieved passages without an answer as hard negatives. The file is streamed.

    Args:
        source: the retriever's output, JSON of questions with `answers` and `ctxs`, plain or .gz.
        target: training examples: .jsonl for JSON lines, else JSON; .gz behind it packs. It appears when it
            is complete.
        positives: training examples of the same questions, whose positives, answers and dataset are taken;
            these are held in memory. Found by the text of the question and its answers, or by the text
            alone. A question that is not there, and every question without this file, gets its first
            passage with an answer as positive.
        count: hard negatives per question; fewer if there are no more.
        skip: passages at the top to take no negatives from, where a good retriever finds passages that answer
            the question in other words.
        match: whether answers are strings or regular expressions.

    Raises:
        OSError: if a file cannot be opened or written.
        ValueError: if a file is damaged, a question has no answers, or an option is out of range.
    """
    known = _Known(read_examples(positives) if positives else ())
    counts: Counter[str] = Counter()

    def mined() -> Iterator[Example]:
        for found in read_retrieved(source):
            counts["questions"] += 1
            example = _mined(source, found, known.example(found), count, skip, match, counts)
            if example.positives:
                counts["without_hard_negative"] += not example.hard_negatives
                yield example
            else:
                counts["without_positive"] += 1

    written = write_examples(target, mined())
    return MiningCounts(
        counts["questions"],
        written,
        counts["without_positive"],
        counts["without_hard_negative"],
        counts["with_answer"],
    )


class _Known:
    """Examples by their questions, without negatives."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._by_answers: dict[tuple[str, tuple[str, ...]], Example] = {}
        self._by_text: dict[str, Example] = {}
        for example in examples:
            kept = example._replace(negatives=(), hard_negatives=())
            self._by_answers.setdefault((kept.question, kept.answers), kept)
            self._by_text.setdefault(kept.question, kept)

    def example(self, found: Retrieved) -> Example | None:
        """The example of a question, if there is one."""
        return self._by_answers.get((found.question, found.answers)) or self._by_text.get(found.question)


def _mined(
    source: str | os.PathLike[str],
    found: Retrieved,
    known: Example | None,
    count: int,
    skip: int,
    match: str,
    counts: Counter[str],
) -> Example:
    answers = (known.answers if known else ()) or found.answers
    if not answers:
        raise ValueError(
            f"{source}: the question {found.question!r} has no answers, so what is a negative is unknown"
        )
    passages = [
        ExamplePassage(passage.id, passage.title, passage.text, passage.score) for passage in found.passages
    ]
    mined = mine_passages(
        answers, known.positives if known else (), passages, count=count, skip=skip, match=match
    )
    counts["with_answer"] += mined.with_answer
    return Example(
        found.question,
        answers,
        mined.positives,
        mined.hard_negatives,
        dataset=known.dataset if known else "",
    )

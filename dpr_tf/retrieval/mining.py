"""Hard negatives: passages that a retriever takes for an answer although they contain none.

Knows passages and answers, no model and no index: what any retriever found is mined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

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


class MinedPassages(NamedTuple, Generic[P]):
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

"""What every retriever returns. Knows passages only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dpr_tf.data.passages import Passage


class ScoredPassage(NamedTuple):
    """A passage that was retrieved.

    Attributes:
        passage: the passage.
        score: the retriever's: of DPR the inner product of the passage's vector and the question's; higher is
            better, no fixed range.
        rank: 1 for the best.
    """

    passage: Passage
    score: float
    rank: int


class RetrievesPassages(Protocol):
    """What retrievers have in common: dense, sparse and hybrid ones."""

    def retrieve(self, questions: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """Finds at most k passages for each question, best first."""
        ...

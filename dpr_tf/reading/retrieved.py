"""Answers from what a retriever has found before, as its file has it."""

from __future__ import annotations

from collections.abc import Sequence

from dpr_tf.data.retrieved import Retrieved
from dpr_tf.reading.reader import Answer, Reader
from dpr_tf.retrieval.scored import ScoredPassage


def answer_retrieved(
    reader: Reader, questions: Sequence[Retrieved], k: int, top_answers: int = 1
) -> list[list[Answer]]:
    """Finds the best answers to each question in the first k passages that were found for it.

    Args:
        reader: reads the passages.
        questions: with their passages; where a file gives no scores, the retriever's are 0.
        k: passages to read for each.
        top_answers: how many answers to return for each, one per passage.

    Returns:
        For each question at most `top_answers` answers, best first; none without passages.

    Raises:
        ValueError: if a question leaves no room for any text.
    """
    passages = [
        [
            ScoredPassage(passage.passage, passage.score or 0.0, rank)
            for rank, passage in enumerate(found.passages[:k], start=1)
        ]
        for found in questions
    ]
    return reader.answer([found.question for found in questions], passages, top_answers)

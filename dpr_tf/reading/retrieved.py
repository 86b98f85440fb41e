"""Answers from what a retriever has found before, as its file has it."""

from __future__ import annotations

from dpr_tf.data.retrieved import Retrieved
from dpr_tf.reading.reader import Answer, Reader
from dpr_tf.retrieval.scored import ScoredPassage


def answer_retrieved(reader: Reader, found: Retrieved, k: int, top_answers: int = 1) -> list[Answer]:
    """Finds the best answers in the first k passages that were found for a question.

    Args:
        reader: reads the passages.
        found: the question and its passages; where the file gives no score, the retriever's is 0.
        k: passages to read.
        top_answers: how many answers to return, one per passage.

    Returns:
        At most `top_answers` answers, best first; none without passages.

    Raises:
        ValueError: if the question leaves no room for any text.
    """
    passages = [
        ScoredPassage(passage.passage, passage.score or 0.0, rank)
        for rank, passage in enumerate(found.passages[:k], start=1)
    ]
    return reader.answer(found.question, passages, top_answers)

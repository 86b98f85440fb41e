"""Question answering in one object: retriever and reader, from three checkpoints and a passage collection."""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from dpr_tf.checkpoints import ROLES, load_checkpoint
from dpr_tf.data.passages import Passage, read_passages
from dpr_tf.reading.reader import Answer, Reader
from dpr_tf.retrieval.embed import embed_passages
from dpr_tf.retrieval.indexes import ExactIndex
from dpr_tf.retrieval.retriever import Retriever
from dpr_tf.retrieval.scored import ScoredPassage


def sample_folder() -> Path:
    """The folder of the bundled sample: passages.tsv, questions.tsv and a sub-folder per checkpoint."""
    return Path(str(importlib.resources.files("dpr_tf") / "sample"))


class Answered(NamedTuple):
    """What came of a question.

    Attributes:
        question: the question.
        answers: best first; empty if there was no text to read.
        passages: what was retrieved and read, best first.
        retrieval_seconds, reading_seconds: how long each took.
    """

    question: str
    answers: list[Answer]
    passages: list[ScoredPassage]
    retrieval_seconds: float
    reading_seconds: float


def ask(
    question: str,
    *,
    passages: str | None = None,
    pretrained: Sequence[str] | None = None,
    k: int = 20,
    answers: int = 1,
) -> Answered:
    """Answers one question from any passages with any checkpoints.

    Embeds the passages, retrieves the best for the question and finds the answer in them.

    Args:
        question: the question.
        passages: TSV with the header id, text, title, or JSON with these keys. Default: the sample's.
        pretrained: folders or Hub ids of context encoder, question encoder and reader, in this order; or one
            that holds each in a sub-folder context_encoder, question_encoder, reader. Default: the sample's.
        k: passages to retrieve and read.
        answers: to give, at most one per passage.

    Raises:
        OSError: if the passages or a checkpoint cannot be found or read.
        ValueError: if the question is empty, k or answers is below 1, there are no passages, or a checkpoint
            does not fit its role.
    """
    if not question.strip():
        raise ValueError("the question is empty")
    if k < 1 or answers < 1:
        raise ValueError(f"k and answers must be at least 1, got {k} and {answers}")
    collection = list(read_passages(passages or sample_folder() / "passages.tsv"))
    system = QuestionAnswering.from_pretrained(collection, pretrained)
    return system.answer(question, k=k, top_answers=answers)


class QuestionAnswering:
    """Answers questions from a collection of passages.

    Args:
        retriever: finds passages.
        reader: finds answers in them.
    """

    def __init__(self, retriever: Retriever, reader: Reader) -> None:
        self.retriever = retriever
        self.reader = reader

    @classmethod
    def from_pretrained(
        cls, passages: Sequence[Passage], names: Sequence[str] | None = None, *, progress: bool = True
    ) -> QuestionAnswering:
        """Loads the checkpoints and embeds the passages.

        Args:
            passages: the collection.
            names: folders or Hub ids: three, of context encoder, question encoder and reader; or one that
                holds each in a sub-folder of that name (`context_encoder`, ...). Default: the bundled sample.
            progress: whether to show a progress bar on stderr.

        Raises:
            OSError: if a checkpoint cannot be found or read.
            ValueError: if there are no passages, neither one nor three names, or a checkpoint does not fit
                its role.
        """
        if not passages:
            raise ValueError("there are no passages to answer from")
        (encoder, encoder_tokenizer), question_side, reading_side = (
            load_checkpoint(*place) for place in _places(names)
        )
        vectors = embed_passages(encoder, encoder_tokenizer, passages, progress=progress)
        index = ExactIndex(vectors.shape[1])
        index.add(vectors)
        # Nobody else has this encoder.
        retriever = Retriever(*question_side, index, passages, weights_stay=True)
        return cls(retriever, Reader(*reading_side))

    @overload
    def answer(self, questions: str, *, k: int = 20, top_answers: int = 1) -> Answered: ...

    @overload
    def answer(self, questions: list[str], *, k: int = 20, top_answers: int = 1) -> list[Answered]: ...

    def answer(self, questions: Any, *, k: int = 20, top_answers: int = 1) -> Any:
        """Answers a question, or each of several together, which is faster.

        Args:
            questions: the question, or a list of questions.
            k: passages to retrieve and read for each.
            top_answers: answers to return for each, at most one per passage.

        Returns:
            What came of the question, or for a list of each; its seconds are then the mean.

        Raises:
            ValueError: if k is below 1, or a question is too long for the reader.
        """
        if isinstance(questions, str):
            return self.answer([questions], k=k, top_answers=top_answers)[0]
        if not questions:
            return []
        started = time.perf_counter()
        passages = self.retriever.retrieve(questions, k)
        retrieved = time.perf_counter()
        answers = self.reader.answer(questions, passages, top_answers)
        read = time.perf_counter()
        seconds = [took / len(questions) for took in (retrieved - started, read - retrieved)]
        return [Answered(*found, *seconds) for found in zip(questions, answers, passages, strict=True)]


def _places(names: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Role, name and sub-folder of each checkpoint, in the order of ROLES."""
    names = [str(sample_folder())] if names is None else list(names)
    if len(names) == 1:
        return [(role, names[0], role) for role in ROLES]
    if len(names) != len(ROLES):
        raise ValueError(
            f"expected three checkpoints ({', '.join(ROLES)}), or one folder with a sub-folder for each; "
            f"got {len(names)}"
        )
    return [(role, name, "") for role, name in zip(ROLES, names, strict=True)]

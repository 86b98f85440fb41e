"""Questions to passages: a question encoder in front of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpr_tf.data.passages import Passage
from dpr_tf.data.questions import clean_question
from dpr_tf.retrieval.embed import Embedder
from dpr_tf.retrieval.indexes import Index
from dpr_tf.retrieval.scored import ScoredPassage


class Retriever:
    """Finds the passages whose vectors have the largest inner products with a question's.

    Args:
        encoder: a TFDPRQuestionEncoder, or an OpenVINOEncoder of one. Of the former, in float32 on
            TensorFlow, OpenVINO computes single questions too if it is installed, from the 17th on.
        tokenizer: its tokenizer.
        index: vectors of `passages` in the same order, removed ones included, made by the context encoder
            trained with `encoder`.
        passages: what the rows of the index stand for.
        weights_stay: whether nobody will change the encoder's weights. Else each single question looks
            whether they changed: for BERT-base and OpenVINO, a millisecond on two cores.

    Raises:
        ValueError: if index and passages differ in length, are empty, or vectors and encoder differ in width.
    """

    def __init__(
        self,
        encoder: Any,
        tokenizer: Any,
        index: Index,
        passages: Sequence[Passage],
        *,
        weights_stay: bool = False,
    ) -> None:
        if len(index.ids) != len(passages) or not passages:
            raise ValueError(
                f"an index needs one vector per passage: found {len(index.ids)} vectors, "
                f"{len(passages)} passages"
            )
        self._embedder = Embedder(encoder, tokenizer, single_texts=True, weights_stay=weights_stay)
        if self._embedder.dim != index.dim:
            raise ValueError(
                f"the question encoder makes vectors of {self._embedder.dim} numbers, the index holds "
                f"{index.dim}; take the question encoder that was trained together with the context encoder"
            )
        self.index = index
        self.passages = passages

    def retrieve(self, questions: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """Finds the best passages for each question.

        Args:
            questions: one or more questions.
            k: passages per question, at least 1; a smaller collection gives all it has.

        Returns:
            For each question its passages, best first; equal scores in the order of the collection.

        Raises:
            ValueError: if k is below 1.
            TypeError: if `questions` is a single str.
        """
        if isinstance(questions, str):
            raise TypeError(f"questions must be a list of str, got one str: retrieve([{questions!r}], k)")
        vectors = self._embedder.embed([clean_question(question) for question in questions])
        scores, rows = self.index.search(vectors, min(k, len(self.passages)))
        return [
            [
                ScoredPassage(self.passages[row], score, rank)
                for rank, (score, row) in enumerate(zip(some_scores, some_rows, strict=True), start=1)
                if row >= 0  # -1 where an index found fewer
            ]
            for some_scores, some_rows in zip(scores.tolist(), rows.tolist(), strict=True)
        ]

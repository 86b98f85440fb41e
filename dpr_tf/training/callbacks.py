"""What is measured at the end of each epoch of bi-encoder training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dpr_tf.data.examples import Example
from dpr_tf.data.questions import clean_question
from dpr_tf.evaluation.measures import gold_ranks
from dpr_tf.inference import compile_forward
from dpr_tf.training.texts import TextRows

RANK = "val_pool_rank"
_BATCH = 64  # texts, or rows of scores, at a time


class PoolRank(keras.callbacks.Callback):
    """Measures the average rank by which DPR chooses checkpoints, as `val_pool_rank`; lower is better.

    All passages of the dev examples make one pool, and each question is scored against all of it; the mean
    place of its positive is the measure, 0 is perfect. A passage that several examples have stands in the
    pool once. (`val_average_rank`, which a BiEncoder reports, is the rank within a batch.)

    Give it before the callbacks that use the measure.

    Args:
        examples: with a positive each.
        questions: makes rows of questions.
        passages: makes rows of passages.
        negatives: hard negatives of each example in the pool, and as many others; DPR takes 30.
    """

    def __init__(
        self, examples: Sequence[Example], questions: TextRows, passages: TextRows, negatives: int = 30
    ) -> None:
        super().__init__()
        self._questions = [clean_question(example.question) for example in examples]
        self._question_rows, self._passage_rows = questions.questions, passages.passages
        places: dict[tuple[str, str], int] = {}
        gold = []
        for example in examples:
            pooled = (example.hard_negatives[:negatives], example.negatives[:negatives])
            for passage in (example.positives[0], *pooled[0], *pooled[1]):
                places.setdefault((passage.title, passage.text), len(places))
            gold.append(places[example.positives[0].title, example.positives[0].text])
        self._pool, self._gold = list(places), np.array(gold)
        self._forward: dict[int, Any] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the measure to what `fit` reports."""
        questions = self._embed(self.model.question_encoder, self._question_rows, self._questions)
        passages = self._embed(self.model.context_encoder, self._passage_rows, self._pool)
        ranks = [
            gold_ranks(questions[start : start + _BATCH] @ passages.T, self._gold[start : start + _BATCH])
            for start in range(0, len(questions), _BATCH)
        ]
        if logs is not None:
            logs[RANK] = float(np.concatenate(ranks).mean())

    def _embed(self, encoder: Any, rows: Any, texts: list[Any]) -> np.ndarray:
        """float32 [texts, dim]; texts of similar length share a batch, so that little of it is padding."""
        order = np.argsort([len("".join(text)) for text in texts], kind="stable")[::-1]
        found = np.empty((len(texts), encoder.body.embeddings_size), np.float32)
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            batch = rows([texts[place] for place in chosen])
            if id(encoder) not in self._forward:
                self._forward[id(encoder)] = compile_forward(encoder, tuple(batch), ("pooler_output",))
            (found[chosen],) = self._forward[id(encoder)](batch)
        return found

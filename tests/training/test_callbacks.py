"""The average rank against a slow look at every passage."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_examples import EXAMPLES
from small_words import save_checkpoints

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder
from dpr_tf.training.callbacks import PoolRank


@pytest.fixture
def encoders(tmp_path):
    """Two encoders, in the place of a BiEncoder."""
    save_checkpoints(tmp_path)
    return SimpleNamespace(
        question_encoder=TFDPRQuestionEncoder.from_pretrained(tmp_path / "question_encoder"),
        context_encoder=TFDPRContextEncoder.from_pretrained(tmp_path / "context_encoder"),
    )


def slow_ranks(encoders, examples, questions, passages, negatives):
    """One text at a time."""

    def vector(encoder, rows):
        return np.asarray(encoder(**rows).pooler_output)[0]

    pool = {}
    for example in examples:
        for passage in (
            example.positives[0],
            *example.hard_negatives[:negatives],
            *example.negatives[:negatives],
        ):
            rows = passages.passages([(passage.title, passage.text)])
            pool[passage] = vector(encoders.context_encoder, rows)
    for example in examples:
        question = vector(encoders.question_encoder, questions.questions([example.question]))
        own = question @ pool[example.positives[0]]
        yield sum(question @ other > own for other in pool.values())


@pytest.mark.parametrize("negatives", [1, 30])
def test_pool_rank_equals_the_slow_one(encoders, questions, passages, negatives, monkeypatch):
    monkeypatch.setattr("dpr_tf.training.callbacks._BATCH", 3)
    examples = [example for example in EXAMPLES if example.positives]
    callback = PoolRank(examples, questions, passages, negatives)
    callback.set_model(encoders)
    logs = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    ranks = list(slow_ranks(encoders, examples, questions, passages, negatives))
    assert logs["val_pool_rank"] == pytest.approx(np.mean(ranks))
    assert 0 < np.mean(ranks) < 5


def test_pool_rank_follows_the_weights(encoders, questions, passages):
    callback = PoolRank([example for example in EXAMPLES if example.positives], questions, passages)
    callback.set_model(encoders)
    found = []
    for epoch in range(6):
        logs = {}
        callback.on_epoch_end(epoch, logs)
        found.append(logs["val_pool_rank"])
        weight = encoders.question_encoder.bert_model.embeddings.word_embeddings.embeddings
        weight.assign(np.random.default_rng(epoch).normal(size=weight.shape))
    assert len(set(found)) > 1

"""The average rank against a slow look at every passage; the log of epochs."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_examples import EXAMPLES
from small_words import save_checkpoints

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder
from dpr_tf.training.callbacks import EpochLog, PoolRank


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


def test_log_is_whole_after_each_epoch(tmp_path):
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=keras.ops.convert_to_tensor(0.25)))
    log = EpochLog(tmp_path / "training.jsonl")
    log.set_model(model)
    shown = {"loss": np.float32(2.0)}
    log.on_epoch_end(0, shown)
    log.on_epoch_end(1, {"loss": 1.0})
    assert shown["learning_rate"] == 0.25
    lines = [
        {"epoch": 1, "loss": 2.0, "learning_rate": 0.25},
        {"epoch": 2, "loss": 1.0, "learning_rate": 0.25},
    ]
    assert [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()] == lines
    # A run that goes on from the state behind epoch 1 forgets what came after it.
    again = EpochLog(tmp_path / "training.jsonl")
    again.set_model(model)
    again.lines = log.lines[:1]
    again.on_epoch_end(1, {"loss": 1.0})
    assert [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()] == lines

"""Encoders and batches small enough to train in a test; every axis has a size of its own."""

import keras
import numpy as np

from dpr_tf import DPRConfig, TFDPRContextEncoder, TFDPRQuestionEncoder


def encoder(cls, dropout=0.0, seed=0, dtype=None, **config):
    """An encoder with random weights, biases and LayerNorms included."""
    config = {
        "vocab_size": 31,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "max_position_embeddings": 12,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        **config,
    }
    keras.utils.set_random_seed(seed)  # of dropout
    made = cls(DPRConfig(**config), dtype=dtype)
    random = np.random.default_rng(seed)
    for weight in made.weights:
        weight.assign(random.normal(0.0, 0.3, weight.shape))
    return made


def encoders(dropout=0.0, seed=0, **config):
    """A question encoder and a context encoder of different weights."""
    question_encoder = encoder(TFDPRQuestionEncoder, dropout, seed, **config)
    return question_encoder, encoder(TFDPRContextEncoder, dropout, seed + 1, **config)


def batch(questions=5, group=3, seed=0):
    """A batch for a BiEncoder, with padding, a filler and an ignored pair."""
    random = np.random.default_rng(seed)

    def texts(*shape):
        lengths = random.integers(2, shape[-1] + 1, shape[:-1])
        mask = (np.arange(shape[-1]) < lengths[..., None]).astype("int32")
        return {"input_ids": random.integers(1, 31, shape).astype("int32") * mask, "attention_mask": mask}

    x = {"questions": texts(questions, 6), "passages": texts(questions, group, 9)}
    present = np.ones((questions, group), bool)
    ignored = np.zeros((questions, questions * group), bool)
    present[-1, -1] = False
    ignored[0, group:][:1] = True  # the second question's positive
    return x, {"present": present, "ignored": ignored}

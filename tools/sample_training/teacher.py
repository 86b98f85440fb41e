"""Embeds texts with the teacher, a sentence encoder with mean pooling such as all-MiniLM-L6-v2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dpr_tf import DPRContextEncoderTokenizerFast, TFDPRContextEncoder

MAX_LENGTH = 256


class Teacher:
    """A BERT checkpoint whose vector of a text is the mean of its last states, scaled to length 1."""

    def __init__(self, folder: Path, dtype: str):
        self.tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(folder)
        self.model = TFDPRContextEncoder.init_from_bert(folder, dtype=dtype, output_hidden_states=True)
        signature = tf.TensorSpec((None, None), tf.int32)
        self._mean = tf.function(self._mean_states, input_signature=(signature, signature), autograph=False)

    def _mean_states(self, ids, mask):
        states = tf.cast(self.model(input_ids=ids, attention_mask=mask).hidden_states[-1], tf.float32)
        weights = tf.cast(mask, tf.float32)[:, :, None]
        return tf.math.l2_normalize(tf.reduce_sum(states * weights, axis=1), axis=1)

    def embed(
        self, texts: Sequence[str], titles: Sequence[str] | None = None, tokens: int = 6144
    ) -> np.ndarray:
        """Vectors float16 [texts, dim], in the order given; about `tokens` tokens per forward pass."""
        pairs = (list(texts),) if titles is None else (list(titles), list(texts))
        rows = self.tokenizer(*pairs, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row]))
        vectors = np.zeros((len(rows), self.model.config.hidden_size), np.float16)
        while order:
            size = max(1, tokens // len(rows[order[0]]))
            group, order = order[:size], order[size:]
            batch = self.tokenizer.pad({"input_ids": [rows[row] for row in group]}, return_tensors="np")
            ids, mask = (batch[name].astype(np.int32) for name in ("input_ids", "attention_mask"))
            vectors[group] = self._mean(ids, mask).numpy()
        return vectors

"""Passages and questions to vectors. Knows encoders and their tokenizers, no index."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from dpr_tf.data.passages import Passage
from dpr_tf.inference import Forward, compile_forward

logger = logging.getLogger(__name__)

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_WINDOW = 64  # batches that are tokenized, and sorted by length, at a time
TOKEN_TYPES = ("zeros", "tokenizer")


def embed_passages(
    model: Any,
    tokenizer: Any,
    passages: Sequence[Passage],
    *,
    batch_size: int = 32,
    max_length: int = 256,
    token_types: str = "zeros",
    progress: bool = True,
) -> np.ndarray:
    """Embeds passages as `[CLS] title [SEP] text [SEP]`, or `[CLS] text [SEP]` for those without title.

    Passages of similar length share a batch, so that little is computed on padding. The model is compiled
    once.

    Args:
        model: a TFDPRContextEncoder.
        tokenizer: its tokenizer.
        passages: what to embed.
        batch_size: passages per forward pass.
        max_length: tokens per passage; longer ones are cut. At most the model's positions are used.
        token_types: "zeros", as DPR was trained; or "tokenizer", 0 for the title and 1 for the text, as
            Hugging Face's tokenizers give them. Questions and passages need the convention the model was
            trained with.
        progress: whether to show a progress bar on stderr.

    Returns:
        float32 [passages, dim], in the order of `passages`.

    Raises:
        ValueError: for another `token_types`, or a batch size below 1.
    """
    if token_types not in TOKEN_TYPES:
        raise ValueError(f"token_types={token_types!r}: expected one of {', '.join(map(repr, TOKEN_TYPES))}")
    texts = [(passage.title, passage.text) if passage.title else passage.text for passage in passages]
    bar = tqdm(
        total=len(texts),
        desc="Embedding passages",
        unit=" passages",
        disable=not progress,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file needs few lines
    )
    with bar:
        return Embedder(model, tokenizer, max_length, token_types).embed(texts, batch_size, bar)


class Embedder:
    """An encoder, compiled once, with its tokenizer: for texts that come one after the other.

    Args:
        model: an encoder.
        tokenizer: its tokenizer.
        max_length: tokens per text; at most the model's positions are used.
        token_types: as for `embed_passages`.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 256, token_types: str = "zeros") -> None:
        config = model.config
        self.dim: int = config.projection_dim or config.hidden_size
        self._tokenizer = tokenizer
        self._max_length = min(max_length, config.max_position_embeddings)
        self._token_types = token_types
        self._forward: Forward = compile_forward(model, _INPUTS, ("pooler_output",))

    def embed(
        self, texts: Sequence[str | tuple[str, str]], batch_size: int = 32, bar: tqdm | None = None
    ) -> np.ndarray:
        """Embeds texts, or pairs of title and text.

        Args:
            texts: what to embed.
            batch_size: texts per forward pass.
            bar: a progress bar, moved on by the size of each batch.

        Returns:
            float32 [texts, dim], in the order of `texts`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        vectors = np.empty((len(texts), self.dim), np.float32)
        cut = 0
        for start in range(0, len(texts), batch_size * _WINDOW):
            rows = self._tokenize(texts[start : start + batch_size * _WINDOW])
            lengths = np.array([len(row) for row in rows["input_ids"]])
            cut += int((lengths == self._max_length).sum())
            # The longest first: too little memory shows at once.
            by_length = np.argsort(-lengths, kind="stable")
            for chosen in np.split(by_length, range(batch_size, len(by_length), batch_size)):
                (vectors[start + chosen],) = self._forward(self._batch(rows, chosen))
                if bar is not None:
                    bar.update(len(chosen))
        if cut:
            logger.warning(
                "%d of %d texts have %d tokens or more: what follows is not embedded. Split passages into "
                "shorter ones, of about 100 words each.",
                cut,
                len(texts),
                self._max_length,
            )
        return vectors

    def _tokenize(self, texts: Sequence[str | tuple[str, str]]) -> dict[str, list[list[int]]]:
        rows = self._tokenizer.batch_encode_plus(
            list(texts), truncation="longest_first", max_length=self._max_length, return_token_type_ids=True
        )
        return dict(rows)

    def _batch(self, rows: dict[str, list[list[int]]], chosen: np.ndarray) -> dict[str, np.ndarray]:
        batch = {name: [column[row] for row in chosen] for name, column in rows.items()}
        padded = dict(self._tokenizer.pad(batch, padding=True, return_tensors="np"))
        if self._token_types == "zeros":
            padded["token_type_ids"] = np.zeros_like(padded["input_ids"])
        return padded

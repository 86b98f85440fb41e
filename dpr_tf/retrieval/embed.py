"""Passages and questions to vectors. Knows encoders and their tokenizers, no index."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from dpr_tf.data.passages import Passage
from dpr_tf.inference import Forward, compile_forward
from dpr_tf.retrieval.progress import progress_bar

logger = logging.getLogger(__name__)

_WINDOW = 64  # batches that are tokenized, and sorted by length, at a time
TOKEN_TYPES = ("zeros", "tokenizer")

T = TypeVar("T")
Text = str | tuple[str, str]  # or title and text


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
    texts = [passage_text(passage) for passage in passages]
    embedder = Embedder(model, tokenizer, max_length, token_types)
    with progress_bar("Embedding passages", len(texts), progress) as bar:
        return embedder.embed(texts, batch_size, bar)


def passage_text(passage: Passage) -> Text:
    """What the tokenizer gets of a passage: title and text, or the text of one without title."""
    return (passage.title, passage.text) if passage.title else passage.text


class Embedder:
    """An encoder, compiled once, with its tokenizer: for texts that come one after the other.

    Args:
        model: an encoder.
        tokenizer: its tokenizer.
        max_length: tokens per text; at most the model's positions are used.
        token_types: as for `embed_passages`.
        single_texts, weights_stay: as for `compile_forward`.

    Attributes:
        dim: width of the vectors.
        max_length: tokens per text that are used.

    Raises:
        ValueError: for another `token_types`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        max_length: int = 256,
        token_types: str = "zeros",
        *,
        single_texts: bool = False,
        weights_stay: bool = False,
    ) -> None:
        if token_types not in TOKEN_TYPES:
            raise ValueError(
                f"token_types={token_types!r}: expected one of {', '.join(map(repr, TOKEN_TYPES))}"
            )
        config = model.config
        self.dim: int = config.projection_dim or config.hidden_size
        self.max_length: int = min(max_length, config.max_position_embeddings)
        self._tokenizer = tokenizer
        self._inputs = ["input_ids", "attention_mask"]  # without token types the model takes zeros
        if token_types == "tokenizer":
            self._inputs.append("token_type_ids")
        self._forward: Forward = compile_forward(
            model, self._inputs, ("pooler_output",), single_texts=single_texts, weights_stay=weights_stay
        )

    def embed(self, texts: Sequence[Text], batch_size: int = 32, bar: tqdm | None = None) -> np.ndarray:
        """Embeds texts, or pairs of title and text.

        Args:
            texts: what to embed.
            batch_size: texts per forward pass.
            bar: a progress bar, moved on by the size of each batch.

        Returns:
            float32 [texts, dim], in the order of `texts`.
        """
        if not texts:
            return np.empty((0, self.dim), np.float32)
        ((_, vectors),) = self.embed_groups([(None, texts)], batch_size, bar)
        return vectors

    def embed_groups(
        self, groups: Iterable[tuple[T, Sequence[Text]]], batch_size: int = 32, bar: tqdm | None = None
    ) -> Iterator[tuple[T, np.ndarray]]:
        """Embeds groups of texts that come one after the other; the next texts are read and tokenized in
        another thread, beside the computation.

        What shares a batch depends on the group alone, so that its vectors are the same in every run.

        Args:
            groups: anything that names a group, and its texts; empty ones are passed over.
            batch_size: texts per forward pass.
            bar: a progress bar, moved on by the size of each batch.

        Yields:
            The name of each group and float32 [texts, dim], in the order of the texts.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        cut = count = 0
        for window in ahead(self._windows(groups, batch_size * _WINDOW)):
            if window.start == 0:
                vectors = np.empty((window.texts, self.dim), np.float32)
            lengths = np.array([len(row) for row in window.rows["input_ids"]])
            cut += int((lengths == self.max_length).sum())
            count += len(lengths)
            # The longest first: too little memory shows at once.
            by_length = np.argsort(-lengths, kind="stable")
            parts = np.split(by_length, range(batch_size, len(by_length), batch_size))
            found = self._forward.each(self._batch(window.rows, part) for part in parts)
            for chosen, (part_vectors,) in zip(parts, found, strict=True):
                vectors[window.start + chosen] = part_vectors
                if bar is not None:
                    bar.update(len(chosen))
            if window.start + len(lengths) == window.texts:
                yield window.group, vectors
        if cut:
            logger.warning(
                "%d of %d texts have %d tokens or more: what follows is not embedded. Split passages into "
                "shorter ones, of about 100 words each.",
                cut,
                count,
                self.max_length,
            )

    def _windows(self, groups: Iterable[tuple[Any, Sequence[Text]]], size: int) -> Iterator[_Window]:
        for group, texts in groups:
            for start in range(0, len(texts), size):
                yield _Window(group, len(texts), start, self._tokenize(texts[start : start + size]))

    def _tokenize(self, texts: Sequence[Text]) -> dict[str, list[list[int]]]:
        rows = self._tokenizer.batch_encode_plus(
            list(texts),
            truncation="longest_first",
            max_length=self.max_length,
            return_token_type_ids="token_type_ids" in self._inputs,
        )
        return dict(rows)

    def _batch(self, rows: dict[str, list[list[int]]], chosen: np.ndarray) -> dict[str, np.ndarray]:
        batch = {name: [column[row] for row in chosen] for name, column in rows.items()}
        return dict(self._tokenizer.pad(batch, padding=True, return_tensors="np"))


class _Window(NamedTuple):
    """Texts that are tokenized, and sorted by length, together.

    Attributes:
        group: what they belong to.
        texts: how many texts the group has.
        start: place in the group of the first one here.
        rows: what the tokenizer made of them.
    """

    group: Any
    texts: int
    start: int
    rows: dict[str, list[list[int]]]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yields items, while another thread makes the next one."""
    waiting, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, waiting, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, waiting, end)
            yield item  # type: ignore[misc]

"""Makes the WordPiece vocabulary and turns texts into rows of token ids. Knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import BertWordPieceTokenizer, Tokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, CLS, SEP = 0, 2, 3


def make_vocabulary(texts: Iterable[str], size: int, path: Path) -> None:
    """Writes `path` (one piece a line): lower-cased, accents stripped, the most frequent `size` pieces."""
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=5,
        # Rarer characters (Chinese, phonetic signs) become [UNK]: a row each would teach nothing.
        limit_alphabet=90,
        special_tokens=SPECIAL_TOKENS,
        show_progress=False,
    )
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    path.write_text("".join(f"{piece}\n" for piece, _ in pieces), encoding="utf-8")


def load_tokenizer(path: Path) -> Tokenizer:
    """The lower-casing BERT tokenizer of a vocabulary file, without special tokens, padding or truncation."""
    return BertWordPieceTokenizer(str(path), lowercase=True)._tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    """Token ids of each text, int32 [tokens], without special tokens."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, np.int32) for encoding in encodings]


def join(*parts: np.ndarray, max_length: int) -> np.ndarray:
    """[CLS] part [SEP] part [SEP] …, int32 [tokens], cut at `max_length` with a last [SEP] kept."""
    pieces = [np.array([CLS], np.int32)]
    for part in parts:
        pieces += [part, np.array([SEP], np.int32)]
    row = np.concatenate(pieces)
    if len(row) > max_length:
        row = row[:max_length].copy()
        row[-1] = SEP
    return row


def pad(rows: Sequence[np.ndarray], multiple: int = 8) -> np.ndarray:
    """Pads rows to one length, int32 [rows, tokens]; rounded up so that few graphs are traced."""
    length = -(-max(len(row) for row in rows) // multiple) * multiple
    ids = np.full((len(rows), length), PAD, np.int32)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids

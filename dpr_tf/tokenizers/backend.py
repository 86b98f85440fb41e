"""Building the Rust library's tokenizer for BERT: its parts, and learning a vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer


def new_backend(vocabulary: dict[str, int], slots: dict[str, AddedToken | None]) -> Tokenizer:
    """BERT's tokenizer for a vocabulary.

    Args:
        vocabulary: token -> id.
        slots: the named special tokens, by slot name; those the vocabulary lacks get new ids after its last.
    """
    cls, sep, unk = (str(slots[name]) for name in ("cls_token", "sep_token", "unk_token"))
    backend = Tokenizer(WordPiece(vocabulary, unk_token=unk, max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    named = [token for token in slots.values() if token is not None]
    backend.add_special_tokens(
        sorted(named, key=lambda token: vocabulary.get(token.content, len(vocabulary)))
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, backend.token_to_id(cls)), (sep, backend.token_to_id(sep))],
    )
    return backend


def normalizer(present: normalizers.Normalizer | None, settings: dict[str, Any]) -> normalizers.Normalizer:
    """The normalizer with a tokenizer's settings, which win over those of tokenizer.json, as in v4.34.

    Args:
        present: the Rust tokenizer's normalizer; one that is not BERT's is left as it is.
        settings: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`.
    """
    if present is not None and not isinstance(present, normalizers.BertNormalizer):
        return present
    return normalizers.BertNormalizer(
        clean_text=True if present is None else present.clean_text,
        handle_chinese_chars=settings["tokenize_chinese_chars"],
        strip_accents=settings["strip_accents"],
        lowercase=settings["do_lower_case"],
    )


def train_vocabulary(
    backend: Tokenizer,
    texts: Iterable,
    slots: dict[str, str],
    extra: list[str],
    *,
    vocab_size: int,
    length: int | None,
    **options: Any,
) -> dict[str, int]:
    """A WordPiece vocabulary learned from texts, cut into words as `backend` does; special tokens come first.

    Args:
        backend: the tokenizer whose normalizer and words are used.
        texts: texts, or lists of texts.
        slots: the named special tokens.
        extra: further special tokens.
        vocab_size: tokens of the vocabulary, special ones included.
        length: how many items `texts` has, for the progress bar.
        **options: for `tokenizers.trainers.WordPieceTrainer`.
    """
    learner = Tokenizer(WordPiece({}, unk_token=slots["unk_token"]))
    learner.normalizer, learner.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    special = [slots[name] for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")]
    trainer = WordPieceTrainer(vocab_size=vocab_size, special_tokens=[*special, *extra], **options)
    learner.train_from_iterator(texts, trainer=trainer, length=length)
    return learner.get_vocab(with_added_tokens=False)


def without_surrogates(value):
    """Texts with U+FFFD, which the normalizer drops too, for every lone surrogate."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, (list, tuple)):
        return type(value)(without_surrogates(item) for item in value)
    return value

"""The Fast tokenizers: everything is done by the Rust `tokenizers` library."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Encoding, Tokenizer
from tokenizers.models import WordPiece

from .backend import new_backend, normalizer, train_vocabulary, without_surrogates
from .base import TokenizerBase
from .contract import Path, Token
from .encoding import BatchEncoding
from .options import CallOptions, SettledOptions, settle
from .rows import wanted
from .special import special_token
from .vocabulary import read_tokenizer_json, read_vocabulary, write_vocabulary

# The Rust tokenizer has truncation and padding as settings: two threads would encode with each other's. One
# lock for all, since a tokenizer with a lock of its own could be neither copied nor pickled; the library
# takes all cores by itself.
_SETTINGS_LOCK = threading.Lock()


def _renew_lock() -> None:
    """In a forked process nobody is left to release the lock that another thread held."""
    global _SETTINGS_LOCK
    _SETTINGS_LOCK = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


class BertTokenizerFast(TokenizerBase):
    """WordPiece tokenizer of BERT on the Rust library.

    Args:
        vocab_file: vocab.txt, one token per line. Not read when `tokenizer_file` is given.
        tokenizer_file: tokenizer.json of the Rust library.
        do_lower_case: lower-case the text.
        unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens.
        tokenize_chinese_chars: put CJK characters into words of their own.
        strip_accents: None follows `do_lower_case`.
        **kwargs: `model_max_length`, `padding_side`, `truncation_side`, `additional_special_tokens`,
            `clean_up_tokenization_spaces`; instead of files `tokenizer_object` (a `tokenizers.Tokenizer`) or
            `vocabulary` (token -> id).

    Raises:
        ValueError: if there is neither file, or the vocabulary lacks the unknown token.
    """

    is_fast = True
    slow_tokenizer_class: type | None = None

    def __init__(
        self,
        vocab_file: Path | None = None,
        tokenizer_file: Path | None = None,
        do_lower_case: bool = True,
        unk_token: Token = "[UNK]",
        sep_token: Token = "[SEP]",
        pad_token: Token = "[PAD]",
        cls_token: Token = "[CLS]",
        mask_token: Token = "[MASK]",
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        **kwargs: Any,
    ):
        added = kwargs.pop("added_tokens_decoder", {})
        ready = kwargs.pop("tokenizer_object", None)
        vocabulary = kwargs.pop("vocabulary", None)
        settings = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": kwargs.pop("do_basic_tokenize", True),
            "never_split": kwargs.pop("never_split", None),
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
        }
        super().__init__(settings, kwargs)
        self.do_lower_case = do_lower_case
        self.vocab_file = vocab_file
        if ready is not None:
            self._tokenizer = ready
        elif tokenizer_file is not None:
            self._tokenizer = Tokenizer.from_str(json.dumps(read_tokenizer_json(tokenizer_file)))
        elif vocabulary is not None:
            self._tokenizer = new_backend(vocabulary, self._slots)
        elif vocab_file is not None:
            self._tokenizer = new_backend(read_vocabulary(vocab_file), self._slots)
        else:
            raise ValueError(
                f"{type(self).__name__} needs vocab_file (vocab.txt) or tokenizer_file (tokenizer.json)"
            )
        self._check_vocabulary(tokenizer_file or vocab_file)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._renamed: dict[int, str] = {}
        self._tokenizer.normalizer = normalizer(self._tokenizer.normalizer, settings)
        self._add_initial_tokens(added)

    def _add_initial_tokens(self, added: dict[int, AddedToken]) -> None:
        known = {token.content for token in self.added_tokens_decoder.values()}
        for token in [*(added[index] for index in sorted(added)), *self.all_special_tokens_extended]:
            if token.content in known:
                continue
            known.add(token.content)
            special = token.special or token.content in self.all_special_tokens
            self._add_tokens([token], special_tokens=special)

    def _check_vocabulary(self, path: Path | None) -> None:
        model = self._tokenizer.model
        if isinstance(model, WordPiece) and model.token_to_id(model.unk_token) is None:
            raise ValueError(
                f"{path}: the vocabulary has no {model.unk_token!r}, which stands for unknown words; add it "
                "to the "
                "vocabulary, or name another token with unk_token="
            )

    # Vocabulary

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The Rust library's tokenizer."""
        return self._tokenizer

    @property
    def decoder(self):
        """The Rust library's decoder."""
        return self._tokenizer.decoder

    @property
    def can_save_slow_tokenizer(self) -> bool:
        """Always: the vocabulary can be written as vocab.txt."""
        return True

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, added ones left out."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return self.get_vocab()

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token."""
        return self._tokenizer.get_added_tokens_decoder()

    def get_added_vocab(self) -> dict[str, int]:
        """Added token -> id."""
        return self.added_tokens_encoder

    def _add_tokens(self, new_tokens: Sequence[Token], special_tokens: bool = False) -> int:
        if special_tokens:
            added = self._tokenizer.add_special_tokens([special_token(token) for token in new_tokens])
        else:
            added = self._tokenizer.add_tokens(list(new_tokens))
        # newer versions of the library show added tokens as the normalizer leaves them: lower-cased
        self._renamed = {
            index: token.content
            for index, token in self.added_tokens_decoder.items()
            if self._tokenizer.id_to_token(index) != token.content
        }
        return added

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of a list of tokens; the unknown token's for unknown ones."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            index = self._tokenizer.token_to_id(tokens)
            return self.unk_token_id if index is None and tokens != self.unk_token else index
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of a list of ids; None for ids outside the vocabulary."""
        if isinstance(ids, int):
            return self._renamed.get(ids) or self._tokenizer.id_to_token(ids)
        special = set(self.all_special_ids) if skip_special_tokens else ()
        return [self.convert_ids_to_tokens(int(index)) for index in ids if int(index) not in special]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins word pieces to text."""
        return self._tokenizer.decoder.decode(tokens)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens in a row of one text, or of a pair."""
        return self._tokenizer.num_special_tokens_to_add(pair)

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for special tokens, 0 for others, of a row that already has its special tokens.

        Raises:
            AssertionError: without `already_has_special_tokens=True`, or with a second list.
        """
        if not already_has_special_tokens or token_ids_1 is not None:
            raise AssertionError(
                "get_special_tokens_mask() of a fast tokenizer takes one row with "
                "already_has_special_tokens=True; "
                "for new rows call the tokenizer with return_special_tokens_mask=True"
            )
        return super().get_special_tokens_mask(token_ids_0)

    # Text

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The word pieces of a text (and of a second one)."""
        return self.encode_plus(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()

    def set_truncation_and_padding(
        self,
        padding_strategy: str,
        truncation_strategy: str,
        max_length: int | None,
        stride: int,
        pad_to_multiple_of: int | None,
    ) -> None:
        """Sets the Rust tokenizer's truncation and padding; every call of this tokenizer sets them anew."""
        if truncation_strategy == "do_not_truncate":
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(
                max_length, stride=stride, strategy=truncation_strategy, direction=self.truncation_side
            )
        if padding_strategy == "do_not_pad":
            self._tokenizer.no_padding()
        else:
            self._tokenizer.enable_padding(
                length=max_length if padding_strategy == "max_length" else None,
                direction=self.padding_side,
                pad_id=self.pad_token_id,
                pad_token=self.pad_token,
                pad_type_id=self.pad_token_type_id,
                pad_to_multiple_of=pad_to_multiple_of,
            )

    def _encode_single(self, text: Any, text_pair: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        batch = self._encode_batch([(text, text_pair)] if text_pair else [text], options, extra)
        if options.return_tensors is None and not options.return_overflowing_tokens:
            for name, value in batch.data.items():
                if value and isinstance(value[0], list):
                    batch.data[name] = value[0]
        return batch

    def _encode_batch(self, batch: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        options = settle(self, options, extra)
        if extra:
            raise TypeError(f"{type(self).__name__}: unknown options {sorted(extra)}")
        if not isinstance(batch, (list, tuple, set)):
            raise TypeError(
                f"a batch is a list of texts or of (text, text) pairs; found {type(batch).__name__}"
            )
        with _SETTINGS_LOCK:
            encodings = self._run(list(batch), options)
        if not encodings:
            raise IndexError("tokenizing an empty batch: give at least one text")
        rows = encodings
        if options.return_overflowing_tokens:
            rows = [row for encoding in encodings for row in (encoding, *encoding.overflowing)]
        data = self._columns(rows, options)
        if options.return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = [
                index
                for index, encoding in enumerate(encodings)
                for _ in range(1 + len(encoding.overflowing))
            ]
        if options.max_length is None and options.verbose:
            self._warn_of_length(max(len(row) for row in rows))
        return BatchEncoding(data, rows, tensor_type=options.return_tensors)

    def _run(self, batch: list, options: SettledOptions) -> list[Encoding]:
        self.set_truncation_and_padding(
            options.padding,
            options.truncation,
            options.max_length,
            options.stride,
            options.pad_to_multiple_of,
        )
        encode = functools.partial(
            self._tokenizer.encode_batch,
            add_special_tokens=options.add_special_tokens,
            is_pretokenized=options.is_split_into_words,
        )
        try:
            try:
                return encode(batch)
            except TypeError:
                # also what the library says of lone surrogates, which no UTF-8 holds
                return encode(without_surrogates(batch))
        except TypeError as error:
            expected = "lists of words" if options.is_split_into_words else "str, or pairs of str"
            raise TypeError(
                f"a batch holds something that is not text: expected {expected} ({error})"
            ) from error
        except BaseException as error:
            # the library raises plain Exception, or panics where the stride leaves no room for new tokens
            if type(error) is not Exception and type(error).__name__ != "PanicException":
                raise
            raise ValueError(
                f"{error} (truncation={options.truncation!r}, max_length={options.max_length}, "
                f"stride={options.stride}); use a longer max_length, a shorter stride or "
                "truncation='longest_first'"
            ) from error

    def _columns(self, rows: list[Encoding], options: CallOptions) -> dict[str, list]:
        names = self.model_input_names
        data: dict[str, list] = {"input_ids": [row.ids for row in rows]}
        if wanted(options.return_token_type_ids, "token_type_ids", names):
            data["token_type_ids"] = [row.type_ids for row in rows]
        if wanted(options.return_attention_mask, "attention_mask", names):
            data["attention_mask"] = [row.attention_mask for row in rows]
        if options.return_special_tokens_mask:
            data["special_tokens_mask"] = [row.special_tokens_mask for row in rows]
        if options.return_offsets_mapping:
            data["offset_mapping"] = [row.offsets for row in rows]
        if options.return_length:
            data["length"] = [len(row) for row in rows]
        return data

    def _decode(self, ids: Any, skip_special_tokens: bool, clean_up: bool | None, **kwargs: Any) -> str:
        ids = [ids] if isinstance(ids, int) else ids
        if not self._renamed:
            return self._cleaned(
                self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens), clean_up
            )
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        return self._cleaned(self._tokenizer.decoder.decode([token for token in tokens if token]), clean_up)

    # Files

    def save_vocabulary(self, save_directory: Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.txt into a folder; returns its path in a tuple."""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        return (write_vocabulary(vocabulary, save_directory, filename_prefix),)

    def _save_extra(self, save_directory: Path, filename_prefix: str | None) -> list[str]:
        name = "tokenizer.json" if filename_prefix is None else f"{filename_prefix}-tokenizer.json"
        path = os.path.join(save_directory, name)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.save(path)
        return [path]

    def train_new_from_iterator(
        self,
        text_iterator: Iterable,
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: list | None = None,
        special_tokens_map: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> BertTokenizerFast:
        """A tokenizer of this class and these settings whose vocabulary is learned from texts.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: tokens of the new vocabulary, special ones included.
            length: how many items `text_iterator` has, for the progress bar.
            new_special_tokens: further special tokens.
            special_tokens_map: present special token -> new one.
            **kwargs: for `tokenizers.trainers.WordPieceTrainer`.
        """
        renamed = special_tokens_map or {}
        slots = {
            name: renamed.get(token.content, token.content) for name, token in self._slots.items() if token
        }
        extra = [renamed.get(token, token) for token in self.additional_special_tokens]
        extra += [str(token) for token in new_special_tokens or []]
        vocabulary = train_vocabulary(
            self._tokenizer, text_iterator, slots, extra, vocab_size=vocab_size, length=length, **kwargs
        )
        settings = {**self.init_kwargs, **slots, "additional_special_tokens": extra}
        return type(self)(vocabulary=vocabulary, **settings)

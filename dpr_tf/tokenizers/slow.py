"""The slow tokenizers: BERT's original rules in Python, as v4.34's slow classes have them."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken

from .base import TokenizerBase
from .contract import Path, Token
from .encoding import BatchEncoding
from .options import CallOptions, settle
from .padding import pad
from .special import special_token
from .vocabulary import read_vocabulary, write_vocabulary
from .words import BasicTokenizer, WordPieceTokenizer

logger = logging.getLogger(__name__)


class BertTokenizer(TokenizerBase):
    """WordPiece tokenizer of BERT in Python.

    Args:
        vocab_file: vocab.txt, one token per line, or tokenizer.json.
        do_lower_case: lower-case the text.
        do_basic_tokenize: split words at punctuation and normalise them before cutting word pieces.
        never_split: words left as they are.
        unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens.
        tokenize_chinese_chars: put CJK characters into words of their own.
        strip_accents: None follows `do_lower_case`.
        **kwargs: `model_max_length`, `padding_side`, `truncation_side`, `additional_special_tokens`,
            `clean_up_tokenization_spaces`.

    Raises:
        FileNotFoundError: if the vocabulary file does not exist.
    """

    def __init__(
        self,
        vocab_file: Path,
        do_lower_case: bool = True,
        do_basic_tokenize: bool = True,
        never_split: Iterable[str] | None = None,
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
        settings = {
            "do_lower_case": do_lower_case,
            "do_basic_tokenize": do_basic_tokenize,
            "never_split": never_split,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            "tokenize_chinese_chars": tokenize_chinese_chars,
            "strip_accents": strip_accents,
        }
        super().__init__(settings, kwargs)
        self._vocab = read_vocabulary(vocab_file)
        self._tokens = {index: token for token, index in self._vocab.items()}
        self._added: dict[int, AddedToken] = {
            int(index): special_token(token) for index, token in added.items()
        }
        self.do_lower_case = do_lower_case
        self.do_basic_tokenize = do_basic_tokenize
        self._lowers = do_lower_case and do_basic_tokenize
        if do_basic_tokenize:
            self.basic_tokenizer = BasicTokenizer(
                do_lower_case, never_split, tokenize_chinese_chars, strip_accents
            )
        self.wordpiece_tokenizer = WordPieceTokenizer(self._vocab, unk_token=self.unk_token)
        self._add_tokens(self.all_special_tokens_extended, special_tokens=True)

    # Vocabulary

    @property
    def vocab(self) -> dict[str, int]:
        """Token -> id, added tokens left out."""
        return self._vocab

    @property
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, added ones left out."""
        return len(self._vocab)

    def __len__(self) -> int:
        return len(self._vocab.keys() | self._added_ids)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token."""
        return dict(sorted(self._added.items()))

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""
        return {**self._vocab, **self._added_ids}

    def get_added_vocab(self) -> dict[str, int]:
        """Added token -> id."""
        return dict(self._added_ids)

    def _add_tokens(self, new_tokens: Sequence[Token], special_tokens: bool = False) -> int:
        """Adds tokens; those the vocabulary lacks get ids after its last one. Returns how many it lacked."""
        self._added_ids = {token.content: index for index, token in self._added.items()}
        vocabulary, lacking = self.get_vocab(), 0
        size = len(vocabulary)
        for given in new_tokens:
            token = self._as_added_token(given, special_tokens)
            if token is None or token.content in self._added_ids:
                continue
            index = vocabulary.get(token.content)
            if index is None:
                index = size + lacking
                vocabulary[token.content] = index
                lacking += 1
            if token.special and token.content not in self.all_special_tokens:
                self._additional.append(token)
            self._added[index] = token
            self._added_ids[token.content] = index
        self._prepare_splitting()
        return lacking

    def _as_added_token(self, token: Token, special: bool) -> AddedToken | None:
        if not isinstance(token, (str, AddedToken)):
            raise TypeError(f"add_tokens() takes str or AddedToken, found {type(token).__name__}")
        if str(token) == "":
            return None
        if isinstance(token, str):
            special = special or token in self.all_special_tokens
            token = AddedToken(token, normalized=not special, special=special)
        elif special and not token.special:
            token = _copy(token, special=True)
        if self._lowers and not token.special and token.normalized:
            token = _copy(token, content=token.content.lower())
        return token

    def _prepare_splitting(self) -> None:
        """Patterns for `tokenize`: the longest added token wins where several begin."""
        longest_first = sorted(self._added_ids, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        kept = map(re.escape, [*self.all_special_tokens, *longest_first])
        self._kept_case = re.compile("(" + "|".join(kept) + ")|(.+?)")

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of a list of tokens; the unknown token's for unknown ones."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._token_id(tokens)
        return [None if token is None else self._token_id(token) for token in tokens]

    def _token_id(self, token: Any) -> int | None:
        index = self._added_ids.get(token)
        index = self._vocab.get(token) if index is None else index
        return self.unk_token_id if index is None and token != self.unk_token else index

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or of each of a list; the unknown token for ids outside the vocabulary."""
        if isinstance(ids, int):
            added = self._added.get(ids)
            return self._tokens.get(ids, self.unk_token) if added is None else added.content
        special = set(self.all_special_ids) if skip_special_tokens else ()
        return [self.convert_ids_to_tokens(int(index)) for index in ids if int(index) not in special]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins word pieces to text."""
        return " ".join(tokens).replace(" ##", "").strip()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens in a row of one text, or of a pair."""
        return 3 if pair else 2

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for special tokens, 0 for others, of a row as `build_inputs_with_special_tokens` makes it.

        Args:
            token_ids_0: ids of the first text; with `already_has_special_tokens` the whole row.
            token_ids_1: ids of the second text, or None.
            already_has_special_tokens: look the ids up instead.
        """
        if already_has_special_tokens:
            return super().get_special_tokens_mask(token_ids_0)
        mask = [1] + [0] * len(token_ids_0) + [1]
        return mask if token_ids_1 is None else mask + [0] * len(token_ids_1) + [1]

    # Text

    def tokenize(self, text: str, **kwargs: Any) -> list[str]:
        """The word pieces of a text; added tokens stay whole."""
        if kwargs:
            logger.warning("%s ignores unknown options %s", type(self).__name__, sorted(kwargs))
        if not isinstance(text, str):
            raise TypeError(f"tokenize() takes a str, found {type(text).__name__}")
        if self._lowers:
            text = self._kept_case.sub(lambda match: match[1] or match[2].lower(), text)
        pieces: list[str] = []
        for part in self._split_at_added(text):
            pieces += [part] if part in self._added_ids else self._word_pieces(part)
        return pieces

    def prepare_for_tokenization(
        self, text: str, is_split_into_words: bool = False, **kwargs: Any
    ) -> tuple[str, dict]:
        """A hook before tokenizing: BERT changes nothing."""
        return text, kwargs

    def _split_at_added(self, text: str) -> list[str]:
        """The text cut at added tokens, which swallow white space beside them if they say so."""
        parts = self._splitter.split(text)
        for i in range(1, len(parts), 2):
            token = self._added[self._added_ids[parts[i]]]
            if token.rstrip:
                parts[i + 1] = parts[i + 1].lstrip()
            if token.lstrip:
                parts[i - 1] = parts[i - 1].rstrip()
            if token.single_word and (parts[i - 1][-1:].strip() or parts[i + 1][:1].strip()):
                parts[i + 1] = parts[i - 1] + parts[i] + parts[i + 1]
                parts[i - 1] = parts[i] = ""
        return [part for part in parts if part]

    def _word_pieces(self, text: str) -> list[str]:
        if not self.do_basic_tokenize:
            return self.wordpiece_tokenizer.tokenize(text)
        pieces: list[str] = []
        for word in self.basic_tokenizer.tokenize(text, never_split=self.all_special_tokens):
            kept = word in self.basic_tokenizer.never_split
            pieces += [word] if kept else self.wordpiece_tokenizer.tokenize(word)
        return pieces

    def _ids(self, text: Any, options: CallOptions, extra: dict) -> list[int]:
        """The ids of a text, of words, of tokens, or of ids."""
        if isinstance(text, str):
            return self.convert_tokens_to_ids(self.tokenize(text, **extra))
        if isinstance(text, (list, tuple)) and text:
            if isinstance(text[0], str):
                if not options.is_split_into_words:
                    return self.convert_tokens_to_ids(text)
                return self.convert_tokens_to_ids(
                    list(itertools.chain(*(self.tokenize(word, **extra) for word in text)))
                )
            if isinstance(text[0], int):
                return list(text)
        raise ValueError(
            f"cannot tokenize {text!r}: expected a str, a non-empty list of str, or a list of ids"
        )

    def _encode_single(self, text: Any, text_pair: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        options = settle(self, options, extra)
        _refuse_offsets(self, options)
        ids = self._ids(text, options, extra)
        pair_ids = None if text_pair is None else self._ids(text_pair, options, extra)
        row = self._prepare_row(ids, pair_ids, options)
        return BatchEncoding(row, tensor_type=options.return_tensors, prepend_batch_axis=True)

    def _encode_batch(self, batch: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        options = settle(self, options, extra)
        _refuse_offsets(self, options)
        unpadded = options.replace(padding="do_not_pad", pad_to_multiple_of=None, return_attention_mask=False)
        columns: dict[str, list] = {}
        for item in batch:
            text, text_pair = _text_and_pair(item, options.is_split_into_words)
            ids = self._ids(text, options, extra)
            pair_ids = None if text_pair is None else self._ids(text_pair, options, extra)
            for name, value in self._prepare_row(ids, pair_ids, unpadded).items():
                columns.setdefault(name, []).append(value)
        padded = pad(self, columns, options.replace(return_tensors=None, truncation=False))
        return BatchEncoding(dict(padded), tensor_type=options.return_tensors)

    def _decode(
        self,
        ids: Any,
        skip_special_tokens: bool,
        clean_up: bool | None,
        spaces_between_special_tokens: bool = True,
        **kwargs: Any,
    ) -> str:
        parts: list[str] = []
        pieces: list[str] = []
        apart = self._tokens_apart()
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        for token in [tokens] if isinstance(tokens, str) else tokens:
            if token not in apart:
                pieces.append(token)
                continue
            if pieces:
                parts.append(self.convert_tokens_to_string(pieces))
                pieces = []
            parts.append(token)
        if pieces:
            parts.append(self.convert_tokens_to_string(pieces))
        return self._cleaned((" " if spaces_between_special_tokens else "").join(parts), clean_up)

    def _tokens_apart(self) -> set[str]:
        """Added tokens that are no word pieces: plain ones, and special ones beyond the vocabulary."""
        plain = self._added_ids.keys() - set(self.all_special_tokens)
        return plain | {token for token in self.additional_special_tokens if token not in self._vocab}

    # Files

    def save_vocabulary(self, save_directory: Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.txt into a folder; returns its path in a tuple."""
        return (write_vocabulary(self._vocab, save_directory, filename_prefix),)


def _copy(token: AddedToken, **changes: Any) -> AddedToken:
    names = ("single_word", "lstrip", "rstrip", "normalized", "special")
    properties = {name: getattr(token, name) for name in names} | changes
    return AddedToken(properties.pop("content", token.content), **properties)


def _text_and_pair(item: Any, is_split_into_words: bool) -> tuple[Any, Any]:
    """An item of a batch: a text, a list of words, or a pair of either."""
    if not isinstance(item, (list, tuple)):
        return item, None
    if is_split_into_words and not isinstance(item[0], (list, tuple)):
        return item, None
    text, text_pair = item
    return text, text_pair


def _refuse_offsets(tokenizer: BertTokenizer, options: CallOptions) -> None:
    if options.return_offsets_mapping:
        name = type(tokenizer).__name__
        raise NotImplementedError(
            f"return_offsets_mapping needs a fast tokenizer: use {name}Fast instead of {name}"
        )

"""What the parts of a tokenizer ask of each other: the vocabulary, and the types of texts and ids."""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken

# A text, a batch of texts or the words of one, a batch of those.
TextInput = str | Sequence[str] | Sequence[Sequence[str]]
Token = str | AddedToken
Path = str | os.PathLike


class Vocabulary(abc.ABC):
    """Tokens and ids. Ids of added tokens follow those of the vocabulary file, or are its own."""

    is_fast: bool = False
    model_max_length: int
    name_or_path: str
    clean_up_tokenization_spaces: bool
    init_kwargs: dict[str, Any]

    @property
    @abc.abstractmethod
    def vocab_size(self) -> int:
        """Tokens in the vocabulary, added ones left out."""

    @property
    @abc.abstractmethod
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """Id -> added token, ordered by id."""

    @abc.abstractmethod
    def get_vocab(self) -> dict[str, int]:
        """Token -> id, added tokens included."""

    @abc.abstractmethod
    def get_added_vocab(self) -> dict[str, int]:
        """Added token -> id."""

    @abc.abstractmethod
    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or the ids of a list of tokens; the unknown token's for unknown ones."""

    @abc.abstractmethod
    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or the tokens of a list of ids."""

    @abc.abstractmethod
    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens in a row of one text, or of a pair."""

    @abc.abstractmethod
    def save_vocabulary(self, save_directory: Path, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.txt into a folder; returns its path in a tuple."""

    @abc.abstractmethod
    def _add_tokens(self, new_tokens: Sequence[Token], special_tokens: bool = False) -> int:
        """Adds tokens; returns how many are new."""

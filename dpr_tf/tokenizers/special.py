"""Special tokens: the seven named slots ([CLS], [SEP], ...), the additional ones, and adding tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken

from .contract import Token, Vocabulary

SLOTS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def special_token(value: Token, *, additional: bool = False) -> AddedToken:
    """The AddedToken of a special token given as text.

    Additional special tokens swallow the white space beside them (`lstrip`, `rstrip`), the named slots do
    not: so it is in Transformers 4.34.
    """
    if isinstance(value, AddedToken):
        return value
    return AddedToken(value, lstrip=additional, rstrip=additional, normalized=False, special=True)


def token_properties(token: AddedToken, *, with_special: bool = True) -> dict[str, Any]:
    """An AddedToken as the dictionary that tokenizer_config.json holds."""
    properties = {
        "content": token.content,
        "lstrip": token.lstrip,
        "normalized": token.normalized,
        "rstrip": token.rstrip,
        "single_word": token.single_word,
    }
    return {**properties, "special": token.special} if with_special else properties


def token_from_properties(properties: dict[str, Any]) -> AddedToken:
    """The inverse of `token_properties`; keys that are not properties (`__type`, `id`) are ignored."""
    known = ("lstrip", "normalized", "rstrip", "single_word", "special")
    return AddedToken(properties["content"], **{key: properties[key] for key in known if key in properties})


def _slot(name: str) -> property:
    def read(self: SpecialTokens) -> str | None:
        token = self._slots.get(name)
        return None if token is None else token.content

    def write(self: SpecialTokens, value: Token | None) -> None:
        self._slots[name] = special_token(value) if value else None

    return property(read, write, doc=f"The {name.replace('_', ' ')}, as text; None if there is none.")


def _slot_id(name: str) -> property:
    def read(self: SpecialTokens) -> int | None:
        token = getattr(self, name)
        return None if token is None else self.convert_tokens_to_ids(token)

    def write(self: SpecialTokens, value: int | None) -> None:
        setattr(self, name, None if value is None else self.convert_ids_to_tokens(value))

    return property(read, write, doc=f"The id of `{name}`; None if there is none.")


class SpecialTokens(Vocabulary):
    """The part of a tokenizer that knows its special tokens."""

    SPECIAL_TOKENS_ATTRIBUTES = [*SLOTS, "additional_special_tokens"]

    bos_token, bos_token_id = _slot("bos_token"), _slot_id("bos_token")
    eos_token, eos_token_id = _slot("eos_token"), _slot_id("eos_token")
    unk_token, unk_token_id = _slot("unk_token"), _slot_id("unk_token")
    sep_token, sep_token_id = _slot("sep_token"), _slot_id("sep_token")
    pad_token, pad_token_id = _slot("pad_token"), _slot_id("pad_token")
    cls_token, cls_token_id = _slot("cls_token"), _slot_id("cls_token")
    mask_token, mask_token_id = _slot("mask_token"), _slot_id("mask_token")
    pad_token_type_id = 0

    def _set_special_tokens(self, tokens: dict[str, Any]) -> None:
        """Fills the slots from constructor arguments; `tokens` may hold any of SPECIAL_TOKENS_ATTRIBUTES."""
        self._slots: dict[str, AddedToken | None] = dict.fromkeys(SLOTS)
        self._additional: list[AddedToken] = []
        for name in SLOTS:
            setattr(self, name, tokens.get(name))
        self.additional_special_tokens = tokens.get("additional_special_tokens") or []

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens beyond the named slots, as text."""
        return [token.content for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, values: Iterable[Token] | None) -> None:
        self._additional = [special_token(value, additional=True) for value in values or []]

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of the additional special tokens."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, values: Iterable[int]) -> None:
        self.additional_special_tokens = [self.convert_ids_to_tokens(value) for value in values]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """Slot names and tokens, as text; empty slots are left out."""
        tokens: dict[str, Any] = {
            name: token.content for name, token in self._slots.items() if token is not None
        }
        if self._additional:
            tokens["additional_special_tokens"] = self.additional_special_tokens
        return tokens

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """As `special_tokens_map`, with AddedToken objects."""
        tokens: dict[str, Any] = {name: token for name, token in self._slots.items() if token is not None}
        if self._additional:
            tokens["additional_special_tokens"] = list(self._additional)
        return tokens

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """All special tokens as AddedToken objects, each once, in the order of the slots."""
        named = [token for token in self._slots.values() if token is not None]
        return list({token.content: token for token in reversed([*named, *self._additional])}.values())[::-1]

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens as text, each once, in the order of the slots."""
        return [token.content for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def add_tokens(self, new_tokens: Token | Iterable[Token], special_tokens: bool = False) -> int:
        """Adds tokens that are kept whole in every text.

        Args:
            new_tokens: a token or a list of tokens, as text or AddedToken.
            special_tokens: whether they are special (not lower-cased, skipped by
                `decode(skip_special_tokens=True)`).

        Returns:
            How many were added. The slow classes count new ids; the fast ones count every token not yet
            added.
        """
        if not new_tokens:
            return 0
        tokens = [new_tokens] if isinstance(new_tokens, Token) else list(new_tokens)
        return self._add_tokens(tokens, special_tokens=special_tokens)

    def add_special_tokens(
        self, special_tokens_dict: dict, replace_additional_special_tokens: bool = True
    ) -> int:
        """Sets slots and additional special tokens, adding what the vocabulary lacks.

        Args:
            special_tokens_dict: slot name -> token, "additional_special_tokens" -> list of tokens.
            replace_additional_special_tokens: False keeps the present additional ones too.

        Returns:
            How many tokens were added to the vocabulary.

        Raises:
            AssertionError: for a name that is no slot.
        """
        added: list[Token] = []
        for name, value in special_tokens_dict.items():
            if name not in self.SPECIAL_TOKENS_ATTRIBUTES:
                raise AssertionError(
                    f"{name!r} is no special token; expected one of "
                    f"{', '.join(self.SPECIAL_TOKENS_ATTRIBUTES)}"
                )
            if name == "additional_special_tokens":
                new = [special_token(token, additional=True) for token in value]
                kept = [] if replace_additional_special_tokens else self._additional
                present = {token.content for token in kept}
                self._additional = [*kept, *(token for token in new if token.content not in present)]
                added += new
            else:
                self._slots[name] = special_token(value)
                added.append(special_token(value))
        return self.add_tokens(added, special_tokens=True)

    def sanitize_special_tokens(self) -> int:
        """Adds the special tokens that the vocabulary lacks; returns how many."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

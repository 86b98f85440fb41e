"""The options of a tokenizer call, and how padding, truncation and max_length settle each other."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from .rows import Rows

logger = logging.getLogger(__name__)

NO_LENGTH_LIMIT = int(1e30)  # model_max_length of a tokenizer without a limit, as Transformers writes it
_LARGE = int(1e20)  # a model_max_length above this is no limit

PADDINGS = ("longest", "max_length", "do_not_pad")
TRUNCATIONS = ("only_first", "only_second", "longest_first", "do_not_truncate")


@dataclasses.dataclass(frozen=True)
class CallOptions:
    """The options that `__call__`, `encode_plus`, `batch_encode_plus` and `prepare_for_model` share.

    `settle` resolves padding, truncation and max_length.
    """

    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True

    @classmethod
    def pick(cls, arguments: Mapping[str, Any]) -> CallOptions:
        """The options among `arguments`, which may be a method's `locals()`: the signatures stay v4.34's."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: arguments[name] for name in names if name in arguments})

    def replace(self, **changes: Any) -> Self:
        """These options with some changed."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class SettledOptions(CallOptions):
    """Options whose padding is one of PADDINGS and whose truncation is one of TRUNCATIONS."""

    padding: str = "do_not_pad"
    truncation: str = "do_not_truncate"


def settle(tokenizer: Rows, options: CallOptions, legacy: dict[str, Any]) -> SettledOptions:
    """Resolves padding, truncation and max_length, which depend on each other and on the tokenizer.

    Args:
        tokenizer: its `model_max_length` stands in for a missing `max_length`, its pad token is needed to
            pad.
        options: as the caller gave them.
        legacy: extra keyword arguments; the names of Transformers 2 (`truncation_strategy`,
            `pad_to_max_length`) are taken out of it.

    Raises:
        ValueError: for an unknown name, padding without a pad token, or a truncation length that is no
            multiple of `pad_to_multiple_of`.
    """
    old_truncation = legacy.pop("truncation_strategy", "do_not_truncate")
    pad_to_max = legacy.pop("pad_to_max_length", False)
    padding, truncation, max_length = options.padding, options.truncation, options.max_length
    if max_length is not None and padding is False and truncation is None:
        if options.verbose:
            _hint("max_length is given without truncation: truncating to it, as truncation=True would")
        truncation = "longest_first"
    if padding is False and pad_to_max:
        padding = "longest" if max_length is None else "max_length"
    padding = _padding_name(padding)
    if truncation is None and old_truncation != "do_not_truncate":
        truncation = old_truncation
    truncation = _truncation_name(truncation)
    if max_length is None:
        padding, truncation, max_length = _lengths_of_model(tokenizer, padding, truncation, options.verbose)
    _check(tokenizer, padding, truncation, max_length, options.pad_to_multiple_of)
    settled = {"padding": padding, "truncation": truncation, "max_length": max_length}
    return SettledOptions(**{**vars(options), **settled})


@functools.cache
def _hint(message: str) -> None:
    """Logs a message once."""
    logger.warning(message)


def _padding_name(padding: bool | str) -> str:
    if padding is False:
        return "do_not_pad"
    name = "longest" if padding is True else getattr(padding, "value", padding)
    if name not in PADDINGS:
        raise ValueError(
            f"padding={padding!r}: expected True, False or one of {', '.join(map(repr, PADDINGS))}"
        )
    return name


def _truncation_name(truncation: bool | str | None) -> str:
    if truncation is None or truncation is False:
        return "do_not_truncate"
    name = "longest_first" if truncation is True else getattr(truncation, "value", truncation)
    if name not in TRUNCATIONS:
        raise ValueError(
            f"truncation={truncation!r}: expected True, False or one of {', '.join(map(repr, TRUNCATIONS))}"
        )
    return name


def _lengths_of_model(
    tokenizer: Rows, padding: str, truncation: str, verbose: bool
) -> tuple[str, str, int | None]:
    """Without a max_length the model's limit counts; without either, nothing is padded or cut to it."""
    wanted = [f"padding={padding!r}"] * (padding == "max_length")
    wanted += [f"truncation={truncation!r}"] * (truncation != "do_not_truncate")
    if not wanted:
        return padding, truncation, None
    if tokenizer.model_max_length <= _LARGE:
        return padding, truncation, tokenizer.model_max_length
    if verbose:
        options = " and ".join(wanted)
        _hint(
            f"{options} has no effect: neither max_length is given nor has the tokenizer a model_max_length"
        )
    return "do_not_pad" if padding == "max_length" else padding, "do_not_truncate", None


def _check(
    tokenizer: Rows, padding: str, truncation: str, max_length: int | None, multiple: int | None
) -> None:
    if padding == "do_not_pad":
        return
    if tokenizer.pad_token is None or tokenizer.pad_token_id < 0:
        raise ValueError(
            "padding needs a pad token: set `tokenizer.pad_token`, for BERT vocabularies to '[PAD]'"
        )
    if truncation != "do_not_truncate" and multiple and max_length and max_length % multiple:
        raise ValueError(
            f"max_length={max_length} is no multiple of pad_to_multiple_of={multiple}, so rows cannot be "
            "both "
            f"truncated and padded; use max_length={max_length - max_length % multiple} or another multiple"
        )

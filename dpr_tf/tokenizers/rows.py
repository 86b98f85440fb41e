"""Rows of ids: BERT's layout with special tokens, truncation and padding."""

from __future__ import annotations

import logging
from typing import Any

from .encoding import BatchEncoding
from .options import CallOptions, SettledOptions, settle
from .padding import pad, truncate
from .special import SpecialTokens

logger = logging.getLogger(__name__)


class Rows(SpecialTokens):
    """The part of a tokenizer that makes rows of ids."""

    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side = "right"
    truncation_side = "right"

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pads rows that are already tokenized.

        Args:
            encoded_inputs: a mapping with `input_ids` (one row or a batch), or a list of mappings, one per
                row; lists or arrays.
            padding: True or "longest", "max_length", or False (only adds the mask).
            max_length: the length for "max_length".
            pad_to_multiple_of: rounds the length up.
            return_attention_mask: default: whether `model_input_names` names it.
            return_tensors: None (the kind that came in), "np", "tf", "pt" or "jax".
            verbose: whether to log hints.

        Raises:
            ValueError: if there are no `input_ids`.
        """
        return pad(self, encoded_inputs, CallOptions.pick({**locals(), "truncation": False}))

    def prepare_for_model(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        prepend_batch_axis: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """A row out of one or two lists of ids: special tokens, truncation, padding.

        Options as in `__call__`.

        Raises:
            ValueError: for token types without special tokens, or the overflow of a pair with
                "longest_first".
        """
        options = settle(self, CallOptions.pick(locals()), kwargs)
        row = self._prepare_row(ids, pair_ids, options)
        return BatchEncoding(row, tensor_type=options.return_tensors, prepend_batch_axis=prepend_batch_axis)

    def _prepare_row(
        self, ids: list[int], pair_ids: list[int] | None, options: SettledOptions
    ) -> dict[str, Any]:
        _check_row_options(pair_ids, options)
        names = self.model_input_names
        special = options.add_special_tokens
        total = (
            len(ids)
            + len(pair_ids or [])
            + (self.num_special_tokens_to_add(pair_ids is not None) if special else 0)
        )
        overflow: list[int] = []
        if options.truncation != "do_not_truncate" and options.max_length and total > options.max_length:
            ids, pair_ids, overflow = self.truncate_sequences(
                ids, pair_ids, total - options.max_length, options.truncation, options.stride
            )
        row: dict[str, Any] = {}
        if options.return_overflowing_tokens:
            row["overflowing_tokens"] = overflow
            row["num_truncated_tokens"] = 0 if options.max_length is None else total - options.max_length
        if special:
            row["input_ids"] = self.build_inputs_with_special_tokens(ids, pair_ids)
            token_types = self.create_token_type_ids_from_sequences(ids, pair_ids)
            mask = self.get_special_tokens_mask(ids, pair_ids) if options.return_special_tokens_mask else None
        else:
            row["input_ids"] = ids if pair_ids is None else ids + pair_ids
            token_types = [0] * len(row["input_ids"])
            mask = [0] * len(row["input_ids"])
        if wanted(options.return_token_type_ids, "token_type_ids", names):
            row["token_type_ids"] = token_types
        if options.return_special_tokens_mask:
            row["special_tokens_mask"] = mask
        if options.max_length is None and options.verbose:
            self._warn_of_length(len(row["input_ids"]))
        with_mask = wanted(options.return_attention_mask, "attention_mask", names)
        if options.padding != "do_not_pad" or with_mask:
            changes = {"return_tensors": None, "truncation": False, "return_attention_mask": with_mask}
            row = dict(pad(self, row, options.replace(**changes)))
        if options.return_length:
            row["length"] = len(row["input_ids"])
        return row

    def _warn_of_length(self, length: int) -> None:
        if length > self.model_max_length and not getattr(self, "_warned_of_length", False):
            self._warned_of_length = True
            logger.warning(
                "a text has %d tokens, more than the model's %d: the model will fail on it; use "
                "truncation=True",
                length,
                self.model_max_length,
            )

    def truncate_sequences(
        self,
        ids: list[int],
        pair_ids: list[int] | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str = "longest_first",
        stride: int = 0,
    ) -> tuple[list[int], list[int] | None, list[int]]:
        """Removes tokens from one or two lists of ids; see `padding.truncate`."""
        strategy = getattr(truncation_strategy, "value", truncation_strategy)
        return truncate(ids, pair_ids, num_tokens_to_remove, strategy, stride, self.truncation_side)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`."""
        row = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return row if token_ids_1 is None else [*row, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for `[CLS] a [SEP]`, 1 for `b [SEP]`."""
        types = [0] * (len(token_ids_0) + 2)
        return types if token_ids_1 is None else types + [1] * (len(token_ids_1) + 1)

    def get_special_tokens_mask(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for special tokens, 0 for others, of a row that already has its special tokens."""
        special = set(self.all_special_ids)
        return [int(index in special) for index in token_ids_0]


def wanted(choice: bool | None, name: str, model_input_names: list[str]) -> bool:
    """Whether to return `name`: the caller's choice, else whether the model takes it."""
    return name in model_input_names if choice is None else choice


def _check_row_options(pair_ids: list[int] | None, options: CallOptions) -> None:
    if options.return_token_type_ids and not options.add_special_tokens:
        raise ValueError(
            "return_token_type_ids=True with add_special_tokens=False: token types are defined only for rows "
            "with special tokens; set add_special_tokens=True or return_token_type_ids=None"
        )
    if options.return_overflowing_tokens and options.truncation == "longest_first" and pair_ids is not None:
        raise ValueError(
            "return_overflowing_tokens=True with truncation='longest_first' on a pair: which text the "
            "overflow "
            "comes from is not defined; use truncation='only_first' or 'only_second'"
        )

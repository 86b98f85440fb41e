"""Padding and truncating rows of ids that are already tokenized."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any

from .encoding import BatchEncoding
from .options import CallOptions, SettledOptions, settle

if TYPE_CHECKING:
    from .rows import Rows

logger = logging.getLogger(__name__)


def pad(tokenizer: Rows, encoded_inputs: Any, options: CallOptions) -> BatchEncoding:
    """Pads one row, a batch, or a list of rows to one length. See `Rows.pad`."""
    columns = _columns(encoded_inputs)
    main = tokenizer.model_input_names[0]
    if main not in columns:
        given = list(columns) if isinstance(columns, Mapping) else columns
        raise ValueError(
            f"pad() needs {main!r}: expected an encoding (or a list of them) that holds it, found {given!r}"
        )
    rows = columns[main]
    if rows is None or (isinstance(rows, Sized) and len(rows) == 0):
        if options.return_attention_mask:
            columns["attention_mask"] = []
        return columns
    columns, tensor_type = _as_lists(columns, main)
    rows = columns[main]
    options = settle(tokenizer, options, {})
    return_tensors = tensor_type if options.return_tensors is None else options.return_tensors
    if rows and not isinstance(rows[0], (list, tuple)):
        return BatchEncoding(pad_row(tokenizer, dict(columns), options), tensor_type=return_tensors)
    _check_same_length(columns, len(rows))
    if options.padding == "longest":
        options = options.replace(padding="max_length", max_length=max(len(row) for row in rows))
    batch: dict[str, list] = {}
    for index in range(len(rows)):
        row = {name: values[index] for name, values in columns.items()}
        for name, value in pad_row(tokenizer, row, options).items():
            batch.setdefault(name, []).append(value)
    return BatchEncoding(batch, tensor_type=return_tensors)


def _columns(encoded_inputs: Any) -> Any:
    if (
        isinstance(encoded_inputs, (list, tuple))
        and encoded_inputs
        and isinstance(encoded_inputs[0], Mapping)
    ):
        return {name: [row[name] for row in encoded_inputs] for name in encoded_inputs[0]}
    return encoded_inputs


def _check_same_length(columns: Mapping, batch_size: int) -> None:
    wrong = {name: len(values) for name, values in columns.items() if len(values) != batch_size}
    if wrong:
        raise AssertionError(
            f"pad(): {batch_size} rows of ids, but {wrong}; every entry needs one value per row"
        )


def _as_lists(columns: Mapping, main: str) -> tuple[Any, str | None]:
    """(columns with lists for arrays, the kind of array they were or None)."""
    rows = columns[main]
    first = rows[0]
    if isinstance(first, (list, tuple)):
        first = next((row[0] for row in rows if len(row)), first)
    if isinstance(first, (int, list, tuple)):
        return columns, None
    kind = _array_kind(first)
    if kind is None:
        raise ValueError(
            f"pad(): {main!r} holds {type(first).__name__} values; expected ints, or NumPy, TensorFlow or "
            "PyTorch arrays"
        )
    return {name: to_lists(value) for name, value in columns.items()}, kind


def _array_kind(value: Any) -> str | None:
    kinds = {"numpy": "np", "tensorflow": "tf", "torch": "pt"}
    return kinds.get(type(value).__module__.partition(".")[0])


def to_lists(value: Any) -> Any:
    """Nested lists for NumPy, TensorFlow and PyTorch arrays, alone or in lists; other values as they are."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "numpy"):
        return value.numpy().tolist()
    if isinstance(value, (list, tuple)):
        # A row of ids is what nearly all lists are: no call for each.
        return list(value) if set(map(type, value)) == {int} else [to_lists(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_lists(item) for name, item in value.items()}
    return value


def pad_row(tokenizer: Rows, row: dict[str, Any], options: SettledOptions) -> dict[str, Any]:
    """One row padded to `options.max_length` (or its own length, for "longest"), in place; returns it."""
    main = tokenizer.model_input_names[0]
    length = len(row[main])
    with_mask = options.return_attention_mask
    if with_mask is None:
        with_mask = "attention_mask" in tokenizer.model_input_names
    target = length if options.padding == "longest" else options.max_length
    multiple = options.pad_to_multiple_of
    if target is not None and multiple is not None and target % multiple:
        target = (target // multiple + 1) * multiple
    if with_mask and "attention_mask" not in row:
        row["attention_mask"] = [1] * length
    if options.padding == "do_not_pad" or target is None or length == target:
        return row
    fill = {
        "token_type_ids": tokenizer.pad_token_type_id,
        "special_tokens_mask": 1,
        main: tokenizer.pad_token_id,
    }
    if with_mask:
        fill["attention_mask"] = 0
    if tokenizer.padding_side not in ("left", "right"):
        raise ValueError(f"padding_side={tokenizer.padding_side!r}: expected 'left' or 'right'")
    for name, value in fill.items():
        if name in row:
            padding = [value] * (target - length)
            row[name] = padding + row[name] if tokenizer.padding_side == "left" else row[name] + padding
    return row


def truncate(
    ids: list[int],
    pair_ids: list[int] | None,
    surplus: int,
    strategy: str = "longest_first",
    stride: int = 0,
    side: str = "right",
) -> tuple[list[int], list[int] | None, list[int]]:
    """Removes `surplus` tokens from a text or a pair of texts.

    Args:
        ids: the first text.
        pair_ids: the second text, or None.
        surplus: how many tokens to remove; nothing happens for 0 or less.
        strategy: "longest_first", "only_first", "only_second" or "do_not_truncate".
        stride: tokens that stay in the text and are repeated in the overflow.
        side: the end tokens are removed from, "right" or "left".

    Returns:
        The first text, the second, and the overflow (empty when `longest_first` cuts a pair). When the text
        to cut is not long enough, everything comes back uncut and an error is logged.
    """
    if surplus <= 0:
        return ids, pair_ids, []
    if strategy == "longest_first" and pair_ids is not None:
        return (*_longest_first(ids, pair_ids, surplus, side), [])
    if strategy in ("longest_first", "only_first"):
        ids, overflow = _cut(ids, surplus, stride, side, strategy)
        return ids, pair_ids, overflow
    if strategy == "only_second" and pair_ids is not None:
        pair_ids, overflow = _cut(pair_ids, surplus, stride, side, strategy)
        return ids, pair_ids, overflow
    return ids, pair_ids, []


def _longest_first(
    ids: list[int], pair_ids: list[int], surplus: int, side: str
) -> tuple[list[int], list[int]]:
    """Takes tokens one by one from the longer text; from the second one when both are equally long."""
    first, second = len(ids), len(pair_ids)
    for _ in range(surplus):
        if first > second:
            first -= 1
        elif second:
            second -= 1
    if side == "left":
        return ids[len(ids) - first :], pair_ids[len(pair_ids) - second :]
    return ids[:first], pair_ids[:second]


def _cut(ids: list[int], surplus: int, stride: int, side: str, strategy: str) -> tuple[list[int], list[int]]:
    if len(ids) <= surplus:
        logger.error(
            "truncation %r cannot remove %d tokens from a text of %d tokens: it is left uncut",
            strategy,
            surplus,
            len(ids),
        )
        return ids, []
    window = min(len(ids), stride + surplus)
    if side == "left":
        return ids[surplus:], ids[:window]
    return ids[:-surplus], ids[-window:]

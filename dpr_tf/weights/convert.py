"""From a checkpoint to variables and back: plan, check, then assign, all or nothing.

Knows rows of names and arrays, and neither models nor frameworks: a variable is whatever has `shape`,
`dtype`, `assign(array)` and can be made a NumPy array.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpr_tf.weights import names, remedies
from dpr_tf.weights.arrays import Checkpoint, LazyArray, StoredArray, empty, numpy_dtype
from dpr_tf.weights.names import Row
from dpr_tf.weights.remedies import sizes

__all__ = ["LoadReport", "load_bert", "load_into", "read_ahead", "sizes", "to_tf_h5", "to_torch"]

_BLOCK = 2**18  # numbers looked at together when NaN and infinity are searched
_ROWS, _APART = 128, 16  # rows copied together, and numbers between them
_THREADS = min(8, os.cpu_count() or 1)  # that read and lay out


@dataclass(frozen=True)
class LoadReport:
    """What one load did.

    Attributes:
        source: the file, or the index of its shards.
        dialect: how the checkpoint names its weights, e.g. "Hugging Face PyTorch".
        loaded: how many variables were assigned.
        missing: names, in the checkpoint's dialect family, of weights that it does not hold (all allowed to
            be absent).
        unexpected: keys of the checkpoint that no weight of the model answers to; a warning named them.
        mismatched: (key, shape in the checkpoint, shape expected there) of weights left alone because of
            their shape.
        ignored: {key: reason} of keys that are deliberately not loaded.
        initialised: Keras paths of the variables that keep the model's own initial values.
    """

    source: str
    dialect: str
    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    initialised: tuple[str, ...] = ()

    def loading_info(self) -> dict[str, list]:
        """What `from_pretrained(..., output_loading_info=True)` returns; ignored keys count as unexpected."""
        return {
            "missing_keys": list(self.missing),
            "unexpected_keys": sorted([*self.unexpected, *self.ignored]),
            "mismatched_keys": list(self.mismatched),
        }


@dataclass
class _Plan:
    """Which key goes to which row, and what does not fit."""

    pairs: list[tuple[Row, str]] = field(default_factory=list)
    missing: list[Row] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    dialect: str = ""


def load_into(
    variables: Mapping[str, Any],
    rows: Iterable[Row],
    checkpoint: Checkpoint,
    *,
    ignore_mismatched_sizes: bool = False,
    may_initialise: Callable[[str], bool] = lambda path: False,
) -> LoadReport:
    """Loads a DPR checkpoint of the same role into a model's variables.

    Floating-point arrays of any width are converted to each variable's dtype. Arrays with NaN or infinite
    numbers are loaded as they are, with one warning that names them: they may be what someone wants to look
    at.

    Args:
        variables: {Keras path without the model's name: variable}, one for each row.
        rows: `names.rows` of the model's configuration and head.
        checkpoint: what `files.read_checkpoint` gave.
        ignore_mismatched_sizes: leave variables alone whose array has another shape, and report them.
        may_initialise: for a Keras path, whether its weight may be absent (it then keeps its value and is
            reported).

    Returns:
        A report.

    Raises:
        ValueError: if weights are absent, of another shape, or not of floating point, or the checkpoint is
            one of another role or of plain BERT: one error that lists them all, and nothing is assigned.
    """
    rows = list(rows)
    head = names.head_of(rows)
    roles = {"reader"} if head == "reader" else {head, "encoder"}
    plan = _plan(rows, checkpoint, roles)
    if not plan.pairs:
        raise ValueError(remedies.wrong_role(head, checkpoint))
    return _carry_out(plan, variables, rows, checkpoint, ignore_mismatched_sizes, may_initialise)


def load_bert(
    variables: Mapping[str, Any],
    rows: Iterable[Row],
    checkpoint: Checkpoint,
    *,
    ignore_mismatched_sizes: bool = False,
) -> LoadReport:
    """Starts a model from the BERT inside any checkpoint; what BERT lacks keeps its initial values.

    Args:
        variables: as in `load_into`.
        rows: as in `load_into`.
        checkpoint: plain BERT, with or without its heads, or a DPR encoder or reader. Of the two encoders in
            an original bi-encoder checkpoint the model's own role is taken, for a reader the question
            encoder.
        ignore_mismatched_sizes: as in `load_into`.

    Returns:
        A report; `initialised` lists what BERT does not have.

    Raises:
        ValueError: if the checkpoint has no BERT, or one with weights missing or of other shapes; nothing is
            assigned.
    """
    rows = list(rows)
    known = names.recognise(checkpoint, checkpoint.format)
    found = {name.role for name in known.values() if name and _in_bert(name.part)}
    order = (names.head_of(rows), "bert", "encoder", "question_encoder", "ctx_encoder", "reader")
    roles = [role for role in order if role in found][:1]
    plan = _plan(rows, checkpoint, roles, only_bert=True)
    if not plan.pairs:
        raise ValueError(remedies.no_bert(checkpoint))
    heads = {row.keras for row in rows if not _in_bert(names.row_part(row, checkpoint.format))}
    return _carry_out(plan, variables, rows, checkpoint, ignore_mismatched_sizes, heads.__contains__)


def read_ahead(
    rows: Iterable[Row], checkpoint: Checkpoint, shape: tuple[int, int], dtype: str
) -> contextlib.AbstractContextManager[None]:
    """Reads the word embeddings, the largest array that is not turned, while the model is made inside.

    Nothing is read where they lie under another name, or would not be taken as they are.

    Args:
        rows, checkpoint: as in `load_into`.
        shape: what the model's have, (words, hidden).
        dtype: the variables'.
    """
    words = checkpoint.get(next(row.torch for row in rows if row.axes[0] == "vocab_size"))
    if isinstance(words, StoredArray) and (words.shape, words.dtype.name) == (shape, dtype):
        return words.read_ahead()
    return contextlib.nullcontext()


def to_torch(variables: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, LazyArray]:
    """A model's weights under PyTorch's keys and in PyTorch's layout, each made when asked for.

    Raises:
        ValueError: if weights are not of floating point.
    """
    return {row.torch: _exported(row, variables, row.op == names.TRANSPOSE) for row in rows}


def to_tf_h5(variables: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, LazyArray]:
    """A model's weights under v4.34's TensorFlow names (without scope), each made when asked for.

    Raises:
        ValueError: if weights are not of floating point.
    """
    return {row.tf: _exported(row, variables, False) for row in rows}


# Plan


def _in_bert(part: str) -> bool:
    return part.startswith("bert_model")


def _plan(rows: list[Row], checkpoint: Checkpoint, roles: Collection[str], only_bert: bool = False) -> _Plan:
    """Finds each row's key; `only_bert` leaves out what is not inside BERT."""
    plan = _Plan()
    mine: dict[str, str] = {}
    for key, name in names.recognise(checkpoint, checkpoint.format).items():
        why = _why_ignored(name, roles, only_bert)
        if why:
            plan.ignored[key] = why
        elif name is None or name.role not in roles:
            plan.unexpected.append(key)
        elif name.part in mine:
            raise ValueError(
                f"{checkpoint.path}: {mine[name.part]} and {key} are the same weight: remove one"
            )
        else:
            mine[name.part] = key
            plan.dialect = plan.dialect or name.dialect
    for row in rows:
        part = names.row_part(row, checkpoint.format)
        if part in mine:
            plan.pairs.append((row, mine.pop(part)))
        else:
            plan.missing.append(row)
    plan.unexpected += mine.values()
    return plan


def _why_ignored(name: names.Name | None, roles: Collection[str], only_bert: bool) -> str | None:
    if name is None:
        return None
    if only_bert and not _in_bert(name.part):
        return "not inside BERT"
    if name.role not in roles and (name.dialect == names.ORIGINAL or only_bert):
        return f"belongs to the {remedies.ROLE[name.role]} in the same file"
    return names.ignored_reason(name.part)


# Check


def _carry_out(
    plan: _Plan,
    variables: Mapping[str, Any],
    rows: list[Row],
    checkpoint: Checkpoint,
    ignore_mismatched_sizes: bool,
    may_initialise: Callable[[str], bool],
) -> LoadReport:
    _check_variables(variables, rows)
    family = checkpoint.format
    fitting, mismatched, not_float = [], [], {}
    for row, key in plan.pairs:
        want = remedies.file_shape(row, variables[row.keras].shape, family)
        if not _is_float(checkpoint[key].dtype):
            not_float[key] = checkpoint[key].dtype.name
        elif checkpoint[key].shape != want:
            mismatched.append((row, key, want))
        else:
            fitting.append((row, key))
    lacking = [row for row in plan.missing if not may_initialise(row.keras)]
    if lacking or not_float or (mismatched and not ignore_mismatched_sizes):
        odd = [
            (key, checkpoint[key].shape, want, remedies.file_axes(row, family))
            for row, key, want in mismatched
        ]
        absent = [_named(row, family) for row in lacking]
        raise ValueError(remedies.does_not_fit(checkpoint, absent, odd, not_float))
    _warn_unexpected(plan, checkpoint)
    _assign(fitting, variables, checkpoint)
    return LoadReport(
        source=str(checkpoint.path),
        dialect=plan.dialect,
        loaded=len(fitting),
        missing=tuple(sorted(_named(row, family) for row in plan.missing)),
        unexpected=tuple(sorted(plan.unexpected)),
        mismatched=tuple(sorted((key, checkpoint[key].shape, want) for _, key, want in mismatched)),
        ignored=plan.ignored,
        initialised=tuple(sorted(row.keras for row in [*plan.missing, *(row for row, _, _ in mismatched)])),
    )


def _named(row: Row, family: str) -> str:
    return row.torch if family == "pt" else row.tf


def _is_float(dtype: np.dtype) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"


def _check_variables(variables: Mapping[str, Any], rows: list[Row]) -> None:
    wanted, given = {row.keras for row in rows}, set(variables)
    if wanted != given:
        raise ValueError(
            "the variables are not those of the name table: "
            f"without a row {sorted(given - wanted)}, without a variable {sorted(wanted - given)}"
        )


def _warn_unexpected(plan: _Plan, checkpoint: Checkpoint) -> None:
    if plan.unexpected:
        warnings.warn(
            f"{checkpoint.path}: not used, because the model has no place for them: "
            f"{', '.join(sorted(plan.unexpected))}. Check that config.json belongs to these weights",
            stacklevel=4,
        )


# Assign


def _assign(pairs: list[tuple[Row, str]], variables: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    scratch = _Scratch()

    def prepare(pair: tuple[Row, str]) -> tuple[str, str, np.ndarray, bool]:
        row, key = pair
        transpose = checkpoint.format == "pt" and row.op == names.TRANSPOSE
        dtype = numpy_dtype(variables[row.keras].dtype)
        array, finite = _laid_out(checkpoint[key], transpose, dtype, scratch)
        return row.keras, key, array, finite

    odd = []
    with ThreadPoolExecutor(_THREADS) as pool:
        laid_out = list(pool.map(prepare, pairs))
    while laid_out:  # no array is kept once its variable has it
        name, key, array, finite = laid_out.pop()
        variables[name].assign(array)
        if not finite:
            odd.append(key)
    if odd:
        warnings.warn(
            f"{checkpoint.path}: NaN or infinite numbers in {', '.join(sorted(odd))}; outputs will have "
            "them too. A training that diverged leaves such weights: use an earlier checkpoint of it",
            stacklevel=5,
        )


class _Scratch(threading.local):
    """Memory that each thread uses again and again: new memory takes longer to get than a file to read."""

    def __init__(self) -> None:
        self._bytes = {"file": empty((0,), np.dtype(np.uint8)), "rows": empty((0,), np.dtype(np.uint8))}

    def array(self, use: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array without values, to be used until the next one for this use."""
        size = math.prod(shape) * dtype.itemsize
        if len(self._bytes[use]) < size:
            self._bytes[use] = empty((size,), np.dtype(np.uint8))
        return self._bytes[use][:size].view(dtype).reshape(shape)


def _laid_out(
    lazy: LazyArray, transpose: bool, dtype: np.dtype, scratch: _Scratch
) -> tuple[np.ndarray, bool]:
    """The array in its variable's layout and dtype, in memory of its own, and whether all of it is finite."""
    with np.errstate(over="ignore"):  # what becomes infinite is found afterwards
        if transpose or (lazy.dtype != dtype and len(lazy.shape) == 2):
            array = empty(lazy.shape[::-1] if transpose else lazy.shape, dtype)
            return array, _copy(lazy, array.T if transpose else array, scratch)
        array = lazy.read().astype(dtype, copy=False)
    return array, _all_finite(array)


def _copy(lazy: LazyArray, target: np.ndarray, scratch: _Scratch) -> bool:
    """Copies a matrix into one that may lie in memory by columns; whether all of it is finite.

    A few rows at a time, that fit into the processor's cache, from where they lie a little apart: numbers of
    one column at distances of a power of two would push each other out of it.
    """
    height, columns = min(_ROWS, lazy.shape[0]), lazy.shape[1]
    memory = scratch.array("file", (height, columns), lazy.dtype)
    rows = scratch.array("rows", (height, columns + _APART), target.dtype)
    rows[:, columns:] = 0  # so that they can be searched as one piece
    first, finite = 0, True
    for block in lazy.blocks(memory):
        part = rows[: len(block)]
        part[:, :columns] = block
        finite = finite and _all_finite(part)
        target[first : first + len(block)] = part[:, :columns]
        first += len(block)
    return finite


def _all_finite(array: np.ndarray) -> bool:
    flat = array.ravel(order="K")
    blocks = (flat[i : i + _BLOCK] for i in range(0, flat.size, _BLOCK))
    if array.dtype.itemsize != 2:
        return all(np.isfinite(block).all() for block in blocks)
    # NumPy looks at half precision one number at a time; the exponent of NaN and infinity is all ones.
    exponent = np.array(np.inf, array.dtype).view(np.uint16)
    return all((block.view(np.uint16) & exponent).max() < exponent for block in blocks)


# Export


def _exported(row: Row, variables: Mapping[str, Any], transpose: bool) -> LazyArray:
    variable = variables[row.keras]
    if not _is_float(numpy_dtype(variable.dtype)):
        raise ValueError(
            f"{row.keras}: floating point expected, found {variable.dtype}: save the model before it is "
            "quantized, and quantize it again after loading"
        )
    shape = tuple(int(size) for size in variable.shape)

    def read() -> np.ndarray:
        array = np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)
        return array.T if transpose else array

    return LazyArray(shape[::-1] if transpose else shape, numpy_dtype(variable.dtype), read)

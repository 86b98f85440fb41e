"""BatchEncoding: what a tokenizer returns. Rows by name, and the alignment of tokens to text."""

from __future__ import annotations

import importlib
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from tokenizers import Encoding

TENSOR_TYPES = ("pt", "tf", "np", "jax")


class CharSpan(NamedTuple):
    """Characters `[start, end)` of the text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `[start, end)` of a row."""

    start: int
    end: int


_Span = TypeVar("_Span", CharSpan, TokenSpan)


class BatchEncoding(UserDict):
    """The result of a tokenizer call: a mapping such as `input_ids` -> rows.

    `data` is a plain dict. Keys are also attributes (`encoding.input_ids`). When a fast tokenizer made it,
    `encoding[0]` and the alignment methods (`tokens`, `word_ids`, `char_to_token`, ...) read the Rust
    library's `Encoding` of a row.

    Args:
        data: names and rows (lists of int, or arrays).
        encoding: one `tokenizers.Encoding`, a list of them (one per row), or None from the slow classes.
        tensor_type: None, "np", "tf", "pt" or "jax": what `data` is converted to.
        prepend_batch_axis: add a leading axis of size 1 when converting.
        n_sequences: texts per row (1, or 2 for pairs); read from `encoding` when None.
    """

    def __init__(
        self, data=None, encoding=None, tensor_type=None, prepend_batch_axis=False, n_sequences=None
    ):
        super().__init__(data)
        self._encodings = encoding if encoding is None or isinstance(encoding, (list, tuple)) else [encoding]
        if n_sequences is None and self._encodings:
            n_sequences = self._encodings[0].n_sequences
        self._n_sequences = n_sequences
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    @property
    def n_sequences(self) -> int | None:
        """Texts per row: 1, 2 for pairs, None from the slow classes."""
        return self._n_sequences

    @property
    def is_fast(self) -> bool:
        """Whether a fast tokenizer made this, so that the alignment methods work."""
        return self._encodings is not None

    @property
    def encodings(self) -> list | None:
        """The Rust library's `Encoding` of each row; None from the slow classes."""
        return self._encodings

    def __getitem__(self, item):
        if isinstance(item, str):
            return self.data[item]
        if self._encodings is not None:
            return self._encodings[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        raise KeyError(
            f"{item!r}: an encoding of a slow tokenizer is indexed by name "
            f"({', '.join(map(repr, self.data))}) "
            "or by a slice of rows; a fast tokenizer's also by row number"
        )

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"BatchEncoding has no attribute {name!r}; its keys are {list(data)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __getstate__(self):
        return {"data": self.data, "encodings": self._encodings, "n_sequences": self._n_sequences}

    def __setstate__(self, state):
        self.data = state["data"]
        self._encodings = state["encodings"]
        self._n_sequences = state["n_sequences"]

    def keys(self):
        """The names."""
        return self.data.keys()

    def values(self):
        """The rows of each name."""
        return self.data.values()

    def items(self):
        """Pairs of name and rows."""
        return self.data.items()

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Replaces every value by an array of `tensor_type`, in place.

        Args:
            tensor_type: None (nothing happens), "np" (int64), "tf" (int32), "pt" (int64) or "jax".
            prepend_batch_axis: add a leading axis of size 1.

        Returns:
            This encoding.

        Raises:
            ValueError: for an unknown `tensor_type`, or rows of different lengths (not for "np", which gives
                an array of arrays as Transformers does).
            ImportError: if the framework is not installed; the message names the `pip install`.
        """
        if tensor_type is None:
            return self
        convert = tensor_maker(tensor_type)
        for name, value in self.data.items():
            if hasattr(value, "shape"):
                self.data[name] = convert(value) if isinstance(value, np.ndarray) else value
                continue
            try:
                self.data[name] = convert([value] if prepend_batch_axis else value)
            except (ValueError, TypeError) as error:
                raise ValueError(_ragged_message(name, value, tensor_type)) from error
        return self

    def to(self, device: Any) -> BatchEncoding:
        """Moves PyTorch tensors to `device`, in place.

        Raises:
            AttributeError: if a value is not a PyTorch tensor.
        """
        for name, value in self.data.items():
            if not hasattr(value, "to"):
                raise AttributeError(
                    f"BatchEncoding.to({device!r}): {name!r} is a {type(value).__name__}, not a PyTorch "
                    'tensor; call the tokenizer with return_tensors="pt"'
                )
            self.data[name] = value.to(device=device)
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row, as text."""
        return self._row(batch_index, "tokens").tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row: 0 or 1 for the first or second text, None for special tokens."""
        return self._row(batch_index, "sequence_ids").sequence_ids

    def words(self, batch_index: int = 0) -> list[int | None]:
        """The older name of `word_ids`."""
        return self.word_ids(batch_index)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row: the number of its word in the text, None for special tokens."""
        return self._row(batch_index, "word_ids").word_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text (0 or 1) a token comes from. With one argument it is the token, in row 0."""
        row, token = self._locate("token_to_sequence", batch_or_token_index, token_index)
        return row.token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of a token's word. With one argument it is the token, in row 0."""
        row, token = self._locate("token_to_word", batch_or_token_index, token_index)
        return row.token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """The characters of a token. With one argument it is the token, in row 0."""
        row, token = self._locate("token_to_chars", batch_or_token_index, token_index)
        return _span(CharSpan, row.token_to_chars(token))

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of text `sequence_index`. With one index it is the word, in row 0."""
        row, word = self._locate("word_to_tokens", batch_or_word_index, word_index)
        return _span(TokenSpan, row.word_to_tokens(word, sequence_index))

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """The characters of a word of text `sequence_index`. With one index it is the word, in row 0."""
        row, word = self._locate("word_to_chars", batch_or_word_index, word_index)
        return _span(CharSpan, row.word_to_chars(word, sequence_index))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token at a character of text `sequence_index`. With one index it is the character, in row 0."""
        row, char = self._locate("char_to_token", batch_or_char_index, char_index)
        return row.char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word at a character of text `sequence_index`. With one index it is the character, in row 0."""
        row, char = self._locate("char_to_word", batch_or_char_index, char_index)
        return row.char_to_word(char, sequence_index)

    def _row(self, index: int, method: str) -> Encoding:
        if self._encodings is None:
            raise ValueError(
                f"{method}() needs the alignment that only the Fast tokenizer classes keep; make this "
                "encoding "
                "with the class whose name ends in Fast"
            )
        return self._encodings[index]

    def _locate(self, method: str, first: int, second: int | None) -> tuple[Encoding, int]:
        """(row's Encoding, position) for the `(position)` and `(row, position)` calling forms."""
        row, position = (0, first) if second is None else (first, second)
        encoding = self._row(row, method)
        return encoding, position


def _span(kind: Callable[..., _Span], pair: tuple[int, int] | None) -> _Span | None:
    return None if pair is None else kind(*pair)


def tensor_maker(tensor_type: str) -> Callable[[Any], Any]:
    """The function that makes an array of `tensor_type` ("np", "tf", "pt", "jax") from nested lists.

    Raises:
        ValueError: for another name.
        ImportError: if the framework is not installed.
    """
    kind = str(getattr(tensor_type, "value", tensor_type))
    if kind not in TENSOR_TYPES:
        raise ValueError(
            f"return_tensors={tensor_type!r}: expected one of {', '.join(map(repr, TENSOR_TYPES))}"
        )
    if kind == "np":
        return _numpy_array
    if kind == "tf":
        return _tensorflow_maker(_framework("tensorflow", "tf", "pip install tensorflow"))
    if kind == "pt":
        torch = _framework("torch", "pt", "pip install torch")
        return lambda value: torch.as_tensor(_rectangular(value))
    return _framework("jax.numpy", "jax", "pip install jax").asarray


def _framework(module: str, tensor_type: str, install: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'return_tensors="{tensor_type}" needs {module.partition(".")[0]}: `{install}`, or use '
            'return_tensors="np"'
        ) from error


def _tensorflow_maker(tf: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        array = _rectangular(value)
        return tf.constant(array.astype(np.int32) if array.dtype == np.int64 else array)

    return convert


def _rectangular(value: Any) -> np.ndarray:
    """The array of nested lists; integers are int64, an empty list too (NumPy alone would make it float)."""
    array = np.asarray(value)
    return array.astype(np.int64) if array.size == 0 and array.dtype == np.float64 else array


def _numpy_array(value: Any) -> np.ndarray:
    """As `_rectangular`, but rows of different lengths become an object array, which v4.34 returns."""
    ragged = isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple, np.ndarray))
    if ragged and len({len(row) for row in value}) > 1:
        rows = np.empty(len(value), dtype=object)
        rows[:] = [np.asarray(row) for row in value]
        return rows
    return np.asarray(value)


def _ragged_message(name: str, value: Any, tensor_type: str) -> str:
    if name == "overflowing_tokens":
        return (
            "overflowing_tokens has rows of different lengths, so return_tensors cannot be used with it: "
            "call with "
            "return_tensors=None, or return_overflowing_tokens=False"
        )
    lengths = (
        sorted({len(row) for row in value if hasattr(row, "__len__")}) if isinstance(value, list) else []
    )
    return (
        f"{name}: cannot make one {tensor_type!r} array of rows of lengths {lengths}; call the tokenizer "
        "with "
        "padding=True and truncation=True so that all rows have the same length"
    )

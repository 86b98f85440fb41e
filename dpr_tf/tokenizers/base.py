"""What the slow and the fast tokenizers share: calling conventions, padding, decoding, the BERT layout."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from .contract import TextInput
from .encoding import BatchEncoding
from .files import Folder
from .options import NO_LENGTH_LIMIT, CallOptions
from .padding import to_lists
from .rows import Rows

# What decoding removes before punctuation and contractions, English only, as Transformers does.
_CLEAN_UP = {
    " .": ".",
    " ?": "?",
    " !": "!",
    " ,": ",",
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    " 's": "'s",
    " 've": "'ve",
    " 're": "'re",
}


class TokenizerBase(Rows, Folder):
    """Turns text into rows of ids for BERT: `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`.

    A subclass tokenizes (`_encode_single`, `_encode_batch`), knows the vocabulary (`convert_*`, `get_vocab`)
    and decodes (`_decode`).

    Args:
        init_settings: constructor arguments as they are saved to tokenizer_config.json.
        settings: the rest: special tokens, `model_max_length`, `padding_side`, `truncation_side`,
            `clean_up_tokenization_spaces`, `name_or_path`; unknown ones are kept and saved.
    """

    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    is_fast = False

    def __init__(self, init_settings: dict[str, Any], settings: dict[str, Any]):
        self.init_kwargs = {**init_settings, **settings}
        self.name_or_path = settings.pop("name_or_path", "")
        self.model_max_length = settings.pop("model_max_length", None) or settings.pop(
            "max_len", NO_LENGTH_LIMIT
        )
        self.clean_up_tokenization_spaces = settings.pop("clean_up_tokenization_spaces", True)
        for name in ("padding_side", "truncation_side"):
            side = settings.pop(name, getattr(self, name))
            if side not in ("left", "right"):
                raise ValueError(f"{name}={side!r}: expected 'left' or 'right'")
            setattr(self, name, side)
        if "model_input_names" in settings:
            self.model_input_names = list(settings.pop("model_input_names"))
        self._set_special_tokens({**init_settings, **settings})

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces})"
        )

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens of one text that fit into `model_max_length` beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens of a pair of texts that fit into `model_max_length` beside the special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Added token -> id, ordered by id."""
        return {token.content: index for index, token in sorted(self.added_tokens_decoder.items())}

    # Calling

    def __call__(
        self,
        text: TextInput | None = None,
        text_pair: TextInput | None = None,
        text_target: TextInput | None = None,
        text_pair_target: TextInput | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenizes a text, a pair of texts, or a batch of either.

        Args:
            text: a str, or a list of str (a batch); with `is_split_into_words` a list of words or of those.
            text_pair: the second texts, in the same form and number.
            text_target, text_pair_target: tokenized in the same way; their ids become `labels`.
            add_special_tokens: whether to put [CLS] and [SEP] around the texts.
            padding: False; True or "longest" (to the longest row); "max_length" (to `max_length`).
            truncation: False; True or "longest_first"; "only_first"; "only_second".
            max_length: tokens per row, special ones included; default `model_max_length`.
            stride: tokens that overflowing rows repeat.
            is_split_into_words: the texts are lists of words.
            pad_to_multiple_of: rounds the padded length up.
            return_tensors: None (lists), "np", "tf", "pt" or "jax".
            return_token_type_ids, return_attention_mask: default: what `model_input_names` names.
            return_overflowing_tokens: also return what truncation cut off: further rows from the fast
                classes, one list `overflowing_tokens` from the slow ones.
            return_special_tokens_mask: also return 1 for special tokens, 0 for others.
            return_offsets_mapping: also return (start, end) characters per token; fast classes only.
            return_length: also return the length of each row.
            verbose: whether to log hints.

        Returns:
            A BatchEncoding: `input_ids` and the others, lists of int [tokens] for one text and
            [texts, tokens] for a batch.

        Raises:
            ValueError: if `text` is neither text nor a list of it, or an option has an unknown value.
            TypeError: if a part of a batch is not text.
        """
        if text is None and text_target is None:
            raise ValueError("tokenizer(): give `text` (a str or a list of str), or `text_target`")
        options = CallOptions.pick(locals())
        if text is None:
            return self._call_one(text_target, text_pair_target, options, kwargs)
        encoding = self._call_one(text, text_pair, options, kwargs)
        if text_target is not None:
            target = self._call_one(text_target, text_pair_target, options, kwargs)
            encoding["labels"] = target["input_ids"]
        return encoding

    def _call_one(self, text: Any, text_pair: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        _check_text("text", text)
        if text_pair is not None:
            _check_text("text_pair", text_pair)
        batched = isinstance(text, (list, tuple))
        if options.is_split_into_words:
            batched = batched and bool(text) and isinstance(text[0], (list, tuple))
        if not batched:
            return self._encode_single(text, text_pair, options, extra)
        if isinstance(text_pair, str):
            raise TypeError(
                f"a batch of {len(text)} texts needs a list of {len(text)} texts as text_pair; found one str"
            )
        if text_pair is not None and len(text) != len(text_pair):
            raise ValueError(
                f"a batch needs as many second texts as texts: found {len(text)} in text and "
                f"{len(text_pair)} "
                "in text_pair"
            )
        return self._encode_batch(
            text if text_pair is None else list(zip(text, text_pair, strict=True)), options, extra
        )

    def encode(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The `input_ids` of a text or pair; options as in `__call__`. The slow classes take ids too."""
        return self.encode_plus(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            return_tensors=return_tensors,
            **kwargs,
        )["input_ids"]

    def encode_plus(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenizes one text or pair; options as in `__call__`."""
        return self._encode_single(text, text_pair, CallOptions.pick(locals()), kwargs)

    def batch_encode_plus(
        self,
        batch_text_or_text_pairs: Any,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenizes a list of texts, or a list of (text, second text) pairs; options as in `__call__`."""
        return self._encode_batch(batch_text_or_text_pairs, CallOptions.pick(locals()), kwargs)

    @abc.abstractmethod
    def _encode_single(self, text: Any, text_pair: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        """The row of one text or pair; `extra` holds keyword arguments that are no options."""

    @abc.abstractmethod
    def _encode_batch(self, batch: Any, options: CallOptions, extra: dict) -> BatchEncoding:
        """The rows of texts or (text, text) pairs."""

    # Text

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of a row of ids: word pieces joined, spaces before punctuation removed.

        Args:
            token_ids: ids [tokens]: a list, or a NumPy, TensorFlow or PyTorch array, or one id.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: default: the tokenizer's attribute of that name.
        """
        return self._decode(to_lists(token_ids), skip_special_tokens, clean_up_tokenization_spaces, **kwargs)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """The texts of a batch of rows; arguments as in `decode`."""
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **kwargs) for row in sequences
        ]

    @abc.abstractmethod
    def _decode(self, ids: Any, skip_special_tokens: bool, clean_up: bool | None, **kwargs: Any) -> str:
        """The text of a list of ids, or of one id."""

    def _cleaned(self, text: str, clean_up: bool | None) -> str:
        clean_up = self.clean_up_tokenization_spaces if clean_up is None else clean_up
        return self.clean_up_tokenization(text) if clean_up else text

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Removes the spaces that tokenizing put before punctuation and English contractions."""
        for apart, joined in _CLEAN_UP.items():
            out_string = out_string.replace(apart, joined)
        return out_string


def _check_text(name: str, value: Any) -> None:
    """A str, a list of str, or a list of lists of str (judged by the first items, as v4.34 does)."""
    if isinstance(value, str):
        return
    if isinstance(value, (list, tuple)):
        first = value[0] if value else ""
        if isinstance(first, (list, tuple)):
            first = first[0] if first else ""
        if isinstance(first, str):
            return
    kind = f"mapping with keys {list(value)[:3]}" if isinstance(value, Mapping) else type(value).__name__
    raise ValueError(
        f"{name} must be a str, a list of str, or with is_split_into_words=True a list of lists of str; "
        f"found {kind}"
    )

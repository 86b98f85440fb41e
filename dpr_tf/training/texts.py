"""Questions and passages as rows of token ids, padded to the longest; and whether a tokenizer fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

TOKEN_TYPES = ("zeros", "tokenizer")
_UNCASED = 1e-3  # at most this share of an uncased vocabulary has capital letters: odd symbols


class TextRows:
    """A tokenizer with the layout that DPR's encoders are trained on.

    Args:
        tokenizer: of the encoder.
        max_length: tokens of a row, special ones included; longer ones are cut.
        token_types: "zeros", as DPR is trained; or "tokenizer", 0 for the title and 1 for the text.

    Raises:
        ValueError: for another `token_types`, a length that leaves no room for text, or a tokenizer that
            treats letter case otherwise than its vocabulary.
    """

    def __init__(self, tokenizer: Any, max_length: int = 256, token_types: str = "zeros") -> None:
        if token_types not in TOKEN_TYPES:
            raise ValueError(
                f"token_types={token_types!r}: expected one of {', '.join(map(repr, TOKEN_TYPES))}"
            )
        if max_length < 4:
            raise ValueError(
                f"max_length={max_length}: [CLS] and two [SEP] leave no room for text, 4 at least"
            )
        check_case(tokenizer)
        self._tokenizer, self._max_length = tokenizer, max_length
        self._with_types = token_types == "tokenizer"

    def questions(self, questions: Iterable[str]) -> dict[str, np.ndarray]:
        """Rows `[CLS] question [SEP]`.

        Returns:
            `input_ids` and `attention_mask`, and if asked for `token_type_ids`: int32 [texts, tokens].
        """
        return self._rows(list(questions))

    def passages(self, passages: Iterable[tuple[str, str]]) -> dict[str, np.ndarray]:
        """Rows `[CLS] title [SEP] text [SEP]`, or `[CLS] text [SEP]` without a title; as for questions."""
        return self._rows([(title, text) if title else text for title, text in passages])

    def _rows(self, texts: list[Any]) -> dict[str, np.ndarray]:
        rows = self._tokenizer.batch_encode_plus(
            texts,
            padding=True,
            truncation="longest_first",
            max_length=self._max_length,
            return_token_type_ids=self._with_types,
            return_attention_mask=True,
            return_tensors="np",
        )
        return {name: ids.astype(np.int32) for name, ids in rows.items()}


def check_case(tokenizer: Any) -> None:
    """Refuses a tokenizer that lower-cases text for a cased vocabulary, or does not for an uncased one.

    A vocabulary is cased if more than one in a thousand of its tokens would change in lower case, special
    tokens left out. What the tokenizer does shows in what it makes of a word with capital letters. A
    vocabulary without Latin words has nothing to compare, and passes.

    Raises:
        ValueError: if they do not fit; a wrong setting costs most of the quality and shows nowhere else.
    """
    special = set(tokenizer.all_special_tokens)
    tokens = [token for token in tokenizer.get_vocab() if token not in special and token[:1] != "["]
    capital = [token for token in tokens if token != token.lower()]
    cased = len(capital) > _UNCASED * len(tokens)
    words = [token for token in (capital if cased else tokens) if token.isascii() and token.isalpha()]
    if not words:
        return
    written, wanted = (words[0], words[0]) if cased else (words[0].upper(), words[0])
    if tokenizer.tokenize(written) != [wanted]:
        does = "lower-cases text" if cased else "keeps capital letters, and such words become unknown"
        raise ValueError(
            f"the tokenizer {tokenizer.name_or_path or type(tokenizer).__name__} {does}, but {len(capital)} "
            f"of the {len(tokens)} tokens in its vocabulary have capital letters: set do_lower_case to "
            f"{str(not cased).lower()} in tokenizer_config.json, or use the vocab.txt that the checkpoint "
            "was trained with"
        )

"""Words and word pieces by the rules of the slow classes: BERT's original Python tokenizer, as v4.34 has it.

Differs from the Rust library in what it asks Python's `unicodedata`: unassigned code points vanish, text is
composed (NFC) before it is split, and characters newer than this Python's tables count as unassigned.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection, Iterable

_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _is_cjk(char: str) -> bool:
    code = ord(char)
    return any(first <= code <= last for first, last in _CJK)


@functools.lru_cache(maxsize=65536)
def _is_punctuation(char: str) -> bool:
    return char in _ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")


@functools.lru_cache(maxsize=65536)
def _cleaned(char: str, split_cjk: bool) -> str:
    """What a character becomes before words are split: itself, a space, nothing, or spaced (CJK)."""
    if char in " \t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char).startswith("C"):
        return ""
    return f" {char} " if split_cjk and _is_cjk(char) else char


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def _split_punctuation(word: str) -> list[str]:
    """Every punctuation character is a word of its own."""
    parts = [""]
    for char in word:
        if _is_punctuation(char):
            parts += [char, ""]
        else:
            parts[-1] += char
    return [part for part in parts if part]


class BasicTokenizer:
    """Splits text into words: by white space, punctuation and CJK characters; lower-cases and strips accents.

    Args:
        do_lower_case: lower-case words.
        never_split: words left as they are.
        tokenize_chinese_chars: make every CJK character a word.
        strip_accents: None follows `do_lower_case`.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        never_split: Iterable[str] | None = None,
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
    ):
        self.do_lower_case = do_lower_case
        self.never_split = set(never_split or ())
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents

    def tokenize(self, text: str, never_split: Collection[str] = ()) -> list[str]:
        """The words of a text; those in `never_split` (or the constructor's) are kept as they are."""
        kept = self.never_split.union(never_split)
        text = "".join(_cleaned(char, self.tokenize_chinese_chars) for char in text)
        words: list[str] = []
        for word in unicodedata.normalize("NFC", text).split():
            words += [word] if word in kept else _split_punctuation(self._normalized(word))
        return " ".join(words).split()

    def _normalized(self, word: str) -> str:
        if self.do_lower_case:
            word = word.lower()
        strip = self.do_lower_case if self.strip_accents is None else self.strip_accents
        return _without_accents(word) if strip else word


class WordPieceTokenizer:
    """Cuts words into the longest pieces the vocabulary has, from the left.

    Args:
        vocabulary: the tokens; looked up only.
        unk_token: stands for a word that cannot be cut.
        max_input_chars_per_word: longer words are unknown.
    """

    def __init__(self, vocabulary: Collection[str], unk_token: str, max_input_chars_per_word: int = 100):
        self.vocabulary = vocabulary
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of the words of a text, which are separated by white space."""
        return [piece for word in text.split() for piece in self._pieces(word)]

    def _pieces(self, word: str) -> list[str]:
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                if prefix + word[start:end] in self.vocabulary:
                    pieces.append(prefix + word[start:end])
                    start = end
                    break
            else:
                return [self.unk_token]
        return pieces

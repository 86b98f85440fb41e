"""The reader's tokenizer: question, title and text in one row, and answers out of the reader's logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base import TokenizerBase
from .contract import TextInput
from .encoding import BatchEncoding
from .padding import to_lists
from .spans import DPRSpanPrediction, best_spans


class ReaderTokenizer(TokenizerBase):
    """What both reader tokenizers add to BERT's: comes before the BERT class among the bases."""

    model_input_names = ["input_ids", "attention_mask"]

    def __call__(  # type: ignore[override]
        self,
        questions: TextInput,
        titles: TextInput | None = None,
        texts: TextInput | None = None,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Tokenizes `[CLS] question [SEP] title [SEP] text`, one row per passage, without a last [SEP].

        Args:
            questions: a str, repeated for every passage, or one per passage.
            titles: a str or list of str, one per passage.
            texts: a str or list of str, one per passage.
            padding: False, True or "longest", "max_length".
            truncation: True, or any non-empty name, cuts the end of rows longer than `max_length`.
            max_length: tokens per row; without `truncation` only "max_length" padding uses it.
            return_tensors: None (lists), "np", "tf", "pt" or "jax".
            return_attention_mask: False leaves the mask out only where `padding` does not add it.
            **kwargs: with titles and texts ignored, as in v4.34.

        Returns:
            A BatchEncoding: `input_ids`, `attention_mask` [passages, tokens]; the mask is 0 for [PAD]
                wherever it is.
            Without titles and texts, or with only one of them, the plain BERT encoding of a text or pair.

        Raises:
            ValueError: if there are not as many titles as texts, or questions (AssertionError from the fast
                class for titles).
        """
        options: dict[str, Any] = {"padding": padding, "truncation": truncation, "max_length": max_length}
        options |= {"return_tensors": return_tensors, "return_attention_mask": return_attention_mask}
        if titles is None and texts is None:
            return super().__call__(questions, **options, **kwargs)
        if titles is None or texts is None:
            return super().__call__(questions, titles if texts is None else texts, **options, **kwargs)
        titles, texts = ([value] if isinstance(value, str) else value for value in (titles, texts))
        questions = [questions] * len(titles) if isinstance(questions, str) else questions
        self._check_passages(titles, texts)
        heads = super().__call__(questions, titles, padding=False, truncation=False)["input_ids"]
        tails = super().__call__(texts, add_special_tokens=False, padding=False, truncation=False)[
            "input_ids"
        ]
        cut = max_length if truncation and max_length is not None else None
        rows = {"input_ids": [(head + tail)[:cut] for head, tail in zip(heads, tails, strict=True)]}
        if return_attention_mask is not False:
            pad_id = self.pad_token_id
            rows["attention_mask"] = [[int(index != pad_id) for index in row] for row in rows["input_ids"]]
        return self.pad(rows, padding=padding, max_length=max_length, return_tensors=return_tensors)

    def _check_passages(self, titles: Sequence, texts: Sequence) -> None:
        if len(titles) != len(texts):
            raise self._mistake(f"every passage has a title and a text: found {len(titles)} and {len(texts)}")

    def _mistake(self, message: str) -> Exception:
        """v4.34's slow class raises ValueError where the fast one has assertions."""
        return AssertionError(message) if self.is_fast else ValueError(message)

    def decode_best_spans(
        self,
        reader_input: Any,
        reader_output: Any,
        num_spans: int = 16,
        max_answer_length: int = 64,
        num_spans_per_passage: int = 4,
    ) -> list[DPRSpanPrediction]:
        """The best answers: passages by descending relevance, in each the best spans by score.

        Spans start after the first [SEP], so they may lie in the title; v4.34 does the same. Rows padded on
        the left are not handled.

        Args:
            reader_input: the encoding the reader got; its `input_ids` [passages, tokens], lists or arrays.
            reader_output: the reader's output: `start_logits`, `end_logits` [passages, tokens] and
                `relevance_logits` [passages], as attributes or as the first three entries; NumPy, TensorFlow,
                PyTorch arrays or lists.
            num_spans: answers to return, at most.
            max_answer_length: tokens of an answer, at most.
            num_spans_per_passage: answers from one passage, at most; 0 takes all.

        Returns:
            DPRSpanPrediction records. Passages of equal relevance keep their order.

        Raises:
            ValueError: if a row has no [SEP] after its second token, or `max_answer_length` is negative (then
                AssertionError from the fast class).
        """
        if max_answer_length < 0:
            raise self._mistake(f"max_answer_length={max_answer_length}: expected 0 or more tokens")
        rows = to_lists(reader_input["input_ids"])
        start, end, relevance = (to_array(values) for values in _logits(reader_output))
        found: list[DPRSpanPrediction] = []
        for passage in np.argsort(-relevance, kind="stable").tolist():
            ids = rows[passage]
            first = self._first_sep(ids, passage) + 1
            length = ids.index(self.pad_token_id) if ids[-1] == self.pad_token_id else len(ids)
            spans = best_spans(
                start[passage],
                end[passage],
                max_answer_length,
                num_spans_per_passage,
                text_start=first,
                text_end=length,
            )
            for s, e in spans:
                score = float(start[passage, s] + end[passage, e])
                text = self.decode(ids[s : e + 1])
                found.append(DPRSpanPrediction(score, float(relevance[passage]), passage, s, e, text))
            if len(found) >= num_spans:
                break
        return found[:num_spans]

    def _first_sep(self, ids: list[int], passage: int) -> int:
        try:
            return ids.index(self.sep_token_id, 2)
        except ValueError:
            raise ValueError(
                f"passage {passage}: no {self.sep_token} after the question; decode_best_spans() needs rows "
                "made by "
                "this tokenizer with titles and texts, and a max_length beyond the question"
            ) from None

    def _get_best_spans(
        self, start_logits: ArrayLike, end_logits: ArrayLike, max_answer_length: int, top_spans: int
    ) -> list[tuple[int, int]]:
        """`spans.best_spans` under v4.34's name."""
        return best_spans(start_logits, end_logits, max_answer_length, top_spans)


def to_array(values: Any) -> np.ndarray:
    """A NumPy array of a NumPy, TensorFlow or PyTorch array (on any device) or of lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return values.numpy() if hasattr(values, "numpy") else np.asarray(values)


def _logits(output: Any) -> tuple:
    names = ("start_logits", "end_logits", "relevance_logits")
    if type(output) is dict:
        return tuple(output[name] for name in names)
    if all(hasattr(output, name) for name in names):
        return tuple(getattr(output, name) for name in names)
    return tuple(output[:3])

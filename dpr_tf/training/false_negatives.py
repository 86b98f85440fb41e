"""Passages of a batch that would count as negatives of a question although they answer it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from dpr_tf.data.examples import Example, ExamplePassage
from dpr_tf.evaluation.answers import AnswerMatcher, SearchedText


def same_passages(examples: Sequence[Example], passages: Sequence[ExamplePassage | None]) -> np.ndarray:
    """Which passages of a batch are a positive of which question: those of its example, used or not.

    Two passages are the same if their ids are, or where one has none, title and text.

    Args:
        examples: of the batch.
        passages: of the batch, all questions' groups one after the other; None for filler.

    Returns:
        bool [examples, passages], the question's own positive in the batch included.
    """
    questions_of: dict[Hashable, set[int]] = defaultdict(set)
    for question, example in enumerate(examples):
        for positive in example.positives:
            text = (positive.title, positive.text)
            if positive.id:
                questions_of["id", positive.id].add(question)
            else:
                questions_of["without id", text].add(question)
            questions_of["text", text].add(question)
    found = np.zeros((len(examples), len(passages)), bool)
    for column, passage in enumerate(passages):
        if passage is not None:
            text = (passage.title, passage.text)
            keys = [("id", passage.id), ("without id", text)] if passage.id else [("text", text)]
            for key in keys:
                found[list(questions_of.get(key, ())), column] = True
    return found


def answering_passages(
    examples: Sequence[Example], passages: Sequence[ExamplePassage | None], match: str = "string"
) -> np.ndarray:
    """Which passages of a batch contain an answer of which question, as DPR's evaluation matches.

    Args:
        examples: of the batch; a question without answers has no such passage.
        passages: of the batch, None for filler. Their texts are searched, not their titles.
        match: "string" or "regex", as for `AnswerMatcher`.

    Returns:
        bool [examples, passages].
    """
    texts = [(column, SearchedText(p.text)) for column, p in enumerate(passages) if p is not None]
    found = np.zeros((len(examples), len(passages)), bool)
    for question, example in enumerate(examples):
        matcher = AnswerMatcher(example.answers, match)
        for column, text in texts:
            found[question, column] = matcher.found_in(text)
    return found

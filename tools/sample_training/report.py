"""Measures the exported checkpoints on development articles; `evaluate_sample.py` measures the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.evaluation import exact_match, f1
from dpr_tf.tokenizers.spans import best_spans
from sample_training import reader, retriever, vocabulary
from sample_training.texts import Corpus, Question


def figures(folder: Path, corpus: Corpus, count: int = 2000) -> dict[str, float]:
    """Figures of the three checkpoints in `folder` on `count` development questions.

    Returns:
        "top_1", "top_5", "top_20": shares of questions whose gold passage is among the first, of all gold
        passages of the development articles. "exact_match", "f1": of the best span in the gold passage.
    """
    chosen = np.random.default_rng(0).permutation(len(corpus.dev))[:count]
    questions = [corpus.dev[row] for row in chosen]
    return {**_retrieval(folder, corpus, questions), **_reading(folder, corpus, questions)}


def _retrieval(folder: Path, corpus: Corpus, questions: list[Question]) -> dict[str, float]:
    tokenizer = vocabulary.load_tokenizer(folder / "context_encoder" / "vocab.txt")
    rows = sorted({question.gold for question in corpus.dev})
    titles, texts = (
        vocabulary.tokenize(tokenizer, [corpus.passages[row][part] for row in rows]) for part in range(2)
    )
    passages = [vocabulary.join(*pair, max_length=256) for pair in zip(titles, texts, strict=True)]
    ids = vocabulary.tokenize(tokenizer, [question.text for question in questions])
    context_encoder = TFDPRContextEncoder.from_pretrained(folder / "context_encoder")
    question_encoder = TFDPRQuestionEncoder.from_pretrained(folder / "question_encoder")
    ranks = retriever.ranks(
        retriever.embed(question_encoder, [vocabulary.join(row, max_length=256) for row in ids]),
        retriever.embed(context_encoder, passages),
        [rows.index(question.gold) for question in questions],
    )
    return {f"top_{k}": round(float((ranks < k).mean()), 4) for k in (1, 5, 20)}


def _reading(folder: Path, corpus: Corpus, questions: list[Question]) -> dict[str, float]:
    tokenizer = vocabulary.load_tokenizer(folder / "reader" / "vocab.txt")
    rows, starts, offsets = [], [], []
    for question in questions:
        title, text = corpus.passages[question.gold]
        encoding = tokenizer.encode(text, add_special_tokens=False)
        head = vocabulary.join(*vocabulary.tokenize(tokenizer, [question.text, title]), max_length=256)
        rows.append(np.concatenate([head, np.array(encoding.ids, np.int32)])[:256])
        starts.append(len(head))
        offsets.append(encoding.offsets)
    logits = reader.predict(TFDPRReader.from_pretrained(folder / "reader"), rows)
    matches, overlaps = [], []
    for question, row, first, places, (start, end, _) in zip(
        questions, rows, starts, offsets, logits, strict=True
    ):
        left, right = best_spans(start, end, 10, 1, text_start=first, text_end=len(row))[0]
        text = corpus.passages[question.gold][1][places[left - first][0] : places[right - first][1]]
        matches.append(exact_match(text, question.answers))
        overlaps.append(f1(text, question.answers))
    return {"exact_match": round(float(np.mean(matches)), 4), "f1": round(float(np.mean(overlaps)), 4)}

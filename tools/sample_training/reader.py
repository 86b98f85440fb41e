"""Trains the reader: spans in cropped passages, relevance against mined negatives. Plain `model.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tokenizers import Tokenizer

from sample_training.texts import Question
from sample_training.vocabulary import CLS, PAD, SEP, pad


class TokenSpans(NamedTuple):
    """Where a question's answers lie in the tokens of its gold passage's text, both ends inclusive."""

    starts: np.ndarray
    ends: np.ndarray


def answer_spans(
    tokenizer: Tokenizer, texts: Sequence[str], questions: Sequence[Question]
) -> list[TokenSpans]:
    """Token spans of all occurrences of each question's answers in its gold text; empty if inside a token."""
    offsets = [
        np.array(encoding.offsets).reshape(-1, 2)
        for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)
    ]
    return [_find(texts[question.gold], offsets[question.gold], question.answers) for question in questions]


def _find(text: str, offsets: np.ndarray, answers: Sequence[str]) -> TokenSpans:
    spans = set()
    for answer in answers:
        position = text.find(answer)
        while position >= 0:
            starts = np.flatnonzero(offsets[:, 0] == position)
            ends = np.flatnonzero(offsets[:, 1] == position + len(answer))
            if len(starts) and len(ends):
                spans.add((int(starts[0]), int(ends[-1])))
            position = text.find(answer, position + 1)
    ordered = np.array(sorted(spans), np.int32).reshape(-1, 2)
    return TokenSpans(ordered[:, 0], ordered[:, 1])


def mine_negatives(
    question_vectors: np.ndarray,
    passage_vectors: np.ndarray,
    articles: np.ndarray,
    gold: np.ndarray,
    count: int,
) -> np.ndarray:
    """The `count` best passages of other articles by the teacher: rows, int32 [questions, count]."""
    found = []
    for start in range(0, len(gold), 1024):
        rows = gold[start : start + 1024]
        scores = question_vectors[start : start + 1024].astype(np.float32) @ passage_vectors.T.astype(
            np.float32
        )
        scores[articles[rows][:, None] == articles[None, :]] = -2.0
        found.append(np.argpartition(-scores, count, axis=1)[:, :count].astype(np.int32))
    return np.concatenate(found)


class Reading:
    """Batches for the reader: `size` positives, then `size // negative_every` negatives of the first of them.

    Texts are cropped around an answer to one random length per batch, `lengths` (from, up to) tokens: short
    texts teach more for the same time. Questions whose answers all have more than `longest_answer` tokens are
    left out.
    """

    def __init__(
        self,
        questions,
        question_ids,
        title_ids,
        text_ids,
        spans,
        negatives,
        size,
        lengths,
        negative_every=4,
        longest_answer=10,
        seed=2,
    ):
        short = [span.ends - span.starts < longest_answer for span in spans]
        spans = [
            TokenSpans(span.starts[keep], span.ends[keep]) for span, keep in zip(spans, short, strict=True)
        ]
        self.rows = np.array([row for row, span in enumerate(spans) if len(span.starts)])
        self.questions, self.question_ids = questions, question_ids
        self.title_ids, self.text_ids = title_ids, text_ids
        self.spans, self.negatives = spans, negatives
        self.size, self.lengths, self.negative_every = size, lengths, negative_every
        self.random = np.random.default_rng(seed)

    def batch(self, rows: np.ndarray):
        """(ids int32 [N, L], {"start", "end"}: marks float32 [positives, L]) of questions."""
        longest = int(self.random.integers(*self.lengths))
        made = [self._positive(row, longest) for row in rows]
        inputs = [ids for ids, _, _ in made] + [
            self._negative(row, longest) for row in rows[: len(rows) // self.negative_every]
        ]
        ids = pad(inputs)
        marks = np.zeros((2, len(rows), ids.shape[1]), np.float32)
        for number, (_, starts, ends) in enumerate(made):
            marks[0, number, starts] = 1.0
            marks[1, number, ends] = 1.0
        return ids, {"start": marks[0], "end": marks[1]}

    def _positive(self, row: int, longest: int):
        question, span = self.questions[row], self.spans[row]
        text = self.text_ids[question.gold]
        chosen = int(self.random.integers(len(span.starts)))
        first, last = self._window(len(text), longest, int(span.starts[chosen]), int(span.ends[chosen]))
        ids, before = self._input(row, question.gold, text[first:last])
        inside = (span.starts >= first) & (span.ends < last)
        return ids, span.starts[inside] - first + before, span.ends[inside] - first + before

    def _negative(self, row: int, longest: int) -> np.ndarray:
        question = self.questions[row]
        passage = question.hard_negative
        if passage < 0 or self.random.random() < 0.7:
            passage = int(self.random.choice(self.negatives[row]))
        text = self.text_ids[passage]
        first, last = self._window(len(text), longest, 0, None)
        return self._input(row, passage, text[first:last])[0]

    def _window(self, length: int, longest: int, start: int, end: int | None) -> tuple[int, int]:
        """A random window of `longest` tokens around the tokens start to end (None: anywhere)."""
        if length <= longest:
            return 0, length
        low, high = (
            (0, length - longest)
            if end is None
            else (max(0, end + 1 - longest), min(start, length - longest))
        )
        first = int(self.random.integers(low, high + 1)) if low <= high else start
        return first, max(first + longest, (end or 0) + 1)

    def _input(self, row: int, passage: int, text: np.ndarray) -> tuple[np.ndarray, int]:
        parts = [[CLS], self.question_ids[row][:40], [SEP], self.title_ids[passage], [SEP]]
        before = sum(len(part) for part in parts)
        return np.concatenate([*parts, text]).astype(np.int32), before

    def dataset(self) -> tf.data.Dataset:
        """Endless epochs; questions of similar length share a batch."""
        lengths = np.array([len(self.question_ids[row]) for row in self.rows])

        def epochs():
            while True:
                order = self.rows[np.argsort(lengths + self.random.uniform(0, 6, len(lengths)))]
                count = len(order) // self.size
                for number in self.random.permutation(count):
                    yield self.batch(order[number * self.size : (number + 1) * self.size])

        marks = tf.TensorSpec((self.size, None), tf.float32)
        signature = (tf.TensorSpec((None, None), tf.int32), {"start": marks, "end": marks})
        return tf.data.Dataset.from_generator(epochs, output_signature=signature).prefetch(4)


class ReaderModel(keras.Model):
    """The reader with DPR's loss: any marked start, any marked end, positives above negatives."""

    def __init__(self, reader, relevance_weight: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.reader = reader
        self.relevance_weight = relevance_weight

    def call(self, ids, training=False):
        """Ids int32 [N, L] -> the reader's output. The reader would attend to padding: it is masked."""
        return self.reader(input_ids=ids, attention_mask=ops.not_equal(ids, PAD), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Marginal negative log-likelihood of the marked positions, plus the relevance loss of the pairs."""
        padding = 1e4 * ops.cast(ops.equal(x, PAD), "float32")
        count = ops.shape(y["start"])[0]
        loss = 0.0
        for name in ("start", "end"):
            logits = (ops.cast(y_pred[f"{name}_logits"], "float32") - padding)[:count]
            marked = ops.logsumexp(logits - 1e4 * (1.0 - y[name]), axis=-1)
            loss = loss + ops.mean(ops.logsumexp(logits, axis=-1) - marked)
        relevance = ops.cast(y_pred["relevance_logits"], "float32")
        negatives = relevance[count:]
        # Every positive above every negative, so that the logits of different questions share one scale.
        pairs = ops.softplus(negatives[None, :] - relevance[:count, None])
        return loss + self.relevance_weight * ops.mean(pairs)


def start_from_tower(reader, tower, seed: int = 3) -> None:
    """Initialises the reader: distilled word embeddings, sinusoidal positions, and heads that already look.

    A small reader that starts from noise spends most of its training on discovering that question words
    should be found in the passage. Here attention starts with that: heads whose query and key kernels are
    equal attend to tokens with the same (or a similar) embedding; heads whose query kernel is the key kernel
    times a rotation of the sinusoids attend to the token before or after. All is trained from there on.
    """
    random = np.random.default_rng(seed)
    ours, theirs = reader.bert_model.embeddings, tower.bert_model.embeddings
    words = np.array(theirs.word_embeddings.embeddings)
    words = words - words.mean(axis=0)
    # Positions get the directions in which words differ least.
    basis = np.linalg.svd(words, full_matrices=False)[2]
    size = words.shape[1]
    heads = reader.config.num_attention_heads
    head = size // heads
    content, place = basis[:-head], basis[-head:]
    words = words @ content.T @ content
    words *= 1.0 / words.std()
    ours.word_embeddings.embeddings.assign(words)
    angles = _angles(head)
    waves = _waves(np.arange(reader.config.max_position_embeddings), angles)
    ours.position_embeddings.embeddings.assign(1.0 * np.sqrt(2.0) * waves @ place * np.sqrt(size / head / 4))
    ours.token_type_embeddings.embeddings.assign(np.zeros((reader.config.type_vocab_size, size)))
    plans = [(1, -1, "same", "same"), ("same", "same", 1, -1), ("same", 2, "same")]
    for block, plan in zip(reader.bert_model.encoder.layer, plans, strict=False):
        query = np.array(block.attention.query.kernel)
        key = np.array(block.attention.key.kernel)
        for number, kind in enumerate(plan):
            columns = slice(number * head, (number + 1) * head)
            if kind == "same":
                mixed = content.T @ np.linalg.qr(random.normal(size=(size - head, size - head)))[0][:, :head]
                query[:, columns] = key[:, columns] = mixed
            else:
                query[:, columns] = 3.0 * place.T @ _rotation(angles, kind)
                key[:, columns] = 3.0 * place.T
        block.attention.query.kernel.assign(query)
        block.attention.key.kernel.assign(key)


def _angles(head: int) -> np.ndarray:
    return 1.0 / 200.0 ** (np.arange(head // 2) / (head // 2))


def _waves(positions: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Sines and cosines of positions times angles, float64 [positions, 2 angles]."""
    phases = positions[:, None] * angles
    return np.stack([np.sin(phases), np.cos(phases)], axis=-1).reshape(len(positions), -1)


def _rotation(angles: np.ndarray, offset: int) -> np.ndarray:
    """The matrix R with waves(t) @ R = waves(t - offset)."""
    matrix = np.zeros((2 * len(angles), 2 * len(angles)))
    for number, angle in enumerate(angles * offset):
        pair = slice(2 * number, 2 * number + 2)
        # sin(t - o) = sin t cos o - cos t sin o; cos(t - o) = cos t cos o + sin t sin o
        matrix[pair, pair] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return matrix


def predict(reader, rows: Sequence[np.ndarray], batch_size: int = 32):
    """Logits of each row: list of (start [L], end [L], relevance), in the order given."""
    run = tf.function(
        lambda ids: dict(reader(input_ids=ids, attention_mask=tf.not_equal(ids, PAD))),
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
    )
    order = np.argsort([len(row) for row in rows])
    results: list = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        output = {name: value.numpy() for name, value in run(pad([rows[row] for row in group])).items()}
        for place, row in enumerate(group):
            length = len(rows[row])
            results[row] = (
                output["start_logits"][place, :length],
                output["end_logits"][place, :length],
                float(output["relevance_logits"][place]),
            )
    return results

"""Trains the encoders: first one tower by distillation, then both on questions, positives, hard negatives.

Both stages are plain `model.fit` on functional models around dpr_tf's encoders. Vectors get a length of about
`NORM`, so that inner products are NORM ** 2 times the teacher's cosines: a useful softmax temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sample_training.vocabulary import PAD, pad

NORM = 4.5


class Texts:
    """Token rows with the teacher's vectors, as batches of similar lengths and about `tokens` tokens each."""

    def __init__(self, rows: Sequence[np.ndarray], vectors: np.ndarray, tokens: int, seed: int = 0):
        self.rows = rows
        self.vectors = vectors
        self.tokens = tokens
        self.random = np.random.default_rng(seed)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One epoch: (int32 [texts, tokens], float32 [texts, teacher dim]), in random order."""
        lengths = np.array([len(row) for row in self.rows])
        # A little noise, so that batches are not the same texts each time.
        order = np.argsort(lengths + self.random.uniform(0, 8, len(lengths)))
        ends = np.cumsum(lengths[order]) // self.tokens
        groups = np.split(order, np.flatnonzero(np.diff(ends)) + 1)
        for number in self.random.permutation(len(groups)):
            group = groups[number]
            yield pad([self.rows[row] for row in group]), self.vectors[group].astype(np.float32)

    def dataset(self) -> tf.data.Dataset:
        """Endless epochs."""

        def epochs():
            while True:
                yield from self.batches()

        dim = self.vectors.shape[1]
        signature = (tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, dim), tf.float32))
        return tf.data.Dataset.from_generator(epochs, output_signature=signature).prefetch(4)


def direction_loss(target, vectors):
    """1 - cosine, plus a small pull of the length to NORM; targets and vectors are float32 [texts, dim]."""
    length = ops.sqrt(ops.sum(ops.square(vectors), axis=-1) + 1e-6)
    cosine = ops.sum(target * vectors, axis=-1) / length
    return 1.0 - cosine + 0.1 * ops.square(length / NORM - 1.0)


def similarity_loss(target, vectors):
    """Divergence of the batch's softmaxed inner products from the teacher's, each text against the others."""
    here = ops.matmul(vectors, ops.transpose(vectors))
    there = NORM**2 * ops.matmul(target, ops.transpose(target))
    itself = 1e4 * ops.eye(ops.shape(vectors)[0])
    wanted = ops.softmax(there - itself)
    return ops.sum(wanted * (ops.log_softmax(there - itself) - ops.log_softmax(here - itself)), axis=-1)


def distillation_loss(target, vectors):
    """What the first stage minimises."""
    return direction_loss(target, vectors) + 0.2 * similarity_loss(target, vectors)


def distillation_model(encoder) -> keras.Model:
    """Ids int32 [texts, tokens] -> vectors float32 [texts, dim]; padding is masked by the encoder."""
    ids = keras.Input((None,), dtype="int32", name="input_ids")
    return keras.Model(ids, encoder(input_ids=ids).pooler_output)


def start_pooling(encoder, gain: float = 4.0, seed: int = 5) -> None:
    """Initialises an encoder so that [CLS] begins as about the mean of the words' embeddings.

    Fresh attention is uniform already; here its values pass through unchanged, `gain` times, and positions
    are quiet. From noise, the same mean is found only much later.
    """
    random = np.random.default_rng(seed)
    embeddings = encoder.bert_model.embeddings
    for table in (embeddings.position_embeddings, embeddings.token_type_embeddings):
        table.embeddings.assign(table.embeddings * 0.2)
    for block in encoder.bert_model.encoder.layer:
        turn = np.linalg.qr(random.normal(size=block.attention.value.kernel.shape))[0]
        block.attention.value.kernel.assign(turn)
        block.attention.output_dense.kernel.assign(gain * turn.T)


class ContrastiveModel(keras.Model):
    """Questions against the passages of the batch: DPR's negative log-likelihood, softened by the teacher."""

    def __init__(self, question_encoder, context_encoder, **kwargs):
        super().__init__(**kwargs)
        self.question_encoder = question_encoder
        self.context_encoder = context_encoder

    def call(self, inputs, training=False):
        """Question ids [questions, L], passage ids [passages, L'] -> both kinds of vectors."""
        questions = self.question_encoder(input_ids=inputs["questions"], training=training).pooler_output
        passages = self.context_encoder(input_ids=inputs["passages"], training=training).pooler_output
        return {"questions": questions, "passages": passages}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Negative log-likelihood of the positives, divergence from the teacher's softmax, directions."""
        questions, passages = (ops.cast(y_pred[name], "float32") for name in ("questions", "passages"))
        scores = ops.matmul(questions, ops.transpose(passages))
        teacher = NORM**2 * ops.matmul(y["questions"], ops.transpose(y["passages"]))
        # Another question's positive may be this question's passage too: such pairs count as neither.
        scores = scores - 1e4 * y["ignored"]
        teacher = teacher - 1e4 * y["ignored"]
        log_likelihood = ops.log_softmax(scores)
        nll = -ops.mean(ops.diagonal(log_likelihood))
        wanted = ops.softmax(teacher)
        divergence = ops.mean(ops.sum(wanted * (ops.log_softmax(teacher) - log_likelihood), axis=-1))
        directions = ops.mean(direction_loss(y["questions"], questions)) + ops.mean(
            direction_loss(y["passages"], passages)
        )
        return 0.5 * nll + divergence + directions


class Contrast:
    """Batches of questions, their positives, and a hard negative for each that has one."""

    def __init__(self, questions, question_rows, passage_rows, question_vectors, passage_vectors, size: int):
        self.questions = questions
        self.question_rows, self.passage_rows = question_rows, passage_rows
        self.question_vectors, self.passage_vectors = question_vectors, passage_vectors
        self.size = size
        self.random = np.random.default_rng(1)

    def batch(self, group: np.ndarray):
        """(inputs, targets) of the questions at rows `group`."""
        positives = [self.questions[row].gold for row in group]
        negatives = [self.questions[row].hard_negative for row in group]
        passages = np.array(positives + [row for row in negatives if row >= 0])
        same = passages[None, :] == np.array(positives)[:, None]
        same[np.arange(len(group)), np.arange(len(group))] = False
        inputs = {
            "questions": pad([self.question_rows[row] for row in group]),
            "passages": pad([self.passage_rows[row] for row in passages]),
        }
        targets = {
            "questions": self.question_vectors[group].astype(np.float32),
            "passages": self.passage_vectors[passages].astype(np.float32),
            "ignored": same.astype(np.float32),
        }
        return inputs, targets

    def dataset(self) -> tf.data.Dataset:
        """Endless epochs."""

        def epochs():
            while True:
                order = self.random.permutation(len(self.questions))
                for start in range(0, len(order) - self.size + 1, self.size):
                    yield self.batch(order[start : start + self.size])

        ids, dim = tf.TensorSpec((None, None), tf.int32), self.passage_vectors.shape[1]
        vectors = tf.TensorSpec((None, dim), tf.float32)
        signature = (
            {"questions": ids, "passages": ids},
            {"questions": vectors, "passages": vectors, "ignored": tf.TensorSpec((None, None), tf.float32)},
        )
        return tf.data.Dataset.from_generator(epochs, output_signature=signature).prefetch(2)


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then a cosine down to zero at `steps`."""

    def __init__(self, peak: float, steps: int, warmup: int):
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rest = ops.clip((step - self.warmup) / (self.steps - self.warmup), 0.0, 1.0)
        return self.peak * ops.minimum((step + 1) / self.warmup, 0.5 + 0.5 * ops.cos(np.pi * rest))

    def get_config(self):
        """The arguments."""
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


def optimizer(peak: float, steps: int, warmup: int) -> keras.optimizers.Optimizer:
    """AdamW; biases and LayerNorms are not decayed."""
    made = keras.optimizers.AdamW(
        Schedule(peak, steps, warmup), beta_2=0.98, weight_decay=0.01, global_clipnorm=1.0
    )
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embeddings"])
    return made


def embed(encoder, rows: Sequence[np.ndarray], batch_size: int = 128) -> np.ndarray:
    """Vectors float32 [rows, dim] of token rows; sorted by length inside, returned in the order given."""
    run = tf.function(
        lambda ids: encoder(input_ids=ids, attention_mask=tf.not_equal(ids, PAD)).pooler_output,
        input_signature=[tf.TensorSpec((None, None), tf.int32)],
    )
    order = np.argsort([len(row) for row in rows])
    vectors = []
    for start in range(0, len(order), batch_size):
        vectors.append(run(pad([rows[row] for row in order[start : start + batch_size]])).numpy())
    result = np.concatenate(vectors)
    return result[np.argsort(order)]


def ranks(question_vectors: np.ndarray, passage_vectors: np.ndarray, gold: Sequence[int]) -> np.ndarray:
    """Rank of each question's gold passage, from 0, int [questions]; ties count against it."""
    scores = question_vectors @ passage_vectors.T
    own = scores[np.arange(len(gold)), list(gold)]
    return (scores >= own[:, None]).sum(axis=1) - 1

"""Trains question and context encoder from files: what `dpr-tf train-biencoder` does."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras

from dpr_tf.checkpoints import classes, load_to_train
from dpr_tf.data.examples import Example, read_examples
from dpr_tf.training import runs
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.biencoder_batches import BiEncoderBatches
from dpr_tf.training.callbacks import RANK, PoolRank
from dpr_tf.training.lora import enable_lora
from dpr_tf.training.optimizers import adamw
from dpr_tf.training.runs import Measure
from dpr_tf.training.stored_examples import StoredExamples
from dpr_tf.training.texts import TextRows

ROLES = ("question_encoder", "context_encoder")
MEASURES = {"nll": Measure("val_loss", "min"), "rank": Measure(RANK, "min")}
_WARMUP = 1237  # updates, of 18,400: DPR's for Natural Questions


class TrainedBiEncoder(NamedTuple):
    """What came of a training run.

    Attributes:
        output: the folder with the two checkpoints.
        questions: examples that were trained with.
        without_positive: examples that were left out, as they have no positive.
        epochs: trained.
        loss: mean over the last epoch.
        best_epoch: whose checkpoints these are, from 1; the last one without dev examples.
        nll: of that epoch on the dev examples; None without them.
        rank: average rank of that epoch on the dev examples; None if it was not measured.
    """

    output: str
    questions: int
    without_positive: int
    epochs: int
    loss: float
    best_epoch: int
    nll: float | None
    rank: float | None

    def __str__(self) -> str:
        measures = "" if self.nll is None else f", NLL {self.nll:.3f}"
        measures += "" if self.rank is None else f", average rank {self.rank:.1f}"
        return (
            f"{self.output}: epoch {self.best_epoch} of {self.epochs}{measures}; "
            f"{self.questions:,} questions, {self.without_positive:,} left out; last loss {self.loss:.3f}"
        )


def train_biencoder(
    examples: list[str],
    output: str,
    *,
    bert: str | None = None,
    question_encoder: str | None = None,
    context_encoder: str | None = None,
    shared: bool = False,
    frozen: Literal["question_encoder", "context_encoder"] | None = None,
    lora: int | None = None,
    dev: list[str] | None = None,
    monitor: Literal["nll", "rank"] = "nll",
    rank_questions: int = 1000,
    patience: int | None = None,
    sampling_rates: list[float] | None = None,
    hard_negatives: int = 1,
    shuffle_positives: bool = False,
    ignore_same: bool = True,
    ignore_answers: bool = True,
    match: Literal["string", "regex"] = "string",
    batch_size: int = 128,
    chunk_size: int | None = None,
    epochs: int = 40,
    learning_rate: float = 2e-5,
    warmup: int | None = None,
    clip: float = 2.0,
    weight_decay: float = 0.0,
    max_length: int = 256,
    token_types: Literal["zeros", "tokenizer"] = "zeros",
    dtype: Literal["float32", "mixed_bfloat16"] = "float32",
    tensorboard: bool = False,
    seed: int = 0,
    save_every: int = 100,
) -> TrainedBiEncoder:
    """Trains a question and a context encoder on examples; the defaults are DPR's recipe.

    A run that was cut off goes on at the batch of its last state, if it is started again with the same
    arguments.

    Args:
        examples: files of training examples, DPR's JSON or JSON lines; each is a data set of its own.
        output: folder for question_encoder/ and context_encoder/ with the checkpoints of the best epoch
            (without `dev` of the last one), for the log training.jsonl, and for the state of the run.
        bert: folder or Hub id of a BERT to start both encoders from.
        question_encoder, context_encoder: instead of `bert`, a checkpoint to start this encoder from.
        shared: whether one encoder, started as the question encoder, encodes both.
        frozen: an encoder that keeps its weights.
        lora: rank of low-rank matrices to train instead of the encoders' weights, for example 8.
        dev: files of examples that tell which epoch is the best.
        monitor: by which measure: "nll", the negative log-likelihood in batches as those of training; or
            "rank", the average rank among all passages of the dev examples.
        rank_questions: dev examples to measure the average rank with, the first ones; 0: it is not measured.
        patience: epochs without a better one before training stops. Default: it does not.
        sampling_rates: how often an epoch has each example of a file, one rate for each. Default: once.
        hard_negatives: of each question, topped up from its other negatives where there are too few.
        shuffle_positives: whether to draw the positive from all of a question's; else it is the first.
        ignore_same: whether a question's known positives are no negatives of it in the batch.
        ignore_answers: whether passages that contain an answer of a question are no negatives of it.
        match: how answers are found, "string" or "regex".
        batch_size: questions for one update; more of them are more negatives for each.
        chunk_size: texts to encode at a time; fewer need less memory, and change nothing but the time;
            TensorFlow only. Default: all.
        epochs: how often each question is trained with.
        learning_rate: the highest rate; behind the warm-up it falls to 0 in a straight line.
        warmup: updates in which the rate rises. Default: 1237 as for Natural Questions, at most a tenth of
            all.
        clip: largest norm of an update's gradient.
        weight_decay: per update, times the rate; biases and LayerNorms are never decayed.
        max_length: tokens of a question or of title and text.
        token_types: "zeros", as DPR is trained; or "tokenizer", 0 for the title and 1 for the text.
        dtype: precision; weights are float32 in any case.
        tensorboard: whether to write logs/ for TensorBoard.
        seed: of the order, the draws and dropout.
        save_every: updates between two states of the run.

    Returns:
        A TrainedBiEncoder.

    Raises:
        OSError: if a file or checkpoint cannot be read, or the output holds something else.
        ValueError: if a file is damaged or has nothing to train with, a checkpoint is of another role, its
            tokenizer does not fit, a number is out of range, or `output` holds the state of another run.
        ImportError: for `tensorboard` without the package.
    """
    run = {name: value for name, value in locals().items() if name not in _OUTSIDE_THE_RUN}
    starts = _starts(bert, question_encoder, context_encoder)
    _check(output, dev, monitor, rank_questions, shared, frozen)
    keras.utils.set_random_seed(seed)
    encoders, tokenizers = _load(starts, shared, frozen, lora, dtype)
    questions, passages = (
        TextRows(tokenizer, min(max_length, encoder.config.max_position_embeddings), token_types)
        for encoder, tokenizer in zip(encoders, tokenizers, strict=True)
    )
    drawing: dict[str, Any] = {"batch_size": batch_size, "hard_negatives": hard_negatives, "seed": seed}
    drawing |= {"ignore_same": ignore_same, "ignore_answers": ignore_answers, "match": match}
    batches = BiEncoderBatches(
        examples,
        questions,
        passages,
        sampling_rates=sampling_rates,
        shuffle_positives=shuffle_positives,
        **drawing,
    )
    validation = BiEncoderBatches(dev, questions, passages, **drawing) if dev else None
    updates = epochs * len(batches)
    rising = min(_WARMUP, updates // 10) if warmup is None else warmup
    model = BiEncoder(*encoders, chunk_size=chunk_size)
    model.compile(optimizer=adamw(learning_rate, updates, rising, weight_decay=weight_decay, clip=clip))
    measured: list[keras.callbacks.Callback] = []
    if dev and rank_questions:
        measured = [PoolRank(_first(dev, rank_questions), questions, passages)]
    measure = MEASURES[monitor] if dev else None
    kept = _callbacks(output, measure, patience, tensorboard, lambda: _save(output, encoders, tokenizers))
    run |= {"data": [each and each.examples.digest for each in (batches, validation)]}
    runs.fit(model, batches, epochs, output, run, [*measured, *kept], save_every, validation)
    return _reported(output, batches.examples, measure)


# What may differ when a run goes on; of files of examples their content counts, not their names.
_OUTSIDE_THE_RUN = {"output", "examples", "dev", "save_every", "tensorboard"}


def _starts(bert: str | None, question_encoder: str | None, context_encoder: str | None) -> tuple[str, str]:
    """The checkpoint that each encoder starts from."""
    question, context = question_encoder or bert, context_encoder or bert
    if not question or not context or (bert and question_encoder and context_encoder):
        raise ValueError(
            "expected bert, to start both encoders from it, or both question_encoder and context_encoder; "
            f"got bert={bert!r}, question_encoder={question_encoder!r}, context_encoder={context_encoder!r}"
        )
    return question, context


def _check(
    output: str, dev: list[str] | None, monitor: str, rank_questions: int, shared: bool, frozen: str | None
) -> None:
    if monitor not in MEASURES:
        raise ValueError(f"monitor={monitor!r}: expected one of {', '.join(MEASURES)}")
    if monitor == "rank" and not (dev and rank_questions > 0):
        raise ValueError("monitor='rank' needs dev examples, and rank_questions of 1 or more")
    if frozen is not None and (frozen not in ROLES or shared):
        raise ValueError(
            f"frozen={frozen!r}: expected one of {', '.join(ROLES)}, and encoders that are not shared"
        )
    runs.check_folder(output)


def _load(
    starts: tuple[str, str], shared: bool, frozen: str | None, lora: int | None, dtype: str
) -> tuple[list[Any], list[Any]]:
    """The encoders, one twice if they are shared, and their tokenizers, in the order of `ROLES`."""
    encoders: list[Any] = []
    tokenizers: list[Any] = []
    for role, start in zip(ROLES, starts, strict=True):
        if shared and encoders:
            encoder, tokenizer = encoders[0], classes(role)[1].from_pretrained(starts[0])
        else:
            encoder, tokenizer = load_to_train(role, start, dtype=dtype)
            encoder.trainable = role != frozen
            if lora is not None and encoder.trainable:
                enable_lora(encoder, lora)
        encoders.append(encoder)
        tokenizers.append(tokenizer)
    return encoders, tokenizers


def _first(paths: list[str], count: int) -> list[Example]:
    """The first examples with a positive."""
    found = itertools.chain.from_iterable(map(read_examples, paths))
    return list(itertools.islice((example for example in found if example.positives), count))


def _callbacks(
    output: str, measure: Measure | None, patience: int | None, tensorboard: bool, save: Callable[[], None]
) -> list[keras.callbacks.Callback]:
    """What writes down, keeps and stops."""
    found = [runs.EpochLog(Path(output) / runs.LOG), runs.keeping(measure, save)]
    if measure is not None and patience is not None:
        stop = keras.callbacks.EarlyStopping(measure.name, patience=patience, mode=measure.mode)
        stop.remembered = ("best", "wait")
        found.append(stop)
    if tensorboard:
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError('logs for TensorBoard need: pip install "dpr_tf[tensorboard]"')
        found.append(keras.callbacks.TensorBoard(str(Path(output) / "logs"), write_graph=False))
    return found


def _save(output: str, encoders: Sequence[Any], tokenizers: Sequence[Any]) -> None:
    """Writes both checkpoints aside, then renames them; after a kill in between, the run does it again."""
    asides = [Path(output) / f".{role}.partial" for role in ROLES]
    for role, encoder, tokenizer, aside in zip(ROLES, encoders, tokenizers, asides, strict=True):
        shutil.rmtree(aside, ignore_errors=True)
        if not isinstance(encoder, classes(role)[0]):
            encoder = _in_role(role, type(encoder).from_pretrained(asides[0]))
        encoder.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    for role, aside in zip(ROLES, asides, strict=True):
        shutil.rmtree(Path(output) / role, ignore_errors=True)
        os.replace(aside, Path(output) / role)


def _in_role(role: str, encoder: Any) -> Any:
    """A copy of an encoder as one of another role."""
    copied = classes(role)[0](encoder.config)
    weights = {path.partition("/")[2]: weight for path, weight in encoder.variables_by_path.items()}
    for path, weight in copied.variables_by_path.items():
        weight.assign(weights[path.partition("/")[2]])
    return copied


def _reported(output: str, examples: StoredExamples, measure: Measure | None) -> TrainedBiEncoder:
    """What the log of a run that is done says."""
    lines, best = runs.read_log(output, measure)
    return TrainedBiEncoder(
        output=output,
        questions=len(examples),
        without_positive=sum(examples.without_positive),
        epochs=len(lines),
        loss=lines[-1]["loss"],
        best_epoch=best["epoch"],
        nll=best.get("val_loss"),
        rank=best.get(RANK),
    )

"""Trains a reader from files: what `dpr-tf train-reader` does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras
from tqdm import tqdm

from dpr_tf.checkpoints import classes, load_to_train
from dpr_tf.data.examples import read_examples
from dpr_tf.data.files import written_text
from dpr_tf.data.retrieved import read_retrieved
from dpr_tf.reading.reader import Reader
from dpr_tf.training import runs
from dpr_tf.training.optimizers import adamw
from dpr_tf.training.reader import ReaderTrainer
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderCounts, ReaderData
from dpr_tf.training.reader_passages import PassageChooser, ReaderQuestion, gold_titles
from dpr_tf.training.reader_validation import ExactMatch
from dpr_tf.training.runs import Measure
from dpr_tf.training.texts import check_case

_EXACT_MATCH = Measure("val_exact_match", "max")


class TrainedReader(NamedTuple):
    """What came of a training run.

    Attributes:
        output: the folder with the checkpoint.
        questions: how many were trained with, and why not the others.
        epochs: trained.
        loss: mean over the last epoch.
        best_epoch: whose checkpoint it is, from 1; the last one without dev questions.
        exact_match: of that epoch on the dev questions, a share in [0, 1]; None without them.
    """

    output: str
    questions: ReaderCounts
    epochs: int
    loss: float
    best_epoch: int
    exact_match: float | None

    def __str__(self) -> str:
        left_out = self.questions.questions - self.questions.kept
        match = "" if self.exact_match is None else f", exact match {self.exact_match:.1%}"
        return (
            f"{self.output}: epoch {self.best_epoch} of {self.epochs}{match}; "
            f"{self.questions.kept:,} questions, {left_out:,} left out; last loss {self.loss:.3f}"
        )


def train_reader(
    checkpoint: str,
    retrieved: list[str],
    output: str,
    *,
    dev: str | None = None,
    examples: str | None = None,
    explain: str | None = None,
    epochs: int = 16,
    batch_size: int = 16,
    chunk_size: int | None = None,
    passages: int = 24,
    dev_passages: int = 50,
    max_length: int = 350,
    learning_rate: float = 1e-5,
    warmup: int = 0,
    decay: bool = False,
    clip: float = 1.0,
    weight_decay: float = 0.0,
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
    seed: int = 0,
    save_every: int = 100,
) -> TrainedReader:
    """Trains a reader on what a retriever has found; the defaults are DPR's recipe.

    A run that was cut off goes on at the batch of its last state, if it is started again with the same
    arguments.

    Args:
        checkpoint: folder or Hub id to start from: a reader, or plain BERT.
        retrieved: files of a retriever's output for training questions with answers, JSON or JSON lines.
        output: folder for config.json, the weights and the tokenizer of the best epoch (without `dev` of the
            last one), for the log training.jsonl, and for the state of the run.
        dev: a retriever's output for the questions that tell which epoch is the best, by exact match.
        examples: training examples for the retriever, whose first positives name the articles that answer
            the questions: positives are then from these, where they are found.
        explain: file to write, JSON lines: for each question which passages it is trained with and why, which
            answers were not found as tokens, or why it is left out.
        epochs: how often each question is trained with.
        batch_size: questions for one update.
        chunk_size: questions to read at a time; fewer need less memory and change nothing else; TensorFlow
            only. Default: all.
        passages: of each question in an update: one positive, the rest negatives.
        dev_passages: of each dev question to read.
        max_length: tokens of question, title and text together.
        learning_rate: the highest rate.
        warmup: updates in which the rate rises to it.
        decay: whether the rate falls to 0 at the last update, in a straight line; else it stays.
        clip: largest norm of the gradient of an update's mean loss. DPR's own 1.0 is that of the sum over 16
            questions: of 1/16 here.
        weight_decay: per update, times the rate; biases and LayerNorms are never decayed.
        dtype: precision; weights are float32 in any case.
        seed: of the order, the draws and dropout.
        save_every: updates between two states of the run.

    Returns:
        A TrainedReader.

    Raises:
        OSError: if a file or the checkpoint cannot be read, or the output not written.
        ValueError: if a file is damaged, no question can be trained with, the checkpoint is of another role,
            a number is out of range, or `output` holds the state of another run.
    """
    run = {name: value for name, value in locals().items() if name not in _OUTSIDE_THE_RUN}
    runs.check_folder(output)
    keras.utils.set_random_seed(seed)
    reader, tokenizer = load_to_train("reader", checkpoint, dtype=dtype)
    check_case(tokenizer)
    max_length = min(max_length, reader.config.max_position_embeddings)
    data = ReaderData(_chosen(retrieved, _chooser(tokenizer, max_length, examples), explain), len(tokenizer))
    batches = ReaderBatches(data, tokenizer.pad_token_id, batch_size=batch_size, passages=passages, seed=seed)
    trainer = ReaderTrainer(reader, chunk_size=chunk_size)
    optimizer = adamw(
        learning_rate, epochs * len(batches), warmup, weight_decay=weight_decay, clip=clip, decay=decay
    )
    trainer.compile(optimizer=optimizer)
    callbacks: list[keras.callbacks.Callback] = []
    if dev:
        read = Reader(reader, tokenizer, max_length=max_length)
        callbacks.append(ExactMatch(read, dev, dev_passages))
    measure = _EXACT_MATCH if dev else None
    callbacks += [
        runs.EpochLog(Path(output) / runs.LOG),
        runs.keeping(measure, lambda: _save(output, reader, tokenizer)),
    ]
    runs.fit(trainer, batches, epochs, output, {**run, "data": data.digest}, callbacks, save_every)
    return _reported(output, data.counts, measure)


def explain_reader_training(
    checkpoint: str,
    retrieved: list[str],
    output: str,
    *,
    examples: str | None = None,
    max_length: int = 350,
) -> ReaderCounts:
    """Says for each question what `train_reader` would train with, without training.

    Args:
        checkpoint: folder or Hub id whose tokenizer counts.
        retrieved, examples, max_length: as for `train_reader`.
        output: the file to write, as `explain` of `train_reader`; it appears when it is complete.

    Raises:
        OSError: if a file or the tokenizer cannot be read, or the output not written.
        ValueError: if a file is damaged, or no question can be trained with.
    """
    tokenizer = classes("reader")[1].from_pretrained(checkpoint)
    chosen = _chosen(retrieved, _chooser(tokenizer, max_length, examples), output)
    return ReaderData(chosen, len(tokenizer)).counts


# What may differ when a run goes on; of the files their content counts, not their names.
_OUTSIDE_THE_RUN = {"retrieved", "examples", "output", "explain", "save_every"}


def _save(output: str, reader: Any, tokenizer: Any) -> None:
    tokenizer.save_pretrained(output)
    reader.save_pretrained(output)


def _reported(output: str, counts: ReaderCounts, measure: Measure | None) -> TrainedReader:
    """What the log of a run that is done says."""
    lines, best = runs.read_log(output, measure)
    return TrainedReader(
        output=output,
        questions=counts,
        epochs=len(lines),
        loss=lines[-1]["loss"],
        best_epoch=best["epoch"],
        exact_match=best.get(_EXACT_MATCH.name),
    )


def _chooser(tokenizer: Any, max_length: int, examples: str | None) -> PassageChooser:
    return PassageChooser(tokenizer, max_length, gold_titles(read_examples(examples)) if examples else {})


def _chosen(retrieved: list[str], chooser: PassageChooser, explain: str | None) -> Iterator[ReaderQuestion]:
    """The questions of all files, each also explained in a file, which appears behind the last one."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(written_text(explain)) if explain else None
        bar = stack.enter_context(tqdm(desc="Choosing passages", unit=" questions", mininterval=1.0))
        for path in retrieved:
            for found in read_retrieved(path):
                question = chooser.choose(found)
                if file is not None:
                    file.write(json.dumps(question.explained(), ensure_ascii=False) + "\n")
                bar.update()
                yield question

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
from dpr_tf.training.best import BestCheckpoint
from dpr_tf.training.optimizers import adamw
from dpr_tf.training.reader import ReaderTrainer
from dpr_tf.training.reader_batches import ReaderBatches
from dpr_tf.training.reader_data import ReaderCounts, ReaderData
from dpr_tf.training.reader_passages import PassageChooser, ReaderQuestion, gold_titles
from dpr_tf.training.reader_validation import ExactMatch
from dpr_tf.training.resume import Resume
from dpr_tf.training.texts import check_case

STATE = "training_state.safetensors"
REPORT = "training.json"


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
            last one), and for the state of the run.
        dev: a retriever's output for the questions that tell which epoch is the best, by exact match.
        examples: training examples for the retriever, whose first positives name the articles that answer
            the questions: positives are then from these, where they are found.
        explain: file to write, JSON lines: for each question which passages it is trained with and why, which
            answers were not found as tokens, or why it is left out.
        epochs: how often each question is trained with.
        batch_size: questions for one update.
        chunk_size: questions to read at a time; fewer need less memory and change nothing else. Default: all.
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
    _check_output(output)
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
    keeper = _Keeper(output, reader, tokenizer, data.counts)
    measured = (
        ExactMatch(Reader(reader, tokenizer, max_length=max_length), dev, dev_passages) if dev else None
    )
    _fit(trainer, batches, epochs, save_every, {**run, "data": data.digest}, keeper, measured)
    return keeper.reported()


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


class _Keeper(keras.callbacks.Callback):
    """Writes the checkpoint, of the best epoch or the last, and the report beside it.

    Args:
        output: the folder.
        reader, tokenizer: what to save.
        counts: for the report.

    Attributes:
        output: as given.
        best: tells which epoch is the best; None: the last.
    """

    def __init__(self, output: str, reader: Any, tokenizer: Any, counts: ReaderCounts) -> None:
        super().__init__()
        self.output, self._reader, self._tokenizer, self._counts = output, reader, tokenizer, counts
        self.best: BestCheckpoint | None = None

    def save(self) -> None:
        """Writes the checkpoint, over an earlier one."""
        self._tokenizer.save_pretrained(self.output)
        self._reader.save_pretrained(self.output)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Marks the folder as that of a run."""
        Path(self.output).mkdir(parents=True, exist_ok=True)
        if not (Path(self.output) / REPORT).exists():
            self._write({"epochs": 0})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes what this epoch came to."""
        best_epoch, match = epoch, None
        if self.best is None:
            self.save()
        else:
            best_epoch, match = self.best.best_epoch or 0, self.best.best
        found = {"epochs": epoch + 1, "loss": float((logs or {})["loss"])}
        self._write({**found, "best_epoch": best_epoch + 1, "exact_match": match})

    def _write(self, report: dict[str, Any]) -> None:
        with written_text(Path(self.output) / REPORT) as file:
            json.dump({**report, "questions": self._counts._asdict()}, file, indent=1)

    def reported(self) -> TrainedReader:
        """What stands in the report of a finished run."""
        report = json.loads((Path(self.output) / REPORT).read_text(encoding="utf-8"))
        counts = ReaderCounts(**report.pop("questions"))
        return TrainedReader(output=self.output, questions=counts, **report)


def _fit(
    trainer: ReaderTrainer,
    batches: ReaderBatches,
    epochs: int,
    save_every: int,
    run: dict[str, Any],
    keeper: _Keeper,
    measured: ExactMatch | None,
) -> None:
    """Trains to the end, from the state in the output folder if there is one."""
    callbacks: list[keras.callbacks.Callback] = [keeper]
    remembered = {}
    if measured is not None:
        best = keeper.best = BestCheckpoint("val_exact_match", "max", keeper.save)
        callbacks = [measured, best, keeper]
        remembered["best"] = (best, best.remembered)
    state = Path(keeper.output) / STATE
    resume = Resume(state, run, len(batches), every=save_every, remembered=remembered)
    if not resume.finished:
        trainer.fit(
            batches.dataset(resume.epoch, resume.batch),
            initial_epoch=resume.epoch,
            epochs=epochs,
            steps_per_epoch=len(batches),
            shuffle=False,
            callbacks=[resume, *callbacks],
        )


def _check_output(output: str) -> None:
    folder = Path(output)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / REPORT).exists():
        raise FileExistsError(f"{output} holds something else than a training run; name a new folder")


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

"""A training step of the bi-encoder: BERT-base, in-batch negatives, dropout, clipping and AdamW.

Questions and passages are those of the bundled sample, or the passages of a file, at their real lengths; a
batch is padded to its longest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np
from encode import write_passages
from question import write_questions

UNIT = "questions"
OPTIONS = {"layers": 12, "questions": 64, "file": "", "vocab": ""}
RATE, DECAY, EPSILON, CLIP = 1e-5, 0.01, 1e-8, 2.0


def ours(folder: Path, precision: str = "float32") -> Callable[[], dict[str, Any]]:
    """`BiEncoder.train_on_batch`, as `fit` calls it."""
    from dpr_tf import TFDPRContextEncoder, TFDPRQuestionEncoder
    from dpr_tf.training.biencoder import BiEncoder
    from dpr_tf.training.optimizers import adamw

    texts = _texts(folder)
    questions = len(texts["questions"])
    encoders = [
        cls.from_pretrained(folder / name, dtype=precision)
        for cls, name in ((TFDPRQuestionEncoder, "question_model"), (TFDPRContextEncoder, "model"))
    ]
    model = BiEncoder(*encoders)
    model.compile(adamw(RATE, 1000, 0, weight_decay=DECAY, epsilon=EPSILON, clip=CLIP))
    x = {name: {"input_ids": ids, "attention_mask": _mask(ids)} for name, ids in texts.items()}
    x["passages"] = {name: ids[:, None] for name, ids in x["passages"].items()}
    y = {"present": np.ones((questions, 1), bool), "ignored": np.zeros((questions, questions), bool)}
    return timed(lambda: float(model.train_on_batch(x, y, return_dict=True)["loss"]), questions)


def torch(folder: Path, autocast: bool = False) -> Callable[[], dict[str, Any]]:
    """A plain loop around Transformers' PyTorch models, in float32 or under bfloat16 autocast."""
    import torch
    from transformers import DPRContextEncoder, DPRQuestionEncoder

    texts = _texts(folder)
    questions = len(texts["questions"])
    encoders = torch.nn.ModuleDict(
        {
            "questions": DPRQuestionEncoder.from_pretrained(folder / "question_model"),
            "passages": DPRContextEncoder.from_pretrained(folder / "model"),
        }
    ).train()
    optimizer = torch.optim.AdamW(encoders.parameters(), lr=RATE, eps=EPSILON, weight_decay=DECAY)
    ids = {name: torch.from_numpy(rows).long() for name, rows in texts.items()}
    masks = {name: torch.from_numpy(_mask(rows)) for name, rows in texts.items()}

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            vectors = {
                name: encoder(ids[name], masks[name]).pooler_output for name, encoder in encoders.items()
            }
        scores = vectors["questions"].float() @ vectors["passages"].float().T
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(questions))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoders.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    return timed(step, questions)


def _texts(folder: Path) -> dict[str, np.ndarray]:
    """int32 [texts, tokens] of the questions and the passages, padded to the longest."""
    return {
        "questions": engines.pad(engines.read_rows(folder / "questions")),
        "passages": engines.pad(engines.read_rows(folder)),
    }


def _mask(ids: np.ndarray) -> np.ndarray:
    return (ids != 0).astype(np.int32)


def timed(step: Callable[[], float], items: int) -> Callable[[], dict[str, Any]]:
    step()  # the first one makes the graph and the optimizer's state

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        loss = step()
        if not np.isfinite(loss):
            raise RuntimeError(f"the loss is {loss}")
        return {"items": items, "seconds": [time.perf_counter() - start]}

    return run


def both_precisions(ours: Callable, torch: Callable) -> dict[str, tuple[str, Callable]]:
    """The engines of a training case: float32, and what each calls mixed bfloat16."""
    return {
        "dpr_tf": ("ours", ours),
        "pytorch": ("peers", torch),
        "dpr_tf mixed_bfloat16": ("ours", lambda folder: ours(folder, "mixed_bfloat16")),
        "pytorch bfloat16 autocast": ("peers", lambda folder: torch(folder, autocast=True)),
    }


ENGINES = both_precisions(ours, torch)


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes two encoders with random weights, and the ids of as many passages as questions."""
    engines.write_model(folder, options)
    engines.write_question_encoder(folder, options)
    write_passages(folder, {**options, "passages": options["questions"]})
    (folder / "questions").mkdir()
    write_questions(folder / "questions", options["questions"], folder / "model")

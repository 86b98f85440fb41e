"""A training step of the reader: BERT-base, one positive and negatives per question, dropout and AdamW."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np
from training import CLIP, DECAY, EPSILON, RATE, both_precisions, timed

UNIT = "passages"
OPTIONS = {"layers": 12, "questions": 1, "passages": 24, "tokens": 256}


def ours(folder: Path, precision: str = "float32") -> Callable[[], dict[str, Any]]:
    """`ReaderTrainer.train_on_batch`, as `fit` calls it."""
    from dpr_tf import TFDPRReader
    from dpr_tf.training.optimizers import adamw
    from dpr_tf.training.reader import ReaderTrainer

    ids = _ids(folder)
    model = ReaderTrainer(TFDPRReader.from_pretrained(folder / "reader", dtype=precision))
    model.compile(adamw(RATE, 1000, 0, weight_decay=DECAY, epsilon=EPSILON, clip=CLIP))
    x = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    spans = np.full((len(ids), 1), 40, np.int32)
    y = {"present": np.ones(ids.shape[:2], bool), "starts": spans, "ends": spans + 2}
    return timed(lambda: float(model.train_on_batch(x, y, return_dict=True)["loss"]), ids[..., 0].size)


def torch(folder: Path, autocast: bool = False) -> Callable[[], dict[str, Any]]:
    """A plain loop around Transformers' PyTorch model, in float32 or under bfloat16 autocast."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import DPRReader

    rows = _ids(folder)
    model = DPRReader.from_pretrained(folder / "reader").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, eps=EPSILON, weight_decay=DECAY)
    questions, passages, tokens = rows.shape
    ids = torch.from_numpy(rows.reshape(-1, tokens)).long()
    mask = torch.ones_like(ids)
    positive = torch.arange(questions) * passages

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = model(ids, attention_mask=mask)
        relevance = output.relevance_logits.float().reshape(questions, passages)
        starts, ends = output.start_logits.float()[positive], output.end_logits.float()[positive]
        loss = cross_entropy(relevance, torch.zeros(questions, dtype=torch.long))
        loss = loss + cross_entropy(starts, torch.full((questions,), 40))
        loss = loss + cross_entropy(ends, torch.full((questions,), 42))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    return timed(step, len(ids))


def _ids(folder: Path) -> np.ndarray:
    """int32 [questions, passages, tokens]."""
    options = engines.read_options(folder)
    shape = (options["questions"], options["passages"], options["tokens"])
    return np.random.default_rng(1).integers(1000, 30000, shape).astype(np.int32)


ENGINES = both_precisions(ours, torch)


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes a reader with random weights."""
    engines.write_reader(folder, options)

"""The reader's training as a plain PyTorch loop, one question after the other, to compare `fit` with."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch.nn.functional import cross_entropy


def question_loss(reader, ids, mask, starts, ends):
    """Relevance loss plus span loss of one question.

    Args:
        reader: a DPRReader of `dpr_tf.models.torch`.
        ids, mask: int64 [passages, tokens], the positive first, no empty rows.
        starts, ends: int64 [spans].
    """
    output = reader(input_ids=ids, attention_mask=mask)
    relevance = cross_entropy(output.relevance_logits[None], torch.tensor([0]))
    length = int(mask[0].sum())
    start, end = output.start_logits[:1, :length], output.end_logits[:1, :length]
    of_spans = [
        cross_entropy(start, first[None]) + cross_entropy(end, last[None])
        for first, last in zip(starts, ends, strict=True)
    ]
    return relevance - torch.logsumexp(-torch.stack(of_spans), dim=0)


def train(reader, batches, learning_rate, clip):
    """Updates the reader once per batch, at a constant rate and without dropout.

    Args:
        reader: a DPRReader of `dpr_tf.models.torch`.
        batches: as `ReaderBatches` makes them.
        learning_rate: of every update.
        clip: largest norm of the gradients.

    Returns:
        The loss of each batch, before its update.
    """
    reader.eval()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=learning_rate, weight_decay=0.0, eps=1e-8)
    losses = []
    for x, y in batches:
        questions = zip(
            *(torch.tensor(array).long() for array in (*x.values(), y["present"], y["starts"], y["ends"])),
            strict=True,
        )
        loss = sum(
            question_loss(reader, ids[kept > 0], mask[kept > 0], starts[starts >= 0], ends[starts >= 0])
            for ids, mask, kept, starts, ends in questions
        ) / len(y["present"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def compare(folder, batches, steps, learning_rate, clip):
    """Trains a checkpoint both ways from the same weights on the same batches.

    Args:
        folder: the checkpoint.
        batches: a ReaderBatches.
        steps: updates.
        learning_rate, clip: as for `train`.

    Returns:
        float [2, steps]: the losses of `fit`, and of PyTorch.
    """
    import keras

    from dpr_tf import DPRReader, TFDPRReader
    from dpr_tf.training.optimizers import adamw
    from dpr_tf.training.reader import ReaderTrainer

    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    trainer = ReaderTrainer(TFDPRReader.from_pretrained(folder, **dropout))
    trainer.compile(adamw(learning_rate, steps, 0, clip=clip, decay=False))
    ours = []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.reset_metrics()

        def on_train_batch_end(self, batch, logs=None):
            ours.append(logs["loss"])

    trainer.fit(batches.dataset(), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[Losses()])
    reader = DPRReader.from_pretrained(folder, **dropout)
    theirs = train(reader, itertools.islice(batches.batches(), steps), learning_rate, clip)
    return np.array([ours, theirs])

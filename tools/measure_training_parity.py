"""Measures how far training here is from a plain PyTorch loop: same weights, same batches, no dropout.

    python tools/measure_training_parity.py [--bert FOLDER --examples FILE] [--steps 50] [--chunk-size 6]

Trains `BiEncoder` with `adamw` on one side, and dpr_tf's torch encoders with `torch.optim.AdamW`, a
`LambdaLR` and `clip_grad_norm_` on the other, and prints each step's two losses and their relative
difference; the exit code is 1 if one is above 1e-4. Without `--bert` the encoders are small and random;
without `--examples` (DPR's training JSON) so are the texts. Needs the extra `torch`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import dpr_tf
from dpr_tf.data.examples import read_examples
from dpr_tf.training.biencoder import BiEncoder
from dpr_tf.training.optimizers import adamw

TARGET = 1e-4
RATE, WARMUP, WEIGHT_DECAY, EPSILON, CLIP = 2e-5, 0.1, 0.01, 1e-8, 2.0
SMALL = {
    "vocab_size": 999,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 70,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}

Batch = tuple[dict[str, Any], dict[str, Any]]


class Recipe(NamedTuple):
    """What both sides are trained with.

    Attributes:
        rate: highest learning rate.
        steps: updates in all.
        warmup: updates of the warm-up.
    """

    rate: float
    steps: int
    warmup: int


class Sides(NamedTuple):
    """Two training steps, ours and PyTorch's: each takes a batch, makes an update and returns the loss."""

    ours: Callable[[Batch], float]
    theirs: Callable[[Batch], float]


def compare(sides: Sides, batches: Iterable[Batch]) -> Iterator[tuple[float, float]]:
    """Trains both on each batch and yields the two losses."""
    for batch in batches:
        yield sides.ours(batch), sides.theirs(batch)


def torch_step(modules: list[torch.nn.Module], loss_of: Callable, recipe: Recipe) -> Callable:
    """A plain training step: backward, clip, AdamW without decay of biases and LayerNorms, linear schedule.

    Args:
        modules: what is trained.
        loss_of: takes a batch and gives the loss, a scalar tensor.
        recipe: rate and steps.
    """
    named = [pair for module in modules for pair in module.named_parameters()]
    plain = [weight for name, weight in named if name.endswith(".bias") or "LayerNorm" in name]
    decayed = [weight for name, weight in named if not (name.endswith(".bias") or "LayerNorm" in name)]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate, eps=EPSILON)
    steps, warmup = recipe.steps, recipe.warmup
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: step / warmup if step < warmup else max(0.0, (steps - step) / (steps - warmup)),
    )

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([weight for _, weight in named], CLIP)
        optimizer.step()
        schedule.step()
        return float(loss.detach())

    return step


def biencoder_sides(encoders: list[Any], recipe: Recipe, chunk_size: int | None) -> Sides:
    """Our bi-encoder, and torch encoders with the same weights and the loss spelled out.

    Args:
        encoders: our question encoder and our context encoder.
        recipe: rate and steps.
        chunk_size: of our side.
    """
    twins = []
    for encoder, cls in zip(encoders, (dpr_tf.DPRQuestionEncoder, dpr_tf.DPRContextEncoder), strict=True):
        with tempfile.TemporaryDirectory() as folder:
            encoder.save_pretrained(folder)
            twins.append(cls.from_pretrained(folder).train())
    model = BiEncoder(*encoders, chunk_size=chunk_size)
    model.compile(adamw(*recipe, weight_decay=WEIGHT_DECAY, epsilon=EPSILON, clip=CLIP))

    def loss_of(batch: Batch) -> torch.Tensor:
        (x, y), vectors = batch, []
        for twin, texts in zip(twins, (x["questions"], x["passages"]), strict=True):
            flat = {name: torch.tensor(ids).flatten(0, -2).long() for name, ids in texts.items()}
            vectors.append(twin(**flat).pooler_output)
        scores = vectors[0] @ vectors[1].T
        masked = torch.tensor(y["ignored"] | ~y["present"].reshape(1, -1))
        positives = torch.arange(len(scores)) * y["present"].shape[1]
        return torch.nn.functional.cross_entropy(scores.masked_fill(masked, float("-inf")), positives)

    return Sides(
        lambda batch: float(model.train_on_batch(*batch, return_dict=True)["loss"]),
        torch_step(twins, loss_of, recipe),
    )


def random_batches(
    steps: int, questions: int, tokens: int, vocabulary: int, seed: int = 0
) -> Iterator[Batch]:
    """Batches of random ids; each question but the last has a hard negative, one false negative is masked."""
    random = np.random.default_rng(seed)

    def texts(*shape: int) -> dict[str, np.ndarray]:
        lengths = random.integers(2, shape[-1] + 1, shape[:-1])
        mask = (np.arange(shape[-1]) < lengths[..., None]).astype("int32")
        return {"input_ids": random.integers(1, vocabulary, shape, "int32") * mask, "attention_mask": mask}

    for _ in range(steps):
        x = {"questions": texts(questions, tokens // 2), "passages": texts(questions, 2, tokens)}
        present, ignored = np.ones((questions, 2), bool), np.zeros((questions, 2 * questions), bool)
        present[-1, -1], ignored[0, 2] = False, True
        yield x, {"present": present, "ignored": ignored}


def example_batches(path: str, steps: int, questions: int, tokens: int, tokenizer: Any) -> Iterator[Batch]:
    """Batches of the first examples of a file that have a hard negative, in their order."""
    usable = (example for example in read_examples(path) if example.positives and example.hard_negatives)
    for _ in range(steps):
        chosen = list(itertools.islice(usable, questions))
        passages = [p for e in chosen for p in (e.positives[0], e.hard_negatives[0])]
        options = {"padding": True, "truncation": True, "max_length": tokens, "return_tensors": "np"}
        encoded = [
            tokenizer([example.question for example in chosen], **options),
            tokenizer([p.title for p in passages], [p.text for p in passages], **options),
        ]
        rows = [{name: np.int32(e[name]) for name in ("input_ids", "attention_mask")} for e in encoded]
        grouped = {name: ids.reshape(len(chosen), 2, -1) for name, ids in rows[1].items()}
        masks = {
            "present": np.ones((len(chosen), 2), bool),
            "ignored": np.zeros((len(chosen), 2 * len(chosen)), bool),
        }
        yield {"questions": rows[0], "passages": grouped}, masks


def random_encoder(cls: type, seed: int, **config: Any) -> Any:
    """An encoder with random numbers in every weight: fresh biases are zero, which hides mistakes."""
    encoder, random = cls(dpr_tf.DPRConfig(**{**SMALL, **NO_DROPOUT, **config})), np.random.default_rng(seed)
    for weight in encoder.weights:
        weight.assign(random.normal(0.0, 0.2, weight.shape))
    return encoder


def main() -> None:
    """Prints a Markdown table of the losses, and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bert", help="folder of BERT weights and tokenizer (default: small and random)")
    parser.add_argument("--examples", help="DPR's training JSON (default: random texts)")
    parser.add_argument("--steps", type=int, default=50, help="updates (default: %(default)s)")
    parser.add_argument(
        "--questions", type=int, default=8, help="questions in a batch (default: %(default)s)"
    )
    parser.add_argument("--tokens", type=int, default=64, help="longest passage (default: %(default)s)")
    parser.add_argument("--chunk-size", type=int, help="of our side (default: all texts at once)")
    options = parser.parse_args()
    classes = (dpr_tf.TFDPRQuestionEncoder, dpr_tf.TFDPRContextEncoder)
    if options.bert:
        encoders = [cls.init_from_bert(options.bert, **NO_DROPOUT) for cls in classes]
    else:
        encoders = [random_encoder(cls, seed) for seed, cls in enumerate(classes)]
    sizes = (options.steps, options.questions, options.tokens)
    if options.examples:
        tokenizer = dpr_tf.DPRContextEncoderTokenizerFast.from_pretrained(options.bert)
        batches = example_batches(options.examples, *sizes, tokenizer)
    else:
        batches = random_batches(*sizes, encoders[0].config.vocab_size)
    recipe = Recipe(RATE, options.steps, int(options.steps * WARMUP))
    print("| step | here | PyTorch | relative difference |\n|---|---|---|---|")
    worst = 0.0
    for step, (ours, theirs) in enumerate(
        compare(biencoder_sides(encoders, recipe, options.chunk_size), batches)
    ):
        difference = abs(ours - theirs) / abs(theirs)
        worst = max(worst, difference)
        print(f"| {step} | {ours:.6f} | {theirs:.6f} | {difference:.1e} |", flush=True)
    print(f"\nlargest relative difference: {worst:.1e} (target: {TARGET:.0e})")
    sys.exit(worst > TARGET)


if __name__ == "__main__":
    main()

"""LoRA: training two thin matrices beside a frozen weight (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from typing import Any


def enable_lora(encoder: Any, rank: int, alpha: float | None = None) -> None:
    """Freezes a model and puts adapters beside the query and value projections of its attention.

    The outputs are unchanged at first. Only the adapters train: `compile` afterwards, and set `trainable` of
    other layers to True where they should train as well, for example a fresh `encode_proj`.
    `save_pretrained` writes plain weights, with the adapters added to them.

    Args:
        encoder: a TFDPRQuestionEncoder, TFDPRContextEncoder or TFDPRReader.
        rank: columns of the thin matrices, at least 1; 8 is usual.
        alpha: the adapters' product counts alpha / rank times; default: once.

    Raises:
        ValueError: if the rank is below 1, or the model has adapters already.
    """
    if rank < 1:
        raise ValueError(f"rank is the number of columns of the adapters, at least 1; got {rank}.")
    attentions = [block.attention for block in encoder.bert_model.encoder.layer]
    if attentions[0].query.lora_enabled:
        raise ValueError("This model has LoRA adapters already; they can be added once.")
    for weight in encoder.weights:
        weight.trainable = False
    for attention in attentions:
        for layer in (attention.query, attention.value):
            layer.enable_lora(rank, lora_alpha=alpha)

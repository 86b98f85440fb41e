"""Passages a second: BERT-base, the passages of the bundled sample or of a file, at their real lengths."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np
from engines import encode

UNIT = "passages"
OPTIONS = {"layers": 12, "passages": 128, "batch_size": 32, "file": "", "vocab": ""}


def sentence_transformers(folder: Path) -> Callable[[], dict[str, Any]]:
    """Sentence Transformers, from texts: it tokenizes, and sorts them by length itself."""
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel, BertTokenizer

    dpr = engines.torch_model(folder).model.ctx_encoder.bert_model
    config = {name: value for name, value in dpr.config.to_dict().items() if name in BertConfig().to_dict()}
    bert = BertModel(BertConfig(**{**config, "model_type": "bert"}), add_pooling_layer=False)
    bert.load_state_dict(dpr.state_dict())
    bert.save_pretrained(folder / "bert")
    BertTokenizer.from_pretrained(folder / "model").save_pretrained(folder / "bert")
    transformer = models.Transformer(str(folder / "bert"), max_seq_length=256)
    pooling = models.Pooling(bert.config.hidden_size, pooling_mode="cls")
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    texts = json.loads((folder / "texts.json").read_text())
    size = engines.read_options(folder)["batch_size"]

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        with torch.inference_mode():
            model.encode(texts, batch_size=size, show_progress_bar=False)
        return {"items": len(texts), "seconds": [time.perf_counter() - start]}

    return run


def _openvino_streams(precision: str) -> Callable:
    """Half of the texts in a batch: as many under way, and faster than whole batches."""
    return encode(engines.openvino_streams, ahead=True, smaller=2, precision=precision)


ENGINES = {
    "dpr_tf": ("ours", encode(engines.ours_ahead, ahead=True)),
    "openvino sorted": ("peers", encode(engines.openvino)),
    "openvino sorted, a stream per core": ("peers", _openvino_streams("f32")),
    "openvino": ("peers", encode(engines.openvino, "in order")),
    "openvino on our SavedModel, sorted": ("peers", encode(engines.openvino_saved_model)),
    "onnxruntime sorted": ("peers", encode(engines.onnxruntime)),
    "onnxruntime": ("peers", encode(engines.onnxruntime, "in order")),
    "pytorch sorted": ("peers", encode(engines.torch)),
    "pytorch": ("peers", encode(engines.torch, "in order")),
    "sentence-transformers": ("peers", sentence_transformers),
    "transformers4 sorted": ("transformers4", encode(engines.transformers4)),
    "transformers4": ("transformers4", encode(engines.transformers4, "in order")),
    "transformers4 padded to 256": ("transformers4", encode(engines.transformers4, "in order", multiple=256)),
    "dpr_tf bfloat16": ("ours", encode(engines.ours_ahead, ahead=True, precision="bfloat16")),
    "pytorch bfloat16 sorted": ("peers", encode(engines.torch, bfloat16=True)),
    "openvino bfloat16 sorted": ("peers", encode(engines.openvino, precision="bf16")),
    "openvino bfloat16 sorted, a stream per core": ("peers", _openvino_streams("bf16")),
    "dpr_tf int8": ("ours", encode(engines.ours_ahead, ahead=True, precision="int8")),
    "openvino int8 sorted": ("peers", encode(engines.openvino, precision="int8")),
    "openvino int8 sorted, a stream per core": ("peers", _openvino_streams("int8")),
    "onnxruntime int8 sorted": ("peers", encode(engines.onnxruntime, int8=True)),
    "tf.matmul": ("ours", engines.ceiling),
    "tf.matmul bfloat16": ("ours", lambda folder: engines.ceiling(folder, "bfloat16")),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model, and the passages as texts and ids."""
    engines.write_model(folder, options)
    write_passages(folder, options)


def write_passages(folder: Path, options: dict[str, Any]) -> None:
    """Writes passages as texts and ids, in no order; fewer than are asked for come over and over."""
    from dpr_tf import DPRContextEncoderTokenizerFast, read_passages, sample_folder

    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(folder / "model")
    passages = list(read_passages(options["file"] or sample_folder() / "passages.tsv"))
    order = np.random.default_rng(1).permutation(len(passages))
    chosen = [passages[row] for row in np.resize(order, options["passages"])]
    titles, texts = [passage.title for passage in chosen], [passage.text for passage in chosen]
    (folder / "texts.json").write_text(
        json.dumps([" ".join(pair) for pair in zip(titles, texts, strict=True)])
    )
    engines.write_rows(folder, tokenizer(titles, texts, truncation=True, max_length=256)["input_ids"])

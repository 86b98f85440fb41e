"""Encoders as functions of one padded batch, on each engine; and the ceiling that products set.

Every engine reads the same random weights, so that their vectors can be compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids and mask, int32 [texts, tokens], to vectors
Stream = Callable[[list[tuple[np.ndarray, np.ndarray]]], Iterable[np.ndarray]]  # the same of several batches
CHECKED = 4  # numbers of each of the first vectors that are compared


def compiled(folder: Path, precision: str = "float32", **options: Any) -> Any:
    """A dpr_tf Forward as `embed` makes it; options are those of `compile_forward`."""
    from dpr_tf.checkpoints import load_checkpoint
    from dpr_tf.inference import compile_forward

    model, _ = load_checkpoint("context_encoder", folder / "model", precision=precision)
    return compile_forward(model, ("input_ids", "attention_mask"), ("pooler_output",), **options)


def ours(folder: Path, **settings: Any) -> Forward:
    """Batch by batch; settings are those of `compiled`."""
    forward = compiled(folder, **settings)
    return lambda ids, mask: forward({"input_ids": ids, "attention_mask": mask})[0]


def ours_ahead(folder: Path, **settings: Any) -> Stream:
    """As `embed` does: a batch is started before the last has ended."""
    forward = compiled(folder, weights_stay=True, **settings)

    def stream(batches: list[tuple[np.ndarray, np.ndarray]]) -> Iterable[np.ndarray]:
        given = ({"input_ids": ids, "attention_mask": mask} for ids, mask in batches)
        return (vectors for (vectors,) in forward.each(given))

    return stream


def torch_model(folder: Path) -> Any:
    """Transformers' PyTorch model, which gives the vectors alone."""
    import torch
    from transformers import DPRContextEncoder

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = DPRContextEncoder.from_pretrained(folder / "model").eval()

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask).pooler_output

    return Encoder()


def torch(folder: Path, bfloat16: bool = False) -> Forward:
    """Transformers v5 on PyTorch, in float32, or with its weights in bfloat16."""
    import torch

    model = torch_model(folder)
    model = model.bfloat16() if bfloat16 else model

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).float().numpy()

    return forward


def transformers4(folder: Path) -> Forward:
    """Transformers v4.34 on TensorFlow, as a graph."""
    import tensorflow as tf
    from transformers import TFDPRContextEncoder

    model = TFDPRContextEncoder.from_pretrained(folder / "model_tf")
    spec = tf.TensorSpec([None, None], tf.int32)
    run = tf.function(lambda ids, mask: model([ids, mask]).pooler_output, input_signature=[spec, spec])
    return lambda ids, mask: run(ids, mask).numpy()


def onnxruntime(folder: Path, int8: bool = False) -> Forward:
    """ONNX Runtime, on the export of Transformers' PyTorch model; in int8 with dynamic ranges."""
    import onnxruntime
    import torch
    from onnxruntime.quantization import quantize_dynamic

    example = _example()
    axes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    path = str(folder / "model.onnx")
    torch.onnx.export(
        torch_model(folder),
        example,
        path,
        input_names=["ids", "mask"],
        dynamic_shapes=(axes, axes),
        dynamo=True,
    )
    if int8:
        quantize_dynamic(path, path := str(folder / "model_int8.onnx"), per_channel=True)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]


def openvino(folder: Path, precision: str = "f32") -> Forward:
    """OpenVINO, on Transformers' PyTorch model, set up for one batch at a time."""
    run = _openvino(*_openvino_model(folder, precision), hint="LATENCY")
    return lambda ids, mask: run([ids, mask])[0]


def openvino_streams(folder: Path, precision: str = "f32") -> Stream:
    """The same, set up for several batches at once, each on a core of its own."""
    import openvino

    compiled = _openvino(*_openvino_model(folder, precision), hint="THROUGHPUT")
    queue = openvino.AsyncInferQueue(compiled, cores())

    def stream(batches: list[tuple[np.ndarray, np.ndarray]]) -> Iterable[np.ndarray]:
        found = {}
        queue.set_callback(
            lambda request, place: found.update({place: request.get_output_tensor().data.copy()})
        )
        for place, batch in enumerate(batches):
            queue.start_async(list(batch), place)
        queue.wait_all()
        return [found[place] for place in range(len(batches))]

    return stream


def _openvino_model(folder: Path, precision: str) -> tuple[Any, str]:
    """Transformers' PyTorch model for OpenVINO, in int8 with ranges measured on a few of the texts; and the
    precision of what is not quantized.
    """
    import openvino

    model = openvino.convert_model(torch_model(folder), example_input=_example())
    if precision == "int8":
        import nncf

        texts = [{0: row[None], 1: np.ones_like(row[None])} for row in read_rows(folder)[:32]]
        model = nncf.quantize(model, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER)
        precision = "f32"
    return model, precision


def openvino_saved_model(folder: Path, precision: str = "f32") -> Forward:
    """OpenVINO, on our SavedModel: it computes the last block for the first token only, as we do."""
    import openvino

    run = _openvino(openvino.convert_model(folder / "saved_model"), precision, hint="LATENCY")
    order = [next(iter(port.names)) for port in run.inputs]

    def forward(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return run([next(v for name, v in values.items() if name in given) for given in order])[0]

    return forward


def _openvino(model: Any, precision: str, hint: str) -> Any:
    """A model compiled for the cores at hand: a function of its inputs in their order."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": cores(),
    }
    if hint == "THROUGHPUT":
        settings["NUM_STREAMS"] = cores()
    return openvino.Core().compile_model(model, "CPU", settings)


def cores() -> int:
    """The processor's cores that this process may use (`taskset`); not every engine asks."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _example() -> tuple[Any, Any]:
    """Ids and mask, with padding: Transformers leaves the mask out of a graph without."""
    import torch

    mask = torch.ones((2, 8), dtype=torch.int32)
    mask[1, 5:] = 0
    return torch.ones_like(mask), mask


def read_options(folder: Path) -> dict[str, Any]:
    """The case's options, as `write` wrote them."""
    return json.loads((folder / "options.json").read_text())


def read_rows(folder: Path) -> list[np.ndarray]:
    """The texts' ids, as `write_rows` wrote them."""
    with np.load(folder / "rows.npz") as rows:
        return np.split(rows["ids"], rows["ends"][:-1])


def write_rows(folder: Path, rows: list[list[int]]) -> None:
    """Writes int32 ids of texts, each as long as it is."""
    ends = np.cumsum([len(row) for row in rows])
    np.savez(folder / "rows.npz", ids=np.concatenate(rows).astype(np.int32), ends=ends)


def encode(
    make: Callable[..., Any],
    batching: str = "sorted",
    *,
    multiple: int = 1,
    ahead: bool = False,
    smaller: int = 1,
    **settings: Any,
) -> Callable:
    """An engine of a case: all rows that `prepare` wrote, in batches that are timed.

    Args:
        make: an engine of this module.
        batching: "sorted", texts of similar length together, or "in order".
        multiple: batches are padded to their longest text, rounded up to a multiple of this.
        ahead: whether it makes a Stream, which gets all batches, instead of a Forward, which gets each. Then
            several are under way at once, and each is said to take its share of the time of all.
        smaller: the case's batch size is divided by this.
        **settings: of `make`.
    """

    def prepare(folder: Path) -> Callable[[], dict[str, Any]]:
        engine = make(folder, **settings)
        rows = read_rows(folder)
        size = max(1, read_options(folder)["batch_size"] // smaller)
        order = np.arange(len(rows))
        if batching == "sorted":
            order = np.argsort([-len(row) for row in rows], kind="stable")
        chosen = np.split(order, range(size, len(rows), size))
        batches = [pad([rows[row] for row in some], multiple) for some in chosen]
        places = np.argsort(order)[:CHECKED]

        def run() -> dict[str, Any]:
            given = [(ids, (ids != 0).astype(np.int32)) for ids in batches]
            times, vectors = [time.perf_counter()], []
            for found in engine(given) if ahead else (engine(*batch) for batch in given):
                vectors.append(found)
                times.append(time.perf_counter())
            seconds = np.diff(times).tolist()
            if ahead:
                seconds = [sum(seconds) / len(seconds)] * len(seconds)
            check = [vectors[place // size][place % size, :CHECKED] for place in places]
            return {"items": len(rows), "seconds": seconds, "check": np.ravel(check).astype(float).tolist()}

        return run

    return prepare


def pad(rows: list[np.ndarray], multiple: int = 1) -> np.ndarray:
    """int32 [rows, tokens], filled up with 0 to the longest row, rounded up to a multiple."""
    longest = max(len(row) for row in rows)
    padded = np.zeros((len(rows), -(-longest // multiple) * multiple), np.int32)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded


def in_new_process(*arguments: str) -> Callable[[Path], Callable[[], dict[str, Any]]]:
    """An engine that is a new Python each time, run with these arguments and the folder; it prints a run."""

    def make(folder: Path) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            command = [sys.executable, *arguments, str(folder)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            return json.loads(done.stdout.splitlines()[-1])

        return run

    return make


def ceiling(folder: Path, dtype: str = "float32") -> Callable[[], dict[str, Any]]:
    """`tf.matmul` alone: texts a second if the products with weights of their tokens were all the work."""
    import tensorflow as tf

    config = json.loads((folder / "model" / "config.json").read_text())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    rows, operations = work(folder)
    together = 4096
    shapes = ((together, hidden), (hidden, inner))
    left, right = (tf.cast(tf.random.normal(shape), dtype) for shape in shapes)
    product = tf.function(lambda a, b: tf.matmul(a, b)[:1, :1])
    times = max(1, round(operations / (2 * together * hidden * inner)))

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(times):
            product(left, right).numpy()
        return {"items": rows, "seconds": [time.perf_counter() - start]}

    return run


def work(folder: Path) -> tuple[int, int]:
    """How many texts there are, and the operations of all products of their tokens with weights."""
    config = json.loads((folder / "model" / "config.json").read_text())
    rows = read_rows(folder)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    per_token = config["num_hidden_layers"] * 2 * (4 * hidden * hidden + 2 * hidden * inner)
    return len(rows), per_token * sum(len(row) for row in rows)


def write_model(folder: Path, options: dict[str, Any]) -> None:
    """A context encoder with random weights for every engine, and the case's options; see `write`."""
    from dpr_tf import TFDPRContextEncoder

    model = write(TFDPRContextEncoder, "context_encoder", folder / "model", options)
    model.save_pretrained(folder / "model_tf", safe_serialization=False)
    model.export(folder / "saved_model")


def write_question_encoder(folder: Path, options: dict[str, Any]) -> None:
    """A question encoder with random weights, and the case's options; see `write`."""
    from dpr_tf import TFDPRQuestionEncoder

    write(TFDPRQuestionEncoder, "question_encoder", folder / "question_model", options)


def write_reader(folder: Path, options: dict[str, Any]) -> None:
    """A reader with random weights, and the case's options; see `write`."""
    from dpr_tf import TFDPRReader

    write(TFDPRReader, "reader", folder / "reader", options)


def write(cls: Any, role: str, folder: Path, options: dict[str, Any]) -> Any:
    """Makes a model of BERT-base's sizes, or the options', in its folder; with the sample's tokenizer, or one
    of the words in the option `vocab`, a vocab.txt.
    """
    import keras

    from dpr_tf import DPRConfig, sample_folder
    from dpr_tf.checkpoints import load_checkpoint

    keras.utils.set_random_seed(1)
    sizes = {name: options[name] for name in ("hidden_size", "vocab_size") if name in options}
    model = cls(DPRConfig(num_hidden_layers=options["layers"], **sizes))
    model.save_pretrained(folder)
    tokenizer = load_checkpoint(role, str(sample_folder()), role)[1]
    if vocab := options.get("vocab"):
        tokenizer = type(tokenizer)(vocab_file=vocab)
    tokenizer.save_pretrained(folder)
    (folder.parent / "options.json").write_text(json.dumps(options))
    return model

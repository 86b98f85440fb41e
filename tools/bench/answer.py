"""A question answered end to end: BERT-base encoder and reader, 20 of the bundled sample's passages read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np

UNIT = "questions"
OPTIONS = {"layers": 12, "questions": 3, "k": 20}


def timed(answer: Callable[[str], Any], folder: Path) -> Callable[[], dict[str, Any]]:
    """Answers all questions, one at a time."""
    questions = json.loads((folder / "questions.json").read_text())

    def run() -> dict[str, Any]:
        seconds = []
        for question in questions:
            start = time.perf_counter()
            answer(question)
            seconds.append(time.perf_counter() - start)
        return {"items": len(questions), "seconds": seconds}

    return run


def ours(folder: Path) -> Callable[[], dict[str, Any]]:
    """`Retriever` and `Reader`."""
    from dpr_tf import QuestionAnswering, read_passages
    from dpr_tf.checkpoints import load_checkpoint
    from dpr_tf.reading import Reader
    from dpr_tf.retrieval import Retriever
    from dpr_tf.retrieval.indexes import ExactIndex

    vectors = np.load(folder / "vectors.npy")
    index = ExactIndex(vectors.shape[1])
    index.add(vectors)
    passages = list(read_passages(folder / "passages.tsv"))
    retriever = Retriever(
        *load_checkpoint("question_encoder", str(folder / "question_model")), index, passages
    )
    system = QuestionAnswering(retriever, Reader(*load_checkpoint("reader", str(folder / "reader"))))
    k = engines.read_options(folder)["k"]
    return timed(lambda question: system.answer(question, k=k), folder)


def transformers5(folder: Path) -> Callable[[], dict[str, Any]]:
    """Transformers v5 on PyTorch, FAISS, and the reader's own decoding, as its documentation shows them."""
    import faiss
    import torch
    from transformers import (
        DPRQuestionEncoder,
        DPRQuestionEncoderTokenizerFast,
        DPRReader,
        DPRReaderTokenizerFast,
    )

    vectors = np.load(folder / "vectors.npy")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    lines = (folder / "passages.tsv").read_text().splitlines()[1:]
    passages = [line.split("\t") for line in lines]
    encoder = DPRQuestionEncoder.from_pretrained(folder / "question_model").eval()
    encoder_tokenizer = DPRQuestionEncoderTokenizerFast.from_pretrained(folder / "question_model")
    reader = DPRReader.from_pretrained(folder / "reader").eval()
    reader_tokenizer = DPRReaderTokenizerFast.from_pretrained(folder / "reader")
    k = engines.read_options(folder)["k"]

    def answer(question: str) -> Any:
        with torch.inference_mode():
            inputs = encoder_tokenizer(question, return_tensors="pt")
            vector = encoder(**inputs).pooler_output.numpy()
            found = [passages[row] for row in index.search(vector, k)[1][0]]
            rows = reader_tokenizer(
                questions=[question] * k,
                titles=[title for _, _, title in found],
                texts=[text for _, text, _ in found],
                padding=True,
                truncation=True,
                max_length=350,
                return_tensors="pt",
            )
            output = reader(**rows)
            return reader_tokenizer.decode_best_spans(rows, output, num_spans=1, max_answer_length=10)

    return timed(answer, folder)


ENGINES = {"dpr_tf": ("ours", ours), "transformers5": ("peers", transformers5)}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes question encoder, reader, passages and random vectors for them."""
    from dpr_tf import read_passages, sample_folder
    from dpr_tf.data import read_questions

    engines.write_question_encoder(folder, options)
    engines.write_reader(folder, options)
    source = sample_folder() / "passages.tsv"
    (folder / "passages.tsv").write_bytes(source.read_bytes())
    count = sum(1 for _ in read_passages(source))
    np.save(folder / "vectors.npy", np.random.default_rng(1).standard_normal((count, 768), np.float32))
    questions = [question.text for question in read_questions(sample_folder() / "questions.tsv")]
    (folder / "questions.json").write_text(json.dumps(questions[: options["questions"]]))

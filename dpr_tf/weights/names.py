"""The name table: every weight of DPR under its Keras path, its PyTorch key and its TensorFlow v4.34 name.

Data and the few functions that expand it. This module reads no file and knows no array. Foreign names stand
here once, and are used in both directions: loading walks the rows forwards, export walks them backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

COPY = "copy"
TRANSPOSE = "transpose"


class Row(NamedTuple):
    """One weight under its three names.

    Attributes:
        keras: path of the Keras variable without the model's own name.
        torch: key in a Hugging Face PyTorch `state_dict`.
        tf: name in Hugging Face's TensorFlow files, without the model's scope, with the trailing ":0".
        op: "copy" or "transpose": what turns the PyTorch array into the Keras one (and back).
            The TensorFlow arrays always have the Keras layout.
        axes: for each axis of the Keras array the config.json field (or the number) that sizes it.
    """

    keras: str
    torch: str
    tf: str
    op: str
    axes: tuple[str, ...]


def _row(keras: str, torch: str, op: str, *axes: str, tf: str | None = None) -> Row:
    """A row whose TensorFlow name is, unless given, PyTorch's modules and Keras's last element."""
    if tf is None:
        tf = "/".join([*torch.split(".")[:-1], keras.rsplit("/", 1)[1]])
    return Row(keras, torch, tf, op, axes)


_H, _I, _P = "hidden_size", "intermediate_size", "projection_dim"

# Keras path, PyTorch key, op, axes; relative to the BERT inside an encoder.
EMBEDDING_ROWS = (
    _row(
        "embeddings/word_embeddings/embeddings",
        "embeddings.word_embeddings.weight",
        COPY,
        *("vocab_size", _H),
        tf="embeddings/word_embeddings/weight",
    ),
    _row(
        "embeddings/token_type_embeddings/embeddings",
        "embeddings.token_type_embeddings.weight",
        COPY,
        *("type_vocab_size", _H),
    ),
    _row(
        "embeddings/position_embeddings/embeddings",
        "embeddings.position_embeddings.weight",
        COPY,
        *("max_position_embeddings", _H),
    ),
    _row("embeddings/LayerNorm/gamma", "embeddings.LayerNorm.weight", COPY, _H),
    _row("embeddings/LayerNorm/beta", "embeddings.LayerNorm.bias", COPY, _H),
)

# The same, relative to block {n}.
BLOCK_ROWS = (
    _row("attention/query/kernel", "attention.self.query.weight", TRANSPOSE, _H, _H),
    _row("attention/query/bias", "attention.self.query.bias", COPY, _H),
    _row("attention/key/kernel", "attention.self.key.weight", TRANSPOSE, _H, _H),
    _row("attention/key/bias", "attention.self.key.bias", COPY, _H),
    _row("attention/value/kernel", "attention.self.value.weight", TRANSPOSE, _H, _H),
    _row("attention/value/bias", "attention.self.value.bias", COPY, _H),
    _row("attention/output/kernel", "attention.output.dense.weight", TRANSPOSE, _H, _H),
    _row("attention/output/bias", "attention.output.dense.bias", COPY, _H),
    _row("attention/LayerNorm/gamma", "attention.output.LayerNorm.weight", COPY, _H),
    _row("attention/LayerNorm/beta", "attention.output.LayerNorm.bias", COPY, _H),
    _row("intermediate/kernel", "intermediate.dense.weight", TRANSPOSE, _H, _I),
    _row("intermediate/bias", "intermediate.dense.bias", COPY, _I),
    _row("output/kernel", "output.dense.weight", TRANSPOSE, _I, _H),
    _row("output/bias", "output.dense.bias", COPY, _H),
    _row("LayerNorm/gamma", "output.LayerNorm.weight", COPY, _H),
    _row("LayerNorm/beta", "output.LayerNorm.bias", COPY, _H),
)

# v4.34's TensorFlow models had no relative positions, so the TensorFlow name of this row is ours.
RELATIVE_ROWS = (
    _row(
        "attention/distance_embedding/embeddings",
        "attention.self.distance_embedding.weight",
        COPY,
        *("2 * max_position_embeddings - 1", "hidden_size / num_attention_heads"),
    ),
)

# Relative to the encoder.
PROJECTION_ROWS = (
    _row("encode_proj/kernel", "encode_proj.weight", TRANSPOSE, _H, _P),
    _row("encode_proj/bias", "encode_proj.bias", COPY, _P),
)

# Relative to the reader.
READER_ROWS = (
    _row("qa_outputs/kernel", "qa_outputs.weight", TRANSPOSE, _H, "2"),
    _row("qa_outputs/bias", "qa_outputs.bias", COPY, "2"),
    _row("qa_classifier/kernel", "qa_classifier.weight", TRANSPOSE, _H, "1"),
    _row("qa_classifier/bias", "qa_classifier.bias", COPY, "1"),
)

# Fronts that the rows above are joined to.
BERT = Row("bert_model/", "bert_model.", "bert_model/", COPY, ())
BLOCK = Row("encoder/layer_{n}/", "encoder.layer.{n}.", "encoder/layer_._{n}/", COPY, ())

# Per head: what its encoder is called, the scope of v4.34's TensorFlow class, the class to name in errors.
ENCODER = {
    "ctx_encoder": Row("ctx_encoder/", "ctx_encoder.", "ctx_encoder/", COPY, ()),
    "question_encoder": Row("question_encoder/", "question_encoder.", "question_encoder/", COPY, ()),
    "reader": Row("span_predictor/encoder/", "span_predictor.encoder.", "span_predictor/encoder/", COPY, ()),
}
READER = Row("span_predictor/", "span_predictor.", "span_predictor/", COPY, ())
TF_SCOPE = {
    "ctx_encoder": "tfdpr_context_encoder",
    "question_encoder": "tfdpr_question_encoder",
    "reader": "tfdpr_reader",
}
CLASS_NAME = {
    "ctx_encoder": "TFDPRContextEncoder",
    "question_encoder": "TFDPRQuestionEncoder",
    "reader": "TFDPRReader",
}


class Prefix(NamedTuple):
    """How one dialect begins its names.

    Attributes:
        start: what the name begins with.
        role: "ctx_encoder", "question_encoder", "reader", "encoder" (either of the two) or "bert".
        part: what replaces `start`, so that a weight has the same part in every dialect and role.
        dialect: what to call it in reports.
    """

    start: str
    role: str
    part: str
    dialect: str


_HF, _INNER, _BERT = "Hugging Face PyTorch", "Hugging Face PyTorch without prefix", "BERT"
ORIGINAL = "facebookresearch/DPR"  # its files may hold both encoders

# The longest `start` that fits decides; nothing is tried out.
TORCH_PREFIXES = (
    Prefix("ctx_encoder.", "ctx_encoder", "", _HF),
    Prefix("question_encoder.", "question_encoder", "", _HF),
    Prefix("span_predictor.encoder.", "reader", "", _HF),
    Prefix("span_predictor.", "reader", "", _HF),
    Prefix("bert_model.", "encoder", "bert_model.", _INNER),
    Prefix("encode_proj.", "encoder", "encode_proj.", _INNER),
    Prefix("encoder.bert_model.", "reader", "bert_model.", _INNER),
    Prefix("encoder.encode_proj.", "reader", "encode_proj.", _INNER),
    Prefix("qa_outputs.", "reader", "qa_outputs.", _INNER),
    Prefix("qa_classifier.", "reader", "qa_classifier.", _INNER),
    Prefix("ctx_model.", "ctx_encoder", "bert_model.", ORIGINAL),
    Prefix("ctx_model.encode_proj.", "ctx_encoder", "encode_proj.", ORIGINAL),
    Prefix("question_model.", "question_encoder", "bert_model.", ORIGINAL),
    Prefix("question_model.encode_proj.", "question_encoder", "encode_proj.", ORIGINAL),
    Prefix("encoder.embeddings.", "reader", "bert_model.embeddings.", ORIGINAL),
    Prefix("encoder.encoder.", "reader", "bert_model.encoder.", ORIGINAL),
    Prefix("encoder.pooler.", "reader", "bert_model.pooler.", ORIGINAL),
    Prefix("bert.", "bert", "bert_model.", _BERT),
    Prefix("embeddings.", "bert", "bert_model.embeddings.", _BERT),
    Prefix("encoder.layer.", "bert", "bert_model.encoder.layer.", _BERT),
    Prefix("pooler.", "bert", "bert_model.pooler.", _BERT),
    Prefix("cls.", "bert", "cls.", _BERT),
    Prefix("classifier.", "bert", "classifier.", _BERT),
)

_HF_TF = "Hugging Face TensorFlow"
TF_PREFIXES = (
    Prefix("ctx_encoder/", "ctx_encoder", "", _HF_TF),
    Prefix("question_encoder/", "question_encoder", "", _HF_TF),
    Prefix("span_predictor/encoder/", "reader", "", _HF_TF),
    Prefix("span_predictor/", "reader", "", _HF_TF),
    Prefix("bert/", "bert", "bert_model/", _BERT),
    Prefix("mlm___cls/", "bert", "cls/", _BERT),
    Prefix("nsp___cls/", "bert", "cls/", _BERT),
)

# Old spellings of a part's end.
TORCH_ALIASES = {".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"}
TF_ALIASES = {"/word_embeddings/embeddings": "/word_embeddings/weight"}

# Left in front of every key by PyTorch's data-parallel wrappers.
TORCH_WRAPPER = "module."

# Parts (dots for slashes) that are never loaded, and why.
IGNORED = {
    r"bert_model\.pooler\..*": "DPR takes the [CLS] state itself, without BERT's pooler",
    r"bert_model\.embeddings\.position_ids": "a constant, 0 to max_position_embeddings - 1",
    r"bert_model\.embeddings\.token_type_ids": "a constant, all zero",
    r"cls\..*": "the heads of BERT's pre-training",
    r"classifier\..*": "a classifier's head",
}


class Name(NamedTuple):
    """A checkpoint's key, recognised: the weight's name inside its role, the role, and the dialect."""

    part: str
    role: str
    dialect: str


def _join(front: Row, row: Row) -> Row:
    return Row(front.keras + row.keras, front.torch + row.torch, front.tf + row.tf, row.op, row.axes)


def _numbered(front: Row, n: int) -> Row:
    return front._replace(
        keras=front.keras.format(n=n), torch=front.torch.format(n=n), tf=front.tf.format(n=n)
    )


def part_rows(config: Any, head: str) -> list[Row]:
    """Lists the rows of a head relative to its encoder (the reader's own heads: relative to the reader).

    Args:
        config: has `num_hidden_layers`, and may have `projection_dim` and `position_embedding_type`.
        head: "ctx_encoder", "question_encoder" or "reader".

    Returns:
        Rows in the order in which v4.34's TensorFlow models list their weights.
    """
    relative = getattr(config, "position_embedding_type", "absolute") in (
        "relative_key",
        "relative_key_query",
    )
    block = BLOCK_ROWS + (RELATIVE_ROWS if relative else ())
    bert = list(EMBEDDING_ROWS)
    for n in range(config.num_hidden_layers):
        bert += [_join(_numbered(BLOCK, n), row) for row in block]
    found = [_join(BERT, row) for row in bert]
    if (getattr(config, "projection_dim", 0) or 0) > 0:
        found += PROJECTION_ROWS
    return found + list(READER_ROWS if head == "reader" else ())


def rows(config: Any, head: str) -> list[Row]:
    """Lists every weight of a model under its full Keras, PyTorch and TensorFlow names.

    Args:
        config: has `num_hidden_layers`, and may have `projection_dim` and `position_embedding_type`.
        head: "ctx_encoder", "question_encoder" or "reader".

    Returns:
        One row per weight, in the order in which v4.34's TensorFlow models list their weights.

    Raises:
        KeyError: if `head` is none of the three.
    """
    encoder = ENCODER[head]
    found = []
    for row in part_rows(config, head):
        full = _join(READER if row in READER_ROWS else encoder, row)
        found.append(full._replace(tf=full.tf + ":0"))
    return found


def head_of(table: Iterable[Row]) -> str:
    """Says which head a list of full rows belongs to: "ctx_encoder", "question_encoder" or "reader"."""
    first = next(iter(table)).keras.split("/", 1)[0]
    return "reader" if first == "span_predictor" else first


def row_part(row: Row, family: str) -> str:
    """The part of a full row, as `recognise` gives it for a key of this family ("pt" or "tf")."""
    name = row.torch if family == "pt" else row.tf.removesuffix(":0")
    found = _match(name, TORCH_PREFIXES if family == "pt" else TF_PREFIXES)
    return name if found is None else found.part


def recognise(keys: Iterable[str], family: str) -> dict[str, Name | None]:
    """Says for each key of a checkpoint which weight of which role it is.

    Args:
        keys: the names in the file.
        family: "pt" for names with dots, "tf" for names with slashes.

    Returns:
        {key: Name}, None for keys of no known dialect. A known part need not belong to any model.
    """
    keys = list(keys)
    if family == "tf":
        return {key: _tf_name(key) for key in keys}
    wrapped = bool(keys) and all(key.startswith(TORCH_WRAPPER) for key in keys)
    cut = len(TORCH_WRAPPER) if wrapped else 0
    return {key: _aliased(_match(key[cut:], TORCH_PREFIXES), TORCH_ALIASES) for key in keys}


def ignored_reason(part: str) -> str | None:
    """Why a part is never loaded, or None if it is not on the list of ignored ones."""
    dotted = part.replace("/", ".")
    return next((why for pattern, why in IGNORED.items() if re.fullmatch(pattern, dotted)), None)


def _tf_name(key: str) -> Name | None:
    name = key.removesuffix(":0")
    found = _match(name, TF_PREFIXES)
    if found is None and "/" in name:
        found = _match(name.split("/", 1)[1], TF_PREFIXES)  # older files begin with the model's scope
    return _aliased(found, TF_ALIASES)


def _match(name: str, prefixes: tuple[Prefix, ...]) -> Name | None:
    fits = [prefix for prefix in prefixes if name.startswith(prefix.start)]
    if not fits:
        return None
    best = max(fits, key=lambda prefix: len(prefix.start))
    return Name(best.part + name[len(best.start) :], best.role, best.dialect)


def _aliased(name: Name | None, aliases: dict[str, str]) -> Name | None:
    if name is None:
        return None
    for old, new in aliases.items():
        if name.part.endswith(old):
            return name._replace(part=name.part.removesuffix(old) + new)
    return name

"""What to tell someone whose checkpoint does not fit: role, sizes, the config.json fields behind it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from dpr_tf.weights import names
from dpr_tf.weights.arrays import Checkpoint
from dpr_tf.weights.names import Row

ROLE = {
    "ctx_encoder": "context encoder",
    "question_encoder": "question encoder",
    "reader": "reader",
    "encoder": "encoder",
    "bert": "plain BERT",
}

# A part whose shape (PyTorch's layout) tells a field of config.json: (pattern, axis, field).
_TELLING = (
    (r"word_embeddings", 0, "vocab_size"),
    (r"token_type_embeddings", 0, "type_vocab_size"),
    (r"position_embeddings", 0, "max_position_embeddings"),
    (r"word_embeddings", 1, "hidden_size"),
    (r"intermediate\.dense\.bias", 0, "intermediate_size"),
    (r"encode_proj\.bias", 0, "projection_dim"),
)


def sizes(checkpoint: Checkpoint) -> dict[str, int]:
    """The config.json fields that the shapes of a checkpoint tell (attention heads are not among them).

    Args:
        checkpoint: any that has a BERT in it.

    Returns:
        Those of vocab_size, type_vocab_size, max_position_embeddings, hidden_size, intermediate_size,
        num_hidden_layers and projection_dim that can be told; projection_dim is 0 if there is no projection.
    """
    found: dict[str, int] = {}
    blocks = set()
    for key, name in names.recognise(checkpoint, checkpoint.format).items():
        part = "" if name is None else name.part.replace("/", ".").replace("layer_._", "layer.")
        if block := re.search(r"encoder\.layer\.(\d+)\.", part):
            blocks.add(int(block[1]))
        for pattern, axis, size in _TELLING:
            shape = checkpoint[key].shape
            if re.search(pattern, part) and axis < len(shape):
                found[size] = shape[axis]
    if found:
        found |= {"num_hidden_layers": len(blocks), "projection_dim": found.get("projection_dim", 0)}
    return found


def roles(checkpoint: Checkpoint) -> list[str]:
    """The roles whose encoders are in a checkpoint, as `names.Prefix` has them; the largest first."""
    known = names.recognise(checkpoint, checkpoint.format).values()
    count = Counter(name.role for name in known if name and name.part.startswith("bert_model"))
    return [role for role, _ in count.most_common()]


def wrong_role(head: str, checkpoint: Checkpoint) -> str:
    """The error for a checkpoint in which no weight belongs to the model's role."""
    found = roles(checkpoint)
    mine = f"none of its weights belongs to a {ROLE[head]}. Nothing was loaded"
    if not found:
        return f"{checkpoint.path}: no DPR checkpoint: {mine}. It holds {_some(checkpoint)}"
    if found[0] == "bert":
        return (
            f"{checkpoint.path}: this is a plain BERT checkpoint, {mine}. "
            f"Use {names.CLASS_NAME[head]}.init_from_bert to start from it"
        )
    if found[0] == "encoder":
        found = ["ctx_encoder", "question_encoder"]
    kind = "bi-encoder" if len(found) > 1 else ROLE[found[0]]
    classes = " or ".join(names.CLASS_NAME[role] for role in found if role in names.CLASS_NAME)
    remedy = f"use {classes}, or give a checkpoint of a {ROLE[head]}"
    return f"{checkpoint.path}: this is a {kind} checkpoint: {remedy}; {mine}"


def no_bert(checkpoint: Checkpoint) -> str:
    """The error for a checkpoint in which no BERT is found."""
    return (
        f"{checkpoint.path}: no BERT in it, nothing was loaded. Names such as "
        f"bert.embeddings.word_embeddings.weight or embeddings.word_embeddings.weight expected; it holds "
        f"{_some(checkpoint)}"
    )


def does_not_fit(
    checkpoint: Checkpoint,
    missing: Iterable[str],
    mismatched: Iterable[tuple[str, tuple[int, ...], tuple[int, ...], tuple[str, ...]]],
    not_float: Mapping[str, str],
) -> str:
    """The error that lists all that is wrong with a checkpoint of the right role.

    Args:
        checkpoint: the checkpoint.
        missing: names of weights that it does not hold.
        mismatched: (name, shape in the checkpoint, shape expected there, what sizes each axis).
        not_float: {name: dtype} of weights that are not of floating point.
    """
    missing, mismatched = sorted(missing), sorted(mismatched)
    parts = [f"{checkpoint.path} does not fit the model; nothing was loaded."]
    if missing:
        parts.append(_section("missing", missing))
        parts += _why_missing(missing, checkpoint)
    if mismatched:
        lines = [
            f"{key}: checkpoint {got}, model {want}{_fields(got, want, axes)}"
            for key, got, want, axes in mismatched
        ]
        parts.append(_section("of another shape", lines))
        if all("qa_" in key for key, *_ in mismatched):
            parts.append("A reader's heads read hidden states; heads made for projected ones run nowhere.")
        parts.append(
            "config.json belongs to other weights, or was changed; ignore_mismatched_sizes=True leaves "
            "these at their initial values."
        )
    if not_float:
        lines = [f"{key}: {dtype}" for key, dtype in sorted(not_float.items())]
        parts.append(_section("not of floating point", lines))
        parts.append("Quantised or damaged weights cannot be used; save them again as float32 or float16.")
    return "\n".join(parts)


def file_shape(row: Row, shape: Iterable[int], family: str) -> tuple[int, ...]:
    """The shape that a variable of this shape has in a checkpoint of this family ("pt" or "tf")."""
    shape = tuple(int(size) for size in shape)
    return shape[::-1] if family == "pt" and row.op == names.TRANSPOSE else shape


def file_axes(row: Row, family: str) -> tuple[str, ...]:
    """What sizes each axis of a row's array in a checkpoint of this family."""
    return row.axes[::-1] if family == "pt" and row.op == names.TRANSPOSE else row.axes


def _section(what: str, lines: list[str]) -> str:
    return f"{len(lines)} {'weight is' if len(lines) == 1 else 'weights are'} {what}:\n  " + "\n  ".join(
        lines
    )


def _fields(got: tuple[int, ...], want: tuple[int, ...], axes: tuple[str, ...]) -> str:
    if len(got) != len(want):
        return ""
    if got == want[::-1]:
        return "; it is stored transposed"
    pairs = zip(axes, got, want, strict=True)
    odd = [f"{axis} in config.json is {n}, here {m}" for axis, m, n in pairs if m != n and not axis.isdigit()]
    return "; " + ", ".join(odd) if odd else ""


def _why_missing(missing: list[str], checkpoint: Checkpoint) -> list[str]:
    blocks = sizes(checkpoint).get("num_hidden_layers", 0)
    absent = [int(found[1]) for key in missing if (found := re.search(r"\blayer(?:\.|_\._)(\d+)\b", key))]
    if len(absent) == len(missing) and min(absent) >= blocks > 0:
        return [
            f"num_hidden_layers in config.json asks for more than the {blocks} blocks of this checkpoint."
        ]
    if all("encode_proj" in key for key in missing):
        return ["It has no projection: projection_dim in config.json should be 0."]
    if all("distance_embedding" in key for key in missing):
        return ["It has no relative positions: position_embedding_type in config.json should be 'absolute'."]
    return ["The file is incomplete, or names these weights differently."]


def _some(checkpoint: Checkpoint) -> str:
    return f"{len(checkpoint)} weights, e.g. {', '.join(list(checkpoint)[:3])}"

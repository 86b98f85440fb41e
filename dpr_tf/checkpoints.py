"""Checkpoints by role: loaded with their tokenizers, converted to Hugging Face's layout, exported.

Nothing here imports TensorFlow before a model is made, so that a mistake in a name shows at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dpr_tf import hub
from dpr_tf.config import CONFIG_NAME, DPRConfig
from dpr_tf.models import sources
from dpr_tf.weights import files, remedies

ROLES = ("context_encoder", "question_encoder", "reader")

_ROLE_OF_HEAD = {"ctx_encoder": "context_encoder", "question_encoder": "question_encoder", "reader": "reader"}
_ROLE_OF_CLASS = {
    "DPRContextEncoder": "context_encoder",
    "DPRQuestionEncoder": "question_encoder",
    "DPRReader": "reader",
}
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")


def classes(role: str) -> tuple[Any, Any]:
    """The model class of a role, and its tokenizer class.

    Raises:
        ValueError: if there is no such role.
    """
    if role not in ROLES:
        raise ValueError(f"role={role!r}: expected one of {', '.join(ROLES)}")
    from dpr_tf import tokenizers
    from dpr_tf.models import dpr

    return {
        "context_encoder": (dpr.TFDPRContextEncoder, tokenizers.DPRContextEncoderTokenizerFast),
        "question_encoder": (dpr.TFDPRQuestionEncoder, tokenizers.DPRQuestionEncoderTokenizerFast),
        "reader": (dpr.TFDPRReader, tokenizers.DPRReaderTokenizerFast),
    }[role]


def load_checkpoint(
    role: str, name: str | os.PathLike[str], subfolder: str = "", precision: str | None = None
) -> tuple[Any, Any]:
    """Loads a model and its tokenizer.

    Args:
        role: one of `ROLES`.
        name: a folder or a Hub id.
        subfolder: folder inside it.
        precision: "float32", "bfloat16" or "int8" (products with weights, for inference on a processor);
            default: Keras's own dtype.

    Raises:
        OSError: if the checkpoint or its tokenizer cannot be found or read.
        ValueError: if it is of another role, or its tokenizer knows more tokens than the model, or this
            machine cannot compute in int8.
    """
    model_class, tokenizer_class = classes(role)
    dtype = "float32" if precision == "int8" else precision
    model = model_class.from_pretrained(name, subfolder=subfolder, from_pt=True, dtype=dtype)
    if precision == "int8":
        from dpr_tf.models.int8 import to_int8

        to_int8(model)
    tokenizer = tokenizer_class.from_pretrained(name, subfolder=subfolder)
    _check_vocabulary(role, name, tokenizer, model)
    return model, tokenizer


def check_precision(precision: str, allowed: tuple[str, ...] = ("float32", "bfloat16")) -> None:
    """Refuses precisions that a recipe does not compute in.

    Raises:
        ValueError: for another one, or for int8 on a machine that cannot compute in it.
    """
    if precision not in allowed:
        raise ValueError(f"precision={precision!r}: expected {' or '.join(map(repr, allowed))}")
    if precision == "int8":
        from dpr_tf.models.int8 import check_int8

        check_int8()


def load_to_train(
    role: str, name: str | os.PathLike[str], *, dtype: str | None = None, **config: Any
) -> tuple[Any, Any]:
    """Loads a model to train, and its tokenizer: a checkpoint of the role, or plain BERT.

    What BERT lacks, as the reader's heads or a projection, starts fresh and is logged.

    Args:
        role: one of `ROLES`.
        name: a folder or a Hub id.
        dtype: Keras's dtype or precision policy, such as "mixed_bfloat16"; default: Keras's own.
        **config: configuration fields to override.

    Raises:
        OSError: if the checkpoint or its tokenizer cannot be found or read.
        ValueError: if it is of another role, or its tokenizer knows more tokens than the model.
    """
    model_class, tokenizer_class = classes(role)
    path = sources.find_weights(name, files.WEIGHT_FILES[True], {})
    plain = remedies.roles(files.read_checkpoint(path)) == ["bert"]
    load = model_class.init_from_bert if plain else model_class.from_pretrained
    model = load(name, from_pt=True, dtype=dtype, **config)
    tokenizer = tokenizer_class.from_pretrained(name)
    _check_vocabulary(role, name, tokenizer, model)
    return model, tokenizer


def recognise_role(name: str | os.PathLike[str]) -> str:
    """Says which of the three roles a checkpoint has, by the names of its weights.

    Args:
        name: a folder, a weights file or a Hub id.

    Returns:
        One of `ROLES`.

    Raises:
        OSError: if there is no checkpoint, or it is damaged.
        ValueError: if it has no role, as plain BERT, or two, as the original DPR's files of both encoders.
    """
    path = sources.find_weights(name, files.WEIGHT_FILES[True], {})
    found = remedies.roles(files.read_checkpoint(path))
    # Without a prefix in the names, only the configuration tells the encoders apart.
    known = _configured_roles(name) if found == ["encoder"] else [_ROLE_OF_HEAD.get(head) for head in found]
    if len(known) == 1 and known[0] is not None:
        return known[0]
    if found in ([], ["bert"]):
        held = "plain BERT, which has to be trained first" if found else "no DPR model"
        raise ValueError(f"{path} holds {held}: it has none of the roles {', '.join(ROLES)}")
    held = "an encoder of one of them" if found == ["encoder"] else "more than one model"
    raise ValueError(f"{path} holds {held}: choose the role, {' or '.join(ROLES)}")


class Converted(NamedTuple):
    """What was written.

    Attributes:
        role: one of `ROLES`.
        parameters: how many numbers the model has.
        dtype: of the weights.
        has_tokenizer: whether the tokenizer's files were written too.
    """

    role: str
    parameters: int
    dtype: str
    has_tokenizer: bool

    def __str__(self) -> str:
        tokenizer = "with its tokenizer" if self.has_tokenizer else "without a tokenizer: none was found"
        return f"{self.role}, {self.parameters:,} parameters in {self.dtype}, {tokenizer}"


def convert(
    source: str,
    output: str,
    *,
    role: Literal["context_encoder", "question_encoder", "reader"] | None = None,
    format: Literal["safetensors", "h5"] = "safetensors",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    tokenizer: str | None = None,
) -> Converted:
    """Rewrites a checkpoint of any format in Hugging Face's layout.

    Args:
        source: a folder, weights file or Hub id: safetensors, PyTorch's .bin, TensorFlow's .h5, shards of
            each, or the original DPR's .cp.
        output: the folder to write: config.json, the weights and the tokenizer's files. It appears when it is
            complete; must not hold anything before.
        role: which model to take. Default: what the names of the weights say; the original DPR's files of
            both encoders need it.
        format: "safetensors" writes model.safetensors, in PyTorch's layout; "h5" writes tf_model.h5.
        dtype: of the weights; h5 holds bfloat16 as float32.
        tokenizer: a folder or Hub id to take the tokenizer from, for the original DPR's files
            "bert-base-uncased". Default: the source's own, if it has one.

    Raises:
        OSError: if there is no such checkpoint or tokenizer, one is damaged, or output is not empty.
        ValueError: if the role cannot be told or does not fit, or the tokenizer knows more tokens than the
            model.
    """
    with _written_folder(output) as folder:
        role_found = role or recognise_role(source)
        model_class, tokenizer_class = classes(role_found)
        place = _tokenizer_place(source, tokenizer)
        model = model_class.from_pretrained(source, from_pt=True, dtype=dtype)
        if place is not None:
            loaded = tokenizer_class.from_pretrained(place)
            _check_vocabulary(role_found, place, loaded, model)
            loaded.save_pretrained(folder)
        model.save_pretrained(folder, safe_serialization=format == "safetensors")
    return Converted(role_found, model.count_params(), dtype, place is not None)


class Exported(NamedTuple):
    """What was written.

    Attributes:
        role: one of `ROLES`.
    """

    role: str

    def __str__(self) -> str:
        return f"SavedModel of a {self.role}, signatures serving_default and int64_serving"


def export(
    checkpoint: str,
    output: str,
    *,
    role: Literal["context_encoder", "question_encoder", "reader"] | None = None,
) -> Exported:
    """Writes a checkpoint as a TensorFlow SavedModel, for TensorFlow Serving, C++ programs and OpenVINO.

    Args:
        checkpoint: a folder, weights file or Hub id, of any format.
        output: the folder to write, for TensorFlow Serving MODEL/VERSION; a SavedModel in it is replaced when
            the new one is complete.
        role: which model to take. Default: what the names of the weights say.

    Raises:
        OSError: if there is no such checkpoint, it is damaged, or output holds something else.
        ValueError: if the role cannot be told or does not fit, or Keras runs on another backend than
            TensorFlow.
    """
    role_found = role or recognise_role(checkpoint)
    model = classes(role_found)[0].from_pretrained(checkpoint, from_pt=True)
    from dpr_tf.serving import export_saved_model

    export_saved_model(model, output)
    return Exported(role_found)


def _configured_roles(name: str | os.PathLike[str]) -> list[str | None]:
    """The roles of the classes that the configuration beside a checkpoint names."""
    folder = Path(name).parent if Path(name).is_file() else name
    if hub.find_file(folder, (CONFIG_NAME,)) is None:
        return []
    architectures = DPRConfig.from_pretrained(folder).architectures or ()
    return [_ROLE_OF_CLASS.get(architecture.removeprefix("TF")) for architecture in architectures]


def _tokenizer_place(source: str, tokenizer: str | None) -> str | os.PathLike[str] | None:
    """The folder or Hub id of the tokenizer; None if none was asked for and the source has none."""
    if tokenizer is not None:
        hub.require_file(tokenizer, _TOKENIZER_FILES)
        return tokenizer
    place = Path(source).parent if Path(source).is_file() else source
    return None if hub.find_file(place, _TOKENIZER_FILES) is None else place


def _check_vocabulary(role: str, name: str | os.PathLike[str], tokenizer: Any, model: Any) -> None:
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"{role} {os.fspath(name)}: the tokenizer has {len(tokenizer)} tokens, the model "
            f"{model.config.vocab_size}; put the vocab.txt that the model was trained with beside it"
        )


@contextlib.contextmanager
def _written_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to write to, which gets its name when the block has ended without an error."""
    target = Path(path).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{path} exists and is not an empty folder; name a new folder")
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    aside.mkdir(parents=True)
    try:
        yield aside
        if target.is_dir():
            target.rmdir()
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)

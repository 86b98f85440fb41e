"""SavedModel export: a DPR model as TF Serving, a C++ program or OpenVINO loads it.

The signatures and their names are those of Transformers v4.34. This module knows a model's configuration,
weights and call; it knows neither checkpoints nor text.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

Signatures = Mapping[str, Callable[..., Any]] | Callable[..., Any]


def export_saved_model(model: Any, path: str | os.PathLike, *, signatures: Signatures | None = None) -> Path:
    """Writes `model` as a TensorFlow SavedModel.

    The folder is written beside `path` and renamed when complete, so that a server watching the parent never
    loads half a model and a failed export leaves an earlier one as it was. The model itself is not changed.

    Args:
        model: a TFDPRContextEncoder, TFDPRQuestionEncoder or TFDPRReader, of any dtype policy.
        path: local folder to write, for TF Serving `<model name>/<version>`. A SavedModel that is there is
            replaced.
        signatures: `tf.function`s by signature name, or one, which becomes "serving_default"; they may use no
            variables but the model's. Default: `serving_signatures(model)`.

    Returns:
        The folder written.

    Raises:
        ValueError: if Keras runs on another backend than TensorFlow, or `path` is a URL.
        FileExistsError: if `path` is a file, or a folder that holds something else than a SavedModel.
    """
    target = _check_target(path)
    module = tf.Module()
    # By name, so that tf.train.list_variables shows the weights' paths.
    module.weights = {weight.path: weight.value for weight in model.weights}
    if signatures is None:
        signatures = serving_signatures(model)
    # A hidden folder next to the target: on the same file system, and TF Serving looks at numbers only.
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir(parents=True)
    try:
        tf.saved_model.save(module, str(aside / "new"), signatures=signatures)
        _replace(target, aside / "new", aside / "old")
    finally:
        shutil.rmtree(aside)
    return target


def serving_signatures(model: Any) -> dict[str, Callable[..., Any]]:
    """The signatures that TF Serving offers.

    Args:
        model: as for `export_saved_model`.

    Returns:
        "serving_default", which takes int32 [batch, tokens], and "int64_serving", which takes int64, by name:
        input_ids, attention_mask and, for encoders, token_type_ids. All are required. Both return what
        `serving_output` gives.
    """
    names = list(model.input_signature)

    def signature(dtype: tf.DType) -> dict[str, tf.TensorSpec]:
        return {name: tf.TensorSpec((None, None), dtype, name=name) for name in names}

    @tf.function(autograph=False)
    def serving_default(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        # A configuration with return_dict=False must not take the names away.
        return serving_output(model, model(inputs, return_dict=True, training=False))

    @tf.function(autograph=False)
    def int64_serving(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return serving_default(**{name: tf.cast(value, tf.int32) for name, value in inputs.items()})

    return {
        "serving_default": serving_default.get_concrete_function(**signature(tf.int32)),
        "int64_serving": int64_serving.get_concrete_function(**signature(tf.int64)),
    }


def serving_output(model: Any, output: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """An output record as tensors by name, as a signature must return it.

    Args:
        model: the model that computed `output`.
        output: output record.

    Returns:
        float32 tensors, whatever the dtype policy: clients that read JSON know no bfloat16. `hidden_states`
        is stacked to [layers + 1, batch, tokens, hidden] and `attentions` to [layers, batch, heads, tokens,
        tokens]; either is there only if `model.config` asks for it.
    """
    asked = {"hidden_states": model.config.output_hidden_states, "attentions": model.config.output_attentions}
    return {
        name: tf.cast(tf.stack(value) if name in asked else value, tf.float32)
        for name, value in output.items()
        if asked.get(name, True)
    }


def _check_target(path: str | os.PathLike) -> Path:
    """`path` if a SavedModel may be written there."""
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"A SavedModel is exported on Keras's TensorFlow backend, this is {backend!r}: save_pretrained "
            "here, then from_pretrained and export in a process with KERAS_BACKEND=tensorflow."
        )
    if "://" in str(path):
        raise ValueError(f"path must be a local folder, got {str(path)!r}: export to one and copy it there.")
    target = Path(path).absolute()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file: name a folder to write the SavedModel to.")
    if target.is_dir() and any(target.iterdir()) and not (target / "saved_model.pb").is_file():
        held = sorted(entry.name for entry in target.iterdir())[:5]
        raise FileExistsError(f"{target} holds {held} and is no SavedModel: name a new folder.")
    return target


def _replace(target: Path, new: Path, old: Path) -> None:
    """Renames `new` to `target`; what was there goes to `old`, and comes back if that fails."""
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise

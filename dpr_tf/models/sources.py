"""Where a pretrained model comes from: its weights file and its configuration. Knows no framework."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from dpr_tf import hub
from dpr_tf.config import CONFIG_NAME, DPRConfig
from dpr_tf.weights import files, remedies
from dpr_tf.weights.arrays import Checkpoint

logger = logging.getLogger(__name__)


def find_weights(
    name_or_path: str | os.PathLike, candidates: Sequence[str], hub_arguments: dict[str, Any]
) -> Path:
    """Finds the weights of a model; the shards of a Hub model are downloaded with their index.

    Args:
        name_or_path: a weights file, a folder, or a Hub id.
        candidates: file names, the preferred one first.
        hub_arguments: of `hub.find_file`.

    Returns:
        The weights file, or the index of its shards.

    Raises:
        OSError: if there is none.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    found = hub.require_file(name_or_path, candidates, **hub_arguments)
    if found.suffix == ".json" and not path.is_dir():
        # Shards land in the cache beside their index.
        for name in files.shard_names(found):
            hub.require_file(name_or_path, (name,), **hub_arguments)
    return found


def configuration(
    config: DPRConfig | str | os.PathLike | None,
    name_or_path: str | os.PathLike,
    checkpoint: Checkpoint,
    hub_arguments: dict[str, Any],
    overrides: dict[str, Any],
) -> DPRConfig:
    """The configuration to build a model with: a new object.

    Args:
        config: a configuration, or where to read it; None: beside the weights.
        name_or_path: where the weights come from.
        checkpoint: the weights; their shapes tell the sizes if there is no configuration beside them.
        hub_arguments: of `hub.find_file`.
        overrides: fields to change.

    Raises:
        TypeError: if `overrides` holds what is no field, or comes together with a configuration.
        OSError: if there is no configuration.
    """
    if isinstance(config, DPRConfig):
        if overrides:
            raise TypeError(
                f"Keyword arguments not understood: {sorted(overrides)}. With config=, set them there."
            )
        return DPRConfig.from_dict(config.to_dict())
    source = name_or_path if config is None else config
    weights = Path(source)
    if weights.is_file() and weights.suffix != ".json" and not (weights.parent / CONFIG_NAME).is_file():
        found, unused = DPRConfig.from_dict(_told_by(checkpoint), return_unused_kwargs=True, **overrides)
    else:
        found, unused = DPRConfig.from_pretrained(
            source, return_unused_kwargs=True, **hub_arguments, **overrides
        )
    if unused:
        raise TypeError(f"Keyword arguments not understood: {sorted(unused)}.")
    found.name_or_path = os.fspath(name_or_path)
    return found


def asked_by(
    config: DPRConfig | str | os.PathLike | None,
    wanted: DPRConfig,
    name_or_path: str | os.PathLike,
    hub_arguments: dict[str, Any],
    overrides: dict[str, Any],
) -> Callable[[str], bool]:
    """Says of a Keras path whether a changed configuration newly asks for its weight.

    Args:
        config: as for `configuration`. A given one is compared with the checkpoint's own.
        wanted: what `configuration` made of it.
        name_or_path, hub_arguments, overrides: as for `configuration`.

    Returns:
        A function: True for a weight that may be absent, because it was overridden into being.
    """
    fields = {"projection_dim": 0, "position_embedding_type": "absolute"}  # without further weights
    changed = set(overrides)
    if config is not None:
        with contextlib.suppress(OSError):  # nothing to compare with
            own, _ = DPRConfig.get_config_dict(name_or_path, **hub_arguments)
            changed |= {name for name, plain in fields.items() if own.get(name, plain) == plain}
    new = {name for name, plain in fields.items() if name in changed and getattr(wanted, name) != plain}
    return lambda path: (
        ("/encode_proj/" in path and "projection_dim" in new)
        or ("/distance_embedding/" in path and "position_embedding_type" in new)
    )


def warn_of_other_weights(folder: Path, written: Iterable[Path]) -> None:
    """Names weights of an earlier save that `from_pretrained` would prefer to those just written."""
    names = {path.name for path in written}
    for candidates in files.WEIGHT_FILES.values():
        first = next(name for name in candidates if (folder / name).is_file())
        if first not in names:
            logger.warning(
                "%s also holds %s, which from_pretrained may read instead of %s: remove it if outdated.",
                *(folder, first, min(names)),
            )
            return


def _told_by(checkpoint: Checkpoint) -> dict[str, Any]:
    """Fields of a weights file without a configuration, as facebookresearch/DPR's: told by the shapes."""
    sizes = remedies.sizes(checkpoint)
    if "hidden_size" not in sizes:
        raise OSError(
            f"{checkpoint.path}: no {CONFIG_NAME} beside it, and no BERT in it to tell the sizes by."
        )
    return {**sizes, "num_attention_heads": max(1, sizes["hidden_size"] // 64)}

"""`from_pretrained`, `save_pretrained`, `push_to_hub` and `init_from_bert`.

The same few methods for all three models.

Joins models and weights: names and files come from `dpr_tf.weights`, where to find them from `dpr_tf.hub`.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from dpr_tf import hub
from dpr_tf.config import CONFIG_NAME, DPRConfig
from dpr_tf.models import sources, values
from dpr_tf.weights import convert, files, names

logger = logging.getLogger(__name__)

Loaded = Any  # a model, or (model, loading information)
PUSH_ARGUMENTS = ("repo_id", "commit_message", "private", "revision")  # that save_pretrained passes on


class PretrainedModel(keras.Model):
    """A Keras model that reads and writes checkpoints. Abstract.

    `dpr_tf.models.dpr` has the final classes.
    """

    config: DPRConfig
    head = ""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *model_args: Any,
        config: DPRConfig | str | os.PathLike | None = None,
        from_pt: bool = False,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Loaded:
        """Makes a model of a checkpoint: a local folder, a weights file, or a Hub id.

        Every format is read, whatever `from_pt` says: safetensors, `pytorch_model.bin`, `tf_model.h5`, shards
        of each, and facebookresearch/DPR's `.cp`; torch is not needed. Weights are read into the memory
        that the model then has them in.

        Args:
            pretrained_model_name_or_path: folder, file or Hub id.
            *model_args: further positional arguments of the class.
            config: a configuration, or where to read it; default: the checkpoint's own.
            from_pt: which file to prefer in a folder that has several: PyTorch's instead of TensorFlow's.
            output_loading_info: return (model, information) with the keys that were missing, unexpected or
                mismatched.
            ignore_mismatched_sizes: initialise weights of another shape than the checkpoint's, instead of
                refusing.
            dtype: Keras's dtype or precision policy, e.g. "bfloat16" or "mixed_bfloat16".
            **kwargs: Hub arguments (`revision`, `subfolder`, `token`, `cache_dir`, `local_files_only`,
                `force_download`), `name` and `trainable` of the Keras model, or configuration fields to
                override.

        Returns:
            The model, or (model, {"missing_keys", "unexpected_keys", "mismatched_keys"}).

        Raises:
            OSError: if nothing is there, or a file is damaged.
            ValueError: if weights are missing, of other shapes or of another role; the error lists all of
                them.
            TypeError: for a keyword that is neither an argument nor a configuration field.
        """
        model, report = cls._load(
            lambda slots, rows, checkpoint, asked: convert.load_into(
                slots,
                rows,
                checkpoint,
                ignore_mismatched_sizes=ignore_mismatched_sizes,
                may_initialise=asked,
            ),
            *(pretrained_model_name_or_path, model_args, config, from_pt, dtype, kwargs),
        )
        return (model, report.loading_info()) if output_loading_info else model

    @classmethod
    def init_from_bert(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        config: DPRConfig | str | os.PathLike | None = None,
        from_pt: bool = True,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        dtype: Any = None,
        **kwargs: Any,
    ) -> Loaded:
        """Starts a model from the BERT inside any checkpoint.

        What BERT lacks (projection, reader heads) starts fresh.

        Args:
            pretrained_model_name_or_path: folder, file or Hub id of a BERT model, with or without
                pre-training heads, or of any DPR model.
            config, from_pt, output_loading_info, ignore_mismatched_sizes, dtype, **kwargs: as in
            `from_pretrained`;
                `projection_dim=n` adds a projection.

        Returns:
            The model, or (model, information) with "initialised", the paths of the fresh weights, beside the
            usual keys.

        Raises:
            OSError: if nothing is there, or a file is damaged.
            ValueError: if the checkpoint has no BERT, or one with weights missing or of other shapes.
        """
        model, report = cls._load(
            lambda slots, rows, checkpoint, _: convert.load_bert(
                slots, rows, checkpoint, ignore_mismatched_sizes=ignore_mismatched_sizes
            ),
            *(pretrained_model_name_or_path, (), config, from_pt, dtype, kwargs),
        )
        info = {**report.loading_info(), "initialised": list(report.initialised)}
        return (model, info) if output_loading_info else model

    @classmethod
    def _load(
        cls,
        load: Callable[..., convert.LoadReport],
        name_or_path: str | os.PathLike,
        model_args: tuple,
        config: DPRConfig | str | os.PathLike | None,
        from_pt: bool,
        dtype: Any,
        kwargs: dict[str, Any],
    ) -> tuple[Any, convert.LoadReport]:
        """Finds the files, makes the model without values, and lets `load` give it the checkpoint's."""
        hub_arguments, kwargs = hub.split_arguments(kwargs)
        path = sources.find_weights(name_or_path, files.WEIGHT_FILES[from_pt], hub_arguments)
        checkpoint = files.read_checkpoint(path)
        model_kwargs = {name: kwargs.pop(name) for name in ("name", "trainable") if name in kwargs}
        wanted = sources.configuration(config, name_or_path, checkpoint, hub_arguments, kwargs)
        asked = sources.asked_by(config, wanted, name_or_path, hub_arguments, kwargs)
        rows = names.rows(wanted, cls.head)
        words = (wanted.vocab_size, wanted.hidden_size)
        variable_dtype = keras.dtype_policies.get(dtype).variable_dtype
        with values.left_out(), convert.read_ahead(rows, checkpoint, words, variable_dtype):
            model = cls(wanted, *model_args, dtype=dtype, **model_kwargs)
        with values.given_to(model) as slots:
            report = load(slots, rows, checkpoint, asked)
        if report.initialised:
            logger.warning(
                "%s: these weights are not in %s and start fresh, train them before use: %s",
                cls.__name__,
                report.source,
                ", ".join(report.initialised),
            )
        return model, report

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        saved_model: bool = False,
        version: int = 1,
        push_to_hub: bool = False,
        signatures: Any = None,
        max_shard_size: int | str = "10GB",
        create_pr: bool = False,
        safe_serialization: bool = True,
        token: str | bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Writes the configuration and the weights into a folder; files are complete or not there.

        Args:
            save_directory: made if it does not exist.
            saved_model: also write a SavedModel to `saved_model/<version>/`, for TensorFlow Serving.
            version: number of that SavedModel.
            push_to_hub: also upload the files written to the Hub; the folder's name is the repository's,
                unless `repo_id` is given.
            signatures: of the SavedModel; default: `serving_default` (int32) and `int64_serving`.
            max_shard_size: largest size of one weights file, in bytes or as text such as "500MB".
            create_pr: with `push_to_hub`: open a pull request.
            safe_serialization: `model.safetensors` with Hugging Face's PyTorch names and layout, which torch
                users load directly; False: `tf_model.h5` as Transformers v4.34 wrote it.
            token: Hub token.
            **kwargs: with `push_to_hub`: `repo_id`, `commit_message`, `private`, `revision`; see there.
                `use_auth_token` is the old name of `token`.

        Raises:
            OSError: if the folder cannot be written.
            TypeError: if `kwargs` holds something else.
            ValueError: if Keras's `quantize` has made weights integers, or `saved_model` is asked for on
                another backend than TensorFlow.
        """
        old_token = kwargs.pop("use_auth_token", None)
        token = old_token if token is None else token
        if unknown := kwargs.keys() - PUSH_ARGUMENTS:
            raise TypeError(
                f"Keyword arguments not understood: {sorted(unknown)}; expected those of the signature and "
                f"{', '.join(PUSH_ARGUMENTS)}."
            )
        folder = Path(save_directory)
        if folder.is_file():
            raise OSError(f"{folder} is a file; give a folder to save the model in.")
        if saved_model and (backend := keras.config.backend()) != "tensorflow":
            raise ValueError(
                f"saved_model=True needs Keras on TensorFlow, found {backend}: leave it out; then load and "
                "export in a process with KERAS_BACKEND=tensorflow."
            )
        config = DPRConfig.from_dict(self.config.to_dict())
        config.architectures = [type(self).__name__.removeprefix("TF")]
        export = convert.to_torch if safe_serialization else convert.to_tf_h5
        weights = export(self._plain_weights, names.rows(config, self.head))
        folder.mkdir(parents=True, exist_ok=True)
        if safe_serialization:
            written = files.write_safetensors(folder, weights, max_shard_size)
        else:
            written = files.write_h5(folder, weights, names.TF_SCOPE[self.head], max_shard_size)
        config.save_pretrained(folder)
        sources.warn_of_other_weights(folder, written)
        patterns = [CONFIG_NAME, *(path.name for path in written)]
        if saved_model:
            from dpr_tf.serving import export_saved_model

            export_saved_model(self, folder / "saved_model" / str(version), signatures=signatures)
            patterns.append(f"saved_model/{version}/*")
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", None) or folder.resolve().name
            hub.push_folder(
                folder, repo_id, token=token, create_pr=create_pr, allow_patterns=patterns, **kwargs
            )

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        max_shard_size: int | str = "10GB",
        token: str | bool | None = None,
        use_auth_token: str | bool | None = None,
        create_pr: bool = False,
        *,
        safe_serialization: bool = True,
        revision: str | None = None,
    ) -> str:
        """Uploads configuration and weights to a Hub repository, which is made if it does not exist.

        Args:
            repo_id: "owner/name", or "name" for one's own account.
            use_temp_dir: of v4.34: what is uploaded is always saved aside.
            commit_message, private, token, create_pr, revision: see `dpr_tf.hub.push_folder`.
            use_auth_token: the old name of `token`.
            max_shard_size, safe_serialization: see `save_pretrained`.

        Returns:
            Address of the commit or pull request.

        Raises:
            OSError: if the Hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size, safe_serialization=safe_serialization)
            return hub.push_folder(
                folder,
                repo_id,
                commit_message=commit_message,
                private=private,
                token=use_auth_token if token is None else token,
                revision=revision,
                create_pr=create_pr,
            )

    @property
    def variables_by_path(self) -> dict[str, keras.Variable]:
        """The weights by their path without the model's own name, e.g. "ctx_encoder/encode_proj/kernel"."""
        return {weight.path.split("/", 1)[1]: weight for weight in self.weights}

    @property
    def _plain_weights(self) -> dict[str, Any]:
        """The weights by their path, with the adapters of LoRA (Keras's `enable_lora`) added to them."""
        adapted = [layer for layer in self._flatten_layers() if getattr(layer, "lora_enabled", False)]
        pairs = [(layer._kernel, layer.kernel) for layer in adapted if hasattr(layer, "_kernel")]
        pairs += [(layer._embeddings, layer.embeddings) for layer in adapted if hasattr(layer, "_embeddings")]
        sums = {id(weight): keras.ops.convert_to_numpy(plain) for weight, plain in pairs}
        return {path: sums.get(id(weight), weight) for path, weight in self.variables_by_path.items()}

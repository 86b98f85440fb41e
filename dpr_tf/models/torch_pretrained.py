"""`from_pretrained`, `save_pretrained`, `push_to_hub` and what else Hugging Face's PyTorch models can do.

The twin of `dpr_tf.models.pretrained`, for PyTorch modules.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dpr_tf import hub
from dpr_tf.config import CONFIG_NAME, DPRConfig
from dpr_tf.models import sources
from dpr_tf.weights import convert, files, names
from dpr_tf.weights.arrays import LazyArray

logger = logging.getLogger(__name__)


class PretrainedModule(nn.Module):
    """A PyTorch model that reads and writes checkpoints, and can be looked into. Abstract.

    `dpr_tf.models.torch` has the final classes.
    """

    config: DPRConfig
    base_model_prefix: ClassVar[str]
    head: ClassVar[str]

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.config = config

    def _init_weights(self, module: nn.Module) -> None:
        with torch.no_grad():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.config.initializer_range)
            if isinstance(module, nn.Linear):
                module.bias.zero_()
            elif isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
                module.bias.zero_()

    # Reading and writing

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Makes a model of a checkpoint, in evaluation mode, on the CPU.

        Every format is read, whatever `from_tf` says: safetensors, `pytorch_model.bin`, `tf_model.h5`, shards
        of each, and facebookresearch/DPR's `.cp`.

        Args:
            pretrained_model_name_or_path: a local folder, a weights file, or a Hub id.
            **kwargs: any of
                config: a configuration, or where to read it; default: the checkpoint's own.
                from_tf: which file to prefer in a folder that has several: TensorFlow's.
                use_safetensors: True: take nothing else; False: take it last.
                torch_dtype (or dtype): of the weights, e.g. torch.float16; "auto": the configuration's;
                    default float32.
                output_loading_info: return (model, information).
                ignore_mismatched_sizes: initialise weights that have another shape in the checkpoint.
                revision, subfolder, token, cache_dir, local_files_only, force_download: see `dpr_tf.hub`.
                any configuration field: overrides it.

        Returns:
            The model, or (model, {"missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"}).

        Raises:
            OSError: if nothing is there, or a file is damaged.
            ValueError: if weights are missing, of other shapes or of another role; it lists all of them.
            TypeError: for a keyword that is neither an argument nor a configuration field.
        """
        return cls._load(convert.load_into, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def init_from_bert(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Starts a model from the BERT in any checkpoint; what it lacks (projection, heads) starts fresh.

        Args, result and errors are those of `from_pretrained`; the information lists the fresh weights, too,
        under "initialised". `projection_dim=n` adds a projection.
        """
        return cls._load(convert.load_bert, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def _load(
        cls,
        load: Callable[..., convert.LoadReport],
        name_or_path: str | os.PathLike,
        *,
        config: DPRConfig | str | os.PathLike | None = None,
        from_tf: bool = False,
        torch_dtype: Any = None,
        dtype: Any = None,
        use_safetensors: bool | None = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        low_cpu_mem_usage: bool | None = None,  # of v4.34; loading never needs a second copy here
        **kwargs: Any,
    ) -> Any:
        hub_arguments, overrides = hub.split_arguments(kwargs)
        path = sources.find_weights(name_or_path, _candidates(from_tf, use_safetensors), hub_arguments)
        checkpoint = files.read_checkpoint(path)
        wanted = sources.configuration(config, name_or_path, checkpoint, hub_arguments, overrides)
        with torch.device("meta"):  # the weights are about to be read: no memory, no random numbers
            model = cls(wanted).to(_dtype(dtype if torch_dtype is None else torch_dtype, wanted))
        model.to_empty(device="cpu")
        options: dict[str, Any] = {"ignore_mismatched_sizes": ignore_mismatched_sizes}
        if load is convert.load_into:
            options["may_initialise"] = sources.asked_by(
                config, wanted, name_or_path, hub_arguments, overrides
            )
        try:
            report = load(model._variables(), names.rows(wanted, cls.head), checkpoint, **options)
        except ValueError as error:  # its remedies name the TensorFlow classes
            raise ValueError(str(error).replace("TFDPR", "DPR")) from None
        fresh = model._initialise(report)
        information = {**report.loading_info(), "error_msgs": []}
        if load is convert.load_bert:
            information["initialised"] = fresh
        return (model.eval(), information) if output_loading_info else model.eval()

    def _variables(self) -> dict[str, _Variable]:
        """The parameters as `dpr_tf.weights.convert` wants them: by Keras path, in Keras's layout."""
        parameters = dict(self.named_parameters())
        rows = names.rows(self.config, self.head)
        return {row.keras: _Variable(parameters[row.torch], row.op == names.TRANSPOSE) for row in rows}

    def _initialise(self, report: convert.LoadReport) -> list[str]:
        """Gives first values to what the checkpoint did not have, and says so; returns the names."""
        fresh = [row.torch for row in names.rows(self.config, self.head) if row.keras in report.initialised]
        for name in fresh:
            parent, _, last = name.rpartition(".")
            blank = copy.deepcopy(self.get_submodule(parent))
            self._init_weights(blank)
            self.get_parameter(name).data.copy_(blank.get_parameter(last).data)
        if fresh:
            logger.warning(
                "%s: these weights are not in %s and start fresh, train them before use: %s",
                type(self).__name__,
                report.source,
                ", ".join(fresh),
            )
        return fresh

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "10GB",
        safe_serialization: bool = True,
        **kwargs: Any,
    ) -> None:
        """Writes the configuration and the weights into a folder, which is made if need be.

        Args:
            save_directory: the folder.
            is_main_process: False writes nothing: for all but one process of a distributed training.
            state_dict: weights to write instead of the model's own.
            push_to_hub: also upload the files written.
            max_shard_size: largest size of one weights file, in bytes or as text such as "500MB".
            safe_serialization: `model.safetensors`; False: `pytorch_model.bin`, in one piece.
            **kwargs: `repo_id` (default: the folder's name) and the arguments of `hub.push_folder`.

        Raises:
            OSError: if `save_directory` is a file.
        """
        if not is_main_process:
            return
        folder = Path(save_directory)
        if folder.is_file():
            raise OSError(f"save_directory must be a folder, and {folder} is a file.")
        config = DPRConfig.from_dict(self.config.to_dict())
        config.architectures, config.torch_dtype = (
            [type(self).__name__],
            str(self.dtype).removeprefix("torch."),
        )
        config.save_pretrained(folder)
        weights = {name: tensor.detach().cpu() for name, tensor in (state_dict or self.state_dict()).items()}
        if safe_serialization:
            written = files.write_safetensors(
                folder, {name: _lazy(tensor) for name, tensor in weights.items()}, max_shard_size
            )
        else:
            written = [folder / "pytorch_model.bin"]
            aside = folder / ".pytorch_model.bin"
            torch.save(weights, aside)
            os.replace(aside, written[0])
        sources.warn_of_other_weights(folder, written)
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", None) or folder.resolve().name
            patterns = [CONFIG_NAME, *(path.name for path in written)]
            hub.push_folder(folder, repo_id, allow_patterns=patterns, **kwargs)

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        max_shard_size: int | str = "10GB",
        create_pr: bool = False,
        safe_serialization: bool = True,
        revision: str | None = None,
    ) -> str:
        """Uploads configuration and weights to a Hub repository.

        Args:
            repo_id: "owner/name", or "name" for one's own account.
            use_temp_dir: of v4.34: what is uploaded is always saved aside.
            commit_message, private, token, create_pr, revision: see `dpr_tf.hub.push_folder`.
            max_shard_size, safe_serialization: see `save_pretrained`.

        Returns:
            Address of the commit or pull request.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size, safe_serialization=safe_serialization)
            return hub.push_folder(
                folder,
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                create_pr=create_pr,
                revision=revision,
            )

    # Looking inside and changing

    @property
    def base_model(self) -> nn.Module:
        """The module that holds all weights: `ctx_encoder`, `question_encoder` or `span_predictor`."""
        return getattr(self, self.base_model_prefix)

    @property
    def bert_model(self) -> nn.Module:
        """The BERT inside."""
        return getattr(self.base_model, "encoder", self.base_model).bert_model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    @property
    def dummy_inputs(self) -> dict[str, Tensor]:
        """Small valid inputs."""
        return {"input_ids": torch.ones(1, 2, dtype=torch.long, device=self.device)}

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of scalars in the (trainable) weights, with or without embedding tables."""
        tables = (
            {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)}
            if exclude_embeddings
            else set()
        )
        return sum(
            p.numel()
            for p in self.parameters()
            if id(p) not in tables and (p.requires_grad or not only_trainable)
        )

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embedding table: int [...] to float [..., hidden_size], which `inputs_embeds` takes."""
        return self.bert_model.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replaces the word embedding table."""
        self.bert_model.embeddings.word_embeddings = value

    def get_output_embeddings(self) -> None:
        """None: DPR has no language modelling head."""

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None
    ) -> nn.Embedding:
        """Changes the number of rows of the word embedding table; rows that both have keep their values.

        Args:
            new_num_tokens: new number of rows; None keeps it.
            pad_to_multiple_of: round the number of rows up to a multiple of this.

        Returns:
            The word embedding table; `config.vocab_size` follows.

        Raises:
            ValueError: if the new table would not hold the padding token.
        """
        old = self.get_input_embeddings()
        rows = old.num_embeddings if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of:
            rows = math.ceil(rows / pad_to_multiple_of) * pad_to_multiple_of
        if rows == old.num_embeddings:
            return old
        config = DPRConfig.from_dict(self.config.to_dict(), vocab_size=rows)
        new = nn.Embedding(
            rows,
            old.embedding_dim,
            padding_idx=old.padding_idx,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        self._init_weights(new)
        new.weight.requires_grad_(old.weight.requires_grad)
        with torch.no_grad():
            new.weight[: old.num_embeddings].copy_(old.weight[:rows])
        self.set_input_embeddings(new)
        self.config.vocab_size = config.vocab_size
        return new

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are recomputed in the backward pass."""
        return self.bert_model.encoder.gradient_checkpointing

    def gradient_checkpointing_enable(self) -> None:
        """Recomputes each block in the backward pass of training: less memory, one more forward pass."""
        self.bert_model.encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keeps all activations for the backward pass (the default)."""
        self.bert_model.encoder.gradient_checkpointing = False


class _Variable:
    """A parameter in Keras's layout: what `dpr_tf.weights.convert` assigns to."""

    def __init__(self, parameter: nn.Parameter, transposed: bool):
        self._tensor = parameter.data.T if transposed else parameter.data
        self.shape = tuple(self._tensor.shape)
        self.dtype = "float64" if parameter.dtype == torch.float64 else "float32"

    def assign(self, array: np.ndarray) -> None:
        self._tensor.copy_(
            torch.from_numpy(np.require(array, requirements="W"))
        )  # narrows to the parameter's dtype


def _candidates(from_tf: bool, use_safetensors: bool | None) -> tuple[str, ...]:
    """Names of weight files, the preferred ones first."""
    safetensors, h5, torch_bin = (
        tuple(name for name in files.WEIGHT_FILES[False] if ending in name)
        for ending in (".safetensors", ".h5", ".bin")
    )
    if use_safetensors:
        return safetensors
    if from_tf:
        return h5 + safetensors + torch_bin
    return torch_bin + safetensors + h5 if use_safetensors is False else safetensors + torch_bin + h5


def _dtype(dtype: Any, config: DPRConfig) -> torch.dtype:
    if dtype == "auto":
        dtype = config.torch_dtype
    dtype = "float32" if dtype is None else dtype
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            f"torch_dtype must be a floating-point torch.dtype, its name or 'auto', got {dtype!r}."
        )
    return found


def _lazy(tensor: Tensor) -> LazyArray:
    """A tensor as the writer of weights wants it; NumPy knows bfloat16 through ml_dtypes."""
    if tensor.dtype is not torch.bfloat16:
        return LazyArray(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.numpy)
    import ml_dtypes

    return LazyArray(
        tuple(tensor.shape),
        ml_dtypes.bfloat16,
        lambda: tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16),
    )

"""DPRConfig: the sizes and switches of a DPR model, with the keys of Hugging Face's `config.json` verbatim.

Knows nothing of models, weights or text. Reads files written by Transformers v4 and v5 and by this package,
all of which read what it writes.
"""

import contextlib
import copy
import json
import logging
import math
import numbers
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr_tf import hub

logger = logging.getLogger(__name__)

CONFIG_NAME = "config.json"

# The layout written is that of this version; readers compare it, and both v4 and v5 accept it.
LAYOUT_VERSION = "4.34.0"

ACTIVATIONS = (
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "laplace",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
)

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")

# What every configuration of Transformers v4.34 has beside the model's own fields. Most of it (for text
# generation, decoders) means nothing to DPR: it is there so that attributes exist, and so that a saved file
# holds only what differs.
SHARED_DEFAULTS: dict[str, Any] = {
    "return_dict": True,
    "output_hidden_states": False,
    "output_attentions": False,
    "torchscript": False,
    "torch_dtype": None,
    "use_bfloat16": False,
    "tf_legacy_loss": False,
    "pruned_heads": {},
    "tie_word_embeddings": True,
    "is_encoder_decoder": False,
    "is_decoder": False,
    "cross_attention_hidden_size": None,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "early_stopping": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "num_return_sequences": 1,
    "chunk_size_feed_forward": 0,
    "output_scores": False,
    "return_dict_in_generate": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "architectures": None,
    "finetuning_task": None,
    "id2label": {0: "LABEL_0", 1: "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "tokenizer_class": None,
    "prefix": None,
    "bos_token_id": None,
    "pad_token_id": None,
    "eos_token_id": None,
    "sep_token_id": None,
    "decoder_start_token_id": None,
    "task_specific_params": None,
    "problem_type": None,
    "_name_or_path": "",
}

# Integer fields and the smallest value that makes sense.
_SMALLEST_INTEGER = {
    "vocab_size": 1,
    "hidden_size": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 1,
    "max_position_embeddings": 1,
    "type_vocab_size": 1,
    "pad_token_id": 0,
    "projection_dim": 0,
}
# Real fields and the largest value that makes sense (the smallest is 0).
_LARGEST_REAL = {
    "hidden_dropout_prob": 1.0,
    "attention_probs_dropout_prob": 1.0,
    "initializer_range": math.inf,
    "layer_norm_eps": math.inf,
}
_SWITCHES = ("return_dict", "output_hidden_states", "output_attentions")
_CHOICES = {"hidden_act": ACTIVATIONS, "position_embedding_type": POSITION_EMBEDDING_TYPES}
_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
# Kept out of `to_dict`: bookkeeping of the loader in Transformers, never part of a model.
_BOOKKEEPING = (
    "_auto_class",
    "_commit_hash",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
)
_TRUE_WORDS, _FALSE_WORDS = ("true", "1", "y", "yes"), ("false", "0", "n", "no")


class DPRConfig:
    """The configuration of a DPR context encoder, question encoder or reader.

    Every argument is an attribute of the same name. Arguments that are not listed become attributes too and
    are saved, as in Transformers v4.34. The constructor and the readers check all of it; attributes that are
    changed afterwards are checked when a model is built or the configuration is saved (`validate`).

    Args:
        vocab_size: number of token ids.
        hidden_size: width of the hidden states; a multiple of `num_attention_heads`.
        num_hidden_layers: number of blocks.
        num_attention_heads: attention heads per block.
        intermediate_size: width inside a block's feed-forward part.
        hidden_act: activation inside the feed-forward part, one of `ACTIVATIONS`.
        hidden_dropout_prob: dropout of hidden states in training, in [0, 1].
        attention_probs_dropout_prob: dropout of attention probabilities in training, in [0, 1].
        max_position_embeddings: longest input in tokens.
        type_vocab_size: number of token types.
        initializer_range: standard deviation of new weights.
        layer_norm_eps: epsilon of every LayerNorm.
        pad_token_id: id of the padding token; an encoder's default mask leaves it out.
        position_embedding_type: "absolute", "relative_key" or "relative_key_query".
        projection_dim: width of the projected vector; 0 keeps the hidden state as it is.
        **kwargs: shared fields (`SHARED_DEFAULTS`), `num_labels`, `name_or_path`, and any other key.

    Raises:
        ValueError: if fields are of the wrong type, out of range or contradict each other; names all of them.
    """

    model_type = "dpr"
    is_composition = False
    attribute_map: dict[str, str] = {}

    if TYPE_CHECKING:  # shared and unknown fields
        torch_dtype: str | None
        pruned_heads: dict[int, list[int]]

        def __getattr__(self, name: str) -> Any: ...

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int = 0,
        position_embedding_type: str = "absolute",
        projection_dim: int = 0,
        **kwargs: Any,
    ) -> None:
        self.__dict__.update(copy.deepcopy(SHARED_DEFAULTS))
        self.transformers_version: str | None = None
        self._set_extras({name: value for name, value in kwargs.items() if name != "model_type"})
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.position_embedding_type = position_embedding_type
        self.projection_dim = projection_dim
        self.validate()

    def _set_extras(self, extras: dict[str, Any]) -> None:
        """Sets everything that is not one of DPR's own fields."""
        dtype = extras.pop("dtype", None)  # v5's name of torch_dtype
        self._set_labels(
            extras.pop("num_labels", None), extras.pop("id2label", None), extras.pop("label2id", None)
        )
        if "name_or_path" in extras:
            self.name_or_path = extras.pop("name_or_path")
        for name, value in extras.items():
            setattr(self, name, value)
        if self.torch_dtype is None:
            self.torch_dtype = dtype
        if self.torch_dtype is not None:  # torch.float16, numpy.float16 and "float16" all become "float16"
            self.torch_dtype = _dtype_name(self.torch_dtype)
        if isinstance(self.pruned_heads, Mapping):
            self.pruned_heads = {int(layer): heads for layer, heads in self.pruned_heads.items()}

    def _set_labels(self, num_labels: int | None, id2label: Any, label2id: Any) -> None:
        for name, value in (("id2label", id2label), ("label2id", label2id)):
            if value is not None and not isinstance(value, Mapping):
                raise ValueError(f"{name} must be a dictionary, found {value!r}.")
        if id2label is not None:
            self.id2label = {int(index): label for index, label in id2label.items()}
            if num_labels is not None and num_labels != len(id2label):
                logger.warning(
                    "num_labels=%s contradicts id2label, which has %d entries; id2label counts.",
                    num_labels,
                    len(id2label),
                )
        elif num_labels is not None:
            self.num_labels = num_labels
        if label2id is not None:
            self.label2id = dict(label2id)
        elif id2label is not None:
            self.label2id = {label: index for index, label in self.id2label.items()}

    # --------------------------------------------------------------------------------------------- properties

    @property
    def name_or_path(self) -> str:
        """Where the configuration came from: a Hub id or a folder."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: str | os.PathLike | None) -> None:
        self._name_or_path = "" if value is None else str(value)

    @property
    def dtype(self) -> str | None:
        """Transformers v5's name of `torch_dtype`."""
        return self.torch_dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        self.torch_dtype = None if value is None else _dtype_name(value)

    @property
    def use_return_dict(self) -> bool:
        """Whether models answer with an output record rather than a tuple."""
        return bool(self.return_dict) and not self.torchscript

    @property
    def num_labels(self) -> int:
        """Number of entries of `id2label`; setting it makes new, numbered labels."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, num_labels: int) -> None:
        if len(self.id2label) != num_labels:
            self.id2label = {index: f"LABEL_{index}" for index in range(num_labels)}
            self.label2id = {label: index for index, label in self.id2label.items()}

    # ----------------------------------------------------------------------------------------------- checking

    def validate(self) -> None:
        """Checks every field and the relations between them.

        Raises:
            ValueError: if anything is wrong; one message names all of it, with the remedy.
        """
        problems = [text for name in _SMALLEST_INTEGER if (text := self._integer_problem(name))]
        problems += [text for name in _LARGEST_REAL if (text := self._real_problem(name))]
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool | None):
                problems.append(f"{name} must be true or false, found {getattr(self, name)!r}.")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                problems.append(
                    f"{name} {getattr(self, name)!r} is not known; choose one of {', '.join(choices)}."
                )
        if self.problem_type not in (None, *_PROBLEM_TYPES):
            problems.append(
                f"problem_type {self.problem_type!r} is not known; choose {', '.join(_PROBLEM_TYPES)}."
            )
        problems = problems or self._relation_problems()
        if problems:
            raise ValueError("This DPR configuration cannot be used:\n  " + "\n  ".join(problems))

    def _integer_problem(self, name: str) -> str | None:
        value, smallest = getattr(self, name), _SMALLEST_INTEGER[name]
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            remedy = f"; write {int(value)}" if isinstance(value, str) and value.isdecimal() else ""
            return f"{name} must be an integer, found {value!r} ({type(value).__name__}){remedy}."
        setattr(self, name, int(value))  # NumPy integers cannot be written to JSON
        if value < smallest:
            remedy = "; 0 means no projection" if name == "projection_dim" else ""
            return f"{name} must be at least {smallest}, found {value}{remedy}."
        return None

    def _real_problem(self, name: str) -> str | None:
        value, largest = getattr(self, name), _LARGEST_REAL[name]
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            remedy = "; 0 switches it off" if largest == 1.0 else ""
            return f"{name} must be a number, found {value!r} ({type(value).__name__}){remedy}."
        if not isinstance(value, int | float):
            value = float(value)
            setattr(self, name, value)
        if not (0 <= value <= largest and math.isfinite(value)):
            allowed = "between 0 and 1" if largest == 1.0 else "0 or a positive number"
            return f"{name} must be {allowed}, found {value}."
        return None

    def _relation_problems(self) -> list[str]:
        problems = []
        if self.hidden_size % self.num_attention_heads:
            divisors = [n for n in range(1, self.hidden_size + 1) if self.hidden_size % n == 0]
            nearest = min(divisors, key=lambda n: abs(n - self.num_attention_heads))
            problems.append(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}; num_attention_heads {nearest} would fit."
            )
        if self.pad_token_id >= self.vocab_size:
            problems.append(
                f"pad_token_id {self.pad_token_id} is outside the vocabulary: "
                f"vocab_size is {self.vocab_size}, so ids go from 0 to {self.vocab_size - 1}."
            )
        return problems

    # ------------------------------------------------------------------------------------------------ reading

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Any:
        """Reads the configuration of a local folder, a file or a Hub repository.

        Args:
            pretrained_model_name_or_path: folder with a `config.json`, such a file itself, a weight file
                beside one, or a Hub id.
            **kwargs: the Hub arguments (`cache_dir`, `force_download`, `local_files_only`, `token`,
                `revision`, `subfolder`); `return_unused_kwargs`; any other overrides the field of that name.

        Returns:
            The configuration; with `return_unused_kwargs=True`, it and a dictionary of what names no field.

        Raises:
            OSError: if there is no readable configuration there.
            ValueError: if its fields make no sense.
        """
        config_dict, overrides = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)
        model_type = config_dict.get("model_type", cls.model_type)
        if model_type not in (cls.model_type, "bert"):  # DPR is BERT: every field means the same
            logger.warning(
                "The configuration of %s is of model_type %r, not 'dpr'. It is read as a DPR configuration; "
                "weights of another architecture will not fit.",
                pretrained_model_name_or_path,
                model_type,
            )
        with _naming(pretrained_model_name_or_path):
            return cls.from_dict(config_dict, **overrides)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads `config.json` without interpreting it.

        Returns:
            The content, and the keywords that are no Hub arguments.

        Raises:
            OSError: if there is no readable configuration there.
        """
        hub_arguments, rest = hub.split_arguments(kwargs)
        path = Path(pretrained_model_name_or_path)
        if path.is_file() and path.suffix != ".json":
            path = path.parent / CONFIG_NAME
        elif not path.is_file() or path.name.endswith(".index.json"):
            location = path.parent if path.is_file() else pretrained_model_name_or_path
            path = hub.require_file(location, (CONFIG_NAME,), **hub_arguments)
        return cls._dict_from_json_file(path), rest

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """Makes a configuration of a dictionary; keywords as in `from_pretrained`, but for the Hub's."""
        return_unused = kwargs.pop("return_unused_kwargs", False)
        fields = copy.deepcopy(dict(config_dict))
        known = {*vars(cls()), *fields, "num_labels", "name_or_path", "dtype"}
        overrides = {name: value for name, value in kwargs.items() if name in known}
        unused = {name: value for name, value in kwargs.items() if name not in known}
        if "num_labels" in overrides and "id2label" not in overrides:
            fields = {name: value for name, value in fields.items() if name not in ("id2label", "label2id")}
        if "dtype" in overrides:
            fields.pop("torch_dtype", None)
        config = cls(**{**fields, **overrides})
        if return_unused:
            return config, unused
        if unused:
            logger.warning("Ignored, because DPRConfig has no such field: %s.", ", ".join(sorted(unused)))
        return config

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike) -> "DPRConfig":
        """Reads a configuration from one JSON file; errors as in `from_pretrained`."""
        fields = cls._dict_from_json_file(json_file)
        with _naming(json_file):
            return cls(**fields)

    @classmethod
    def _dict_from_json_file(cls, json_file: str | os.PathLike) -> dict[str, Any]:
        try:
            # "utf-8-sig" also reads a file that starts with a byte order mark, which some editors write.
            content = json.loads(Path(json_file).read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise OSError(f"There is no configuration file {json_file}.") from None
        except ValueError as error:
            raise OSError(
                f"{json_file} is not a valid JSON file ({error}). Restore it from where the model came from, "
                "or write a new one with DPRConfig(...).save_pretrained(folder)."
            ) from None
        if not isinstance(content, dict):
            raise OSError(
                f"{json_file} holds a JSON {type(content).__name__}, expected an object with fields such as "
                '"hidden_size": 768.'
            )
        return content

    # ------------------------------------------------------------------------------------------------ writing

    def to_dict(self) -> dict[str, Any]:
        """All fields, those of the class and unknown ones, as a new dictionary."""
        fields = {name: value for name, value in vars(self).items() if name not in _BOOKKEEPING}
        fields["transformers_version"] = self.transformers_version or LAYOUT_VERSION
        fields["model_type"] = self.model_type
        return copy.deepcopy(fields)

    def to_diff_dict(self) -> dict[str, Any]:
        """DPR's own fields and those shared fields that differ from their default: what a file holds."""
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in SHARED_DEFAULTS or value != SHARED_DEFAULTS[name]
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """JSON text with sorted keys, of `to_diff_dict` or of `to_dict`."""
        return _to_json(self.to_diff_dict() if use_diff else self.to_dict())

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = True) -> None:
        """Writes `to_json_string` to a file, whole or not at all."""
        _write_whole(Path(json_file_path), self.to_json_string(use_diff))

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Writes `config.json` into a folder, which is made if need be.

        `name_or_path` is left out: it says where this machine read the model, and files get published.

        Args:
            save_directory: the folder.
            push_to_hub: also upload the file.
            **kwargs: `repo_id` (default: the folder's name) and the arguments of `hub.push_folder`.

        Raises:
            ValueError: if the configuration makes no sense.
            OSError: if `save_directory` is a file.
        """
        self.validate()
        folder = Path(save_directory)
        if folder.is_file():
            raise OSError(f"save_directory must be a folder, and {folder} is a file.")
        folder.mkdir(parents=True, exist_ok=True)
        fields = self.to_diff_dict()
        fields.pop("_name_or_path", None)
        _write_whole(folder / CONFIG_NAME, _to_json(fields))
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", None) or folder.resolve().name
            hub.push_folder(folder, repo_id, allow_patterns=[CONFIG_NAME], **kwargs)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Uploads `config.json` to a Hub repository.

        Args:
            repo_id: "owner/name", or "name" for one's own account.
            **kwargs: arguments of `hub.push_folder`; those of v4.34 about weights and its temporary folder do
                nothing here.

        Returns:
            Address of the commit or pull request.
        """
        for name in ("use_temp_dir", "max_shard_size", "safe_serialization"):
            kwargs.pop(name, None)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return hub.push_folder(folder, repo_id, **kwargs)

    # ----------------------------------------------------------------------------------------------- changing

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Sets attributes from a dictionary."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def update_from_string(self, update_str: str) -> None:
        """Sets attributes from text such as "hidden_size=24,hidden_act=relu"; each keeps the type it has.

        Raises:
            ValueError: for an unknown field, or a value that is not of the field's type. Nothing is set then.
        """
        changes = {}
        for part in update_str.split(","):
            name, equals, text = part.partition("=")
            if not equals:
                raise ValueError(f"expected name=value, found {part!r} in {update_str!r}.")
            if not hasattr(self, name):
                raise ValueError(f"key {name} isn't in the original config dict")
            changes[name] = _parse_like(name, text, getattr(self, name))
        self.update(changes)

    # -------------------------------------------------------------------------------------------- comparisons

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DPRConfig) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


@contextlib.contextmanager
def _naming(source: str | os.PathLike) -> Iterator[None]:
    """Puts the place that a configuration came from in front of what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _dtype_name(dtype: Any) -> str:
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return name.removeprefix("torch.")


def _parse_like(name: str, text: str, old: Any) -> Any:
    if isinstance(old, bool):
        if text.lower() in _TRUE_WORDS + _FALSE_WORDS:
            return text.lower() in _TRUE_WORDS
        raise ValueError(f"can't derive true or false from {text} (key {name})")
    if isinstance(old, int | float):
        return type(old)(text)
    if isinstance(old, str):
        return text
    raise ValueError(
        f"You can only update int, float, bool or string values in the config, got {text} for key {name}"
    )


def _to_json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"


def _write_whole(path: Path, text: str) -> None:
    """Writes aside, then renames: a reader never sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)

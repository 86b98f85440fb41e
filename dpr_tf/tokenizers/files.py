"""Tokenizers from folders and Hub repositories, and back: both layouts, vocab.txt and tokenizer.json."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken

from .. import hub
from .contract import Path
from .special import SLOTS, SpecialTokens, token_from_properties, token_properties
from .vocabulary import read_json, read_tokenizer_json

CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

if TYPE_CHECKING:
    from typing_extensions import Self

# File name -> its path, or None if the folder or repository does not have it.
Find = Callable[[str], pathlib.Path | None]

# Entries of tokenizer_config.json that describe the file or its writer, not the tokenizer.
_NOT_SETTINGS = (
    "auto_map",
    "backend",
    "device_map",
    "fast_tokenizer_files",
    "init_inputs",
    "is_local",
    "processor_class",
    "special_tokens_map_file",
    "tokenizer_class",
    "tokenizer_file",
    "transformers_version",
    "vocab_file",
)


class Folder(SpecialTokens):
    """The part of a tokenizer that knows files: `from_pretrained`, `save_pretrained`, `push_to_hub`."""

    max_model_input_sizes: dict[str, int] = {}
    pretrained_init_configuration: dict[str, dict[str, Any]] = {}

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Path,
        *init_inputs: Any,
        cache_dir: Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        **kwargs: Any,
    ) -> Self:
        """Loads a tokenizer from a local folder or a Hub repository.

        Reads vocab.txt or tokenizer.json, and tokenizer_config.json, special_tokens_map.json and
        added_tokens.json where they exist; folders written by Transformers 4 and 5.

        Args:
            pretrained_model_name_or_path: a folder, or a Hub id such as "facebook/dpr-reader-single-nq-base".
            *init_inputs: positional constructor arguments.
            cache_dir, force_download, local_files_only, token, revision: for the Hub client; also
                `subfolder`.
            **kwargs: constructor arguments; they win over what the files say.

        Raises:
            OSError: if the folder or repository does not exist or holds no vocabulary.
            ValueError: if the path is a file, or a file is damaged (json.JSONDecodeError).
        """
        name = pretrained_model_name_or_path
        if os.path.isfile(name):
            raise ValueError(
                f"{name} is a file: {cls.__name__}.from_pretrained() takes the folder it is in, or a Hub id; "
                "to read "
                f"a vocabulary alone use {cls.__name__}({str(name)!r})"
            )
        arguments = {
            "cache_dir": cache_dir,
            "force_download": force_download,
            "token": token,
            "revision": revision,
        }
        arguments["local_files_only"] = local_files_only
        where, kwargs = hub.split_arguments({**kwargs, **arguments})

        def find(filename: str) -> pathlib.Path | None:
            return hub.find_file(name, [filename], **where)

        settings = _settings(find, kwargs)
        settings.update(cls._vocabulary_files(name, find))
        if str(name) in cls.pretrained_init_configuration:
            settings = {**cls.pretrained_init_configuration[str(name)], **settings}
        if str(name) in cls.max_model_input_sizes:
            limit = cls.max_model_input_sizes[str(name)]
            settings["model_max_length"] = min(settings.get("model_max_length") or limit, limit)
        return cls(*init_inputs, **{"name_or_path": str(name), **settings})

    @classmethod
    def _vocabulary_files(cls, name: Path, find: Find) -> dict[str, str]:
        vocab, tokenizer = find("vocab.txt"), find("tokenizer.json")
        if vocab is None and tokenizer is None:
            raise OSError(
                f"{name} holds neither vocab.txt nor tokenizer.json, so there is no vocabulary to load; "
                "check the "
                f"path, or save one there with {cls.__name__}.save_pretrained()"
            )
        if not cls.is_fast:
            return {"vocab_file": str(vocab or tokenizer)}
        files = {"vocab_file": vocab, "tokenizer_file": tokenizer}
        return {key: str(path) for key, path in files.items() if path is not None}

    def save_pretrained(
        self,
        save_directory: Path,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Writes the tokenizer into a folder, which is made if needed.

        The slow classes write vocab.txt, the fast ones vocab.txt and tokenizer.json; both write
        tokenizer_config.json, special_tokens_map.json and added_tokens.json.

        Args:
            save_directory: the folder.
            legacy_format: fast classes: True leaves tokenizer.json out, False vocab.txt and
                added_tokens.json.
            filename_prefix: put before every file name, with "-" in between.
            push_to_hub: also upload these files; `kwargs` are those of `push_to_hub`.

        Returns:
            The paths of the files.

        Raises:
            NotADirectoryError: if `save_directory` is a file.
            ValueError: if a slow class is asked for `legacy_format=False`.
        """
        if legacy_format is False and not self.is_fast:
            raise ValueError(
                f"legacy_format=False asks for tokenizer.json, which {type(self).__name__} cannot write; use "
                f"{type(self).__name__}Fast"
            )
        if os.path.isfile(save_directory):
            raise NotADirectoryError(f"save_pretrained() needs a folder, but {save_directory} is a file")
        os.makedirs(save_directory, exist_ok=True)
        prefix = "" if filename_prefix is None else f"{filename_prefix}-"
        paths = [
            _write_json(os.path.join(save_directory, prefix + CONFIG_FILE), self._config()),
            _write_json(
                os.path.join(save_directory, prefix + SPECIAL_TOKENS_FILE), self._saved_special_tokens()
            ),
        ]
        if legacy_format is not False:
            paths += self.save_vocabulary(save_directory, filename_prefix)
            added = self.get_added_vocab()
            if added:
                paths.append(_write_json(os.path.join(save_directory, prefix + ADDED_TOKENS_FILE), added))
        if legacy_format is not True:
            paths += self._save_extra(save_directory, filename_prefix)
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", None) or os.path.basename(os.path.abspath(save_directory))
            patterns = [os.path.basename(path) for path in paths]
            hub.push_folder(save_directory, repo_id, allow_patterns=patterns, **kwargs)
        return tuple(paths)

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        max_shard_size: str = "10GB",
        create_pr: bool = False,
        safe_serialization: bool = False,
        revision: str | None = None,
    ) -> str:
        """Uploads the tokenizer's files to a Hub repository; returns its address.

        Args:
            repo_id: "user/name".
            commit_message, private, token, create_pr, revision: for the Hub client.
            use_temp_dir, max_shard_size, safe_serialization: accepted because models have them; no meaning
                here.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return hub.push_folder(
                folder,
                repo_id,
                commit_message=commit_message or "Upload tokenizer",
                private=private,
                token=token,
                create_pr=create_pr,
                revision=revision,
            )

    def _save_extra(self, save_directory: Path, filename_prefix: str | None) -> list[str]:
        return []

    def _config(self) -> dict[str, Any]:
        config = {name: value for name, value in self.init_kwargs.items() if name not in _NOT_SETTINGS}
        config.pop("name_or_path", None)
        for name in ("padding_side", "truncation_side"):
            if name in config or getattr(self, name) != getattr(type(self), name):
                config[name] = getattr(self, name)
        config["model_max_length"] = self.model_max_length
        config["clean_up_tokenization_spaces"] = self.clean_up_tokenization_spaces
        config["additional_special_tokens"] = []
        config.update(self._saved_special_tokens(with_type=True))
        config["added_tokens_decoder"] = {
            str(index): token_properties(token) for index, token in self.added_tokens_decoder.items()
        }
        config["tokenizer_class"] = type(self).__name__.removesuffix("Fast")
        return config

    def _saved_special_tokens(self, *, with_type: bool = False) -> dict[str, Any]:
        """Slot names and tokens: text for plain tokens, else properties (typed in the config)."""
        saved: dict[str, Any] = {}
        for name, token in self.special_tokens_map_extended.items():
            if name == "additional_special_tokens":
                saved[name] = [one.content for one in token]
            elif token.lstrip or token.rstrip or token.single_word:
                saved[name] = token_properties(token, with_special=with_type)
                saved[name].update({"__type": "AddedToken"} if with_type else {})
            else:
                saved[name] = token.content
        return saved


def _settings(find: Find, overrides: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments out of a folder's files; `overrides` win."""
    config_path, tokenizer_path = find(CONFIG_FILE), find("tokenizer.json")
    config = {} if config_path is None else read_json(config_path)
    tokenizer = {} if tokenizer_path is None else read_tokenizer_json(tokenizer_path)
    settings = {name: value for name, value in config.items() if name not in _NOT_SETTINGS}
    if "backend" in config:
        settings.update(_settings_of_v5(settings, tokenizer))
    decoder = settings.pop("added_tokens_decoder", None)
    if decoder is None:
        special_path, added_path = find(SPECIAL_TOKENS_FILE), find(ADDED_TOKENS_FILE)
        settings.update({} if special_path is None else read_json(special_path))
        added = _old_added_tokens(settings, None if added_path is None else read_json(added_path), tokenizer)
    else:
        added = {int(index): token_from_properties(token) for index, token in decoder.items()}
        settings["additional_special_tokens"] = _with_special(
            settings.get("additional_special_tokens"), added
        )
    for name in SLOTS:
        if isinstance(settings.get(name), dict):
            settings[name] = token_from_properties(settings[name])
    settings["additional_special_tokens"] = [
        token_from_properties(token) if isinstance(token, dict) else token
        for token in settings.get("additional_special_tokens") or []
    ]
    if not settings["additional_special_tokens"]:
        del settings["additional_special_tokens"]
    return {**settings, "added_tokens_decoder": added, **overrides}


def _settings_of_v5(settings: dict[str, Any], tokenizer: dict) -> dict[str, Any]:
    """What a folder of Transformers 5 says elsewhere than one of version 4.

    Its `do_lower_case` is false for some lower-casing tokenizers, so the normalizer in tokenizer.json counts.
    """
    normalizer = tokenizer.get("normalizer") or {}
    names = {
        "lowercase": "do_lower_case",
        "strip_accents": "strip_accents",
        "handle_chinese_chars": "tokenize_chinese_chars",
    }
    found = {ours: normalizer[theirs] for theirs, ours in names.items() if theirs in normalizer}
    extra = settings.pop("extra_special_tokens", None)
    if isinstance(extra, list):
        found["additional_special_tokens"] = extra
    return found


def _old_added_tokens(settings: dict[str, Any], added: dict[str, int] | None, tokenizer: dict) -> dict:
    """Added tokens of a folder whose tokenizer_config.json does not list them: {id: AddedToken}."""
    if added is None:
        return {token["id"]: token_from_properties(token) for token in tokenizer.get("added_tokens") or []}
    special = {settings.get(name) for name in SLOTS if isinstance(settings.get(name), str)}
    special |= {token for token in settings.get("additional_special_tokens") or [] if isinstance(token, str)}
    return {
        index: token_from_properties(
            {"content": token, "normalized": token not in special, "special": token in special}
        )
        for token, index in added.items()
    }


def _with_special(additional: list | None, added: dict[int, AddedToken]) -> list:
    """The additional special tokens and all special added ones: v4.34 lists them there on loading."""
    listed = list(additional or [])
    texts = {token["content"] if isinstance(token, dict) else token for token in listed}
    return listed + [
        added[i].content for i in sorted(added) if added[i].special and added[i].content not in texts
    ]


def _write_json(path: str, content: dict) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return path

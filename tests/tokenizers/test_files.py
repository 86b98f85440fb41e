"""Folders: loading what Transformers 4 and 5 wrote, saving the same files, and back."""

import hashlib
import json

import numpy as np
import pytest
from tokenizer_recordings import (
    SPEEDS,
    compare,
    equal,
    error_form,
    folder,
    new_tokenizer,
    read,
    recorded_form,
    tokenizer_class,
)

LOADING = read("loading")["cases"]
SAVING = read("saving")["cases"]
V5 = read("v5")


def role_and_speed(case: str) -> tuple[str, str]:
    """"tiny-vocab-only / reader fast / {...}" -> ("reader", "fast")."""
    return tuple(case.split(" / ")[1].split())


def loaded(path, role: str, speed: str, kwargs: dict, probe: str) -> dict:
    """What a loaded tokenizer answers, in the form of the recording."""
    try:
        target = tokenizer_class(role, speed).from_pretrained(path, **kwargs)
        answers = {
            "encoding": target(probe),
            "model_max_length": target.model_max_length,
            "padding_side": target.padding_side,
            "truncation_side": target.truncation_side,
            "special_tokens_map": target.special_tokens_map,
            "length": len(target),
            "padded": target(["a", "b c d"], padding=True),
            "max_padded": target("a", padding="max_length", max_length=6),
        }
    except Exception as error:
        return error_form(error)
    return recorded_form(answers)


def path_of(case: dict, tmp_path):
    if case["folder"] in read("folders"):
        return folder(case["folder"])
    if case["folder"].endswith("vocab.txt"):
        return folder("checkpoints/tiny_vocab") / "vocab.txt"
    return tmp_path / "no" / "such"


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("role", ["ctx", "reader"])
def test_loading(role, speed, tmp_path):
    results = {}
    for name, case in LOADING.items():
        if role_and_speed(name) == (role, speed):
            ours = loaded(path_of(case, tmp_path), role, speed, case["kwargs"], case.get("probe", "x"))
            recorded = {key: value for key, value in case.items() if key not in ("folder", "kwargs", "probe")}
            results[name] = ours, recorded
    assert len(results) == 32
    compare("loading", speed, results)


@pytest.mark.parametrize("case", SAVING)
def test_saving(case, tmp_path):
    role, config, speed = case.split("/")
    recorded = SAVING[case]
    paths = new_tokenizer(role, speed, config).save_pretrained(tmp_path / "saved")
    names = [path.rpartition("/")[2] for path in recorded["returned"]]
    assert [path.replace("\\", "/").rpartition("/")[2] for path in paths] == names
    assert {path.name for path in (tmp_path / "saved").iterdir()} == set(names)
    for name, file in recorded["files"].items():
        content = (tmp_path / "saved" / name).read_bytes()
        kept = read("folders")[recorded["folder"]].get(name)
        assert kept is None or json_or_text(name, content.decode()) == json_or_text(name, kept)
        assert len(content) == file["bytes"], name
        assert hashlib.sha256(content).hexdigest() == file["sha256"], name


def json_or_text(name: str, text: str):
    return json.loads(text) if name.endswith(".json") else text

"""Folders: loading what Transformers 4 and 5 wrote, saving the same files, and back."""

import hashlib
import json
import os

import fake_hub
import pytest
from tokenizer_recordings import (
    SPEEDS,
    compare,
    error_form,
    folder,
    new_tokenizer,
    read,
    recorded_form,
    tokenizer_class,
)
from tokenizers import AddedToken

from dpr_tf import hub

LOADING = read("loading")["cases"]
SAVING = read("saving")["cases"]
V5 = read("v5")


def role_and_speed(case: str) -> tuple[str, str]:
    """ "tiny-vocab-only / reader fast / {...}" -> ("reader", "fast")."""
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
            about = () if "error" in case else ("folder", "kwargs", "probe")
            results[name] = ours, {key: value for key, value in case.items() if key not in about}
    assert len(results) == 32
    compare("loading", speed, results)


@pytest.mark.parametrize("role", ["reader", "ctx", "question"])
@pytest.mark.parametrize("name", sorted(name for name in V5["folders"] if name.startswith("checkpoints/v5")))
def test_fast_class_reads_v5_folders_as_v5_does(name, role):
    path, _, v5_class = name.partition(" / ")
    recorded = V5["folders"][name]
    target = tokenizer_class(role, "fast").from_pretrained(folder(path))
    assert v5_class.startswith("DPRReaderTokenizer")
    assert target(V5["probe"])["input_ids"] == recorded["ids"]
    assert (target.model_max_length, target.padding_side) == (
        recorded["model_max_length"],
        recorded["padding_side"],
    )


def test_explicit_settings_win_over_a_v5_folder():
    path = folder("checkpoints/v5/tokenizer-slow-class")
    cased = tokenizer_class("ctx", "fast").from_pretrained(path, do_lower_case=False)
    assert cased.tokenize("UNAFFABLE") == ["[UNK]"]


def saved_file(name: str, text: str):
    return json.loads(text) if name.endswith(".json") else text


@pytest.mark.parametrize("case", [name for name in SAVING if isinstance(SAVING[name], dict)])
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
        assert kept is None or saved_file(name, content.decode()) == saved_file(name, kept)
        assert len(content) == file["bytes"], name
        assert hashlib.sha256(content).hexdigest() == file["sha256"], name


@pytest.mark.parametrize("speed", SPEEDS)
def test_save_vocabulary_with_a_prefix(speed, tmp_path):
    new_tokenizer("ctx", speed).save_vocabulary(tmp_path, "pre")
    assert [path.name for path in tmp_path.iterdir()] == SAVING[f"save_vocabulary prefix {speed}"]


@pytest.mark.parametrize("loaded_as", SPEEDS)
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(
    "config", ["cased", "left", "custom_specials", "extra_specials", "no_cjk_split", "tiny"]
)
def test_saved_and_loaded_again_gives_the_same_rows(config, speed, loaded_as, tmp_path):
    texts = ["Hello [Q] Café 漢字", "a"]
    first = new_tokenizer("ctx", speed, config)
    first.save_pretrained(tmp_path)
    again = tokenizer_class("ctx", loaded_as).from_pretrained(tmp_path)
    options = {"padding": True, "truncation": True, "max_length": 7}
    assert dict(again(texts, **options)) == dict(first(texts, **options))
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()


def test_added_tokens_survive_saving(tmp_path):
    for speed in SPEEDS:
        first = new_tokenizer("ctx", speed)
        first.add_tokens(["frobnicate", AddedToken("quux", lstrip=True, normalized=False)])
        first.add_special_tokens({"pad_token": AddedToken("[END]", rstrip=True)})
        first.save_pretrained(tmp_path / speed)
        again = tokenizer_class("ctx", speed).from_pretrained(tmp_path / speed)
        text = "we frobnicate  quux it[END]  now"
        assert again.tokenize(text) == first.tokenize(text)
        assert (again.pad_token, again.pad_token_id, len(again)) == ("[END]", first.pad_token_id, len(first))
        assert again.get_added_vocab() == first.get_added_vocab()


def test_legacy_format(tmp_path):
    fast = new_tokenizer("ctx", "fast", "tiny")
    fast.save_pretrained(tmp_path / "old", legacy_format=True)
    fast.save_pretrained(tmp_path / "new", legacy_format=False)
    assert not (tmp_path / "old" / "tokenizer.json").exists()
    assert not (tmp_path / "new" / "vocab.txt").exists()
    with pytest.raises(ValueError, match="cannot write"):
        new_tokenizer("ctx", "slow", "tiny").save_pretrained(tmp_path, legacy_format=False)
    for speed, path in zip(("slow", "fast"), ("old", "new"), strict=True):
        again = tokenizer_class("ctx", speed).from_pretrained(tmp_path / path)
        assert again("a b")["input_ids"] == fast("a b")["input_ids"]


def test_saving_into_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        new_tokenizer("ctx", "fast", "tiny").save_pretrained(tmp_path / "file")


def test_saving_and_pushing_uploads_what_was_saved_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_no_connection_until", 0.0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/passwords.txt").write_text("secret")
    with fake_hub.serve(monkeypatch, tmp_path / "cache") as server:
        tokenizer = new_tokenizer("ctx", "fast")
        paths = tokenizer.save_pretrained(f"{tmp_path}/mine/", push_to_hub=True, token=fake_hub.TOKEN)
        (name,) = {name for name, _ in server.files}
        uploaded = set(server.files[name, "main"]) - {".gitattributes"}
    assert name.split("/")[-1] == "mine"
    assert uploaded == {os.path.basename(path) for path in paths}


def test_subfolder(tmp_path):
    new_tokenizer("reader", "fast", "tiny").save_pretrained(tmp_path / "reader")
    again = tokenizer_class("reader", "fast").from_pretrained(tmp_path, subfolder="reader")
    assert again.name_or_path == str(tmp_path)
    assert again("a")["input_ids"] == [4, 18, 5]


def test_positional_vocabulary_and_missing_vocabulary(tmp_path):
    with pytest.raises(ValueError, match=r"vocab_file \(vocab.txt\) or tokenizer_file"):
        tokenizer_class("ctx", "fast")()
    with pytest.raises(FileNotFoundError):
        tokenizer_class("ctx", "slow")(tmp_path / "vocab.txt")


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}})
    )
    for speed in SPEEDS:
        with pytest.raises(ValueError, match="expected a WordPiece model, found 'BPE'"):
            tokenizer_class("ctx", speed).from_pretrained(tmp_path)


def test_published_checkpoints_take_512_tokens(tmp_path, monkeypatch):
    name = "facebook/dpr-reader-multiset-base"
    new_tokenizer("reader", "fast", "tiny").save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for speed in SPEEDS:
        assert tokenizer_class("reader", speed).from_pretrained(name).model_max_length == 512
        assert tokenizer_class("ctx", speed).from_pretrained(name).model_max_length == int(1e30)

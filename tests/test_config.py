"""DPRConfig against the recorded behaviour of Transformers v4.34, and where it deliberately differs."""

import copy
import gzip
import inspect
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from dpr_tf.config import ACTIVATIONS, CONFIG_NAME, POSITION_EMBEDDING_TYPES, DPRConfig

RECORDED = json.loads(gzip.decompress((Path(__file__).parent / "data/api/config.json.gz").read_bytes()))
CONFIGS = RECORDED["configs"]
BEHAVIOUR = {name: entry.get("result", entry.get("message")) for name, entry in RECORDED["behaviour"].items()}
TINY = {
    "hidden_size": 12,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 7,
    "vocab_size": 31,
}


def as_json(value):
    return json.loads(json.dumps(value))


# --------------------------------------------------------------------------------------------------- recorded


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"wrong_types"}))
def test_every_recorded_configuration(name):
    recorded = CONFIGS[name]
    config = DPRConfig(**recorded["kwargs"])
    expected = {**CONFIGS["defaults"]["to_dict"], **recorded.get("to_dict_differs_from_defaults", {})}
    assert as_json(config.to_dict()) == expected
    assert as_json(config.to_diff_dict()) == recorded["to_diff_dict"]
    assert config.to_json_string() == recorded["to_json_string"]
    assert config.use_return_dict == recorded["use_return_dict"]
    assert config.num_labels == recorded["num_labels"]
    assert all(
        getattr(config, key) == value
        for key, value in config.to_dict().items()
        if key != "transformers_version"
    )


@pytest.mark.parametrize("name", ["defaults", "tiny"])
def test_recorded_texts(name):
    config = DPRConfig(**CONFIGS[name]["kwargs"])
    assert config.to_json_string(use_diff=False) == CONFIGS[name]["to_json_string_full"]
    assert repr(config) == str(config) == CONFIGS[name]["repr"]


def test_wrong_types_are_refused_where_the_reference_kept_them():
    with pytest.raises(
        ValueError, match=r"hidden_size must be an integer, found '32' \(str\); write 32(.|\n)*dropout"
    ):
        DPRConfig(**CONFIGS["wrong_types"]["kwargs"])


def test_signatures_accept_what_the_reference_accepted():
    for recorded_name, method in RECORDED["methods"].items():
        name = recorded_name.split(".")[1]
        ours = inspect.signature(getattr(DPRConfig, name)).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in ours.values())
        names = [p["name"] for p in method["parameters"] if p["name"] not in ("self", "cls", "kwargs")]
        assert takes_any or set(names) <= set(ours), recorded_name
        positional = [n for n in ours if n not in ("self", "kwargs")]
        assert positional == names[: len(positional)], recorded_name
    defaults = {p["name"]: p.get("default") for p in RECORDED["methods"]["DPRConfig.__init__"]["parameters"]}
    for name, parameter in inspect.signature(DPRConfig.__init__).parameters.items():
        if name not in ("self", "kwargs"):
            assert repr(parameter.default) == defaults[name]


def test_positional_arguments():
    config = DPRConfig(99, 32, 2, 4)
    assert [config.vocab_size, config.hidden_size, config.num_hidden_layers] == BEHAVIOUR[
        "positional arguments"
    ]


def test_equality_copies_and_pickles():
    config = DPRConfig(projection_dim=5, my_field={"a": [1]})
    assert config == DPRConfig(projection_dim=5, my_field={"a": [1]})
    assert config != DPRConfig(projection_dim=6, my_field={"a": [1]})
    assert config != config.to_dict()
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_defaults_are_not_shared_between_configurations():
    first = DPRConfig()
    first.id2label[7] = "x"
    first.pruned_heads[0] = [1]
    first.to_dict()["id2label"][8] = "y"
    assert DPRConfig().num_labels == 2
    assert DPRConfig().pruned_heads == {}


def test_missing_attribute():
    with pytest.raises(AttributeError) as caught:
        _ = DPRConfig().nope
    assert str(caught.value) == BEHAVIOUR["attribute missing"]


# --------------------------------------------------------------------------------------------- labels, dtypes


def test_num_labels_renumbers():
    config = DPRConfig()
    config.num_labels = 3
    assert as_json(config.id2label) == BEHAVIOUR["set num_labels"]
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}


def test_labels_that_contradict_num_labels(caplog):
    assert DPRConfig(num_labels=3, id2label={0: "a"}).num_labels == BEHAVIOUR["id2label mismatch"]
    assert "num_labels=3" in caplog.text


def test_label2id_follows_id2label_and_labels_must_be_dictionaries():
    assert DPRConfig(id2label={"0": "no", "1": "yes"}).label2id == {"no": 0, "yes": 1}
    with pytest.raises(ValueError, match=r"id2label must be a dictionary, found \['a'\]"):
        DPRConfig(id2label=["a"])


@pytest.mark.parametrize("given", ["float16", np.float16, np.dtype("float16")])
@pytest.mark.parametrize("name", ["torch_dtype", "dtype"])
def test_dtypes_are_kept_by_name(name, given):
    config = DPRConfig(**{name: given})
    assert (config.torch_dtype, config.dtype, config.to_dict()["torch_dtype"]) == ("float16",) * 3
    assert "dtype" not in config.to_dict()


def test_dtype_can_be_set_under_both_names():
    config = DPRConfig()
    config.dtype = np.float32
    assert config.torch_dtype == "float32"
    config.dtype = None
    assert config.torch_dtype is None


def test_name_or_path():
    config = DPRConfig(name_or_path=Path("some/name"))
    assert (config.name_or_path, config.to_dict()["_name_or_path"]) == ("some/name", "some/name")
    config.name_or_path = None
    assert config.name_or_path == ""


def test_pruned_heads_have_integer_layers():
    assert DPRConfig(pruned_heads={"1": [0, 2]}).pruned_heads == {1: [0, 2]}


# --------------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, found 0"),
        ({"hidden_size": -32}, "hidden_size must be at least 1, found -32"),
        ({"hidden_size": 32.0}, r"hidden_size must be an integer, found 32.0 \(float\)"),
        ({"num_hidden_layers": True}, r"num_hidden_layers must be an integer, found True \(bool\)"),
        ({"num_hidden_layers": None}, "num_hidden_layers must be an integer, found None"),
        (
            {"hidden_size": 32, "num_attention_heads": 5},
            "32 is not a multiple .* 5; num_attention_heads 4 would",
        ),
        ({"projection_dim": -1}, "projection_dim must be at least 0, found -1; 0 means no projection"),
        ({"hidden_act": "no_such_act"}, "hidden_act 'no_such_act' is not known; choose one of gelu, .*tanh"),
        ({"hidden_act": "glu"}, "hidden_act 'glu' is not known"),
        ({"hidden_act": None}, "hidden_act None is not known"),
        (
            {"position_embedding_type": "rotary"},
            "'rotary' is not known; choose one of absolute, relative_key,",
        ),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob must be between 0 and 1, found 1.5"),
        ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob must be between 0 and 1"),
        ({"attention_probs_dropout_prob": None}, "must be a number, found None .*; 0 switches it off"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a number, found '1e-12'"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be 0 or a positive number, found nan"),
        ({"initializer_range": float("inf")}, "initializer_range must be 0 or a positive number, found inf"),
        (
            {"pad_token_id": 31, "vocab_size": 31},
            "pad_token_id 31 is outside the vocabulary: .* from 0 to 30",
        ),
        ({"pad_token_id": None}, "pad_token_id must be an integer"),
        ({"output_attentions": "false"}, "output_attentions must be true or false, found 'false'"),
        ({"problem_type": "guessing"}, "problem_type 'guessing' is not known"),
    ],
)
def test_nonsense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        DPRConfig(**fields)


def test_one_error_names_everything():
    with pytest.raises(ValueError, match="cannot be used") as caught:
        DPRConfig(hidden_size="x", vocab_size=0, hidden_act="y", layer_norm_eps=-1)
    assert all(
        name in str(caught.value) for name in ("hidden_size", "vocab_size", "hidden_act", "layer_norm_eps")
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_known_activations(name):
    assert DPRConfig(hidden_act=name).hidden_act == name


@pytest.mark.parametrize("name", POSITION_EMBEDDING_TYPES)
def test_known_position_embedding_types(name):
    assert DPRConfig(position_embedding_type=name).position_embedding_type == name


def test_numpy_numbers_become_python_numbers():
    config = DPRConfig(hidden_size=np.int64(24), layer_norm_eps=np.float32(0.5))
    assert type(config.hidden_size) is int
    assert json.loads(config.to_json_string())["layer_norm_eps"] == 0.5


def test_changed_attributes_are_checked_by_validate_and_when_saving(tmp_path):
    config = DPRConfig()
    config.hidden_size = 30
    config.num_attention_heads = 5
    config.validate()
    config.num_attention_heads = 4
    for check in (config.validate, lambda: config.save_pretrained(tmp_path)):
        with pytest.raises(ValueError, match=r"num_attention_heads [35] would fit"):
            check()
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------- reading


def write(folder, content, name=CONFIG_NAME):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_from_pretrained_folder_file_neighbour_and_subfolder(tmp_path):
    path = write(tmp_path / "sub", {**TINY, "model_type": "dpr", "zzz": [1, {"a": None}]})
    weights = write(tmp_path / "sub", b"", "model.safetensors")
    index = write(tmp_path / "sub", b"{}", "model.safetensors.index.json")
    read = [DPRConfig.from_pretrained(place) for place in (tmp_path / "sub", str(path), weights, index)]
    read.append(DPRConfig.from_pretrained(tmp_path, subfolder="sub"))
    read.append(DPRConfig.from_json_file(path))
    assert all(config == read[0] for config in read)
    assert (read[0].hidden_size, read[0].zzz) == (12, [1, {"a": None}])


def test_overrides_and_unused_keywords(tmp_path, caplog):
    path = write(
        tmp_path, {**TINY, "num_attention_heads": 5, "zzz": 1, "id2label": {"0": "a"}, "label2id": {"a": 0}}
    )
    config, unused = DPRConfig.from_pretrained(
        path,
        num_attention_heads=4,
        zzz=2,
        num_labels=3,
        foo=1,
        output_attentions=True,
        return_unused_kwargs=True,
    )
    assert (config.num_attention_heads, config.zzz, config.num_labels, config.output_attentions) == (
        4,
        2,
        3,
        True,
    )
    assert unused == BEHAVIOUR["from_pretrained unused kwargs"] == {"foo": 1}
    assert caplog.text == ""
    assert not hasattr(
        DPRConfig.from_pretrained(path, num_attention_heads=4, projecton_dim=1), "projecton_dim"
    )
    assert "projecton_dim" in caplog.text


def test_override_of_the_dtype(tmp_path):
    path = write(tmp_path, {**TINY, "torch_dtype": "float16"})
    assert DPRConfig.from_pretrained(path, dtype="bfloat16").torch_dtype == "bfloat16"
    assert DPRConfig.from_pretrained(path, torch_dtype="float32").dtype == "float32"


def test_from_dict_leaves_its_argument_alone():
    fields = {**TINY, "id2label": {"0": "a"}}
    before = copy.deepcopy(fields)
    DPRConfig.from_dict(fields, hidden_size=24).id2label[9] = "b"
    assert fields == before


def test_v5_file(tmp_path):
    path = write(
        tmp_path, {**TINY, "dtype": "bfloat16", "bos_token_id": None, "transformers_version": "5.23.0"}
    )
    config = DPRConfig.from_pretrained(path)
    assert (config.torch_dtype, config.position_embedding_type) == ("bfloat16", "absolute")
    assert config.to_dict()["transformers_version"] == "5.23.0"


def test_bert_file_is_read_quietly_and_others_with_a_warning(tmp_path, caplog):
    write(tmp_path, {**TINY, "model_type": "bert", "use_cache": True, "classifier_dropout": None})
    config = DPRConfig.from_pretrained(tmp_path)
    assert (config.model_type, config.to_dict()["model_type"], config.use_cache) == ("dpr", "dpr", True)
    assert config.hidden_size == 12
    assert caplog.text == ""
    write(tmp_path, {**TINY, "model_type": "roberta"})
    with caplog.at_level(logging.WARNING):
        DPRConfig.from_pretrained(tmp_path)
    assert "model_type 'roberta', not 'dpr'" in caplog.text


def test_byte_order_mark_is_read(tmp_path):
    write(tmp_path, b"\xef\xbb\xbf" + json.dumps(TINY).encode())
    assert DPRConfig.from_pretrained(tmp_path).hidden_size == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a valid JSON file"),
        (b'{"hidden_size": 1', "is not a valid JSON file"),
        (b'{"hidden_size": \xff}', "is not a valid JSON file"),
        (b"[{}]", "holds a JSON list, expected an object"),
        (b'"dpr"', "holds a JSON str, expected an object"),
    ],
)
def test_unreadable_files(tmp_path, content, message):
    path = write(tmp_path, content)
    for read in (DPRConfig.from_pretrained, DPRConfig.from_json_file):
        with pytest.raises(OSError, match=message):
            read(path)


def test_nonsense_in_a_file_names_the_file(tmp_path):
    path = write(tmp_path, {**TINY, "hidden_size": "12"})
    for read in (DPRConfig.from_pretrained, DPRConfig.from_json_file):
        with pytest.raises(ValueError, match=rf"{CONFIG_NAME}: This DPR configuration(.|\n)*write 12"):
            read(path)


def test_folder_without_configuration_says_what_it_holds(tmp_path):
    write(tmp_path, b"", "model.safetensors")
    with pytest.raises(OSError, match=r"named config.json: it holds model.safetensors"):
        DPRConfig.from_pretrained(tmp_path)
    with pytest.raises(OSError, match="There is no configuration file"):
        DPRConfig.from_json_file(tmp_path / "absent.json")


# ------------------------------------------------------------------------------------------ changing, writing


def test_update():
    config = DPRConfig()
    config.update({"hidden_size": 9, "new": 1})
    assert [config.hidden_size, config.new] == BEHAVIOUR["update"]


def test_update_from_string():
    config = DPRConfig()
    config.update_from_string("hidden_size=12,hidden_act=relu,hidden_dropout_prob=0.1")
    result = [config.hidden_size, config.hidden_act, config.hidden_dropout_prob]
    assert result == BEHAVIOUR["update_from_string"]
    config.update_from_string("return_dict=no,output_attentions=True")
    assert (config.return_dict, config.output_attentions) == (False, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size=24,nope=1", BEHAVIOUR["update_from_string unknown"]),
        ("hidden_size=24,return_dict=maybe", "can't derive true or false from maybe"),
        ("hidden_size=24,id2label=x", "You can only update int, float, bool or string"),
        ("hidden_size=24,vocab_size", "expected name=value, found 'vocab_size'"),
    ],
)
def test_update_from_string_changes_all_or_nothing(text, message):
    config = DPRConfig()
    with pytest.raises(ValueError, match=message):
        config.update_from_string(text)
    assert config == DPRConfig()


def test_saving_and_reading_back(tmp_path):
    config = DPRConfig(**TINY, projection_dim=4, mine={"a": 1}, torch_dtype="float32", num_labels=3)
    config.save_pretrained(tmp_path / "new" / "folder")
    assert (
        DPRConfig.from_pretrained(tmp_path / "new" / "folder") != config
    )  # the version of the layout is new in it
    config.transformers_version = "4.34.0"
    assert DPRConfig.from_pretrained(tmp_path / "new" / "folder") == config
    config.to_json_file(tmp_path / "all.json", use_diff=False)
    assert DPRConfig.from_json_file(tmp_path / "all.json") == config
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["all.json", CONFIG_NAME, "folder", "new"]


def test_saved_text_is_the_reference_s_without_the_local_path(tmp_path):
    DPRConfig(projection_dim=4, name_or_path="/home/me/secret").save_pretrained(tmp_path)
    assert (tmp_path / CONFIG_NAME).read_text() == BEHAVIOUR["save_pretrained text"]


def test_saving_into_a_file_is_refused(tmp_path):
    with pytest.raises(OSError, match="must be a folder"):
        DPRConfig().save_pretrained(write(tmp_path, {}))

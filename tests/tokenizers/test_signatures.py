"""The six classes have Transformers 4.34's public names, and its methods the same parameters."""

import inspect

import pytest
from tokenizer_recordings import DIFFERENCES, listed, read, tokenizer_class

import dpr_tf.tokenizers as dpr

RECORDED = read("signatures")


@pytest.mark.parametrize("name", RECORDED)
def test_public_names(name):
    # attributes that the constructor sets were recorded of classes as properties
    names = {*dir(getattr(dpr, name)), "do_lower_case"}
    speed = "fast" if name.endswith("Fast") else "slow"
    assert set(RECORDED[name]["public_names"]) - names == set(listed("signatures", speed))


@pytest.mark.parametrize("name", RECORDED)
def test_parameters(name):
    wrong, compared = {}, 0
    for method, recorded in RECORDED[name]["methods"].items():
        if not hasattr(getattr(dpr, name), method):
            continue
        compared += 1
        ours = [
            [
                parameter.name,
                parameter.kind.name,
                None if parameter.default is parameter.empty else repr(parameter.default),
            ]
            for parameter in inspect.signature(getattr(getattr(dpr, name), method)).parameters.values()
        ]
        # push_to_hub swallowed the keywords of Transformers 2
        if ours != [parameter for parameter in recorded if parameter[0] != "deprecated_kwargs"]:
            wrong[method] = ours, recorded
    assert compared > 20
    assert not wrong


@pytest.mark.parametrize("role", ["ctx", "question", "reader"])
def test_a_fast_class_names_its_slow_one(role):
    slow = tokenizer_class(role, "slow")
    assert tokenizer_class(role, "fast").slow_tokenizer_class is slow
    assert slow.slow_tokenizer_class is None
    names = (
        ["input_ids", "attention_mask"]
        if role == "reader"
        else ["input_ids", "token_type_ids", "attention_mask"]
    )
    assert slow.model_input_names == tokenizer_class(role, "fast").model_input_names == names


def test_every_difference_says_why():
    for entry in DIFFERENCES:
        assert set(entry) - {"varies"} == {"recording", "classes", "cases", "recorded", "here", "reason"}
        assert entry["cases"]
        assert entry["reason"]

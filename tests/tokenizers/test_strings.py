"""396 strings in 14 configurations: ids, decoded text, offsets and word numbers."""

import pytest
from tokenizer_recordings import SPEEDS, call, characters_as_recorded, compare, read, recorded_form, tokenizer

STRINGS = read("strings")["cases"]
SETTINGS = read("settings")
DECODINGS = {
    "decode_skip0_clean0": {"skip_special_tokens": False, "clean_up_tokenization_spaces": False},
    "decode_skip0_clean1": {"skip_special_tokens": False, "clean_up_tokenization_spaces": True},
    "decode_skip1_clean0": {"skip_special_tokens": True, "clean_up_tokenization_spaces": False},
    "decode_skip1_clean1": {"skip_special_tokens": True, "clean_up_tokenization_spaces": True},
    "decode_default": {},
}


def recorded_ids(case: dict, speed: str) -> list[int]:
    return case["ids"] if "ids" in case else case[f"{speed}_ids"]


def known(speed: str) -> list[dict]:
    return [case for case in STRINGS if characters_as_recorded(case["text"], speed)]


@pytest.mark.parametrize("speed", SPEEDS)
def test_ids(speed):
    target = tokenizer("ctx", speed)
    results = {
        case["i"]: (target(case["text"])["input_ids"], recorded_ids(case, speed)) for case in known(speed)
    }
    compare("strings", speed, results)


@pytest.mark.parametrize("speed", SPEEDS)
def test_batch_gives_the_same_ids_as_single_calls(speed):
    cases = [case for case in known(speed) if case["category"] != "surrogates"]
    encoding = tokenizer("ctx", speed)([case["text"] for case in cases])
    assert encoding["input_ids"] == [recorded_ids(case, speed) for case in cases]
    assert encoding["attention_mask"] == [[1] * len(row) for row in encoding["input_ids"]]
    assert encoding["token_type_ids"] == [[0] * len(row) for row in encoding["input_ids"]]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", DECODINGS)
def test_decode(name, speed):
    target = tokenizer("ctx", speed)
    results = {}
    for case in STRINGS:
        recorded = case[name][speed] if isinstance(case[name], dict) else case[name]
        results[case["i"]] = target.decode(recorded_ids(case, "slow"), **DECODINGS[name]), recorded
    compare("strings decode", speed, results)


def test_offsets_and_word_numbers_of_the_fast_class():
    target = tokenizer("ctx", "fast")
    results = {}
    for case in STRINGS:
        encoding = target(case["text"], return_offsets_mapping=True)
        ours = [recorded_form(encoding["offset_mapping"]), encoding.word_ids()]
        results[case["i"]] = ours, [case["fast_offsets"], case["fast_word_ids"]]
    compare("strings offsets", "fast", results)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("config", SETTINGS["configs"])
def test_ids_in_other_configurations(config, speed):
    recorded = {i: recorded_ids(STRINGS[i], speed) for i in SETTINGS["indices"]}
    if config.startswith("tiny"):
        recorded = {}
    for case in SETTINGS["cases"]:
        if case["config"] == config:
            recorded[case["i"]] = case["both"] if "both" in case else case[speed]
    target = tokenizer("ctx", speed, config)
    texts = {case["i"]: case["text"] for case in known(speed)}
    results = {i: (call(target, "encode", [texts[i]], {}), ids) for i, ids in recorded.items() if i in texts}
    compare(f"settings {config}", speed, results)

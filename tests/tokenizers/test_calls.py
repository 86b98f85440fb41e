"""The six classes answer the recorded calls, and short sequences of calls, as Transformers 4.34 did."""

import pytest
from tokenizer_recordings import (
    SPEEDS,
    call,
    characters_as_recorded,
    compare,
    expected,
    new_tokenizer,
    read,
    tokenizer,
)


def group(case: dict) -> str:
    """Calls are tested by method, and `__call__` by configuration too."""
    return f"__call__ {case['config']}" if case["method"] == "__call__" else case["method"]


def replay(recording: str, role: str, speed: str, cases: dict[int, dict]) -> None:
    results = {}
    for number, case in cases.items():
        if not characters_as_recorded([case["args"], case["kwargs"]], speed):
            continue
        target = tokenizer(role, speed, case["config"])
        ours = call(target, case["method"], case["args"], case["kwargs"])
        results[number] = ours, expected(case, speed)
    compare(recording, speed, results)


def cases_of(recording: str, name: str) -> dict[int, dict]:
    return {i: case for i, case in enumerate(read(recording)["cases"]) if group(case) == name}


def groups(recording: str) -> list[str]:
    return sorted({group(case) for case in read(recording)["cases"]})


def test_the_recordings_are_complete():
    assert (len(read("options")["cases"]), len(read("reader")["cases"])) == (1306, 524)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", groups("options"))
def test_context_encoder_tokenizer(name, speed):
    replay("options", "ctx", speed, cases_of("options", name))


@pytest.mark.parametrize("speed", SPEEDS)
def test_question_encoder_tokenizer_answers_the_same(speed):
    every_fifth = dict(list(enumerate(read("options")["cases"]))[::5])
    results = {}
    for number, case in every_fifth.items():
        results[number] = tuple(
            call(tokenizer(role, speed, case["config"]), case["method"], case["args"], case["kwargs"])
            for role in ("question", "ctx")
        )
    assert all(question == context or "error" in question for question, context in results.values())


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", groups("reader"))
def test_reader_tokenizer(name, speed):
    replay("reader", "reader", speed, cases_of("reader", name))


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("name", sorted(read("sequences")["cases"]))
def test_sequence_of_calls_on_one_tokenizer(name, speed):
    target = new_tokenizer("ctx", speed)
    results = {}
    for number, case in enumerate(read("sequences")["cases"][name]):
        ours = call(target, case["method"], case["args"], case["kwargs"])
        results[f"{name} {number}"] = ours, expected(case, speed)
    compare("sequences", speed, results)

"""The doctor: what it says of an installation, and of one that is not whole."""

import importlib.metadata

import pytest

from dpr_tf import answering, doctor, hub


def found(checks):
    return {check.what: check for check in checks}


def test_says_what_is_missing_and_how_to_get_it(monkeypatch):
    needed = ["numpy>=1", "absent>=1", 'bm25s>=0.3; extra == "sparse"', 'pytest; extra == "test"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)
    monkeypatch.setattr(doctor, "_version", lambda name: "1.2" if name == "numpy" else None)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.0")
    checks = found(doctor._packages())
    assert checks["numpy"] == ("numpy", "ok", "1.2")
    assert checks["absent"] == ("absent", "wrong", "is missing; pip install absent")
    assert str(checks["extra sparse"]) == (
        'note   extra sparse: bm25s is missing; pip install "dpr_tf[sparse]"'
    )
    assert "extra test" not in checks


@pytest.mark.parametrize(
    ("offline", "reachable", "state", "text"),
    [
        (True, False, "note", "HF_HUB_OFFLINE is set: only the cache is used, /cache"),
        (False, False, "note", "hub.example cannot be reached: only the cache"),
        (False, True, "ok", "hub.example can be reached; cache /cache"),
    ],
)
def test_says_whether_the_hub_can_be_used(monkeypatch, offline, reachable, state, text):
    connection = hub.Connection("hub.example", offline, reachable, "/cache")
    monkeypatch.setattr(hub, "connection", lambda: connection)
    check = doctor._hub()
    assert check.state == state
    assert text in check.found


def test_a_hub_that_does_not_answer_is_not_reachable(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert not hub.connection(timeout=1.0).reachable


def test_processor_memory_and_devices_are_found():
    assert "cores" in doctor._processor().found
    assert float(doctor._memory().found.split()[0]) > 0.1
    assert "CPU" in doctor._devices().found


def test_a_wrong_answer_or_an_error_is_wrong(monkeypatch):
    monkeypatch.setattr(answering, "ask", lambda question: answering.Answered(question, [], [], 0.0, 0.0))
    assert doctor._sample().state == "wrong"

    def fail(question):
        raise OSError("no\nsample")

    monkeypatch.setattr(answering, "ask", fail)
    assert doctor._sample() == ("sample", "wrong", "OSError: no sample")


def test_its_question_is_the_samples():
    questions = (answering.sample_folder() / "questions.tsv").read_text()
    assert f"{doctor._QUESTION}\t" in questions
    assert doctor._ANSWER in questions

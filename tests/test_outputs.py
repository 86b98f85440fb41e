"""Output records: what they answer, against recorded objects of v4.34."""

import copy
import pickle

import numpy as np
import pytest
import recordings

import dpr_tf
from dpr_tf import DPRReaderOutput, TFDPRContextEncoderOutput, TFDPRReaderOutput
from dpr_tf.outputs import TF_OUTPUTS, TORCH_OUTPUTS

RECORDED = recordings.read_json("api/outputs")
OBJECTS = RECORDED["objects"]
SIZES = {"pooler_output": (2, 16), "start_logits": (2, 6), "end_logits": (2, 6), "relevance_logits": (2,)}


def make(case):
    """The record of a recorded case, with zeros for values."""
    record = OBJECTS[case]
    values = {}
    for name, shape in record["items"]:
        nested = name in ("hidden_states", "attentions")
        values[name] = tuple(np.zeros(s) for s in shape) if nested else np.zeros(shape)
    return getattr(dpr_tf, record["class"])(**values), record


def shapes(value):
    if value is None:
        return None
    return [shapes(v) for v in value] if isinstance(value, (tuple, list)) else list(value.shape)


@pytest.mark.parametrize("case", OBJECTS)
def test_reading(case):
    output, record = make(case)
    assert list(output.keys()) == record["keys"]
    assert list(output) == record["iteration gives"]
    assert len(output) == record["len"]
    assert [[k, shapes(v)] for k, v in output.items()] == record["items"]
    assert shapes(output.to_tuple()) == record["to_tuple"]
    assert shapes(output[0]) == record["[0]"]
    assert shapes(output[-1]) == record["[-1]"]
    assert ["tuple", shapes(output[:2])] == record["[:2]"]
    assert ("attentions" in output) is record["'attentions' in"]
    assert sorted({**output}) == record["** unpacking"]
    assert shapes(output.hidden_states) == record[".hidden_states"]
    assert shapes(output.attentions) == record[".attentions"]
    assert output.get("attentions", "absent") == "absent" or record["'attentions' in"]


@pytest.mark.parametrize("case", OBJECTS)
def test_what_is_not_there(case):
    output, record = make(case)
    with pytest.raises(IndexError):
        output[99]
    with pytest.raises(KeyError, match="nope"):
        output["nope"]
    with pytest.raises(AttributeError, match="nope"):
        _ = output.nope
    if isinstance(record["['attentions']"], dict):
        with pytest.raises(KeyError, match="attentions"):
            output["attentions"]


def test_writing():
    output = TFDPRContextEncoderOutput(pooler_output=np.zeros((2, 16)))
    output["pooler_output"] = np.ones((3, 5))
    assert output.pooler_output.shape == output[0].shape == (3, 5)
    output.pooler_output = np.ones((7, 4))
    assert output["pooler_output"].shape == (7, 4)
    output["brand_new"] = 1
    assert list(output) == ["pooler_output", "brand_new"]
    assert output.brand_new == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda output: output.__delitem__("pooler_output"),
        lambda output: output.pop("pooler_output"),
        lambda output: output.popitem(),
        lambda output: output.update(a=1),
        lambda output: output.setdefault("a", 1),
    ],
)
def test_records_are_not_edited(edit):
    output = TFDPRContextEncoderOutput(pooler_output=np.zeros((2, 16)))
    with pytest.raises(TypeError, match="record"):
        edit(output)
    assert list(output) == ["pooler_output"]


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies(clone):
    output = TFDPRReaderOutput(np.zeros((2, 6)), relevance_logits=np.arange(2.0), end_logits=np.ones((2, 6)))
    other = clone(output)
    assert type(other) is TFDPRReaderOutput
    assert list(other) == ["start_logits", "end_logits", "relevance_logits"]
    np.testing.assert_array_equal(other.relevance_logits, [0.0, 1.0])


def test_constructing():
    assert list(TFDPRReaderOutput()) == []
    assert list(TFDPRReaderOutput(None)) == []
    assert list(TFDPRReaderOutput({"a": 1, "b": 2})) == ["a", "b"]
    assert list(TFDPRReaderOutput([("a", 1), ("b", 2)])) == ["a", "b"]
    assert list(TFDPRReaderOutput(np.zeros(3))) == ["start_logits"]
    with pytest.raises(TypeError, match="nope"):
        TFDPRReaderOutput(nope=1)
    with pytest.raises(TypeError, match="multiple values"):
        TFDPRReaderOutput(np.zeros(3), start_logits=np.zeros(3))
    with pytest.raises(TypeError, match="at most 5"):
        DPRReaderOutput(*range(6))


def test_fields_come_in_their_order_whatever_the_order_of_keywords():
    output = TFDPRReaderOutput(relevance_logits=3, end_logits=2, start_logits=1)
    assert output.to_tuple() == (1, 2, 3)


def test_all_six_classes_are_public():
    assert {cls.__name__ for cls in TF_OUTPUTS + TORCH_OUTPUTS} <= set(dpr_tf.__all__)

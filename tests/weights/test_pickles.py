"""The interpreter of pickles: what it builds, and that it can run nothing."""

import builtins
import collections
import contextlib
import io
import os
import pickle
import random
import subprocess

import pytest

from dpr_tf.weights import pickles
from dpr_tf.weights.arrays import CheckpointError
from dpr_tf.weights.pickled import Global, Record

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = {
    "text": "é",
    "numbers": [1, -1, 255, 65536, 2**70, 0.5, True, False, None],
    "nested": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, [[1], {"a": (2,)}]),
    5: b"bytes",
    "long": "x" * 300,
    "sets": [{1, 2}, frozenset({3})],
}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


def load(data: bytes):
    return pickles.load(io.BytesIO(data), "file")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_is_read_as_python_does(protocol):
    content = {key: value for key, value in PLAIN.items() if protocol >= 4 or key != "sets"}
    if protocol < 3:
        del content[5]  # bytes are written as a call of codecs.encode there
    assert load(pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ordered_dicts_and_sharing(protocol):
    shared = [1]
    content = collections.OrderedDict(a=shared, b=shared)
    found = load(pickle.dumps(content, protocol))
    assert found == {"a": [1], "b": [1]}
    assert found["a"] is found["b"]


def test_reading_stops_behind_the_pickle():
    file = io.BytesIO(pickle.dumps([1]) + b"rest")
    pickles.load(file, "file")
    assert file.read() == b"rest"


HOSTILE = {
    "system": Call(os.system, "touch EXECUTED"),
    "popen": Call(subprocess.Popen, ("touch", "EXECUTED")),
    "exec": Call(exec, "open('EXECUTED', 'w')"),
    "eval": Call(eval, "open('EXECUTED', 'w')"),
    "open": Call(open, "EXECUTED", "w"),
    "getattr": Call(getattr, builtins, "exec"),
    "import": Call(__import__, "os"),
    "nested": {"a": [Call(os.system, "touch EXECUTED")]},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_run_nothing(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "getattr":
        data = b"cbuiltins\ngetattr\n(cos\nsystem\nX\x04\x00\x00\x00nametR."
    else:
        data = pickle.dumps(HOSTILE[name], protocol)
    with pytest.raises(CheckpointError, match="refused: the pickle names"):
        load(data)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "data",
    [
        b"(S'touch EXECUTED'\nios\nsystem\n.",  # INST: protocol 0's own call
        b"(cbuiltins\nlist\no.",  # OBJ
        b"\x80\x02\x82\x01.",  # EXT1: a name from the copyreg registry
        b"Pname\n.",  # PERSID
        b"\x80\x05\x97.",  # NEXT_BUFFER
    ],
)
def test_instructions_that_call_or_reach_out_do_not_exist(data):
    with pytest.raises(CheckpointError, match="refused: a pickle with the instruction"):
        load(data)


def test_a_dotted_name_does_not_reach_another_module():
    data = b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93."
    with pytest.raises(CheckpointError, match=r"torch\.serialization\.os\.system"):
        load(data)


def test_state_cannot_be_given_to_names_or_functions():
    # BUILD with a dict on the name torch._utils._rebuild_tensor_v2
    data = b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."
    with pytest.raises(CheckpointError, match="state for a Global"):
        load(data)


def test_allowed_classes_stay_data():
    data = b"cdpr.utils.model_utils\nCheckpointState\n(K\x01K\x02t\x81}X\x01\x00\x00\x00aK\x03sb."
    found = load(data)
    assert isinstance(found, Record)
    assert (found.name, found.args, found.state) == (
        "dpr.utils.model_utils.CheckpointState",
        (1, 2),
        {"a": 3},
    )
    assert load(b"ctyping\nAny\n.") == Global("typing.Any")


def test_keys_whose_hash_takes_forever_are_refused():
    # t = (t, t), forty times: 2**40 steps to hash
    nested = b"\x80\x02}K\x01" + b"2\x86" * 40 + b"K\x01s."
    with pytest.raises(CheckpointError, match="tuple as a key"):
        load(nested)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"garbage", b"\x80\x02", b"\x80\x02}q\x00", b"0.", b"(.", b"K\x01b."]
)
def test_what_is_no_pickle(data):
    with pytest.raises(CheckpointError):
        load(data)


def test_claimed_lengths_allocate_nothing():
    # BINUNICODE8 and LONG4 that claim exabytes and 2 GiB
    with pytest.raises(CheckpointError):
        load(b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b"abc")
    with pytest.raises(CheckpointError):
        load(b"\x8b" + (2**31 - 1).to_bytes(4, "little") + b"abc")


def test_every_cut_of_a_pickle_is_an_error():
    data = pickle.dumps(PLAIN)
    for end in range(len(data)):
        with pytest.raises(CheckpointError):
            load(data[:end])


def test_random_changes_end_in_data_or_in_the_one_error():
    data = pickle.dumps([collections.OrderedDict(PLAIN), Global("x")], 2)
    draw = random.Random(7)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(draw.randrange(1, 4)):
            changed[draw.randrange(len(data))] = draw.randrange(256)
        with contextlib.suppress(CheckpointError):
            load(bytes(changed))

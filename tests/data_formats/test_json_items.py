"""The items of JSON files, compared with json.load; where faults are; memory."""

import gzip
import json
import random
import re
import tracemalloc

import pytest

from dpr_tf.data import json_items
from dpr_tf.data.json_items import scan_items, write_json


def scanned(path, key=""):
    """Lines and values of sound items, texts of faults."""
    return [
        str(item.faults[0]) if item.faults else (item.line, dict(item.value._values))
        for item in scan_items(path, key)
    ]


def random_value(source, depth):
    kind = source.randrange(8 if depth else 6)
    if kind < 6:
        words = ['\\"\n', "é€😀", "]},", "\\u00e9", "x" * source.randrange(40)]
        return [None, True, source.randrange(-(10**18), 10**18), source.random() * 1e-8, "", "".join(words)][
            kind
        ]
    values = [random_value(source, depth - 1) for _ in range(source.randrange(4))]
    return values if kind == 6 else {f'k"{i}': value for i, value in enumerate(values)}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50, 2**17])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_read_in_pieces_of_any_size_is_what_json_loads(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(json_items, "_CHUNK", chunk)
    source = random.Random(chunk)
    objects = [{"a": random_value(source, 3), "b": i} for i in range(30)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(objects, indent=indent, ensure_ascii=source.random() < 0.5), encoding="utf-8")
    found = scanned(path)
    assert [value for _, value in found] == objects
    # The line of an item, in an indented file: each item begins in a line that is " {" alone.
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [line for line, _ in found] == (
        [i for i, line in enumerate(lines, start=1) if line == " {"] if indent else [1] * 30
    )


@pytest.mark.parametrize(
    "content", ["[]", " [\n] ", "", "\n", "\ufeff[]"], ids=["empty", "spaces", "nothing", "line", "mark"]
)
def test_files_without_items(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content, encoding="utf-8")
    assert scanned(path) == []


@pytest.mark.parametrize("chunk", [1, 2, 5, 2**17])
def test_an_array_inside_an_object(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_items, "_CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text('{"version": {"data": [1]}, "n": 1234567,\n "data": [{"a": 1},\n{"b": 2}], "more": [3]}')
    assert scanned(path, key="data") == [(2, {"a": 1}), (3, {"b": 2})]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('[{"a": 1},\n {"a" 2}, {}]', [(1, {"a": 1}), "line 2: Expecting ':' delimiter"]),
        ('[{"a": 1},\n\n', [(1, {"a": 1}), "line 3: Expecting value: the file is cut off"]),
        ('[{"a": 1}', [(1, {"a": 1}), "line 1: expected ',' or ']', found the end: the file is cut off"]),
        ('[{"a": "x\\', ["line 1: Unterminated string starting at: the file is cut off"]),
        ("[{}\n{}]", [(1, {}), "line 2: expected ',' or ']', found '{'"]),
        ("[{},]", [(1, {}), "line 1: Expecting value: the file is cut off"]),
        ("[{}]\n\n[", [(1, {}), "line 3: expected the end of the file behind the array, found '['"]),
        ("[{},\n7]", [(1, {}), "line 2, [1]: expected an object, found 7"]),
        ("[" + "[" * 100_000, ["line 1: in the item that begins here: maximum recursion depth exceeded"]),
        ("[" + "9" * 5000 + "]", ["line 1: in the item that begins here: Exceeds the limit (4300"]),
        ('{"a": 1}\n{"a": \n\n{}', [(1, {"a": 1}), "line 2: not a JSON object in one line", (4, {})]),
        ("7\nx", ["line 1: expected an object, found 7", "line 2: not a JSON object in one line: Expecting"]),
    ],
)  # fmt: skip
def test_a_fault_has_its_line_and_json_lines_go_on_behind_it(tmp_path, content, found):
    path = tmp_path / "a.json"
    path.write_text(content)
    for got, expected in zip(scanned(path), found, strict=True):
        assert got == expected if isinstance(expected, tuple) else got.startswith(expected), got


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"a": 1},\n{"a": "\xe9"}]', "line 2: byte 0xe9 is not UTF-8"),
        (b'{"a": 1}\n{"a": "\xe9"}\n', "line 2: byte 0xe9 is not UTF-8"),
        (
            gzip.compress(b"[" + b'{"a": 1},\n' * 5000)[:-20],
            "line 1: behind this line the gzip stream is damaged or cut short",
        ),
        (
            gzip.compress(b'{"a": 1}\n' * 5000)[:-9],
            r"line \d+: behind this line the gzip stream is damaged or cut short",
        ),
        (b'{"data": 7}', "line 1, data: is missing: expected a list of objects"),
    ],
)
def test_bytes_that_are_no_text(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    faults = [
        item for item in scanned(path, key="data" if b"data" in content else "") if isinstance(item, str)
    ]
    assert len(faults) == 1
    assert re.match(message, faults[0])


def test_an_endless_item_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(json_items, "LONGEST_ITEM", 10_000)
    monkeypatch.setattr(json_items, "_CHUNK", 1000)
    path = tmp_path / "a.json"
    path.write_text('[{"a": "' + "x" * 100_000 + '"}]')
    assert scanned(path) == ["line 1: an item of more than 10,000 characters: no record is so long"]


@pytest.mark.parametrize("between", ["", "\n"], ids=["in one line", "a line each"])
def test_memory_does_not_grow_with_the_array(tmp_path, between):
    def peak(count):
        path = tmp_path / "a.json"
        path.write_text("[" + f",{between}".join(['{"text": "' + "word " * 200 + '"}'] * count) + "]")
        tracemalloc.start()
        assert sum(1 for _ in scan_items(path)) == count
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(20_000) < 2**20 + peak(500)  # 20 MB


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz"])
def test_written_objects_read_back(tmp_path, name, count):
    objects = [{"a": i, "b": "é\n"} for i in range(count)]
    assert write_json(tmp_path / name, iter(objects)) == count
    assert [value for _, value in scanned(tmp_path / name)] == objects
    if name == "a.json":
        assert json.loads((tmp_path / name).read_text(encoding="utf-8")) == objects

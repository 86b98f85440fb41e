"""Indexes on disk: whole at any moment, checked before they are believed."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dpr_tf.retrieval.indexes import ExactIndex, Origin, int8, load_index

ORIGIN = Origin("3f2a", "zeros")


def vectors(seed, count=23, dim=6):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def saved(folder, **options):
    index = ExactIndex(6, ORIGIN, **options)
    index.add(vectors(1), [f"Zürich {row}" for row in range(23)], origin=ORIGIN, data="d1")
    index.remove(["Zürich 4"])
    index.save(folder)
    return index


@pytest.mark.parametrize("memory_map", [False, True])
@pytest.mark.parametrize("options", [{}, {"dtype": "float16"}, {"first_pass": "int8"}], ids=str)
def test_comes_back_the_same(tmp_path, monkeypatch, options, memory_map):
    monkeypatch.setattr(int8, "GROUP", 8)
    monkeypatch.setattr("dpr_tf.retrieval.indexes.exact.GROUP", 8)
    index = saved(tmp_path / "index", **options)
    loaded = load_index(tmp_path / "index", memory_map=memory_map)
    assert (type(loaded), loaded.options, loaded.origin, loaded.data) == (
        ExactIndex,
        index.options,
        ORIGIN,
        ["d1"],
    )
    assert list(loaded.ids) == [f"Zürich {row}" for row in range(23)]
    for one in (index, loaded):
        one.add(vectors(2, count=9), origin=ORIGIN)
    assert len(loaded) == len(index) == 31
    for found, expected in zip(loaded.search(vectors(3), 32), index.search(vectors(3), 32), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_empty_index_comes_back(tmp_path):
    ExactIndex(5, first_pass="int8").save(tmp_path)
    assert len(ExactIndex.load(tmp_path)) == 0


def test_saving_over_itself_replaces_the_files(tmp_path):
    saved(tmp_path)
    (tmp_path / "vectors-0123456789abcdef.part").write_bytes(b"cut short")
    index = ExactIndex.load(tmp_path, memory_map=True)
    index.remove(["Zürich 5"])
    index.save(tmp_path)  # the vectors are read from the files that this replaces
    named = [
        entry["name"] for entry in json.loads((tmp_path / "manifest.json").read_text())["files"].values()
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["manifest.json", *named])
    assert len(ExactIndex.load(tmp_path)) == 21


KILLED = """
import sys
import numpy as np
from dpr_tf.retrieval.indexes import ExactIndex
for number in range(1, 10_000):
    index = ExactIndex(16)
    ids = [f"{number}-{row}" for row in range(5_000)]
    index.add(np.full((5_000, 16), number, np.float32), ids, data=str(number))
    index.save(sys.argv[1])
    print(number, flush=True)
"""


def test_killed_at_random_moments_it_is_the_index_of_before_or_after(tmp_path):
    randomness = random.Random(17)
    folder = tmp_path / "index"
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True
        )
        finished = int(process.stdout.readline())  # the imports are over, the saves go on
        time.sleep(randomness.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        finished = max([finished, *map(int, process.stdout.read().split())])
        process.stdout.close()
        process.wait()
        index = load_index(folder)  # with its checksums
        (number,) = map(int, index.data)
        assert number in (finished, finished + 1)
        assert index.ids[4_999] == f"{number}-4999"
        scores, _ = index.search(np.ones((1, 16), np.float32), k=5_000)
        assert (scores == 16 * number).all()


def test_killed_before_the_first_manifest_there_is_no_index(tmp_path):
    saved(tmp_path)
    (tmp_path / "manifest.json").rename(tmp_path / "manifest.json.new")
    with pytest.raises(FileNotFoundError, match="no complete index here"):
        load_index(tmp_path)
    saved(tmp_path)
    assert len(load_index(tmp_path)) == 22


def test_refuses_a_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"thesis\.txt"):
        saved(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def damage(folder, part, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / manifest["files"][part]["name"]
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("part", ["vectors", "ids", "ends", "live", "codes", "ranges", "bounds"])
def test_a_changed_byte_or_a_lost_one_is_found(tmp_path, part):
    saved(tmp_path, first_pass="int8")
    damage(tmp_path, part, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"{part}-.*SHA-256 differs"):
        load_index(tmp_path)
    damage(tmp_path, part, lambda data: data[:-1])
    with pytest.raises(ValueError, match=f"{part}-.*expected .* bytes, found"):
        load_index(tmp_path, verify=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "a cake"}, "is not the manifest of an index"),
        ({"version": 2}, "version 2 of the format, dpr_tf here reads 1"),
        ({"rows": "many"}, "rows is 'many'"),
        ({"rows": 24}, r"expected float32 \[24, 6\], found float32 \[23, 6\]"),
        ({"dim": 7}, r"expected float32 \[23, 7\]"),
        ({"kind": "heap"}, "kind 'heap', dpr_tf here knows"),
        ({"options": {"colour": "red"}}, "colour"),
        ({"options": {"dtype": "float16"}}, r"expected float16"),
        ({"origin": {"model": "x"}}, "token_types"),
        ({"origin": 3}, "origin is 3"),
        ({"files": {}}, "names no file for 'vectors'"),
        ({"files": {"vectors": {"name": "../../secret"}}}, "the file of 'vectors' is"),
        ({"files": {"vectors": 4}}, "the file of 'vectors' is 4"),
    ],
)
def test_refuses_a_manifest_that_does_not_fit(tmp_path, change, message):
    saved(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        load_index(tmp_path)


def test_refuses_what_is_no_json_and_no_folder(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        load_index(tmp_path)
    with pytest.raises(FileNotFoundError, match="no complete index here"):
        load_index(tmp_path / "nowhere")


def test_pickles_are_not_read(tmp_path):
    saved(tmp_path)
    name = json.loads((tmp_path / "manifest.json").read_text())["files"]["vectors"]["name"]
    np.save(tmp_path / "x.npy", np.array([object()], object), allow_pickle=True)
    (tmp_path / "x.npy").rename(tmp_path / name)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["vectors"]["bytes"] = (tmp_path / name).stat().st_size
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"expected float32|allow_pickle"):
        load_index(tmp_path, verify=False)

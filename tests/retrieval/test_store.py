"""The store of vectors: what is in it, what survives a kill, what is embedded anew, what is refused."""

import functools
import json
import random
import subprocess
import sys

import numpy as np
import pytest
from precisions import needs_int8
from small_words import PIECES, save_checkpoints

from dpr_tf.checkpoints import load_checkpoint
from dpr_tf.data import Passage, write_passages
from dpr_tf.data.vectors import read_vectors
from dpr_tf.retrieval import VectorStore, export_vectors, import_vectors
from dpr_tf.retrieval import store as store_module
from dpr_tf.retrieval.embed import Embedder, passage_text
from dpr_tf.retrieval.indexes import Origin
from dpr_tf.retrieval.shards import write_shard
from dpr_tf.retrieval.store import Embedded, embed

WORDS = [piece for piece in PIECES if piece.isalpha()]


def collection(count, seed=0):
    """Passages of 3 to 30 words; every fifth has no title."""
    chosen = random.Random(seed)
    return [
        Passage(
            f"p{number}",
            " ".join(chosen.choices(WORDS, k=2)) if number % 5 else "",
            " ".join(chosen.choices(WORDS, k=chosen.randint(3, 30))),
        )
        for number in range(count)
    ]


PASSAGES = collection(120)
SIZES = [20, 22, 18, 15, 40, 5]  # of its shards, which the ids decide


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints")) / "context_encoder"


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load_checkpoint("context_encoder", checkpoint)


@pytest.fixture(scope="module")
def embedder():
    """Makes embedders; one of each kind is traced in all these tests."""
    return functools.cache(Embedder)


@pytest.fixture
def run(tmp_path, monkeypatch, checkpoint, loaded, embedder):
    """Embeds into the folder "vectors", with small shards and batches."""
    monkeypatch.setattr(store_module, "load_checkpoint", lambda *place, **_: loaded)
    monkeypatch.setattr(store_module, "Embedder", embedder)

    def run(passages=PASSAGES, folder="vectors", **options):
        file = tmp_path / "passages.tsv"
        write_passages(file, passages)
        given = {"batch_size": 4, "shard_size": 20, "progress": False, **options}
        return embed(file, str(checkpoint), tmp_path / folder, **given)

    return run


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def calls(monkeypatch):
    """Sizes of the shards that are written."""
    written = []
    write = store_module.write_shard

    def counting(folder, name, ids, vectors, dtype):
        written.append(len(ids))
        write(folder, name, ids, vectors, dtype)

    monkeypatch.setattr(store_module, "write_shard", counting)
    return written


def all_vectors(store):
    shards = list(store.shards(verify=True))
    return [one for shard in shards for one in shard.ids], np.concatenate([shard.vectors for shard in shards])


def test_holds_the_vectors_of_all_passages_in_order(tmp_path, run, loaded, embedder):
    assert run() == Embedded(passages=120, embedded=120, kept=0, missing=0, shards=6)
    store = VectorStore.open(tmp_path / "vectors", verify=True)
    ids, vectors = all_vectors(store)
    assert ids == [passage.id for passage in PASSAGES]
    assert (len(store), store.dim, store.dtype, vectors.dtype) == (120, 10, "float32", np.float32)
    # The twin: one passage at a time.
    one_by_one = embedder(*loaded, 256, "zeros")
    twin = np.concatenate([one_by_one.embed([passage_text(passage)]) for passage in PASSAGES])
    np.testing.assert_allclose(vectors, twin, atol=1e-5)
    assert np.abs(vectors[1:] - vectors[:-1]).max(axis=1).min() > 1e-2  # no two alike that could be swapped
    assert store.origin == Origin(store.settings["model"], "zeros")
    assert store.settings["max_length"] == 40  # the model's positions


def test_float16_is_the_rounded_float32(tmp_path, run):
    run()
    run(folder="half", dtype="float16")
    whole, half = (all_vectors(VectorStore.open(tmp_path / name))[1] for name in ("vectors", "half"))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, whole.astype(np.float16))


def test_a_second_run_has_nothing_to_do_and_changes_nothing(tmp_path, run, calls):
    run()
    before = content(tmp_path / "vectors")
    assert run() == Embedded(passages=120, embedded=0, kept=120, missing=0, shards=6)
    assert calls == SIZES
    assert content(tmp_path / "vectors") == before


def test_embeds_anew_only_what_changed(tmp_path, run, calls):
    run()
    calls.clear()
    edited = [*PASSAGES]
    edited[70] = edited[70]._replace(text="the old stone bridge")
    del edited[3]
    edited.append(Passage("new", "", "a new queen"))
    done = run(edited)
    assert (done.embedded, done.kept) == (sum(calls), 120 - sum(calls))
    assert len(calls) == 3  # of 6
    assert all_vectors(VectorStore.open(tmp_path / "vectors"))[0] == [passage.id for passage in edited]
    run(edited, folder="afresh")
    assert content(tmp_path / "afresh") == content(tmp_path / "vectors")  # the old shards are gone too


def test_an_edit_that_is_not_embedded_yet_leaves_the_vectors_of_before(tmp_path, run, monkeypatch):
    run()
    before = all_vectors(VectorStore.open(tmp_path / "vectors"))

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(store_module, "write_shard", fail)
    with pytest.raises(OSError, match="no space left"):
        run(collection(120, seed=1))
    after = all_vectors(VectorStore.open(tmp_path / "vectors"))
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])


def test_workers_share_the_work_and_the_last_one_completes_the_store(tmp_path, run):
    run()
    assert run(folder="shared", worker=1, workers=3).missing == 120 - 22 - 40
    with pytest.raises(FileNotFoundError, match="not of all passages yet here; run embed, with all"):
        VectorStore.open(tmp_path / "shared")
    assert run(folder="shared", worker=0, workers=3).missing == 18 + 5
    assert run(folder="shared", worker=2, workers=3) == Embedded(120, 23, 97, 0, 6)
    assert content(tmp_path / "shared") == content(tmp_path / "vectors")


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import dpr_tf.models.dpr  # imports TensorFlow once
from dpr_tf.retrieval.store import VectorStore, embed

passages, checkpoint, target = sys.argv[1:]
chosen = random.Random(5)
for shards in (1, 25, 45):  # of 56: the kill comes when so many are there
    child = os.fork()  # no TensorFlow operation has run yet: only then a copy of the process can run them
    if child == 0:
        embed(passages, checkpoint, target, batch_size=4, shard_size=20, progress=False)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG)[0] == 0 and len(list(Path(target).glob("*.json"))) <= shards:
        time.sleep(0.001)
    time.sleep(chosen.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it was over before"
    try:
        VectorStore.open(target)
    except FileNotFoundError as error:
        print(error)
"""


def test_killed_at_random_moments_it_goes_on_to_the_same_bytes(tmp_path, run, checkpoint):
    passages, target = collection(1_000, seed=2), tmp_path / "killed"
    run(passages)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "passages.tsv"), str(checkpoint), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.count("not of all passages yet") == 3, done.stderr
    (target / f".{'0' * 32}.npy.123.partial").write_bytes(b"half")
    assert 600 < run(passages, folder="killed").kept < 1_000
    assert content(target) == content(tmp_path / "vectors")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"token_types": "tokenizer"}, "token_types='zeros' there, 'tokenizer' now"),
        ({"max_length": 12}, "max_length=40 there, 12 now"),
        ({"dtype": "float16"}, "dtype='float32' there, 'float16' now"),
        ({"shard_size": 30}, "shard_size=20 there, 30 now"),
    ],
)
def test_refuses_a_folder_of_vectors_made_otherwise(tmp_path, run, options, told):
    run()
    before = content(tmp_path / "vectors")
    with pytest.raises(ValueError, match=told):
        run(**options)
    assert content(tmp_path / "vectors") == before


def test_refuses_another_model_and_another_vocabulary(run, monkeypatch):
    run()
    for name in ("model", "tokenizer"):
        with monkeypatch.context() as changed:
            changed.setattr(store_module, f"{name}_fingerprint", lambda one: "f" * 32)
            with pytest.raises(ValueError, match=f"{name}='[0-9a-f]*' there, 'ffff"):
                run()


def test_refuses_a_folder_with_other_files(tmp_path, run):
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'thesis\.txt', which is no file of vectors"):
        run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"shard_size": 0}, "shard_size must be at least 1, got 0"),
        ({"token_types": "ones"}, "token_types='ones': expected one of 'zeros', 'tokenizer'"),
        ({"precision": "half"}, "precision='half': expected 'float32' or 'bfloat16' or 'int8'"),
        ({"dtype": "int8"}, "dtype='int8': expected one of 'float32', 'float16'"),
        ({"worker": 2, "workers": 2}, "worker=2: of 2 workers the numbers are 0 to 1"),
        ({"passages": []}, "there are no passages to embed"),
        ({"passages": [PASSAGES[0], PASSAGES[0]]}, "has an id that an earlier one has"),
    ],
)
def test_refuses_mistakes_before_the_model_is_loaded(run, monkeypatch, options, message):
    monkeypatch.setattr(store_module, "load_checkpoint", lambda *place, **_: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=message):
        run(**options)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("int8", marks=needs_int8)])
def test_in_other_precisions_vectors_are_near_and_another_store(tmp_path, checkpoint, precision):
    file = tmp_path / "passages.tsv"
    write_passages(file, PASSAGES)
    run = functools.partial(embed, file, str(checkpoint), shard_size=20, progress=False)
    run(tmp_path / "exact")
    with pytest.raises(ValueError, match="model"):
        run(tmp_path / "exact", precision=precision)
    run(tmp_path / "rough", precision=precision)
    exact, rough = (all_vectors(VectorStore.open(tmp_path / name))[1] for name in ("exact", "rough"))
    assert rough.dtype == np.float32
    assert 1e-4 < np.abs(rough - exact).max() < 0.05 * np.abs(exact).max()


def test_refuses_a_collection_that_changes_meanwhile(tmp_path, run, monkeypatch, loaded):
    def load_and_change(*place, **_):
        write_passages(tmp_path / "passages.tsv", PASSAGES[1:])
        return loaded

    monkeypatch.setattr(store_module, "load_checkpoint", load_and_change)
    with pytest.raises(ValueError, match="was changed while it was read"):
        run()


def test_vectors_that_are_no_numbers_or_too_large_are_refused(tmp_path):
    vectors = np.ones((2, 3), np.float32)
    vectors[1, 2] = 70_000
    write_shard(tmp_path, "0" * 32, ["a", "b"], vectors, "float32")
    with pytest.raises(ValueError, match="passage 'b' holds numbers beyond the range of float16"):
        write_shard(tmp_path, "1" * 32, ["a", "b"], vectors, "float16")
    vectors[0, 1] = np.nan
    with pytest.raises(ValueError, match="passage 'a' holds numbers that are not finite"):
        write_shard(tmp_path, "1" * 32, ["a", "b"], vectors, "float32")
    assert not list(tmp_path.glob("1*"))


@pytest.mark.parametrize(
    ("suffix", "change", "verify", "message"),
    [
        (".npy", lambda data: data[:-1], False, "expected .* bytes, found"),
        (".npy", lambda data: data[:-1] + bytes([data[-1] ^ 1]), True, "its SHA-256 differs"),
        (
            ".json",
            lambda data: data.replace(b'"p1"', b'"p2"'),
            False,
            "its SHA-256 differs from the manifest's",
        ),
    ],
)
def test_damage_is_found_and_mended_by_another_run(tmp_path, run, suffix, change, verify, message):
    run()
    before = content(tmp_path / "vectors")
    first = json.loads(before["manifest.json"])["shards"][0]["name"]
    path = tmp_path / "vectors" / f"{first}{suffix}"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: {message}"):
        VectorStore.open(tmp_path / "vectors", verify=verify)
    path.unlink()
    assert run().embedded == SIZES[0]
    assert content(tmp_path / "vectors") == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ('{"format": "dpr_tf index"}', "is not the manifest of a folder of vectors, as `dpr-tf embed`"),
        ('{"format": "dpr_tf vectors", "version": 2}', "version 2 of the format, dpr_tf here reads 1"),
        ('{"format": "dpr_tf vectors", "version": 1, "shards": []}', "settings or shards are missing"),
    ],
)
def test_refuses_a_manifest_that_is_none(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        VectorStore.open(tmp_path)


def test_there_is_no_store_where_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no vectors here; run embed"):
        VectorStore.open(tmp_path / "nowhere")


def test_to_dprs_pickles_and_back(tmp_path, run):
    run()
    ids, vectors = all_vectors(VectorStore.open(tmp_path / "vectors"))
    files = export_vectors(tmp_path / "vectors", tmp_path / "wiki")
    assert files == [f"{tmp_path}/wiki_{number}" for number in range(6)]
    items = [item for file in files for item in read_vectors(file)]
    assert [item.id for item in items] == ids
    np.testing.assert_array_equal([item.vector for item in items], vectors)
    store = import_vectors(files, tmp_path / "back", shard_size=50)
    again = all_vectors(store)
    assert (again[0], store.origin, store.dim) == (ids, None, 10)
    np.testing.assert_array_equal(again[1], vectors)
    assert [len(shard.ids) for shard in store.shards()] == [50, 50, 20]

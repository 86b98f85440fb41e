"""Arrays in files: read when asked for, or ahead of it."""

import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from dpr_tf import DPRConfig
from dpr_tf.weights import arrays as arrays_module
from dpr_tf.weights import convert, files, names
from dpr_tf.weights.arrays import CheckpointError, StoredArray, empty


@pytest.fixture
def stored(tmp_path):
    """An array in a file, behind ten other bytes, and its numbers."""
    numbers = np.arange(5000, dtype=np.float32).reshape(50, 100)
    path = tmp_path / "numbers"
    path.write_bytes(bytes(10) + numbers.tobytes())
    return StoredArray(numbers.shape, numbers.dtype, path, 10), numbers, path


def test_what_was_read_ahead_is_given_once(stored):
    array, numbers, path = stored
    with array.read_ahead():
        pass
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(array.read(), numbers)
    np.testing.assert_array_equal(array.read(), 0 * numbers)


def test_reading_goes_on_where_reading_ahead_ended(stored):
    array, numbers, path = stored
    whole = path.read_bytes()
    path.write_bytes(whole[:777])
    with array.read_ahead():
        pass
    path.write_bytes(bytes(777) + whole[777:])
    np.testing.assert_array_equal(array.read(), numbers)


def test_a_file_that_was_cut_off_meanwhile(stored):
    array, _, path = stored
    path.write_bytes(path.read_bytes()[:777])
    with array.read_ahead():
        pass
    with pytest.raises(CheckpointError, match=r"numbers: 20000 bytes expected at 10, 767 found: .* cut off"):
        array.read()


def test_an_error_inside_is_raised_and_nothing_is_kept(stored):
    array, numbers, path = stored
    with pytest.raises(KeyError), array.read_ahead():
        raise KeyError
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(array.read(), 0 * numbers)


def test_only_the_word_embeddings_are_read_ahead_and_that_in_another_thread(recorded, monkeypatch):
    read, real = [], arrays_module.open_at

    @contextlib.contextmanager
    def watched(*place):
        with real(*place) as file:
            yield SimpleNamespace(
                readinto=lambda memory: read.append((file.readinto(memory), threading.current_thread()))
            )

    monkeypatch.setattr(arrays_module, "open_at", watched)

    def sizes(path, head, dtype, words=150):
        read.clear()
        rows = names.rows(DPRConfig.from_pretrained(recorded("formats/ctx-safetensors")), head)
        with convert.read_ahead(rows, files.read_checkpoint(path), (words, 16), dtype):
            pass
        assert threading.main_thread() not in [thread for _, thread in read]
        return [size for size, _ in read]

    path, both = recorded("formats/ctx-safetensors"), recorded("original/biencoder-proj-training")
    assert sizes(path, "ctx_encoder", "float32") == [150 * 16 * 4]
    assert sizes(path, "ctx_encoder", "float32", words=151) == []
    assert sizes(path, "ctx_encoder", "bfloat16") == []
    assert sizes(path, "question_encoder", "float32") == []
    assert sizes(both / "checkpoint.cp", "ctx_encoder", "float32") == []


@pytest.mark.parametrize("shape", [(), (7,), (24, 16), (700, 768)])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_new_arrays_start_where_frameworks_take_them_over(shape, dtype):
    for _ in range(3):
        array = empty(shape, np.dtype(dtype))
        assert (array.shape, array.dtype.name) == (shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable

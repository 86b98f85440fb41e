"""Files written aside and renamed, and what cannot be read as a stream."""

import os

import pytest

from dpr_tf.data import read_passages, write_passages
from dpr_tf.data.files import opened, unpacked_suffix, written, written_text


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_file_appears_when_it_is_complete(tmp_path, name):
    path = tmp_path / name
    with written_text(path) as file:
        file.write("ä\r\nb\n")
        file.flush()
        assert not path.exists()
    with opened(path) as file:
        assert file.read() == b"\xc3\xa4\r\nb\n"
    assert os.listdir(tmp_path) == [name]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "passages.tsv"
    path.write_text("old")

    def passages():
        yield from ()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_passages(path, passages())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["passages.tsv"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    with open(tmp_path / "usual", "w"), written(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_packed_files_of_the_same_content_are_the_same(tmp_path):
    for name in ("a.gz", "b.gz"):
        with written(tmp_path / name) as file:
            file.write(b"x" * 1000)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_pipe_is_refused_rather_than_read_in_part():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="a pipe can be read only once"):
            list(read_passages(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("name", "suffix"), [("a/b.TSV.gz", ".tsv"), ("b.jsonl", ".jsonl"), ("b.gz", ""), ("b", "")]
)
def test_suffix(name, suffix):
    assert unpacked_suffix(name) == suffix

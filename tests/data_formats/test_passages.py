"""Passage files: what is read, in which order, and where a mistake is reported."""

import gzip
import itertools
import tracemalloc

import pytest

from dpr_tf.data import Passage, PassageFile, read_passages, write_passages

HEADER = "id\ttext\ttitle\n"


def write(tmp_path, content, name="passages.tsv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_reads_quotes_line_breaks_and_surrounding_white_space(tmp_path):
    path = write(
        tmp_path, HEADER + '7\t"He said ""yes""\nand left."\tA "plain" title\n8\t  Second text. \t\n'
    )
    assert list(read_passages(path)) == [
        Passage(id="7", title='A "plain" title', text='He said "yes"\nand left.'),
        Passage(id="8", title="", text="Second text."),
    ]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "1\tText.\tTitle\n",
        "title\tid\ttext\nTitle\t1\tText.\n",
        "ID\tText\tTitle\r\n1\tText.\tTitle\r\n",
        "1\tText.\tTitle\n",
        "\ufeff" + HEADER + "\n1\tText.\tTitle",
    ],
    ids=[
        "header",
        "other order",
        "capitals and CRLF",
        "no header",
        "byte order mark, empty line, no last line break",
    ],
)
def test_columns_come_from_the_header_or_from_dprs_order(tmp_path, content):
    assert list(read_passages(write(tmp_path, content))) == [Passage("1", "Title", "Text.")]


def test_a_title_column_is_optional(tmp_path):
    assert list(read_passages(write(tmp_path, "id\ttext\n1\tText.\n"))) == [Passage("1", "", "Text.")]


def test_reads_gzip_whatever_the_name(tmp_path):
    path = write(tmp_path, gzip.compress((HEADER + "1\tÄ text.\tTitle\n").encode()))
    assert list(read_passages(path)) == [Passage("1", "Title", "Ä text.")]


def test_reads_a_text_beyond_the_csv_modules_limit(tmp_path):
    text = "word " * 40_000
    assert next(read_passages(write(tmp_path, f"{HEADER}1\t{text}\tTitle\n"))).text == text.strip()


def test_streams(tmp_path):
    # The mistake stands in the fourth line; the two passages before it arrive all the same.
    path = write(tmp_path, HEADER + "1\tOne.\tA\n2\tTwo.\tB\n3\tThree.\n")
    assert [passage.id for passage in itertools.islice(read_passages(path), 2)] == ["1", "2"]
    with pytest.raises(ValueError, match="line 4"):
        list(read_passages(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            HEADER + "1\tOne.\tA\n2\tTwo.\n",
            r"line 3: expected 3 fields \(id, text, title\).* found 2: 2 \| Two\.",
        ),
        (HEADER + "1\tOne.\tA\textra\n", "line 2: expected 3 fields.* found 4"),
        (HEADER + '1\t"One\nline.\tA\n2\tTwo.\tB\n', "line 2: unexpected end of data.*doubled"),
        (HEADER + '1\t"One" thing.\tA\n', "line 2: .*doubled"),
        (HEADER + "1\t \tA\n", "line 2, text: is empty"),
        (HEADER + "\tOne.\tA\n", "line 2, id: is empty"),
        ("id\tbody\n1\tOne.\n", r"line 1: the header is \['id', 'body'\]; expected id, text, title"),
        ("id\ttext\ttext\n1\tOne.\tTwo.\n", "line 1: the header is"),
        (HEADER.encode() + b"1\tOne.\tA\n2\tTw\xe9.\tB\n", "line 3: byte 0xe9 is not UTF-8"),
        (gzip.compress(HEADER.encode() * 2000, mtime=0)[:-9], "the gzip stream is damaged or cut short"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_remedy(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        list(read_passages(write(tmp_path, content)))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        list(read_passages(tmp_path / "absent.tsv"))


@pytest.mark.parametrize(
    "content",
    [
        '{"id": 1, "title": "Title", "text": "Text."}\n\n{"id": "2", "text": "Two."}\n',
        '\ufeff{"_id": "1", "title": "Title", "text": "Text.", "metadata": {}}\n{"_id": "2", "text": "Two."}',
        '[{"id": "1", "title": "Title", "text": "Text."},\n {"id": "2", "title": null, "text": "Two."}]',
    ],
    ids=["JSON lines", "BEIR", "array"],
)
def test_reads_json(tmp_path, content):
    path = write(tmp_path, content)
    assert list(read_passages(path)) == [Passage("1", "Title", "Text."), Passage("2", "", "Two.")]


PASSAGES = [
    Passage("1", 'A "plain" title', 'He said "yes"\nand\tleft.'),
    Passage("wiki:2", "", "Lone\rreturn, \\ and \r\n both."),
    Passage("3", "Ä", '"'),
    Passage("4", "A\rB", "C"),
]


@pytest.mark.parametrize("name", ["p.tsv", "p.tsv.gz", "p.jsonl", "p.JSONL.gz", "p.json"])
def test_written_passages_read_back(tmp_path, name):
    path = tmp_path / name
    assert write_passages(path, iter(PASSAGES)) == 4
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert list(read_passages(path)) == PASSAGES


def test_written_tsv_is_dprs(tmp_path):
    write_passages(tmp_path / "p.tsv", [Passage("1", "T", 'He said "yes".'), Passage("2", "", "B")])
    expected = 'id\ttext\ttitle\n1\t"He said ""yes""."\tT\n2\tB\t\n'
    assert (tmp_path / "p.tsv").read_bytes() == expected.encode()


def generated(count):
    for i in range(count):
        yield Passage(str(i), f"Title {i}", f"Text {i} " * 60)


@pytest.mark.parametrize("name", ["p.tsv", "p.tsv.gz", "p.jsonl", "p.json"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    # Both ways at once; 40 times the passages, some 11 MB of them, within the same quarter of a megabyte.
    def peak(count):
        tracemalloc.start()
        write_passages(tmp_path / name, generated(count))
        assert sum(1 for _ in read_passages(tmp_path / name)) == count
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(5)  # what is loaded once
    assert peak(20_000) < peak(500) + 2**18


BY_ROW = {
    "quotes": HEADER + '7\t"He said ""yes""\nand left."\tA "plain" title\n\n8\t  Second. \t\n',
    "other separators": HEADER + "1\tA\u2028b\x0cc.\tTitle\r\n2\tÄ text.\t\n",
    "no header": "\ufeff1\tText.\tTitle\n2\tMore.\t",
    "other order": "\ufefftitle\tid\ttext\nTitle\t1\tText.\n",
    "JSON lines": '{"id": "1", "text": "Ä."}\n\n{"_id": "2", "text": "b", "title": "B"}\n',
    "JSON array": '[{"id": "1", "text": "a"},\n {"id": "2", "text": "b"}]',
    "nothing": "",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", BY_ROW.values(), ids=BY_ROW)
def test_passages_by_row_are_those_in_order(tmp_path, content, packed):
    path = write(tmp_path, gzip.compress(content.encode()) if packed else content)
    passages, wanted = PassageFile(path), list(read_passages(path))
    assert len(passages) == len(wanted)
    for row in reversed(range(len(wanted))):
        assert passages[row] == wanted[row]
    assert passages[:] == wanted == list(passages)
    assert passages[-1:] == wanted[-1:]
    with pytest.raises(IndexError):
        passages[len(wanted)]


def test_passages_by_row_take_little_memory(tmp_path):
    path = tmp_path / "passages.tsv"
    write_passages(path, (Passage(str(row), "Title", "word " * 100) for row in range(5_000)))
    tracemalloc.start()
    passages = PassageFile(path)
    assert passages[4_321].id == "4321"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600_000  # the file has 2.6 MB


def test_a_faulty_file_has_no_rows(tmp_path):
    with pytest.raises(ValueError, match="line 3: expected 3 fields"):
        PassageFile(write(tmp_path, HEADER + "1\tText.\tTitle\n2\tText.\n"))

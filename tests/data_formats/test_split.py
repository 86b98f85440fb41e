"""Articles to passages: where blocks begin and end, and what an article is."""

import gzip
import json
import random
import tracemalloc

import pytest

from dpr_tf.data import FormatError, Passage, read_passages, split_articles, split_words

WORDS = [f"w{i}" for i in range(23)]


def test_blocks_are_disjoint_and_the_last_is_short():
    # 23 words in blocks of 10: 10, 10 and 3.
    assert list(split_words(WORDS, 10)) == [" ".join(WORDS[:10]), " ".join(WORDS[10:20]), "w20 w21 w22"]


def test_the_last_block_can_go_on_with_the_first_words():
    # 3 words are left, 7 from the start fill them up.
    assert list(split_words(WORDS, 10, fill_last=True))[2] == " ".join(WORDS[20:] + WORDS[:7])


@pytest.mark.parametrize("fill_last", [False, True])
def test_a_text_of_one_block_stays_as_it_is(fill_last):
    assert list(split_words(["a", "b"], 10, fill_last)) == ["a b"]
    assert list(split_words(WORDS[:20], 10, fill_last)) == [" ".join(WORDS[:10]), " ".join(WORDS[10:20])]
    assert list(split_words([], 10, fill_last)) == []


def twin(words, size, fill_last):
    blocks = [words[i : i + size] for i in range(0, len(words), size)]
    if fill_last and len(blocks) > 1:
        blocks[-1] = (blocks[-1] + words)[:size]
    return [" ".join(block) for block in blocks]


@pytest.mark.parametrize("seed", range(30))
def test_is_slicing(seed):
    source = random.Random(seed)
    words = [str(i) for i in range(source.randrange(40))]
    size, fill_last = source.randrange(1, 12), source.random() < 0.5
    assert list(split_words(iter(words), size, fill_last)) == twin(words, size, fill_last)


ARTICLES = [
    {"id": "9", "title": "One", "text": "a b\n\nc  d e"},
    {"title": "Gone", "text": ""},
    {"text": "f g"},
]
PASSAGES = [
    Passage("1", "One", "a b"),
    Passage("2", "One", "c d"),
    Passage("3", "One", "e"),
    Passage("4", "", "f g"),
]


@pytest.mark.parametrize(
    "content",
    ["\n".join(map(json.dumps, ARTICLES)), json.dumps(ARTICLES, indent=1)],
    ids=["JSON lines", "array"],
)
@pytest.mark.parametrize("target", ["p.tsv", "p.jsonl.gz"])
def test_json_articles(tmp_path, content, target):
    (tmp_path / "articles").write_text(content)
    assert split_articles(tmp_path / "articles", tmp_path / target, words=2) == (2, 4)
    assert list(read_passages(tmp_path / target)) == PASSAGES


def test_plain_text_is_an_article_named_as_its_file(tmp_path):
    (tmp_path / "My bridge.txt.gz").write_bytes(gzip.compress("Ä b\nc\n".encode()))
    assert split_articles(tmp_path / "My bridge.txt.gz", tmp_path / "p.tsv", words=2) == (1, 2)
    assert list(read_passages(tmp_path / "p.tsv")) == [
        Passage("1", "My bridge", "Ä b"),
        Passage("2", "My bridge", "c"),
    ]


def test_a_folder_is_read_in_the_order_of_names_without_the_target(tmp_path):
    (tmp_path / "BB").mkdir()
    (tmp_path / "BB/wiki_00").write_text('{"title": "Two", "text": "b"}\n')
    (tmp_path / "AA.txt").write_text("a")
    (tmp_path / ".hidden").write_text("h")
    for _ in range(2):  # the second time the passages of the first are there
        assert split_articles(tmp_path, tmp_path / "p.tsv") == (2, 2)
    assert list(read_passages(tmp_path / "p.tsv")) == [Passage("1", "AA", "a"), Passage("2", "Two", "b")]


def test_mistakes_leave_no_passages(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": 7}\n')
    with pytest.raises(FormatError, match=r"a\.jsonl, line 2, text: expected a string, found 7"):
        split_articles(tmp_path / "a.jsonl", tmp_path / "p.tsv")
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n{"title": "b", "body": "a"}\n')
    with pytest.raises(FormatError, match=r"a\.jsonl, line 2, text: is missing"):
        split_articles(tmp_path / "a.jsonl", tmp_path / "p.tsv")
    (tmp_path / "b.txt").write_bytes(b"a\nb\xe9")
    with pytest.raises(FormatError, match=r"b\.txt, line 2: byte 0xe9 is not UTF-8"):
        split_articles(tmp_path / "b.txt", tmp_path / "p.tsv")
    with pytest.raises(FileNotFoundError, match="absent"):
        split_articles(tmp_path / "absent", tmp_path / "p.tsv")
    with pytest.raises(ValueError, match="would replace the articles"):
        split_articles(tmp_path / "a.jsonl", tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="at least 1 word, got 0"):
        split_articles(tmp_path / "a.jsonl", tmp_path / "p.tsv", words=0)
    with pytest.raises(ValueError, match="at least 1 word"):
        list(split_words(["a"], 0))
    assert not (tmp_path / "p.tsv").exists()


def test_memory_does_not_grow_with_an_article(tmp_path):
    def peak(count):
        (tmp_path / "a.txt").write_text("word and other words\n" * count)
        tracemalloc.start()
        split_articles(tmp_path / "a.txt", tmp_path / "p.tsv")
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(50_000) < peak(1000) + 2**18  # 1 MB of words

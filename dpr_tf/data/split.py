"""Articles to passages: disjoint blocks of 100 words, as in DPR (Karpukhin et al. 2020, section 4.1)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dpr_tf.data.faults import FormatError, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.files import Lines, opened
from dpr_tf.data.json_items import is_json, scan_records
from dpr_tf.data.passages import Passage, write_passages


class SplitCounts(NamedTuple):
    """What was split.

    Attributes:
        articles: with at least one word.
        passages: made of them.
    """

    articles: int
    passages: int

    def __str__(self) -> str:
        return f"articles: {self.articles:,}, passages: {self.passages:,}"


class _Article(NamedTuple):
    title: str
    words: Iterable[str]


def split_words(words: Iterable[str], size: int = 100, fill_last: bool = False) -> Iterator[str]:
    """Cuts a text into blocks of words that do not overlap.

    Args:
        words: of the text; what stands between white space is a word.
        size: words per block, at least 1.
        fill_last: whether a short last block goes on with the text's first words, so that all blocks are of
            one size; a text of a single block stays short. The paper does not say what DPR does.

    Yields:
        The blocks, words separated by one space.

    Raises:
        ValueError: if size is below 1.
    """
    if size < 1:
        raise ValueError(f"a passage needs at least 1 word, got a size of {size}")
    words = iter(words)
    first = block = list(itertools.islice(words, size))
    while block:
        following = list(itertools.islice(words, size))
        if fill_last and block is not first and not following:
            block = block + first[: size - len(block)]
        yield " ".join(block)
        block = following


def split_articles(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    words: int = 100,
    fill_last: bool = False,
) -> SplitCounts:
    """Cuts articles into passages that do not overlap, with the ids 1, 2, 3 and so on.

    Args:
        source: a file, plain or gzip, or a folder of such files, in the order of their names. A file that
            begins with a bracket or a brace holds JSON articles with `text` and maybe `title`, as an array
            or one a line (the output of WikiExtractor with --json); any other file is one article of plain
            text, named as the file. Articles without a word are left out.
        target: the passages: .jsonl for JSON lines, else TSV; .gz behind it packs. It appears when it is
            complete.
        words: per passage.
        fill_last: whether to fill the last passage of an article with its first words, instead of keeping it
            short.

    Raises:
        OSError: if a file cannot be opened, read or written.
        ValueError: if `words` is below 1, source and target are the same, a file is not UTF-8, or an
            article is not as described; with file and line.
    """
    target = Path(target)
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target}: the passages would replace the articles; name another file")
    if words < 1:
        raise ValueError(f"a passage needs at least 1 word, got {words}")
    articles = 0

    def passages() -> Iterator[Passage]:
        nonlocal articles
        ids = itertools.count(1)
        for article in itertools.chain.from_iterable(map(_articles, files)):
            text = None
            for text in split_words(article.words, words, fill_last):
                yield Passage(str(next(ids)), article.title, text)
            articles += text is not None

    files = _files(Path(source), target)
    count = write_passages(target, passages())
    return SplitCounts(articles, count)


def _files(source: Path, target: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    inside = (path for path in sorted(source.rglob("*")) if path.is_file())
    return [path for path in inside if not path.name.startswith(".") and path.resolve() != target.resolve()]


def _articles(path: Path) -> Iterator[_Article]:
    if is_json(path):
        yield from sound(path, scan_records(path, _article))
    else:
        name = path.name.removesuffix(".gz")
        yield _Article(Path(name).stem, _words(path))


def _article(fields: Fields) -> _Article:
    if not fields.has("text"):  # an empty one is an article without passages
        fields.note("text", "is missing")
    return _Article(fields.text("title", default=""), fields.text("text", default="").split())


def _words(path: Path) -> Iterator[str]:
    with opened(path) as stream:
        lines = Lines(stream)
        for line in lines:
            if lines.faults:
                break
            yield from line.split()
        if lines.faults:
            raise FormatError(path, lines.faults[0])

"""Checks data files of every kind: all faults, each with its line and field, in one pass."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from dpr_tf.data.distinct import Distinct
from dpr_tf.data.examples import Example, scan_examples
from dpr_tf.data.faults import Fault, FormatError, Scan
from dpr_tf.data.files import DAMAGED, damaged, opened
from dpr_tf.data.passages import scan_passages
from dpr_tf.data.questions import scan_questions
from dpr_tf.data.retrieved import Retrieved, scan_retrieved
from dpr_tf.data.squad import scan_squad
from dpr_tf.data.trec import BEIR_HEADER, scan_qrels, scan_run
from dpr_tf.data.vectors import scan_vectors

Note = tuple[str, str]  # field and message


class Report(NamedTuple):
    """What was found in a file.

    Attributes:
        path: of the file.
        kind: one of `KINDS`.
        records: how many there are, sound and faulty.
        fault_count: how many faults.
        faults: the first of them, by line.
    """

    path: str
    kind: str
    records: int
    fault_count: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        lines = [f"{self.path}{', ' if f.line or f.field else ': '}{f}" for f in self.faults]
        if self.fault_count > len(self.faults):
            lines.append(f"{self.path}: and {self.fault_count - len(self.faults):,} more")
        lines.append(f"{self.path}: {self.kind}, records: {self.records:,}, faults: {self.fault_count:,}")
        return "\n".join(lines)


class _Kind(NamedTuple):
    scan: Callable[[str | os.PathLike[str]], Scan[Any]]
    key: Callable[[Any], str]  # what no two records may share; "" if a record has none
    key_field: str
    check: Callable[[Any], Iterator[Note]] = lambda _: iter(())
    has_lines: bool = True


def validate(path: str | os.PathLike[str], kind: str | None = None, most: int = 100) -> Report:
    """Reads a whole file and reports every fault; memory does not grow with the file.

    Beside what reading a file would refuse, faults are: ids that are not unique; examples without a
    positive, or with a positive among the negatives; retrieved passages that are not ordered by score, or
    come twice; no record at all.

    Args:
        path: the file.
        kind: one of `KINDS`; by default what the content looks like.
        most: faults to keep; the others are only counted.

    Raises:
        OSError: if the file cannot be opened or read.
        ValueError: if the kind is not known or cannot be told from the content.
    """
    kind = guess_kind(path) if kind is None else kind
    if kind not in _KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    faults: list[Fault] = []
    records = count = 0
    for is_record, fault in _faults(path, _KINDS[kind]):
        records += is_record
        if fault is not None:
            count += 1
            faults.append(fault)
            if len(faults) >= 2 * most:
                faults = sorted(faults)[:most]
    return Report(os.fspath(path), kind, records, count, tuple(sorted(faults)[:most]))


def validate_files(files: Sequence[str], *, kind: str | None = None, faults: int = 100) -> Iterator[Report]:
    """Lists the faults of data files, with line and field; files are read whole, plain or gzip.

    Args:
        files: of any of the kinds below.
        kind: passages, questions, examples (retriever training), retrieved (retriever output), vectors
            (embedding shard), squad, qrels or run. Default: what the content looks like.
        faults: to list per file; the others are only counted.

    Yields:
        A report on each file, when it has been read.

    Raises:
        OSError: if a file cannot be opened or read.
        ValueError: if the kind is not known or cannot be told from the content.
    """
    return (validate(path, kind, faults) for path in files)


def _faults(path: str | os.PathLike[str], kind: _Kind) -> Iterator[tuple[bool, Fault | None]]:
    """Pairs of "begins a new record" and a fault, or None for a sound record."""
    distinct, empty = Distinct(), True
    for number, scanned in enumerate(kind.scan(path), start=1):
        empty = False
        found = list(scanned.faults) or [Fault(scanned.line, *note) for note in kind.check(scanned.value)]
        for fault in found:
            yield fault is found[0], fault
        if not found:
            yield True, None
        if not scanned.faults and (key := kind.key(scanned.value)):
            distinct.add(key, scanned.line or number)
    for place, earlier in distinct.repeated():
        yield False, _repeated(kind, place, earlier)
    if empty:
        yield False, Fault(0, "", "there are no records")


def _repeated(kind: _Kind, place: int, earlier: int) -> Fault:
    if not kind.has_lines:
        there = f"as [{earlier - 1}]" if earlier else "above"
        return Fault(0, f"[{place - 1}].{kind.key_field}", f"is not unique: it stands {there} too")
    there = f"in line {earlier}" if earlier else "above"
    return Fault(place, kind.key_field, f"is not unique: it stands {there} too")


def _check_example(example: Example) -> Iterator[Note]:
    if not example.positives:
        yield "positive_ctxs", "there is no positive: nothing can be learned from this question"
    ids = {passage.id for passage in example.positives if passage.id}
    texts = {(passage.title, passage.text) for passage in example.positives}
    for name in ("negatives", "hard_negatives"):
        for i, passage in enumerate(getattr(example, name)):
            if passage.id in ids or (passage.title, passage.text) in texts:
                field = f"{name.removesuffix('s')}_ctxs[{i}]"
                yield field, "is a positive too; remove it from one of the two lists"


def _check_retrieved(found: Retrieved) -> Iterator[Note]:
    seen: set[str] = set()
    score = None
    for i, passage in enumerate(found.passages):
        if passage.id and passage.id in seen:
            yield f"ctxs[{i}].id", f"{passage.id!r} was found twice for this question"
        seen.add(passage.id)
        if score is not None and passage.score is not None and passage.score > score:
            yield f"ctxs[{i}].score", f"{passage.score} comes after {score}; the best passage comes first"
        score = passage.score


def _pair(record: Any) -> str:
    return f"{record.question_id} {record.passage_id}"


_KINDS = {
    "passages": _Kind(scan_passages, lambda passage: passage.id, "id"),
    "questions": _Kind(scan_questions, lambda question: question.id, "id"),
    "examples": _Kind(scan_examples, lambda _: "", "", _check_example),
    "retrieved": _Kind(scan_retrieved, lambda found: found.id, "id", _check_retrieved),
    "vectors": _Kind(scan_vectors, lambda item: item.id, "id", has_lines=False),
    "squad": _Kind(scan_squad, lambda question: question.id, "id"),
    "qrels": _Kind(scan_qrels, _pair, "question and passage"),
    "run": _Kind(scan_run, _pair, "question and passage"),
}
KINDS = tuple(_KINDS)

_PICKLE = (b"\x80", b"(l", b"]")
_JSON_KEY = re.compile(rb'[{,]\s*"(\w+)"\s*:')
_BY_JSON_KEY = {  # the first that is there
    "paragraphs": "squad",
    "positive_ctxs": "examples",
    "hard_negative_ctxs": "examples",
    "ctxs": "retrieved",
    "question": "questions",
    "title": "passages",
}


def guess_kind(path: str | os.PathLike[str]) -> str:
    """Tells from the first 64 KiB of a file what it holds.

    Returns:
        One of `KINDS`.

    Raises:
        OSError: if the file cannot be opened or read.
        ValueError: if it looks like none of them.
    """
    with opened(path) as stream:
        try:
            head = stream.read(2**16).removeprefix(b"\xef\xbb\xbf").lstrip()
        except DAMAGED as error:
            raise FormatError(path, Fault(1, "", damaged(error))) from error
    if head.startswith(_PICKLE):
        return "vectors"
    kind = _json_kind(path, head) if head[:1] in (b"[", b"{") else _text_kind(head)
    if kind is None:
        raise ValueError(
            f"{os.fspath(path)}: the content looks like none of {', '.join(KINDS)}; say which it should "
            "be (--kind, in Python kind=)"
        )
    return kind


def _json_kind(path: str | os.PathLike[str], head: bytes) -> str | None:
    keys = {key.decode() for key in _JSON_KEY.findall(head)}
    for key, kind in _BY_JSON_KEY.items():
        if key in keys:
            return kind
    if "text" not in keys:
        return None
    # Without a title, BEIR's passages and questions look the same.
    return "questions" if re.search("quer|question", os.path.basename(path).lower()) else "passages"


def _text_kind(head: bytes) -> str | None:
    line = head.partition(b"\n")[0].decode("utf-8", "replace")
    columns = [column.strip().lower() for column in line.split("\t")]
    words = line.split()
    if tuple(columns) == BEIR_HEADER:
        return "qrels"
    if "question" in columns or re.search(r"[\t,]\s*\"?\[.*\]\"?\s*$", line):
        return "questions"
    if "id" in columns or "text" in columns or len(columns) == 3:
        return "passages"
    if len(words) == 6 and words[3].isdecimal():
        return "run"
    if len(words) == 4 and re.fullmatch(r"-?\d+", words[3]):
        return "qrels"
    return None

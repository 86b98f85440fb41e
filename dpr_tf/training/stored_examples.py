"""Training examples on disk, any of which can be read at any time. Knows no model and no tokens."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np

from dpr_tf.data.examples import Example, ExamplePassage, read_examples

Path = str | os.PathLike[str]


class StoredExamples:
    """The examples of several files by number, from 0 in the order of files and lines.

    They stand in a temporary file, as large as the unpacked files and gone with the process; memory holds 8
    bytes for each.

    Args:
        paths: DPR's JSON or JSON lines, plain or gzip; one data set each.
        kept: what to store of an example, to leave out passages that are never read.

    Attributes:
        sizes: examples per file.
        without_positive: examples per file that were left out, as there is nothing to train them with.
        digest: of all that is stored; the same for the same examples.

    Raises:
        OSError: if a file cannot be read.
        ValueError: for a file that holds no examples, or none with a positive.
    """

    def __init__(
        self, paths: Sequence[Path], kept: Callable[[Example], Example] = lambda found: found
    ) -> None:
        if not paths:
            raise ValueError("expected at least one file of examples")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self.sizes: list[int] = []
        self.without_positive: list[int] = []
        ends, hashed = [0], hashlib.blake2b(digest_size=16)
        for path in paths:
            before, left_out = len(ends), 0
            for example in read_examples(path):
                if not example.positives:
                    left_out += 1
                    continue
                line = json.dumps(kept(example)).encode()
                hashed.update(line)
                ends.append(ends[-1] + self._file.write(line))
            self.sizes.append(len(ends) - before)
            self.without_positive.append(left_out)
            if not self.sizes[-1]:
                raise ValueError(
                    f"{os.fspath(path)}: none of its {left_out} examples has a positive, and there is "
                    "nothing to train with; fill positive_ctxs, for example by mining"
                )
        self._ends = np.array(ends)
        self.digest = hashed.hexdigest()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> Example:
        start, end = self._ends[number], self._ends[number + 1]
        with self._lock:
            self._file.seek(start)
            line = self._file.read(end - start)
        question, answers, *passages, dataset = json.loads(line)
        positives, hard_negatives, negatives = (
            tuple(ExamplePassage(*passage) for passage in kind) for kind in passages
        )
        return Example(question, tuple(answers), positives, hard_negatives, negatives, dataset)

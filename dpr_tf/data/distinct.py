"""Finds what stands in a file twice, at a memory that does not grow with the file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from typing import IO

_BUCKETS = 64
_IN_MEMORY = 2**16  # bytes of a bucket, before it goes to disk
_DIGEST, _LINE = 16, 8  # bytes


class Distinct:
    """Keys with their lines.

    Ids that count up one by one, as those of DPR's collections, are remembered as first and last. Digests of
    others go to temporary files, by their first byte; 20 million take 480 MB of disk, and a 64th of that is
    looked at at a time.
    """

    def __init__(self) -> None:
        self._run = range(0)
        self._buckets: list[IO[bytes]] = []
        self._repeated: list[tuple[int, int]] = []

    def add(self, key: str, line: int) -> None:
        """Adds a key.

        Args:
            key: any text.
            line: where it stands.
        """
        number = int(key) if key.isdecimal() and len(key) < 16 and str(int(key)) == key else None
        if number is not None and number in self._run:
            self._repeated.append((line, 0))
        elif number is not None and not self._buckets and (not self._run or number == self._run.stop):
            self._run = range(self._run.start if self._run else number, number + 1)
        else:
            digest = hashlib.blake2b(key.encode(), digest_size=_DIGEST).digest()
            self._bucket(digest[0] % _BUCKETS).write(digest + line.to_bytes(_LINE, "little"))

    def _bucket(self, number: int) -> IO[bytes]:
        if not self._buckets:
            self._buckets = [tempfile.SpooledTemporaryFile(_IN_MEMORY) for _ in range(_BUCKETS)]  # noqa: SIM115
        return self._buckets[number]

    def repeated(self) -> Iterator[tuple[int, int]]:
        """Yields, for each key that was there before, its line and the earlier one's (0: not known).

        Call it once, after the last key.
        """
        yield from self._repeated
        for bucket in self._buckets:
            first: dict[bytes, int] = {}
            bucket.seek(0)
            while entry := bucket.read(_DIGEST + _LINE):
                line = int.from_bytes(entry[_DIGEST:], "little")
                earlier = first.setdefault(entry[:_DIGEST], line)
                if earlier != line:
                    yield line, earlier
            bucket.close()

    def close(self) -> None:
        """Removes the temporary files, where `repeated` was not called or not to its end."""
        for bucket in self._buckets:
            bucket.close()

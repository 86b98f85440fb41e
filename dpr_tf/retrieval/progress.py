"""Progress bars on stderr."""

from __future__ import annotations

import sys

from tqdm import tqdm


def progress_bar(what: str, total: int | None = None, shown: bool = True, unit: str = "passages") -> tqdm:
    """A bar that counts passages, or something else, with rate and, where the total is known, time left."""
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        disable=not shown,
        mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file needs few lines
    )

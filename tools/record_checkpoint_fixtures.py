"""Packs recorded checkpoints into tests/data/checkpoints: an index and one archive.

    python tools/record_checkpoint_fixtures.py RECORDINGS

RECORDINGS holds `checkpoints/index.json` and the folders it names: tiny random DPR models as Transformers
4.34 and 5 and facebookresearch/DPR write them, in every format, and damaged and hostile ones. They came from
transformers 4.34.0 (torch 2.13.0, tensorflow 2.14.1) and 5.23.0. The same weights appear in many formats, so
one archive compressed as a whole takes a quarter of their size; `tests/checkpoint_archive.py` unpacks it. The
result does not depend on when or by whom this runs.
"""

from __future__ import annotations

import lzma
import shutil
import sys
import tarfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "tests" / "data" / "checkpoints"
FOLDERS = ("arch", "formats", "v5", "original", "bad", "tiny_vocab")
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**24}]


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def record(recordings: Path) -> None:
    """Writes index.json and checkpoints.tar.xz."""
    source = recordings / "checkpoints"
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "index.json", TARGET / "index.json")
    paths = sorted(path for folder in FOLDERS for path in (source / folder).rglob("*") if path.is_file())
    with (
        lzma.open(TARGET / "checkpoints.tar.xz", "wb", filters=FILTERS) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in paths:
            archive.add(path, str(path.relative_to(recordings)), filter=_anonymous)
    size = sum(path.stat().st_size for path in TARGET.iterdir())
    print(f"{len(paths)} files, {size / 1e6:.2f} MB in {TARGET}")


if __name__ == "__main__":
    record(Path(sys.argv[1]))

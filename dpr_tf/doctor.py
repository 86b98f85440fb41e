"""`dpr-tf doctor`: what is installed and found, and whether the bundled sample answers right."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from dpr_tf import hub

_NOT_FOR_USERS = ("dev", "parity", "test")  # extras
# What oneDNN, in which TensorFlow computes, has faster code for; names as in /proc/cpuinfo.
_CPU_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI (int8)",
    "avx512_bf16": "AVX-512 bf16",
    "amx_bf16": "AMX bf16",
}
_QUESTION, _ANSWER = "Which poet was the father of Ada Lovelace?", "Lord Byron"


class Check(NamedTuple):
    """Something that was looked at.

    Attributes:
        what: the thing.
        state: "ok"; "note" for what works without, and might be wanted; "wrong" for what has to be mended.
        found: what was found, and what to do.
    """

    what: str
    state: Literal["ok", "note", "wrong"]
    found: str

    def __str__(self) -> str:
        return f"{self.state:5}  {self.what}: {self.found}"


def doctor() -> Iterator[Check]:
    """Looks at this installation: versions, devices, extras, processor, memory, Hub; answers a question.

    The question is one of the bundled sample's; answering it takes some seconds. Exit code 1 if something is
    wrong.

    Yields:
        What was looked at, one thing after the other.
    """
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from _packages()
    yield _processor()
    yield _memory()
    yield _hub()
    yield _devices()
    yield _sample()


def _packages() -> Iterator[Check]:
    """dpr_tf, what it needs, and its extras."""
    try:
        yield Check("dpr_tf", "ok", importlib.metadata.version("dpr_tf"))
    except importlib.metadata.PackageNotFoundError:
        yield Check("dpr_tf", "note", "runs from its source folder; pip install . makes it known to Python")
        return
    extras: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("dpr_tf") or ():
        name = re.match(r"[\w.-]+", line)[0]  # type: ignore[index]
        extra = re.search(r"extra == ['\"]([\w-]+)", line)
        if extra is None:
            yield _installed(name)
        elif extra[1] not in _NOT_FOR_USERS:
            extras.setdefault(extra[1], []).append(name)
    for extra_name, names in extras.items():
        versions = {name: _version(name) for name in names}
        shown = ", ".join(f"{name} {version or 'is missing'}" for name, version in versions.items())
        complete = all(versions.values())
        remedy = "" if complete else f'; pip install "dpr_tf[{extra_name}]"'
        yield Check(f"extra {extra_name}", "ok" if complete else "note", f"{shown}{remedy}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(name: str) -> Check:
    version = _version(name)
    if version is None and name == "tensorflow":  # some platforms' builds have another name
        version = _version("tensorflow-cpu") or _version("tensorflow-macos")
    return Check(name, "ok", version) if version else Check(name, "wrong", f"is missing; pip install {name}")


def _processor() -> Check:
    cores = f"{os.cpu_count()} cores, {platform.machine()}"
    try:
        flags = set(re.findall(r"[\w.]+", Path("/proc/cpuinfo").read_text(encoding="utf-8")))
    except OSError:  # not Linux
        return Check("processor", "ok", cores)
    has = [name for flag, name in _CPU_FEATURES.items() if flag in flags]
    lacks = [name for flag, name in _CPU_FEATURES.items() if flag not in flags]
    shown = f"; has {', '.join(has) or 'none'}" + (f"; lacks {', '.join(lacks)}" if lacks else "")
    return Check("processor", "ok", f"{cores}{shown if platform.machine() in ('x86_64', 'AMD64') else ''}")


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return Check("memory", "note", "could not be told on this system")
    return Check("memory", "ok", f"{total / 2**30:.1f} GiB")


def _hub() -> Check:
    state = hub.connection()
    if state.offline:
        return Check("Hub", "note", f"HF_HUB_OFFLINE is set: only the cache is used, {state.cache}")
    if not state.reachable:
        return Check(
            "Hub", "note", f"{state.endpoint} cannot be reached: only the cache is used, {state.cache}"
        )
    return Check("Hub", "ok", f"{state.endpoint} can be reached; cache {state.cache}")


def _devices() -> Check:
    import keras
    import tensorflow as tf

    names = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    return Check("devices", "ok", f"{', '.join(names)} in TensorFlow; Keras runs on {keras.config.backend()}")


def _sample() -> Check:
    from dpr_tf.answering import ask

    started = time.perf_counter()
    try:
        answers = [answer.text for answer in ask(_QUESTION).answers]
    except Exception as error:  # whatever it is, here it is a finding
        return Check("sample", "wrong", f"{type(error).__name__}: {' '.join(str(error).split())}")
    if answers != [_ANSWER]:
        return Check("sample", "wrong", f"{_QUESTION} was answered {answers}, not {_ANSWER}; install again")
    return Check("sample", "ok", f"{_QUESTION} {_ANSWER}. It took {time.perf_counter() - started:.1f} s")

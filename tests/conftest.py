"""What holds for every test: TensorFlow is quiet, and nothing is reached over a network."""

from __future__ import annotations

import os
import socket

import dpr_tf  # noqa: F401  before any test imports TensorFlow, so that all processes compute the same bits

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is first imported
os.environ.setdefault("CI", "true")  # else OpenVINO reports over the internet that a test imported it

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_connect = socket.socket.connect


def _connect_locally(self: socket.socket, address) -> None:
    """Connects to this machine only, so that a test which would download fails on every machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in THIS_MACHINE:
        raise AssertionError(f"a test tried to reach {address[0]} over the network")
    _connect(self, address)


def pytest_configure() -> None:
    socket.socket.connect = _connect_locally  # type: ignore[method-assign]

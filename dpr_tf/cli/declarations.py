"""Signatures and docstrings of functions, read from their source: importing some takes seconds."""

from __future__ import annotations
import __future__

import ast
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import dpr_tf

# What annotations of functions that become commands may use.
_NAMES: dict[str, Any] = {"Literal": Literal, "Sequence": Sequence, "os": os}


def declaration(module: str, name: str) -> Callable[..., Any]:
    """A function with the parameters, annotations, defaults and docstring of another, that does nothing.

    Args:
        module: where the other is, such as "dpr_tf.data.split".
        name: what it is called.

    Raises:
        StopIteration: if the module has no such function.
        NameError: if a default or an annotation names what is not there.
    """
    path = Path(dpr_tf.__path__[0]).joinpath(*module.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    function.body, function.returns = function.body[:1], None  # the docstring
    tree.body = [function]
    names = dict(_NAMES)
    flags = __future__.annotations.compiler_flag
    exec(compile(tree, str(path), "exec", flags=flags, dont_inherit=True), names)
    return names[name]

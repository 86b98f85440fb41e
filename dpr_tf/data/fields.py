"""Typed fields out of JSON objects and tables, with a note of each that is not as it should be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dpr_tf.data.faults import Fault, Scanned, shown

_MISSING = object()


class Fields:
    """A JSON object from which fields are taken by name; what is wrong is noted and an empty value returned.

    A field may have several names, of which the first that is there counts; keys that nobody asks for are
    ignored.

    Args:
        value: what stands where an object should.
        line: where it begins.
        where: the way to it through the values around it, such as `paragraphs[2]`.
        faults: what is wrong so far; nested objects share the list.
    """

    def __init__(self, value: Any, line: int, where: str = "", faults: list[Fault] | None = None) -> None:
        self.line = line
        self.faults: list[Fault] = [] if faults is None else faults
        self._where = where
        self._values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            self.note("", f"expected an object, found {shown(value)}")

    def scanned(self, record: Any) -> Scanned[Any]:
        """The record that was made of the fields, or their faults."""
        return Scanned(self.line, record, tuple(self.faults))

    def note(self, name: str, message: str) -> None:
        """Notes a fault of the field with this name."""
        separator = "." if self._where and name and not name.startswith("[") else ""
        self.faults.append(Fault(self.line, f"{self._where}{separator}{name}", message))

    def has(self, *names: str) -> bool:
        """Whether the object has a field of one of these names that is not null."""
        return any(self._values.get(name) is not None for name in names)

    def _take(self, names: tuple[str, ...], default: Any) -> tuple[str, Any]:
        for name in names:
            if (value := self._values.get(name)) is not None:
                return name, value
        if default is _MISSING:
            self.note(names[0], f"is missing{f' (or {names[1]})' if len(names) > 1 else ''}")
        return names[0], default

    def text(self, *names: str, default: Any = _MISSING) -> str:
        """A string without surrounding white space; not empty, unless there is a default."""
        name, value = self._take(names, default)
        if value is default:
            return "" if default is _MISSING else default
        text = self._storable(name, value).strip()
        if isinstance(value, str) and not text and default is _MISSING:
            self.note(name, "is empty; remove the record, or fill it in")
        return text

    def raw_text(self, name: str) -> str:
        """A string as it stands, which offsets may count in; not empty."""
        name, value = self._take((name,), _MISSING)
        if value is _MISSING:
            return ""
        if value == "":
            self.note(name, "is empty; remove the record, or fill it in")
        return self._storable(name, value)

    def name(self, *names: str, default: Any = _MISSING) -> str:
        """An id: a string, or a whole number, which becomes one."""
        name, value = self._take(names, default)
        if value is default:
            return "" if default is _MISSING else default
        if type(value) is int:
            return str(value)
        text = self._storable(name, value).strip()
        if isinstance(value, str) and not text and default is _MISSING:
            self.note(name, "is empty; remove the record, or fill it in")
        return text

    def _storable(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            self.note(name, f"expected a string, found {shown(value)}")
            return ""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.note(name, f"half of a surrogate pair, which is no character: {shown(ascii(value))}")
        return value

    def number(self, name: str) -> float | None:
        """A finite number, also written as a string; None if it is not there."""
        _, value = self._take((name,), None)
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            self.note(name, f"expected a finite number, found {shown(value)}")
        return number

    def whole(self, name: str) -> int:
        """A whole number of at least 0."""
        name, value = self._take((name,), _MISSING)
        if value is _MISSING:
            return 0
        if type(value) is not int or value < 0:
            self.note(name, f"expected a whole number of at least 0, found {shown(value)}")
            return 0
        return value

    def truth(self, name: str) -> bool | None:
        """True or false; None if it is not there."""
        _, value = self._take((name,), None)
        if value is not None and not isinstance(value, bool):
            self.note(name, f"expected true or false, found {shown(value)}")
        return value

    def texts(self, *names: str, default: Any = _MISSING) -> tuple[str, ...]:
        """A list of strings; without a default it has to have one, and a single string is a list of it."""
        name, value = self._take(names, default)
        if value is default:
            return () if default is _MISSING else default
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            self.note(
                name, f'expected a list of strings such as ["Paris", "the capital"], found {shown(value)}'
            )
            return ()
        if not value and default is _MISSING:
            self.note(name, "is an empty list; remove the record, or fill it in")
        return tuple(self._storable(f"{name}[{i}]", text) for i, text in enumerate(value))

    def objects(self, name: str, default: Any = _MISSING) -> Iterator[Fields]:
        """The objects in a list of objects."""
        name, value = self._take((name,), default)
        if value is default:
            value = []
        if not isinstance(value, list):
            self.note(name, f"expected a list of objects, found {shown(value)}")
            value = []
        separator = "." if self._where else ""
        for i, item in enumerate(value):
            yield Fields(item, self.line, f"{self._where}{separator}{name}[{i}]", self.faults)

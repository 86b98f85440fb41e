"""A function's parameters as options of a command: on the command line, and in a YAML file.

Names, types, defaults and help are those of the function: of its signature, and of `Args:` in its docstring.
A parameter that the function takes by position and that has no default is given by position here too; every
other one is an option.

On argparse rather than the library jsonargparse, which does this too: there, lists are written `[1,5]` and
switches `--flag true`, a mistake is told in up to nine lines that speak of Python's types, help needs a
second library, and importing it takes 0.15 s.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin

_WORDS = {str: "text", int: "a whole number of at least 0", float: "a number"}


class Option(NamedTuple):
    """A parameter.

    Attributes:
        name: the parameter's.
        kind: str, int, float or bool: of a value, or of each.
        many: whether it takes a list of values.
        choices: what a value may be; any, if there are none.
        default: the parameter's; None if there is none.
        required: whether it has to be given.
        positional: whether it is given by position.
        help: what the docstring says.
    """

    name: str
    kind: type
    many: bool
    choices: tuple[str, ...]
    default: Any
    required: bool
    positional: bool
    help: str

    @property
    def flag(self) -> str:
        """How it is called on the command line."""
        return _metavar(self) if self.positional else "--" + self.name.replace("_", "-")

    def value(self, text: str) -> Any:
        """A value from text.

        Raises:
            ValueError: if it is none.
        """
        value = _value(self.kind, text)
        if self.choices and value not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}, got {text!r}")
        return value


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}; see {self.prog} --help\n")


def options_of(function: Callable[..., Any]) -> list[Option]:
    """The parameters of a function as options, in their order.

    Raises:
        TypeError: if a parameter has a type that cannot be given on a command line.
    """
    helps = _helps(inspect.getdoc(function) or "")
    return [
        _option(parameter, helps.get(parameter.name, ""))
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
    ]


def description_of(function: Callable[..., Any]) -> str:
    """What a docstring says before its first section."""
    before = re.split(r"\n\n(?:Args|Returns|Yields|Raises):", inspect.getdoc(function) or "")[0]
    return _plain(before)


def add_options(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Adds options to a parser, none of them required: a file may give them. What is not given is not set."""
    for option in options:
        keywords: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help_line(option)}
        if option.kind is bool:
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords |= {"type": _type(option), "metavar": _metavar(option)}
            if option.positional:
                keywords["nargs"] = "*" if option.many else "?"
            elif option.many:
                keywords["nargs"] = "+"
        if option.positional:
            parser.add_argument(option.name, **keywords)
        else:
            parser.add_argument(option.flag, dest=option.name, **keywords)


def settled(
    options: Sequence[Option], given: Mapping[str, Any], configured: Collection[str]
) -> dict[str, Any]:
    """Values that were parsed, with what stands behind a list by position taken out of it: of `A B C` the C.

    argparse gives a list all there is. What a file gives, in `configured`, is not taken out.
    """
    values = dict(given)
    behind = [option for option in options if option.positional]
    while behind and not behind[0].many:
        behind.pop(0)
    for option in reversed(behind[1:]):
        if option.name not in configured and values.get(behind[0].name):
            values[option.name] = values[behind[0].name].pop()
    return values


def usage(options: Sequence[Option]) -> str:
    """The usage of a command with these options, for argparse."""
    positional = [f"{o.flag} ..." if o.many else o.flag for o in options if o.positional]
    required = [f"{o.flag} {_metavar(o)}" for o in options if o.required and not o.positional]
    return " ".join(["%(prog)s", *positional, *required, "[options]"])


def read_config(path: str, options: Sequence[Option]) -> dict[str, Any]:
    """Reads a YAML file of option names and values.

    Args:
        path: of the file; a value of null means the default.
        options: that it may name.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no such file, or a name or value is wrong.
    """
    import yaml

    with open(path, encoding="utf-8") as file:
        try:
            content = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a mapping of option names to values")
    known = {option.name: option for option in options}
    found = {}
    for name, value in content.items():
        option = known.get(str(name).replace("-", "_"))
        if option is None:
            raise ValueError(f"{path}: unknown option {name!r}; expected {', '.join(known)}")
        if value is not None:
            try:
                found[option.name] = _configured(option, value)
            except ValueError as error:
                raise ValueError(f"{path}: {name}: {error}") from None
    return found


def as_yaml(options: Sequence[Option], values: Mapping[str, Any]) -> str:
    """A YAML file of all options, with their help as comments, as `read_config` takes it.

    Args:
        options: of the command.
        values: that were given; defaults stand for the others.
    """
    import yaml

    entries = []
    for option in options:
        value = values.get(option.name, option.default)
        value = list(value) if isinstance(value, tuple) else value
        comment = textwrap.fill(option.help, 100, initial_indent="# ", subsequent_indent="# ")
        if isinstance(value, list):
            text = f"{option.name}: {yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)}"
        else:
            text = yaml.safe_dump({option.name: value}, allow_unicode=True, width=1000)
        entries.append(f"{comment}\n{text}".lstrip("\n"))
    return "\n".join(entries)


def _option(parameter: inspect.Parameter, help_: str) -> Option:
    annotation, many, choices = _without_none(parameter.annotation), False, ()
    if get_origin(annotation) in (list, Sequence):
        annotation, many = _without_none(get_args(annotation)[0]), True
    if get_origin(annotation) is Literal:
        choices, annotation = get_args(annotation), str
    if annotation not in (str, int, float, bool) or (many and annotation is bool):
        raise TypeError(f"{parameter.name}: no option can have the type {parameter.annotation}")
    required = parameter.default is inspect.Parameter.empty
    return Option(
        name=parameter.name,
        kind=annotation,
        many=many,
        choices=choices,
        default=None if required else parameter.default,
        required=required,
        positional=required and parameter.kind is not inspect.Parameter.KEYWORD_ONLY,
        help=help_,
    )


def _without_none(annotation: Any) -> Any:
    """Of `T | None` the T; of `str | os.PathLike[str]` str; of `int | float` float."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = [member for member in get_args(annotation) if member is not type(None)]
    return next((kind for kind in (str, float) if kind in members), members[0])


def _helps(docstring: str) -> dict[str, str]:
    """Parameter -> what `Args:` says about it."""
    found = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring, flags=re.MULTILINE | re.DOTALL)
    entries = re.split(r"^(?=    \w[\w, ]*:)", found[1] if found else "", flags=re.MULTILINE)
    helps = {}
    for entry in filter(str.strip, entries):
        names, _, text = entry.partition(":")
        helps.update({name.strip(): _plain(text) for name in names.split(",")})
    return helps


def _plain(text: str) -> str:
    return " ".join(text.replace("`", "").split())


def _help_line(option: Option) -> str:
    text = option.help
    if option.default is not None and option.kind is not bool and "default" not in text.lower():
        shown = " ".join(map(str, option.default)) if option.many else option.default
        text += f" (default: {shown})"
    return text.replace("%", "%%")


def _metavar(option: Option) -> str:
    return "|".join(option.choices) or option.name.upper()


def _type(option: Option) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return option.value(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _value(kind: type, text: str) -> Any:
    if kind is int and not text.isdecimal():
        raise ValueError(f"expected {_WORDS[int]}, got {text!r}")
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {_WORDS[kind]}, got {text!r}") from None


def _configured(option: Option, value: Any) -> Any:
    """A value from YAML, checked as the command line's."""
    if option.many:
        return [_configured_one(option, one) for one in (value if isinstance(value, list) else [value])]
    return _configured_one(option, value)


def _configured_one(option: Option, value: Any) -> Any:
    if option.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {value!r}")
        return value
    if option.kind is str and not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r}; put it in quotes")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected {_WORDS[option.kind]}, got {value!r}")
    return option.value(str(value))  # YAML takes 1e-5, without a dot, for text

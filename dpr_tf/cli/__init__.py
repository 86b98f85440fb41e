"""The command `dpr-tf`. Reads arguments and prints; what it does is in the package."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from dpr_tf import __version__
from dpr_tf.cli.commands import COMMANDS, Command
from dpr_tf.cli.declarations import declaration
from dpr_tf.cli.options import (
    Option,
    Parser,
    add_options,
    as_yaml,
    description_of,
    options_of,
    read_config,
    settled,
    usage,
)
from dpr_tf.console import hush_tensorflow


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: of the command line, without the program's name. Default: the process's.

    Returns:
        The exit code: 0; 1 if nobody reads the output any more, or `validate` found faults; 2 after a
        mistake, which is told in one line on stderr; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] not in COMMANDS:
        _parser().parse_args(arguments)  # shows help or version, or tells the mistake
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or TensorFlow reports a missing GPU as an error
    hush_tensorflow()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows "?" rather than failing
    name = f"dpr-tf {arguments[0]}"
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _tell(f"{name}: warning", message)
            return _run(name, COMMANDS[arguments[0]], arguments[1:])
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, OSError, ValueError) as error:  # ImportError: an extra is not installed
        _tell(f"{name}: error", error)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def _tell(what: str, message: Any) -> None:
    if isinstance(message, OSError) and message.filename and message.strerror:
        message = f"{message.filename}: {message.strerror}"
    print(f"{what}: {' '.join(str(message).split())}", file=sys.stderr)


def _parser() -> Parser:
    """For a command line without a command; what follows a command is read when its function is imported."""
    parser = Parser(prog="dpr-tf", description="Dense Passage Retrieval for TensorFlow and Keras 3.")
    parser.add_argument("--version", action="version", version=f"dpr-tf {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary)
    return parser


def _run(name: str, command: Command, arguments: list[str]) -> int:
    declared = declaration(command.module, command.name)
    options = options_of(declared)
    parser = _command_parser(name, description_of(declared), options)
    given = vars(parser.parse_intermixed_args(_spelled(arguments)))
    as_json, config, print_config = (given.pop(one) for one in ("json", "config", "print_config"))
    configured = read_config(config, options) if config else {}
    values = {**configured, **settled(options, given, configured)}
    if print_config:
        print(as_yaml(options, values), end="", flush=True)
        return 0
    if missing := [o.flag for o in options if o.required and values.get(o.name) in (None, [])]:
        taken = [o.flag for o in options if o.many and not o.positional and given.get(o.name)]
        remedy = f"; {taken[0]} takes all values behind it, so that it comes last" if taken else ""
        parser.error(f"the following arguments are required: {', '.join(missing)}{remedy}")
    written = values.get("output") or values.get("target")
    positional = [values.pop(option.name) for option in options if option.positional]
    result = command.function()(*positional, **values)
    return _show(command, result, as_json, f"{written}: " if written else "")


def _command_parser(name: str, description: str, options: Sequence[Option]) -> Parser:
    parser = Parser(prog=name, usage=usage(options), description=description, allow_abbrev=False)
    add_options(parser, options)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--config", metavar="FILE", help="YAML file of options; those given here come first")
    parser.add_argument("--print-config", action="store_true", help="print all options as YAML, and end")
    return parser


def _spelled(arguments: Sequence[str]) -> list[str]:
    """Arguments with `--batch_size`, which is Python's spelling, as `--batch-size`."""
    spelled: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*spelled, *arguments[position:]]
        name, equals, value = argument.partition("=")
        spelled.append((name.replace("_", "-") if name.startswith("--") else name) + equals + value)
    return spelled


def _show(command: Command, result: Any, as_json: bool, before: str) -> int:
    """Prints a result, or each of several as it comes, and gives the exit code."""
    several = isinstance(result, Iterator)
    shown, failed = [], False
    for one in result if several else [result] if result is not None else []:
        shown.append(_plain(one))
        failed = failed or command.failed(one)
        if not as_json:
            command.show(one, before)
    if as_json and (several or shown):
        print(json.dumps(shown if several else shown[0], ensure_ascii=False, indent=2), flush=True)
    return int(failed)


def _plain(value: Any) -> Any:
    """A record as JSON has it, and those inside it."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value

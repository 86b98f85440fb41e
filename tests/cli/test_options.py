"""A function's parameters as options: their types, their help, and what a YAML file may say."""

import argparse
from collections.abc import Sequence
from typing import Literal

import pytest
import yaml

from dpr_tf.cli.commands import COMMANDS
from dpr_tf.cli.declarations import declaration
from dpr_tf.cli.options import (
    Parser,
    add_options,
    as_yaml,
    description_of,
    options_of,
    read_config,
    settled,
    usage,
)


def example(
    checkpoint: str,
    files: Sequence[str],
    output: str,
    *,
    name: str,
    rate: float = 2e-5,
    k: list[int] | None = None,
    kind: Literal["dense", "sparse"] = "dense",
    fast: bool = False,
    progress: bool = True,
    seed: int = 0,
):
    """Does `something`.

    And says how.

    Args:
        files: what to read,
            in two lines: with a colon.
        checkpoint: where to start.
        output: 100 % of what is written.
        name: of it.
        rate, k: two at once.
        kind: which. Default: the first.
        fast: whether to hurry.
        seed: where chance starts.

    Raises:
        ValueError: never.
    """


OPTIONS = options_of(example)


def parse(*arguments):
    parser = Parser(prog="dpr-tf example", usage=usage(OPTIONS), description=description_of(example))
    add_options(parser, OPTIONS)
    return parser, settled(OPTIONS, vars(parser.parse_intermixed_args([*arguments])), ())


def test_values_have_the_types_of_the_signature():
    _, values = parse(
        "start", "a", "b", "out", "--k", "3", "5", "--rate", "1e-3", "--kind", "sparse", "--fast"
    )
    assert values == {
        "checkpoint": "start",
        "files": ["a", "b"],
        "output": "out",
        "k": [3, 5],
        "rate": 0.001,
        "kind": "sparse",
        "fast": True,
    }
    assert parse("--no-progress", "start", "a", "--name", "b", "out")[1] == {
        "checkpoint": "start",
        "files": ["a"],
        "output": "out",
        "name": "b",
        "progress": False,
    }
    assert parse()[1] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "1.5"], "argument --k: expected a whole number of at least 0, got '1.5'"),
        (["--rate", "fast"], "argument --rate: expected a number, got 'fast'"),
        (["--kind", "x"], "argument --kind: expected one of dense, sparse, got 'x'"),
        (["--kin", "dense"], "unrecognized arguments: --kin dense"),
    ],
)
def test_a_mistake_is_told_in_one_line(capsys, arguments, message):
    parser = Parser(prog="dpr-tf example", allow_abbrev=False)
    add_options(parser, [option for option in OPTIONS if not option.positional])
    with pytest.raises(SystemExit) as exit_:
        parser.parse_intermixed_args(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == f"dpr-tf example: error: {message}; see dpr-tf example --help\n"


def test_help_comes_from_the_docstring():
    assert usage(OPTIONS) == "%(prog)s CHECKPOINT FILES ... OUTPUT --name NAME [options]"
    assert description_of(example) == "Does something. And says how."
    of_doctor = description_of(declaration("dpr_tf.doctor", "doctor"))
    assert of_doctor.endswith("Exit code 1 if something is wrong.")
    shown = " ".join(parse()[0].format_help().split())
    assert "FILES what to read, in two lines: with a colon." in shown
    assert "OUTPUT 100 % of what is written." in shown
    assert "--rate RATE two at once. (default: 2e-05)" in shown
    assert "--k K [K ...] two at once. --kind" in shown
    assert "--kind dense|sparse which. Default: the first. --fast" in shown
    assert "--seed SEED where chance starts. (default: 0)" in shown


def test_a_type_that_no_option_can_have_is_a_bug():
    def unfit(weights: dict[str, int]): ...

    with pytest.raises(TypeError, match="weights: no option can have the type"):
        options_of(unfit)


def test_yaml_of_all_options_reads_back(tmp_path):
    given = {"files": ["a}", "b: c"], "k": [1, 2], "rate": 3e-7, "fast": True, "name": "no"}
    text = as_yaml(OPTIONS, given)
    (tmp_path / "options.yaml").write_text(text)
    values = read_config(str(tmp_path / "options.yaml"), OPTIONS)
    defaults = {"kind": "dense", "progress": True, "seed": 0}
    assert values == {**given, **defaults}
    assert "# what to read, in two lines: with a colon.\nfiles: " in text
    assert yaml.safe_load(text)["output"] is None
    assert as_yaml(OPTIONS, values) == text


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("rate: 1e-5", {"rate": 1e-5}),  # text, for YAML
        ("k: 5\nfiles: one.json", {"k": [5], "files": ["one.json"]}),
        ("{k: [1, 20], fast: true, name: null}", {"k": [1, 20], "fast": True}),
    ],
)
def test_reads_yaml(tmp_path, content, values):
    (tmp_path / "options.yaml").write_text(content)
    assert read_config(str(tmp_path / "options.yaml"), OPTIONS) == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("speed: 1", "unknown option 'speed'; expected checkpoint, files, output, name"),
        ("k: [1, x]", "k: expected a whole number of at least 0, got 'x'"),
        ("k: -1", "k: expected a whole number of at least 0, got '-1'"),
        ("seed: 1.5", "seed: expected a whole number of at least 0, got '1.5'"),
        ("seed: true", "seed: expected a whole number of at least 0, got True"),
        ("rate: [1]", r"rate: expected a number, got \[1\]"),
        ("name: 007", "name: expected text, got 7; put it in quotes"),
        ("fast: 1", "fast: expected true or false, got 1"),
        ("kind: both", "kind: expected one of dense, sparse, got 'both'"),
        ("- k", "expected a mapping of option names to values"),
        ("", "expected a mapping of option names to values"),
        ("k: [1", "options.yaml is no YAML"),
    ],
)
def test_refuses_other_yaml(tmp_path, content, message):
    (tmp_path / "options.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_config(str(tmp_path / "options.yaml"), OPTIONS)


def test_what_is_not_given_is_not_set():
    assert argparse.SUPPRESS not in parse("a", "b")[1].values()


def test_what_a_file_gives_is_not_taken_from_a_list():
    given = {"checkpoint": "start", "files": ["a", "b"]}
    assert settled(OPTIONS, given, {"output"}) == given
    assert settled(OPTIONS, {"name": "x"}, ()) == {"name": "x"}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_declarations_are_those_of_the_functions(command):
    declared, function = declaration(command.module, command.name), command.function()
    assert options_of(declared) == options_of(function)
    assert description_of(declared) == description_of(function)

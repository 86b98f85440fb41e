"""Measures a case on several engines in one run: ours beside its peers.

    python tools/bench/run.py encode                                    # make bench
    python tools/bench/run.py encode question training load search      # and a report of all
    python tools/bench/run.py encode --set layers=3 --grow passages=40,80,160 --only dpr_tf openvino

A case is a module of this folder with `ENGINES` ({name: (environment, function that makes a run of it)}),
`UNIT`, `OPTIONS` ({name: default}), and `prepare(folder, options)`, which writes what the engines read. Each
engine lives in a process of its own, in the environment it names: "ours" is the Python that runs this file,
another is made on first use from its list in environments/. All are started before anything is measured.
Then they take turns, so that what else the machine does strikes all alike; ratios are of medians. An engine
that does not start, as when a package is missing, is left out and its error shown. So are those in bfloat16,
unless `--only` names them, on a processor without instructions for it: they take ten times as long there.
Where an engine gives back numbers to check, they must be those of the first engine.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ENVIRONMENT = dict(os.environ)  # as it is before dpr_tf is imported, which sets a variable for TensorFlow
TOLERANCE = 0.1  # between engines' numbers, near 1: bfloat16 stays below, another computation does not


class Engine:
    """One engine of a case in its own process.

    Args:
        case, name: which.
        python: the interpreter to run it with.
        folder: what `prepare` wrote.
    """

    def __init__(self, case: str, name: str, python: str, folder: str):
        command = [python, str(HERE / "worker.py"), case, name, folder]
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=ENVIRONMENT,
            )
        self.runs: list[dict[str, Any]] = []

    def read(self) -> dict[str, Any] | None:
        """Its next answer, or None if it has ended."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def run(self) -> None:
        """Lets it run once and keeps what it measured."""
        with contextlib.suppress(BrokenPipeError):  # it has ended; the answer says so
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        answer = self.read()
        if answer is None:
            status = self.process.wait()
            raise RuntimeError(
                f"{self.name} ended while it was measured, with status {status} (-9: perhaps for want of "
                f"memory, which all engines take at once): {self.log.read_text()[-2000:]}"
            )
        self.runs.append(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()

    def summary(self) -> dict[str, Any]:
        """Medians over the runs, and the spread of the rate."""
        rates = [run["items"] / sum(run["seconds"]) for run in self.runs]
        each = sorted(1000 * second for run in self.runs for second in run["seconds"])
        found = {
            "rate": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "cpu_rate": statistics.median(run["items"] / run["cpu_seconds"] for run in self.runs),
            "p50_ms": statistics.median(each),
            "p95_ms": each[min(len(each) - 1, int(0.95 * len(each)))],
        }
        if "peak_mb" in self.runs[0]:
            found["peak_mb"] = statistics.median(run["peak_mb"] for run in self.runs)
        return found


def interpreter(environment: str, given: dict[str, str], folder: Path) -> str:
    """The Python of an environment, which is made on first use.

    Raises:
        OSError: if it cannot be made.
    """
    if environment == "ours":
        return sys.executable
    if environment in given:
        return given[environment]
    home = folder / environment
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        maker = shutil.which("python3.11") if environment == "transformers4" else sys.executable
        if maker is None:
            raise OSError(f"{environment} needs python3.11; --python {environment}=PYTHON names one")
        listed = HERE / "environments" / f"{environment}.txt"
        made = subprocess.run([maker, "-m", "venv", home]).returncode
        if made or subprocess.run([python, "-m", "pip", "install", "-q", "-r", listed]).returncode:
            raise OSError(f"could not install {listed.name}")
        (home / "installed").touch()
    return str(python)


def measure(case: str, names: list[str], pythons: dict[str, str], rounds: int, folder: str) -> dict[str, Any]:
    """Runs engines of a case in turn.

    Args:
        case, names: which.
        pythons: the interpreter of each environment.
        rounds: how often.
        folder: what `prepare` wrote.

    Returns:
        {engine: its versions and summary}; an engine that did not start has its error instead.
    """
    listed = importlib.import_module(case).ENGINES
    engines, results = [], {}
    checked: list[float] | None = None
    for name in names:
        engine = Engine(case, name, pythons[listed[name][0]], folder)
        ready = engine.read()
        if ready is None:
            lines = engine.log.read_text().strip().splitlines()
            results[name] = {"error": lines[-1] if lines else "it ended without a word"}
            continue
        checked = checked or ready["check"]
        if ready["check"] and not agree(checked, ready["check"]):
            results[name] = {"error": "it computes other numbers"}
            engine.close()
            continue
        engines.append(engine)
        results[name] = {"versions": ready["versions"]}
    for _ in range(rounds):
        for engine in engines:
            engine.run()
    for engine in engines:
        results[engine.name].update(engine.summary())
        engine.close()
    return results


def agree(ours: list[float], theirs: list[float]) -> bool:
    """Whether two engines computed the same."""
    return len(ours) == len(theirs) and all(
        abs(a - b) <= TOLERANCE for a, b in zip(ours, theirs, strict=True)
    )


def processor() -> str:
    """The name of the processor, and which of the instructions that matter here it has."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8")
    flags = [flag for flag in facts.get("flags", "").split() if flag in wanted]
    name = facts.get("model name", platform.processor()).strip()
    return f"{name}, {os.cpu_count()} CPUs, {', '.join(flags)}"


def as_markdown(title: str, unit: str, results: dict[str, Any]) -> str:
    """A table with one line per engine; ratios are of the first engine's rate over the engine's."""
    first = next(iter(results))
    memory = any("peak_mb" in found for found in results.values())
    lines = [
        f"| {title} | {unit}/s | spread | {unit}/processor second | p50 ms | p95 ms "
        + ("| peak MB " if memory else "")
        + f"| {first} is |",
        "|---" * (8 if memory else 7) + "|",
    ]
    for name, found in results.items():
        if "error" in found:
            lines.append(f"| {name} | not run: {found['error']} |" + " |" * (6 if memory else 5))
            continue
        ratio = f"{results[first]['rate'] / found['rate']:.2f} x" if "rate" in results[first] else ""
        peak = f"| {found['peak_mb']:.0f} " if memory else ""
        lines.append(
            f"| {name} | {found['rate']:.4g} | {found['lowest']:.4g} to {found['highest']:.4g} "
            f"| {found['cpu_rate']:.4g} | {found['p50_ms']:.4g} | {found['p95_ms']:.4g} {peak}| {ratio} |"
        )
    return "\n".join(lines)


def parse(case: Any, pairs: list[str]) -> dict[str, list[Any]]:
    """OPTION=VALUE,... pairs as values of the type of each option's default.

    Raises:
        ValueError: for what is no such pair, another option, or a value of another type.
    """
    found = {}
    for pair in pairs:
        name, equals, values = pair.partition("=")
        if not equals or name not in case.OPTIONS:
            options = sorted(case.OPTIONS)
            raise ValueError(f"{pair}: expected OPTION=VALUE; this case has the options {options}")
        kind = type(case.OPTIONS[name])
        try:
            found[name] = [kind(value) for value in values.split(",")]
        except ValueError:
            raise ValueError(f"{pair}: expected {kind.__name__}") from None
    return found


class Plan(NamedTuple):
    """What to measure.

    Attributes:
        name: of the case.
        tables: {title: options}.
        engines: in their order.
    """

    name: str
    tables: dict[str, dict[str, Any]]
    engines: list[str]


def planned(name: str, arguments: argparse.Namespace) -> Plan:
    """What the arguments ask for of a case.

    Raises:
        ValueError: for options or engines that it does not have.
    """
    case = importlib.import_module(name)
    settings = {option: values[0] for option, values in parse(case, arguments.set).items()}
    grown = parse(case, [arguments.grow] if arguments.grow else [])
    tables = {
        f"{name}, {option}={value}": {**case.OPTIONS, **settings, option: value}
        for option, values in grown.items()
        for value in values
    } or {name: {**case.OPTIONS, **settings}}
    if unknown := [engine for engine in arguments.only or () if engine not in case.ENGINES]:
        raise ValueError(f"--only {unknown[0]!r}: {name} has the engines {list(case.ENGINES)}")
    usual = [engine for engine in case.ENGINES if "bfloat16" not in engine or "bf16" in processor()]
    return Plan(name, tables, arguments.only or usual)


def measured(plan: Plan, arguments: argparse.Namespace) -> str:
    """Measures a case and writes what was found, as tables and as JSON; returns the tables."""
    case = importlib.import_module(plan.name)
    given = dict(pair.split("=", 1) for pair in arguments.python)
    pythons = {}
    for environment in dict.fromkeys(case.ENGINES[engine][0] for engine in plan.engines):
        try:
            pythons[environment] = interpreter(environment, given, arguments.output)
        except OSError as error:
            print(f"Without {environment}: {error}", file=sys.stderr)
    names = [engine for engine in plan.engines if case.ENGINES[engine][0] in pythons]
    tables, runs = [], []
    for title, options in plan.tables.items():
        with tempfile.TemporaryDirectory() as folder:
            case.prepare(Path(folder), options)
            results = measure(plan.name, names, pythons, arguments.rounds, folder)
        tables.append(as_markdown(title, case.UNIT, results))
        runs.append({"options": options, "engines": results})
        print(tables[-1] + "\n", flush=True)
    where = {"processor": processor(), "rounds": arguments.rounds, "runs": runs}
    text = "\n\n".join(tables)
    (arguments.output / f"{plan.name}.md").write_text(f"{where['processor']}\n\n{text}\n")
    (arguments.output / f"{plan.name}.json").write_text(json.dumps(where, indent=1))
    return text


def main() -> None:
    """Measures cases one after the other; several are written into one report as well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    cases = sorted(path.stem for path in HERE.glob("*.py") if "\nENGINES = " in path.read_text())
    parser.add_argument("case", nargs="+", choices=cases, help=", ".join(cases), metavar="case")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine")
    parser.add_argument("--only", nargs="+", metavar="ENGINE", help="the engines to run, the first one first")
    parser.add_argument("--python", nargs="+", default=[], metavar="ENVIRONMENT=PYTHON")
    parser.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE", help="of the case")
    parser.add_argument("--grow", metavar="OPTION=VALUE,VALUE,...", help="measure once for each")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder for the results")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    try:
        plans = [planned(name, arguments) for name in arguments.case]
    except ValueError as error:
        parser.error(str(error))
    arguments.output.mkdir(parents=True, exist_ok=True)
    tables = [measured(plan, arguments) for plan in plans]
    if len(tables) > 1:
        (arguments.output / "report.md").write_text("\n\n".join([processor(), *tables]) + "\n")


if __name__ == "__main__":
    main()

"""Measures a case on several engines in one run: ours beside its peers.

    python tools/bench/run.py encode                                    # make bench
    python tools/bench/run.py encode --python openvino=/path/to/venv/bin/python

A case is a module of this folder with `ENGINES` ({name: function that makes a run of it}), `UNIT`, `OPTIONS`
({name: default}), and `prepare(folder, options)`, which writes what the engines read. Each engine lives in a
process of its own, with the Python it is given, and all are started before anything is measured. Then they
take turns, so that what else the machine does strikes all alike; ratios are of medians. An engine that does
not start, as when its package is missing, is left out and its error shown.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


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
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.runs: list[dict[str, Any]] = []

    def read(self) -> dict[str, Any] | None:
        """Its next answer, or None if it has ended."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def run(self) -> None:
        """Lets it run once and keeps what it measured."""
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer is None:
            raise RuntimeError(f"{self.name} ended while it was measured: {self.log.read_text()[-2000:]}")
        self.runs.append(answer)

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()

    def summary(self) -> dict[str, float]:
        """Medians over the runs, and the spread of the rate."""
        rates = [run["items"] / sum(run["seconds"]) for run in self.runs]
        each = sorted(1000 * second for run in self.runs for second in run["seconds"])
        return {
            "rate": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "cpu_rate": statistics.median(run["items"] / run["cpu_seconds"] for run in self.runs),
            "p50_ms": statistics.median(each),
            "p95_ms": each[min(len(each) - 1, int(0.95 * len(each)))],
        }


def measure(case: str, pythons: dict[str, str], rounds: int, folder: str) -> dict[str, Any]:
    """Runs all engines of a case in turn.

    Returns:
        {engine: its versions and summary}; an engine that did not start has its error instead.
    """
    names = importlib.import_module(case).ENGINES
    engines, results = [], {}
    for name in names:
        engine = Engine(case, name, pythons.get(name, sys.executable), folder)
        ready = engine.read()
        if ready is None:
            results[name] = {"error": engine.log.read_text().strip().splitlines()[-1]}
        else:
            engines.append(engine)
            results[name] = {"versions": ready["versions"]}
    for _ in range(rounds):
        for engine in engines:
            engine.run()
    for engine in engines:
        results[engine.name].update(engine.summary())
        engine.close()
    return results


def processor() -> str:
    """The name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if "model name" in line), platform.processor())


def as_markdown(case: str, unit: str, results: dict[str, Any]) -> str:
    """A table with one line per engine; ratios are of our rate over the engine's."""
    ours = results["dpr_tf"]
    lines = [
        f"| {case} | {unit}/s | spread | {unit}/processor second | p50 ms | p95 ms | dpr_tf is |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        if "error" in found:
            lines.append(f"| {name} | not run: {found['error']} | | | | | |")
            continue
        ratio = f"{ours['rate'] / found['rate']:.2f} x ({ours['cpu_rate'] / found['cpu_rate']:.2f} x)"
        lines.append(
            f"| {name} | {found['rate']:.2f} | {found['lowest']:.2f} to {found['highest']:.2f} "
            f"| {found['cpu_rate']:.2f} | {found['p50_ms']:.1f} | {found['p95_ms']:.1f} | {ratio} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures one case; prints a table and writes it with a JSON file that says where it was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", help="a module of this folder")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PYTHON")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=NUMBER", help="of the case")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder for the results")
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    case = importlib.import_module(arguments.case)
    given = dict(pair.split("=", 1) for pair in arguments.set)
    if unknown := sorted(set(given) - set(case.OPTIONS)):
        parser.error(f"--set {unknown[0]}: {arguments.case} has the options {sorted(case.OPTIONS)}")
    options = {**case.OPTIONS, **{name: int(value) for name, value in given.items()}}
    with tempfile.TemporaryDirectory() as folder:
        case.prepare(Path(folder), options)
        pythons = dict(pair.split("=", 1) for pair in arguments.python)
        results = measure(arguments.case, pythons, arguments.rounds, folder)
    table = as_markdown(arguments.case, case.UNIT, results)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.case}.md").write_text(table + "\n")
    where = {"processor": processor(), "rounds": arguments.rounds, "options": options}
    (arguments.output / f"{arguments.case}.json").write_text(
        json.dumps({**where, "engines": results}, indent=1)
    )
    print(table)


if __name__ == "__main__":
    main()

"""`dpr-tf demo`: the bundled sample answers a few questions, then yours."""

from __future__ import annotations

import contextlib
import sys
import time

from dpr_tf.answering import QuestionAnswering, sample_folder
from dpr_tf.console import Console
from dpr_tf.data.passages import read_passages

# Six of the sample's questions, the last two in other words than their passages. The sample's README says how
# many of all its questions are answered right.
QUESTIONS = (
    "Which poet was the father of Ada Lovelace?",
    "On what date did Hillary and Tenzing reach the summit of Mount Everest?",
    "Who proposed in 1912 that the continents had once formed a single land?",
    "How many countries does the Danube touch?",
    "Which artist designed Japan's best-known print, of a huge breaker at sea?",
    "Which Italian instrument keeper built the first keyboard that struck its strings with hammers?",
)


def run() -> None:
    """Loads the sample, answers QUESTIONS on stdout, then what is typed if stdin is a terminal."""
    console = Console(sys.stdout)
    system = _start(console)
    for question in QUESTIONS:
        console.show(system.answer(question))
    if sys.stdin.isatty():
        _converse(console, system)


def _start(console: Console) -> QuestionAnswering:
    started = time.perf_counter()
    passages = list(read_passages(sample_folder() / "passages.tsv"))
    console.line(f"Starting TensorFlow, loading three checkpoints, embedding {len(passages)} passages ...")
    system = QuestionAnswering.from_pretrained(passages)
    console.line(f"Ready after {time.perf_counter() - started:.1f} s.")
    console.line()
    return system


def _converse(console: Console, system: QuestionAnswering) -> None:
    with contextlib.suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  (line editing and history for input)
    console.line("Ask a question about the sample's passages; an empty line ends.")
    while True:
        try:
            question = input("> ").strip()
            if not question:
                return
            console.show(system.answer(question))
        except ValueError as error:
            console.line(f"   {error}")
        except (EOFError, KeyboardInterrupt):
            console.line()
            return

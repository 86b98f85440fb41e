"""`dpr-tf demo`: the bundled sample answers a few questions, then yours."""

from __future__ import annotations

import contextlib
import sys
import time

from dpr_tf.answering import QuestionAnswering, sample_folder
from dpr_tf.console import Console
from dpr_tf.data.passages import read_passages
from dpr_tf.retrieval.bm25 import BM25Retriever
from dpr_tf.retrieval.hybrid import fuse_by_weight
from dpr_tf.retrieval.retriever import Retriever

# Six of the sample's questions, the last two in other words than their passages. The sample's README says how
# many of all its questions are answered right.
QUESTIONS = (
    "Which poet was the father of Ada Lovelace?",
    "On what date did Hillary and Tenzing reach the summit of Mount Everest?",
    "Who proposed in 1912 that the continents had once formed a single land?",
    "How many countries does the Danube touch?",
    "Which artist designed Japan's best-known print, of a huge breaker at sea?",
    "Which activist headed the fight for female suffrage among New Zealanders?",
)


# For what is retrieved by words and by vectors; the weight of the vectors' score is the best for the sample's
# questions, as `dpr-tf retrieve --tune` says.
_HYBRID_QUESTION, _WEIGHT = "Which artist designed Japan's best-known print, of a huge breaker at sea?", 0.9
_DEPTH = 100


def run() -> None:
    """Answers questions of the bundled sample, shows what is retrieved for one, then takes yours.

    Questions are taken if there is a terminal.
    """
    console = Console(sys.stdout)
    system = _start(console)
    for question in QUESTIONS:
        console.show(system.answer(question))
    _show_hybrid(console, system.retriever)
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


def _show_hybrid(console: Console, dense: Retriever) -> None:
    """Shows the best passages for a question by words and vectors together, and the scores of both."""
    console.line(console.bold(f"R  {_HYBRID_QUESTION}"))
    try:
        sparse = BM25Retriever.build(dense.passages)
    except ImportError as error:
        console.line(f"   {error}")
        console.line()
        return
    pools = [retriever.retrieve([_HYBRID_QUESTION], _DEPTH)[0] for retriever in (sparse, dense)]
    by_words, by_vectors = ({scored.passage.id: scored.score for scored in pool} for pool in pools)
    console.line(console.faint("   hybrid    BM25   dense  passage"))
    for scored in fuse_by_weight(pools[0], pools[1], _WEIGHT, 3):
        id_ = scored.passage.id
        shown = (f"{scores[id_]:6.2f}" if id_ in scores else "     -" for scores in (by_words, by_vectors))
        console.line(f"   {scored.score:6.2f}  {'  '.join(shown)}  {scored.passage.title}")
    console.line(console.faint(f"   hybrid score: BM25's + {_WEIGHT} * dense"))
    console.line()


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

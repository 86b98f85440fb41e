"""The command `dpr-tf`. Reads arguments and prints; what it does is in the package."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from dpr_tf import __version__
from dpr_tf.console import Console, hushed_stderr

if TYPE_CHECKING:
    from dpr_tf.answering import Answered


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: of the command line, without the program's name. Default: the process's.

    Returns:
        The exit code: 0; 1 if nobody reads the output any more, or `validate` found faults; 2 after a
        mistake, which is told in one line on stderr; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # or TensorFlow reports a missing GPU as an error
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows "?" rather than failing
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, OSError, ValueError) as error:  # ImportError: an extra is not installed
        print(f"dpr-tf: error: {_in_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dpr-tf", description="Dense Passage Retrieval for TensorFlow and Keras 3.")
    parser.add_argument("--version", action="version", version=f"dpr-tf {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="answer questions from the bundled sample",
        description="Loads the three checkpoints of the bundled sample, embeds its passages and answers "
        "a few questions; then asks for yours, if there is a terminal.",
    )
    demo.set_defaults(run=_demo)

    ask = commands.add_parser(
        "ask",
        # argparse would put the question last, where --pretrained takes it for a name
        usage="%(prog)s QUESTION [--passages FILE] [--pretrained NAME ...] [--k K] [--answers N] [--json]",
        help="answer one question from any passages with any checkpoints",
        description="Embeds the passages, retrieves the best for the question, prints the answer in them.",
    )
    ask.add_argument("question", metavar="QUESTION", type=_question, help="the question")
    ask.add_argument(
        "--passages",
        metavar="FILE",
        help="TSV with the header id, text, title, or JSON with these keys (default: the sample's)",
    )
    ask.add_argument(
        "--pretrained",
        nargs="+",
        metavar="NAME",
        help="folders or Hub ids of context encoder, question encoder and reader, in this order; or one that "
        "holds each in a sub-folder context_encoder, question_encoder, reader (default: the sample's)",
    )
    ask.add_argument(
        "--k", type=_positive, default=20, help="passages to retrieve and read (default: %(default)s)"
    )
    ask.add_argument(
        "--answers", type=_positive, default=1, metavar="N", help="answers to print (default: %(default)s)"
    )
    ask.add_argument(
        "--json", action="store_true", help="print the answers and the retrieved passages as JSON"
    )
    ask.set_defaults(run=_ask)
    _add_data_commands(commands)
    _add_evaluate(commands)
    _add_mine(commands)
    return parser


def _add_data_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    validate = commands.add_parser(
        "validate",
        help="list the faults of data files, with line and field",
        description="Reads whole files, plain or gzip, and lists what is wrong in them. Exit code 1 if "
        "anything is.",
    )
    validate.add_argument("files", nargs="+", metavar="FILE", help="a file of any of the kinds below")
    validate.add_argument(
        "--kind",
        help="passages, questions, examples (retriever training), retrieved (retriever output), vectors "
        "(embedding shard), squad, qrels or run (default: what the content looks like)",
    )
    validate.add_argument(
        "--faults", type=_positive, default=100, metavar="N", help="to list per file (default: %(default)s)"
    )
    validate.add_argument("--json", action="store_true", help="print the reports as JSON")
    validate.set_defaults(run=_validate)

    split = commands.add_parser(
        "split",
        help="cut articles into passages of 100 words",
        description="Cuts articles into disjoint passages and numbers these from 1.",
    )
    split.add_argument(
        "source",
        metavar="IN",
        help="a file, or a folder of files, plain or gzip: JSON articles with title and text, one a line or "
        "an array; or plain text, an article a file with the file's name as title",
    )
    split.add_argument(
        "target", metavar="OUT", help="passages: .jsonl for JSON lines, else TSV; .gz behind it packs"
    )
    split.add_argument(
        "--words", type=_positive, default=100, metavar="N", help="per passage (default: %(default)s)"
    )
    split.add_argument(
        "--fill-last",
        action="store_true",
        help="fill the last passage of an article with its first words (default: keep it short)",
    )
    split.add_argument("--json", action="store_true", help="print the counts as JSON")
    split.set_defaults(run=_split)


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="measure what a retriever found",
        description="Top-k retrieval accuracy of retriever outputs, with confidence intervals: the share of "
        "questions with an answer in the text of one of their first k passages. With --qrels, measures of "
        "TREC run files.",
    )
    evaluate.add_argument(
        "files", nargs="+", metavar="FILE", help="retriever output (JSON, plain or .gz), or TREC run"
    )
    evaluate.add_argument(
        "--k",
        nargs="+",
        type=_positive,
        metavar="K",
        help="numbers of passages (default: 1, 5, 20 and 100)",
    )
    _add_match(evaluate)
    evaluate.add_argument("--plot", metavar="PNG", help="also draw the accuracy over k")
    evaluate.add_argument(
        "--qrels", metavar="QRELS", help="judgements, TREC's or BEIR's; the files are then TREC runs"
    )
    evaluate.add_argument(
        "--measures",
        nargs="+",
        default=["RR@10", "nDCG@10", "R@100"],
        metavar="M",
        help="with --qrels: RR, nDCG, R, P, AP, Success, with or without @k (default: RR@10 nDCG@10 R@100)",
    )
    evaluate.add_argument("--json", action="store_true", help="print shares from 0 to 1 as JSON")
    evaluate.set_defaults(run=_evaluate)


def _add_mine(commands: argparse._SubParsersAction[_Parser]) -> None:
    mine = commands.add_parser(
        "mine",
        help="make training examples with hard negatives from what a retriever found",
        description="Takes the best retrieved passages without an answer as hard negatives.",
    )
    mine.add_argument("source", metavar="IN", help="retriever output: JSON, plain or .gz")
    mine.add_argument(
        "target",
        metavar="OUT",
        help="training examples: .jsonl for JSON lines, else JSON; .gz behind it packs",
    )
    mine.add_argument(
        "--positives",
        metavar="FILE",
        help="training examples of the same questions, for their positives (default: the first passage with "
        "an answer)",
    )
    mine.add_argument(
        "--count", type=_positive, default=1, metavar="N", help="hard negatives per question (default: 1)"
    )
    mine.add_argument(
        "--skip",
        type=_whole,
        default=0,
        metavar="N",
        help="passages at the top to take no negatives from (default: 0)",
    )
    _add_match(mine)
    mine.add_argument("--json", action="store_true", help="print the counts as JSON")
    mine.set_defaults(run=_mine)


def _add_match(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--match",
        choices=("string", "regex"),
        default="string",
        help="whether answers are strings or regular expressions (default: %(default)s)",
    )


def _question(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def _demo(options: argparse.Namespace) -> None:
    from dpr_tf import demo

    demo.run()


def _ask(options: argparse.Namespace) -> None:
    from dpr_tf.data.passages import read_passages

    # Before TensorFlow: a mistake in the file shows at once.
    passages = list(read_passages(options.passages)) if options.passages else None
    with hushed_stderr():
        from dpr_tf.answering import QuestionAnswering, sample_folder
    if passages is None:
        passages = list(read_passages(sample_folder() / "passages.tsv"))
    system = QuestionAnswering.from_pretrained(passages, options.pretrained)
    answered = system.answer(options.question, k=options.k, top_answers=options.answers)
    if options.json:
        print(json.dumps(_as_json(answered), ensure_ascii=False, indent=2), flush=True)
    else:
        Console(sys.stdout).show(answered)


def _as_json(answered: Answered) -> dict[str, Any]:
    return {
        "question": answered.question,
        "answers": [{**answer._asdict(), "passage": answer.passage._asdict()} for answer in answered.answers],
        "passages": [
            {**scored._asdict(), "passage": scored.passage._asdict()} for scored in answered.passages
        ],
        "retrieval_seconds": round(answered.retrieval_seconds, 4),
        "reading_seconds": round(answered.reading_seconds, 4),
    }


def _validate(options: argparse.Namespace) -> int:
    from dpr_tf.data.validate import validate

    reports = []
    for path in options.files:
        report = validate(path, options.kind, most=options.faults)
        reports.append({**report._asdict(), "faults": [fault._asdict() for fault in report.faults]})
        if not options.json:
            print(report, flush=True)
    if options.json:
        print(json.dumps(reports, ensure_ascii=False, indent=2), flush=True)
    return 1 if any(report["fault_count"] for report in reports) else 0


def _split(options: argparse.Namespace) -> None:
    from dpr_tf.data.split import split_articles

    counts = split_articles(options.source, options.target, options.words, options.fill_last)
    if options.json:
        print(json.dumps(counts._asdict()), flush=True)
    else:
        print(f"{options.target}: articles: {counts.articles:,}, passages: {counts.passages:,}", flush=True)


def _evaluate(options: argparse.Namespace) -> None:
    from dpr_tf.evaluation.tables import evaluate_files

    table = evaluate_files(
        options.files,
        qrels=options.qrels,
        measures=options.measures,
        match=options.match,
        ks=options.k,
        plot=options.plot,
    )
    print(json.dumps(table.as_json(), indent=2) if options.json else table, flush=True)


def _mine(options: argparse.Namespace) -> None:
    from dpr_tf.retrieval.mining import mine_examples

    counts = mine_examples(
        options.source,
        options.target,
        options.positives,
        count=options.count,
        skip=options.skip,
        match=options.match,
    )
    if options.json:
        print(json.dumps(counts._asdict()), flush=True)
        return
    print(
        f"{options.target}: {counts.examples:,} examples of {counts.questions:,} questions; "
        f"{counts.without_positive:,} had no positive, {counts.without_hard_negative:,} of the examples have "
        f"no hard negative; {counts.with_answer:,} passages were left out because they contain an answer",
        flush=True,
    )

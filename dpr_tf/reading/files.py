"""What a retriever found, in a file, to answers in a file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dpr_tf.checkpoints import check_precision, load_checkpoint
from dpr_tf.data.json_items import write_json
from dpr_tf.data.retrieved import Retrieved, read_retrieved
from dpr_tf.evaluation.measures import AnswerScores, Prediction, score_answers_by_k
from dpr_tf.reading.reader import Answer, Reader
from dpr_tf.retrieval.progress import progress_bar
from dpr_tf.retrieval.scored import ScoredPassage

if TYPE_CHECKING:
    from tqdm import tqdm

_KS = (1, 5, 10, 20, 50, 100)
_TOGETHER = 32  # questions whose passages are read together


class AnsweredCounts(NamedTuple):
    """What came of reading.

    Attributes:
        questions: how many.
        answered: of these, how many got an answer.
        scores: k -> exact match and F1, in [0, 1], if only the first k passages are read; empty unless every
            question has answers to compare with.
    """

    questions: int
    answered: int
    scores: dict[int, AnswerScores]

    def __str__(self) -> str:
        lines = [f"{self.answered:,} of {self.questions:,} questions answered"]
        if self.scores:
            lines.append("passages  exact match      F1")
        for k, scores in self.scores.items():
            lines.append(f"{k:8}  {100 * scores.exact_match:9.1f} %  {100 * scores.f1:5.1f} %")
        return "\n".join(lines)


def answer(
    retrieved: str,
    output: str,
    *,
    reader: str,
    k: int | None = None,
    answers: int = 1,
    measure: Sequence[int] | None = None,
    max_length: int = 350,
    max_answer_length: int = 10,
    batch_size: int = 16,
    precision: Literal["float32", "bfloat16"] = "float32",
    progress: bool = True,
) -> AnsweredCounts:
    """Finds the answers to questions in the passages that were retrieved for them.

    Each passage gives its best span, of whole words of its text; the passage that the reader takes for the
    most relevant gives the answer. Where right answers are known, exact match and F1 are measured as well,
    for several numbers of passages at once. The file is streamed.

    Args:
        retrieved: the retriever's output: JSON, plain or .gz.
        output: the answers: for each question its predictions, each with text, place in the passage's text,
            span score and relevance. .jsonl for JSON lines, else an array; .gz behind it packs. It appears
            when it is complete.
        reader: folder or Hub id of the reader.
        k: passages to read per question. Default: all that were retrieved.
        answers: predictions to write per question, one per passage.
        measure: numbers of passages for which exact match and F1 are measured. Default: those of 1, 5, 10,
            20, 50 and 100 that were read.
        max_length: tokens of question, title and text together; the rest of the text is not read.
        max_answer_length: tokens per answer, before it is extended to whole words.
        batch_size: passages per forward pass.
        precision: what the reader computes in. bfloat16 is faster where the processor has instructions for it
            (AVX-512 BF16, AMX, a GPU).
        progress: whether to show a progress bar on stderr.

    Raises:
        OSError: if a file cannot be opened or written, or the checkpoint is not found.
        ValueError: if the file is damaged or has no questions, the checkpoint is no reader, or an option is
            out of range.
    """
    check_precision(precision)
    if min(answers, max_answer_length, batch_size, k if k is not None else 1, *(measure or ())) < 1:
        raise ValueError("k, answers, measure, max_answer_length and batch_size must be at least 1")
    first = next(read_retrieved(retrieved), None)
    if first is None:
        raise ValueError(f"{retrieved}: there are no questions")
    read = len(first.passages) if k is None else k
    tally = _Tally(list(measure or [one for one in _KS if one <= max(read, 1)]))
    model = Reader(
        *load_checkpoint("reader", reader, precision=precision),
        max_length=max_length,
        max_answer_length=max_answer_length,
        batch_size=batch_size,
    )
    with progress_bar("Reading", shown=progress, unit="questions") as bar:
        found = _answered(read_retrieved(retrieved), model, k)
        write_json(output, (_as_json(*tally.add(*one, bar), answers) for one in found))
    return tally.result()


def _answered(
    questions: Iterator[Retrieved], reader: Reader, k: int | None
) -> Iterator[tuple[Retrieved, list[Answer]]]:
    """Each question with the best answer from each of its passages, the most relevant first."""
    while batch := list(itertools.islice(questions, _TOGETHER)):
        passages = [
            [
                ScoredPassage(passage.passage, passage.score or 0.0, rank)
                for rank, passage in enumerate(found.passages[:k], start=1)
            ]
            for found in batch
        ]
        most = max(map(len, passages))
        texts = [found.question for found in batch]
        yield from zip(batch, reader.answer(texts, passages, most), strict=True)


class _Tally:
    """Measures what is written."""

    def __init__(self, ks: list[int]) -> None:
        self._ks = ks
        self._questions = self._answered = 0
        self._sums: list[list[float]] | None = [[0.0, 0.0] for _ in ks]  # of exact match and F1

    def add(self, found: Retrieved, answers: list[Answer], bar: tqdm) -> tuple[Retrieved, list[Answer]]:
        self._questions += 1
        self._answered += bool(answers)
        if not found.answers:
            self._sums = None
        if self._sums is not None:
            predictions = [
                Prediction(one.text, one.retrieval_rank, (one.relevance_score, one.span_score))
                for one in answers
            ]
            scores = score_answers_by_k([predictions], [found.answers], self._ks)
            self._sums = [
                [sums[0] + scores[k].exact_match, sums[1] + scores[k].f1]
                for k, sums in zip(self._ks, self._sums, strict=True)
            ]
        bar.update()
        return found, answers

    def result(self) -> AnsweredCounts:
        scores = {
            k: AnswerScores(*(value / self._questions for value in sums))
            for k, sums in zip(self._ks, self._sums or [], strict=False)
        }
        return AnsweredCounts(self._questions, self._answered, scores)


def _as_json(found: Retrieved, answers: list[Answer], count: int) -> dict[str, Any]:
    return {
        **({"id": found.id} if found.id else {}),
        "question": found.question,
        "answers": list(found.answers),
        "predictions": [{**one._asdict(), "passage": one.passage._asdict()} for one in answers[:count]],
    }

"""Questions in a file to passages in a file: dense, by words, or both."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from dpr_tf.checkpoints import check_precision, load_checkpoint
from dpr_tf.data.passages import Passage, PassageFile
from dpr_tf.data.questions import Question, read_questions
from dpr_tf.data.retrieved import Retrieved, RetrievedPassage, write_retrieved
from dpr_tf.evaluation.answers import AnswerMatcher
from dpr_tf.evaluation.measures import top_k_hits
from dpr_tf.retrieval.bm25 import BM25Index, BM25Retriever
from dpr_tf.retrieval.hybrid import HybridRetriever, tune_weight
from dpr_tf.retrieval.indexes import Index, load_index
from dpr_tf.retrieval.progress import progress_bar
from dpr_tf.retrieval.retriever import Retriever
from dpr_tf.retrieval.scored import RetrievesPassages, ScoredPassage

if TYPE_CHECKING:
    from tqdm import tqdm

_KS = (1, 5, 20, 100)  # as in DPR's tables
_BLOCK = 10_000  # ids that are looked up together


class RetrievedCounts(NamedTuple):
    """What came of retrieving.

    Attributes:
        questions: how many.
        passages: found for all of them together.
        accuracy: k -> share of questions with an answer in the text of one of their first k passages, in
            [0, 1]; empty unless every question has answers.
        weight: of the dense score, where scores were fused by weight.
    """

    questions: int
    passages: int
    accuracy: dict[int, float]
    weight: float | None

    def __str__(self) -> str:
        lines = [f"{self.passages:,} passages for {self.questions:,} questions"]
        if self.weight is not None:
            lines.append(f"fused score: BM25's + {self.weight:.4g} * dense")
        lines += [f"top-{k}  {100 * share:5.1f} %" for k, share in self.accuracy.items()]
        return "\n".join(lines)


def retrieve(
    questions: str,
    output: str,
    *,
    passages: str,
    index: str | None = None,
    question_encoder: str | None = None,
    bm25: bool = False,
    bm25_index: str | None = None,
    weight: float | None = None,
    tune: str | None = None,
    k: int = 100,
    depth: int = 100,
    match: Literal["string", "regex"] = "string",
    batch_size: int = 256,
    precision: Literal["float32", "bfloat16"] = "float32",
    progress: bool = True,
) -> RetrievedCounts:
    """Finds the best passages for every question of a file.

    With an index, by the inner products of vectors; with bm25, by the words they share; with both, hybrid:
    what the two find is fused by reciprocal rank, or by weight if one is given or tuned. Questions and
    results are streamed, and of a plain collection only the places of its passages are in memory.

    Args:
        questions: the questions, with or without answers: TSV, CSV or JSON.
        output: what was found, as DPR's JSON: .jsonl for JSON lines, else an array; .gz behind it packs. It
            appears when it is complete.
        passages: the collection that was embedded: TSV or JSON. Unpack a large one: a packed one is held in
            memory.
        index: folder of the dense index.
        question_encoder: folder or Hub id of the encoder that was trained together with the passages'.
        bm25: whether to search by words, for which the extra "sparse" is needed.
        bm25_index: file of the BM25 index; read if it is there, else written. Default: it is not kept.
        weight: of the dense score, added to BM25's.
        tune: questions with answers on which to choose the weight.
        k: passages per question.
        depth: hybrid: passages to take from each of the two.
        match: whether answers are strings or regular expressions.
        batch_size: questions that are searched together; more need fewer passes over a large index.
        precision: what the question encoder computes in, as for `embed`; it need not be what the passages
            were embedded in.
        progress: whether to show a progress bar on stderr.

    Raises:
        OSError: if a file cannot be opened or written, or a checkpoint is not found.
        ValueError: if a file is damaged, an index is not of these passages, or options do not fit each other.
        ImportError: for BM25 without bm25s.
    """
    check_precision(precision)
    by_words = bm25 or bm25_index is not None
    _check(index, question_encoder, by_words, weight, tune)
    if k < 1 or depth < 1 or batch_size < 1:
        raise ValueError(f"k, depth and batch_size must be at least 1, got {k}, {depth} and {batch_size}")
    if not any(True for _ in read_questions(questions)):
        raise ValueError(f"{questions}: there are no questions")
    collection = PassageFile(passages)
    sparse = BM25Retriever(_bm25_index(bm25_index, collection), collection) if by_words else None
    dense = None if index is None else _dense(index, str(question_encoder), precision, passages, collection)
    retriever: RetrievesPassages | None = sparse or dense
    if sparse is not None and dense is not None:
        if tune is not None:
            weight = _tuned(tune, sparse, dense, depth, match)
        retriever = HybridRetriever(sparse, dense, weight, depth)
    tally = _Tally(k)
    with progress_bar("Retrieving", shown=progress, unit="questions") as bar:
        found = _found(read_questions(questions), retriever, k, match, batch_size)
        write_retrieved(output, (tally.add(one, bar) for one in found))
    return tally.result(weight)


def _check(
    index: str | None, question_encoder: str | None, by_words: bool, weight: float | None, tune: str | None
) -> None:
    """Refuses options that do not fit each other."""
    if (index is None) != (question_encoder is None):
        raise ValueError("index and question_encoder belong together: give both, or neither")
    if index is None and not by_words:
        raise ValueError("nothing to search with: give index and question_encoder, or bm25, or all three")
    if (weight is not None or tune is not None) and (index is None or not by_words):
        raise ValueError("weight and tune are of hybrid retrieval: give index, question_encoder and bm25 too")
    if weight is not None and tune is not None:
        raise ValueError("weight is given, so there is nothing to tune: leave one of them out")


def _bm25_index(path: str | None, collection: PassageFile) -> BM25Index:
    if path is not None and os.path.exists(path):
        return BM25Index.load(path)
    index = BM25Index.build(collection)
    if path is not None:
        index.save(path)
    return index


def _dense(
    folder: str, question_encoder: str, precision: str, passages: str, collection: PassageFile
) -> Retriever:
    index = load_index(folder, memory_map=True)
    in_order = _in_order(folder, index, passages, collection)
    encoder = load_checkpoint("question_encoder", question_encoder, precision=precision)
    return Retriever(*encoder, index, in_order)


def _in_order(folder: str, index: Index, passages: str, collection: PassageFile) -> Sequence[Passage]:
    """The passages that the rows of an index stand for.

    Raises:
        ValueError: unless index and collection hold the same passages, by their ids.
    """
    places = np.full(len(index.ids), -1, np.int64)
    rest, first = iter(collection), 0
    while ids := [passage.id for passage in itertools.islice(rest, _BLOCK)]:
        try:
            places[index.rows(ids)] = np.arange(first, first + len(ids))
        except KeyError as error:
            raise ValueError(
                f"{folder} is no index of {passages}: {error.args[0]}; embed and index these passages"
            ) from None
        first += len(ids)
    if not len(index) == first == (places >= 0).sum():
        raise ValueError(
            f"{folder} is no index of {passages}: it holds {len(index)} passages, the collection {first}, of "
            f"which {(places >= 0).sum()} are the same; embed and index these passages"
        )
    return _InOrder(collection, places)


class _InOrder(Sequence[Passage]):
    """The passages of a collection in another order.

    Args:
        collection: the passages.
        places: int64 [rows], where each row's passage stands; -1 for rows that were removed.
    """

    def __init__(self, collection: PassageFile, places: np.ndarray) -> None:
        self._collection, self._places = collection, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: Any) -> Any:
        return self._collection[self._places[row]]


def _tuned(path: str, sparse: RetrievesPassages, dense: RetrievesPassages, depth: int, match: str) -> float:
    """The weight that is best for the questions of a file; what is found for them is held in memory."""
    questions = list(read_questions(path))
    if not questions or not all(question.answers for question in questions):
        raise ValueError(f"{path}: expected questions with answers, to choose the weight on")
    texts = [question.text for question in questions]
    answers = [question.answers for question in questions]
    found = sparse.retrieve(texts, depth), dense.retrieve(texts, depth)
    return tune_weight(*found, answers, match=match).weight


def _found(
    questions: Iterator[Question], retriever: Any, k: int, match: str, batch_size: int
) -> Iterator[Retrieved]:
    while batch := list(itertools.islice(questions, batch_size)):
        rankings = retriever.retrieve([question.text for question in batch], k)
        for question, ranking in zip(batch, rankings, strict=True):
            yield Retrieved(question.text, question.answers, _judged(question, ranking, match), question.id)


def _judged(question: Question, ranking: Sequence[ScoredPassage], match: str) -> tuple[RetrievedPassage, ...]:
    """What was found, with a note of what contains an answer, if answers are known."""
    matcher = AnswerMatcher(question.answers, match) if question.answers else None
    return tuple(
        RetrievedPassage(
            *scored.passage, scored.score, None if matcher is None else matcher.found_in(scored.passage.text)
        )
        for scored in ranking
    )


class _Tally:
    """Counts what is written."""

    def __init__(self, k: int) -> None:
        self._ks = sorted({one for one in (*_KS, k) if one <= k})
        self._questions = self._passages = 0
        self._ranks: list[int] | None = []  # of the first passage with an answer, 0 for none

    def add(self, found: Retrieved, bar: tqdm) -> Retrieved:
        self._questions += 1
        self._passages += len(found.passages)
        if not found.answers:
            self._ranks = None
        if self._ranks is not None:
            hits = (rank for rank, passage in enumerate(found.passages, start=1) if passage.has_answer)
            self._ranks.append(next(hits, 0))
        bar.update()
        return found

    def result(self, weight: float | None) -> RetrievedCounts:
        accuracy = {}
        if self._ranks:
            hits = top_k_hits(np.array(self._ranks), self._ks)
            accuracy = dict(zip(self._ks, hits.mean(axis=0).tolist(), strict=True))
        return RetrievedCounts(self._questions, self._passages, accuracy, weight)

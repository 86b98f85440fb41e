"""Span decoding: recorded cases, and the vectorised search against the obvious loop, order and ties
included."""

import time
from collections import namedtuple

import numpy as np
import pytest
from tokenizer_recordings import SPEEDS, call, compare, expected, read, tokenizer

from dpr_tf.tokenizers import DPRSpanPrediction, best_spans

RECORDED = read("spans")
Output = namedtuple("Output", ["start_logits", "end_logits", "relevance_logits"])
KINDS = sorted({case["how"] for case in RECORDED["cases"]})


def loop(start, end, max_answer_length, top_spans):
    """The slow, obvious twin of `best_spans`."""
    scored = []
    for s, start_score in enumerate(start):
        for length, end_score in enumerate(end[s : s + max_answer_length]):
            scored.append(((s, s + length), start_score + end_score))
    chosen = []
    for (s, e), _ in sorted(scored, key=lambda item: item[1], reverse=True):
        if any(a <= s <= e <= b or s <= a <= b <= e for a, b in chosen):
            continue
        chosen.append((s, e))
        if len(chosen) == top_spans:
            break
    return chosen


def reader_arguments(case: dict):
    """(reader_input, reader_output) as the recorded call had them."""
    arrays, how = RECORDED["arrays"][case["arrays"]], case["how"]
    ids = np.array(arrays["input_ids"])
    logits = [np.array(arrays[name], dtype=np.float32) for name in Output._fields]
    if how in ("list_tuple", "namedtuple"):
        kind = tuple if how == "list_tuple" else Output._make
        return {"input_ids": arrays["input_ids"]}, kind(arrays[name] for name in Output._fields)
    if how == "np_tuple":
        return {"input_ids": ids}, tuple(logits)
    if how == "pt":
        torch = pytest.importorskip("torch")
        return {"input_ids": torch.tensor(ids)}, Output(*map(torch.tensor, logits))
    tf = pytest.importorskip("tensorflow")
    ids = ids if how == "tf_with_np_ids" else tf.constant(ids)
    return {"input_ids": ids}, Output(*map(tf.constant, logits))


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("how", KINDS)
def test_recorded_cases(how, speed):
    target, results = tokenizer("reader", speed), {}
    for number, case in enumerate(RECORDED["cases"]):
        if case["how"] != how:
            continue
        reader_input, output = reader_arguments(case)
        ours = call(Decoder(target, reader_input, output), "decode", [], case["kwargs"])
        recorded = expected(case, speed)
        if isinstance(recorded, list):
            recorded = [[span[field] for field in RECORDED["fields"]] for span in recorded]
        results[number] = ours, recorded
    assert results
    compare("spans", speed, results)


class Decoder:
    """A tokenizer and the reader's arrays, called with the options of a recorded case."""

    def __init__(self, target, reader_input, output):
        self.target, self.reader_input, self.output = target, reader_input, output

    def decode(self, **options):
        return self.target.decode_best_spans(self.reader_input, self.output, **options)


@pytest.mark.parametrize("case", RECORDED["get_best_spans"])
def test_recorded_spans_of_one_passage(case):
    arguments = case["start_logits"], case["end_logits"], case["max_answer_length"], case["top_spans"]
    assert best_spans(*arguments) == [tuple(span) for span in case["both"]]
    assert tokenizer("reader", "fast")._get_best_spans(*arguments) == best_spans(*arguments)


def test_worked_example():
    # scores start[s] + end[e]: (0,0) 1, (0,1) 5, (0,2) 2, (1,1) 7, (1,2) 4, (2,2) 3; answers of up to 2
    # tokens
    start, end = [0.0, 2.0, 1.0], [1.0, 5.0, 2.0]
    # (1,1) is best; (0,1) and (1,2) contain it; (2,2) and (0,0) remain
    assert best_spans(start, end, 2, 9) == [(1, 1), (2, 2), (0, 0)]
    assert best_spans(start, end, 2, 2) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_loop(seed):
    random = np.random.default_rng(seed)
    tokens, longest = int(random.integers(1, 60)), int(random.integers(0, 70))
    top = int(random.choice([0, 1, 2, 5, 300]))
    start, end = random.normal(size=(2, tokens)).astype(random.choice([np.float32, np.float64]))
    if seed % 3 == 0:  # ties
        start, end = np.round(start), np.round(end)
    if seed % 7 == 0:
        start[: tokens // 2] = -np.inf
    assert best_spans(start, end, longest, top) == loop(start, end, longest, top)
    first, last = sorted(random.integers(0, tokens + 1, size=2).tolist())
    within = [(s + first, e + first) for s, e in loop(start[first:last], end[first:last], longest, top)]
    assert best_spans(start, end, longest, top, text_start=first, text_end=last) == within


def test_float32_scores_tie_where_float64_would_not():
    start = np.array([1.0, 1.0 + 2**-23], dtype=np.float32)
    end = np.array([100.0, 100.0], dtype=np.float32)
    assert best_spans(start, end, 1, 2) == loop(start, end, 1, 2) == [(0, 0), (1, 1)]
    assert best_spans(start.astype(float), end.astype(float), 1, 2) == [(1, 1), (0, 0)]


def test_nothing_to_find():
    assert best_spans([], [], 5, 2) == []
    assert best_spans([1.0, 2.0], [1.0, 2.0], 0, 2) == []
    assert best_spans([1.0, 2.0], [1.0, 2.0], 3, 2, text_start=2) == []


def test_mistakes():
    with pytest.raises(ValueError, match="max_answer_length=-1: expected 0 or more"):
        best_spans([1.0], [1.0], -1, 2)
    with pytest.raises(ValueError, match=r"two rows of logits, \[tokens\]; found \(2,\) and \(1,\)"):
        best_spans([1.0, 2.0], [1.0], 3, 2)
    ids = [[101, 2054, 2003, 2293]]
    with pytest.raises(ValueError, match=r"passage 0: no \[SEP\] after the question"):
        tokenizer("reader", "fast").decode_best_spans({"input_ids": ids}, ([[0.0] * 4], [[0.0] * 4], [0.0]))


def test_a_prediction_is_a_named_tuple_of_python_numbers():
    target = tokenizer("reader", "fast")
    encoding = target("who", ["a title"], ["some text"], return_tensors="np")
    # [CLS] who [SEP] a title [SEP] some text: the text is tokens 6 and 7
    start, end = np.zeros((2, 1, 8), dtype=np.float32)
    start[0, 6], end[0, 7] = 2.5, 4.0
    best = target.decode_best_spans(
        encoding, Output(start, end, np.array([0.5], dtype=np.float32)), num_spans=1
    )
    assert best == [DPRSpanPrediction(6.5, 0.5, 0, 6, 7, "some text")]
    assert [type(value) for value in best[0]] == [float, float, int, int, int, str]


def seconds(function, *arguments, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - begin)
    return min(times)


def test_100_times_faster_than_the_loop_over_arrays():
    random = np.random.default_rng(5)
    start, end = random.normal(size=(2, 350)).astype(np.float32)
    assert best_spans(start, end, 10, 4) == loop(start, end, 10, 4)
    ratio = seconds(loop, start, end, 64, 4, repeats=2) / seconds(best_spans, start, end, 64, 4, repeats=20)
    assert ratio >= 100

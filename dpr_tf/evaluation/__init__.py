"""Answer matching and the measures built on it. Knows strings, no model."""

from dpr_tf.evaluation.answers import AnswerMatcher, exact_match, f1, has_answer
from dpr_tf.evaluation.confidence import Estimate, Interval, bootstrap_interval
from dpr_tf.evaluation.curves import plot_accuracy
from dpr_tf.evaluation.files import RankingReport, evaluate_retrieved, evaluate_run
from dpr_tf.evaluation.measures import (
    AnswerScores,
    Prediction,
    answer_rank,
    gold_ranks,
    score_answers,
    score_answers_by_k,
    top_k_accuracy,
    top_k_hits,
)
from dpr_tf.evaluation.ranking import ranking_measures
from dpr_tf.evaluation.report import RetrievalReport, evaluate_retrieval
from dpr_tf.evaluation.tables import EvaluationTable, evaluate_files

__all__ = [
    "AnswerMatcher",
    "AnswerScores",
    "Estimate",
    "EvaluationTable",
    "Interval",
    "Prediction",
    "RankingReport",
    "RetrievalReport",
    "answer_rank",
    "bootstrap_interval",
    "evaluate_files",
    "evaluate_retrieval",
    "evaluate_retrieved",
    "evaluate_run",
    "exact_match",
    "f1",
    "gold_ranks",
    "has_answer",
    "plot_accuracy",
    "ranking_measures",
    "score_answers",
    "score_answers_by_k",
    "top_k_accuracy",
    "top_k_hits",
]

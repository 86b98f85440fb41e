"""Answer matching and the measures built on it. Knows strings, no model."""

from dpr_tf.evaluation.answers import exact_match, f1, has_answer
from dpr_tf.evaluation.measures import AnswerScores, score_answers, top_k_accuracy

__all__ = ["AnswerScores", "exact_match", "f1", "has_answer", "score_answers", "top_k_accuracy"]

"""Answer matching. Knows strings, no model."""

from dpr_tf.evaluation.answers import exact_match, f1, has_answer

__all__ = ["exact_match", "f1", "has_answer"]

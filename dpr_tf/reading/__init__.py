"""From a question and passages to answers."""

from dpr_tf.reading.files import AnsweredCounts, answer
from dpr_tf.reading.reader import Answer, Reader

__all__ = ["Answer", "AnsweredCounts", "Reader", "answer"]

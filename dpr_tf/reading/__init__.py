"""From a question and passages to answers."""

from dpr_tf.reading.reader import Answer, Reader

__all__ = ["Answer", "Reader"]

"""DPR's file formats: passages and questions. Knows files and text, no model."""

from dpr_tf.data.passages import Passage, read_passages
from dpr_tf.data.questions import Question, read_questions

__all__ = ["Passage", "Question", "read_passages", "read_questions"]

"""From passages to vectors, from vectors to an index, from a question to passages."""

from dpr_tf.retrieval.embed import embed_passages
from dpr_tf.retrieval.index import ExactIndex
from dpr_tf.retrieval.retriever import Retriever, ScoredPassage

__all__ = ["ExactIndex", "Retriever", "ScoredPassage", "embed_passages"]

"""DPR's file formats, and those of SQuAD, BEIR and TREC. Knows files and text, no model.

Each `read_*` streams the records of a file and stops with a FormatError, a ValueError, at the first fault;
each `write_*` takes records as they come and makes the file appear when it is complete. `validate` lists
all faults.
"""

from dpr_tf.data.beir import Beir, read_beir, write_beir
from dpr_tf.data.examples import Example, ExamplePassage, read_examples, write_examples
from dpr_tf.data.faults import Fault, FormatError
from dpr_tf.data.passages import Passage, PassageFile, read_passages, write_passages
from dpr_tf.data.questions import Question, read_questions, write_questions
from dpr_tf.data.retrieved import Retrieved, RetrievedPassage, read_retrieved, write_retrieved
from dpr_tf.data.split import SplitCounts, split_articles, split_words
from dpr_tf.data.squad import SquadAnswer, SquadQuestion, read_squad, write_squad
from dpr_tf.data.trec import Judgement, RunLine, read_qrels, read_run, write_qrels, write_run
from dpr_tf.data.validate import KINDS, Report, guess_kind, validate
from dpr_tf.data.vectors import PassageVector, read_vectors, write_vectors

__all__ = [
    "KINDS",
    "Beir",
    "Example",
    "ExamplePassage",
    "Fault",
    "FormatError",
    "Judgement",
    "Passage",
    "PassageFile",
    "PassageVector",
    "Question",
    "Report",
    "Retrieved",
    "RetrievedPassage",
    "RunLine",
    "SplitCounts",
    "SquadAnswer",
    "SquadQuestion",
    "guess_kind",
    "read_beir",
    "read_examples",
    "read_passages",
    "read_qrels",
    "read_questions",
    "read_retrieved",
    "read_run",
    "read_squad",
    "read_vectors",
    "split_articles",
    "split_words",
    "validate",
    "write_beir",
    "write_examples",
    "write_passages",
    "write_qrels",
    "write_questions",
    "write_retrieved",
    "write_run",
    "write_squad",
    "write_vectors",
]

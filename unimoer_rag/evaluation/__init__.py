"""Judging what the library does: data sets, ranking measures, answer scores.

Importing this loads no model; `unimoer_rag.evaluation.evaluate` measures one on a data set.
`ranking` needs the extra `eval`, and says so when it is missing.
"""

from unimoer_rag.data.catalogue import open_dataset
from unimoer_rag.data.datasets import BeirDataset, Question, load_beir
from unimoer_rag.data.runs import load_run, write_run
from unimoer_rag.evaluation.answers import AnswerScores, exact_match, f1, score_answers
from unimoer_rag.evaluation.ranking import MEASURES, evaluate_run, per_query

__all__ = [
    "MEASURES",
    "AnswerScores",
    "BeirDataset",
    "Question",
    "evaluate_run",
    "exact_match",
    "f1",
    "load_beir",
    "load_run",
    "open_dataset",
    "per_query",
    "score_answers",
    "write_run",
]

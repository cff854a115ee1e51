"""Hard negatives and a teacher's scores: what a model makes of the groups of `data`."""

from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import (
    BM25Searcher,
    ModelSearcher,
    Searcher,
    SystemSearcher,
)
from unimoer_rag.training.mining.teachers import ModelTeacher, Teacher, score_groups

__all__ = [
    "BM25Searcher",
    "Mining",
    "ModelSearcher",
    "ModelTeacher",
    "Searcher",
    "SystemSearcher",
    "Teacher",
    "mine",
    "score_groups",
]

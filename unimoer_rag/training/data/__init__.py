"""Training data: formats, mined negatives, and the order of draws."""

from unimoer_rag.training.data.beir import beir_set
from unimoer_rag.training.data.config import Mining, SourceConfig
from unimoer_rag.training.data.groups import group_lengths
from unimoer_rag.training.data.mining import mine
from unimoer_rag.training.data.own import OwnData, OwnReport, own_datasets
from unimoer_rag.training.data.reading import ReadExample, ReadSource, find_spans
from unimoer_rag.training.data.searchers import (
    BM25Searcher,
    ModelSearcher,
    Searcher,
    SystemSearcher,
)
from unimoer_rag.training.data.sources import Sources
from unimoer_rag.training.data.teachers import ModelTeacher, Teacher, score_groups
from unimoer_rag.training.data.types import Group, Labelled, TrainingSet

__all__ = [
    "BM25Searcher",
    "Group",
    "Labelled",
    "Mining",
    "ModelSearcher",
    "ModelTeacher",
    "OwnData",
    "OwnReport",
    "ReadExample",
    "ReadSource",
    "Searcher",
    "SourceConfig",
    "Sources",
    "SystemSearcher",
    "Teacher",
    "TrainingSet",
    "beir_set",
    "find_spans",
    "group_lengths",
    "mine",
    "own_datasets",
    "score_groups",
]

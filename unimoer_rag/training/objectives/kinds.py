"""The objectives that a recipe may name, each in a file of its own."""

from __future__ import annotations

from unimoer_rag.training.objectives.classification import Classification
from unimoer_rag.training.objectives.contrastive import Contrastive
from unimoer_rag.training.objectives.objective import among
from unimoer_rag.training.objectives.ranking import Ranking
from unimoer_rag.training.objectives.reading import Reading

__all__ = [
    "Classification",
    "Contrastive",
    "ObjectiveConfig",
    "Ranking",
    "Reading",
    "among",
]

ObjectiveConfig = Contrastive | Ranking | Reading | Classification
"""Told apart by `kind`; `train validate` counts what they draw in this order."""

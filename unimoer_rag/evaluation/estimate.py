"""How long a corpus takes to index, measured on a few of its passages before it begins."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from unimoer_rag.data import BeirDataset
from unimoer_rag.evaluation.systems import System, corpus_in_index
from unimoer_rag.wording import counted

__all__ = ["LARGE", "Estimate", "estimate_indexing"]

LARGE = 50_000
"""Passages from which on it is worth while to say how long they take."""

_WARM_UP, _TRIED = 16, 128


@dataclass(frozen=True, slots=True)
class Estimate:
    """What indexing a corpus takes.

    Attributes:
        passages: of the corpus.
        seconds: it takes, about.
    """

    passages: int
    seconds: float

    def __str__(self) -> str:
        """In words, such as "2,681,468 passages to index, about 7.1 hours"."""
        return f"{counted(self.passages, 'passage')} to index, about {_spoken(self.seconds)}"


def estimate_indexing(system: System, dataset: BeirDataset, *, first_stage: str) -> Estimate:
    """Index some passages for nothing but to see how long they take.

    Args:
        system: what indexes.
        dataset: whose corpus is to be indexed.
        first_stage: see `corpus_in_index`.
    """
    documents = list(islice(dataset.corpus.values(), _WARM_UP + _TRIED))
    # The first call of a model takes longer than all others.
    parts = (documents[:_WARM_UP], documents[_WARM_UP:] or documents)
    seconds = 0.0
    for part in parts:
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            with corpus_in_index(
                system,
                {document.source: document for document in part},
                index=Path(scratch) / "index",
                first_stage=first_stage,
                depth=1,
            ):
                seconds = time.perf_counter() - started
    return Estimate(len(dataset.corpus), seconds / len(parts[1]) * len(dataset.corpus))


def _spoken(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 90:
        return counted(max(round(minutes), 1), "minute")
    hours = minutes / 60
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"

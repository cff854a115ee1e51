"""A teacher's scores of mined groups, for distillation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.data import Group, TrainingSet
from unimoer_rag.engine import Engine
from unimoer_rag.errors import TrainingError
from unimoer_rag.model import UniMoER
from unimoer_rag.training.mining.negatives import kept_groups
from unimoer_rag.training.mining.searchers import OnDone, weights_digest

__all__ = ["ModelTeacher", "Teacher", "score_groups"]


class Teacher(Protocol):
    """Scores a query's passages; the rankers of `unimoer_rag.evaluation.systems` are teachers."""

    def describe(self) -> Mapping[str, Any]:
        """JSON-ready: what its scores depend on."""

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the documents, float32 `[n]`, higher is better."""


class ModelTeacher:
    """A UniMoER model: a checkpoint, or the untrained late interaction of a frozen backbone.

    It scores a group as it would rerank it, with its feedback; what it keeps of a passage serves
    every group that has it.

    Args:
        model: scores by its logits, as it is at that moment.
    """

    def __init__(self, model: UniMoER) -> None:
        self._model, self._engine = model, Engine.of(model)

    def describe(self) -> Mapping[str, Any]:
        """The task, and the digest of the weights."""
        task = self._model.task("rerank")
        return {"ranks as": repr(task), "weights": weights_digest(self._model, task.name)}

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """See `Teacher.rank`."""
        return self._engine.rank(query, documents, logits=True)


def score_groups(
    source: TrainingSet,
    teacher: Teacher,
    *,
    cache: Path,
    progress: OnDone = lambda done, total: None,
) -> TrainingSet:
    """The same groups with a teacher's scores, in place of any they have.

    Args:
        source: mined groups.
        teacher: scores each group's positive and negatives.
        cache: folder of earlier results, by content.
        progress: called with groups done and their number.

    Raises:
        TrainingError: a score is not finite.
    """
    # Once through everything, for the key; texts are hashed, not kept.
    digest = hashlib.sha256(json.dumps(teacher.describe(), sort_keys=True, default=str).encode())
    for group in source.groups:
        digest.update(json.dumps(asdict(replace(group, scores=()))).encode())
        for place in (group.positive, *group.negatives):
            digest.update(
                hashlib.sha256(source.texts[place].encode(errors="surrogatepass")).digest()
            )

    def score() -> list[Group]:
        scored = []
        for at, group in enumerate(source.groups):
            progress(at, len(source.groups))
            texts = [source.texts[place] for place in (group.positive, *group.negatives)]
            scores = teacher.rank(group.query, texts)
            if not np.isfinite(scores).all():
                raise TrainingError(
                    f"{source.name}: the teacher scores {group.query!r} with {scores.tolist()}; "
                    "expected finite numbers"
                )
            scored.append(replace(group, scores=tuple(map(float, scores))))
        progress(len(source.groups), len(source.groups))
        return scored

    kept = cache / f"{source.name}-scores-{digest.hexdigest()[:16]}.json"
    return TrainingSet(source.name, source.texts, kept_groups(kept, score))

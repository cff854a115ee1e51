"""Which problems an earlier run has told of: the index remembers, so that they need no telling."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.replacing import lies_within
from unimoer_rag.retrieval.store import Store

__all__ = ["mark_known"]

_KEY = "problems"  # in the index's identity, which ignores it when indexes are compared
_MOST = 500  # files that are remembered; those beyond are told anew


def mark_known(store: Store, within: Collection[str], *groups: list[Problem]) -> None:
    """Mark what was told of the same files before, and remember this run's problems instead.

    Args:
        store: the index.
        within: the files and folders that were read, as sources name them.
        groups: problems of this run; changed in place.
    """
    identity = store.identity() or {}
    before = _kept(identity)
    now: dict[str, list[str]] = {}
    for group in groups:
        for at, problem in enumerate(group):
            digest = _digest(problem)
            if digest in before.get(problem.path, ()):
                group[at] = replace(problem, known=True)
            if len(now) < _MOST or problem.path in now:
                now.setdefault(problem.path, []).append(digest)
    elsewhere = [
        (path, digests)
        for path, digests in before.items()
        if not lies_within(path, *within) and not lies_within(path.rpartition(":")[0], *within)
    ]
    kept = dict([*now.items(), *elsewhere][:_MOST])
    if kept != before:
        store.set_identity({**identity, _KEY: kept})


def _kept(identity: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    kept = identity.get(_KEY)
    if not isinstance(kept, Mapping):
        return {}
    return {path: digests for path, digests in kept.items() if isinstance(digests, list)}


def _digest(problem: Problem) -> str:
    return hashlib.sha256((problem.kind or problem.reason).encode()).hexdigest()[:12]

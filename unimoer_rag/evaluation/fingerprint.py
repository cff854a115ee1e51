"""Digests of a data set's content: equal ones mean that two results can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from unimoer_rag.evaluation.datasets import BeirDataset

__all__ = ["corpus_sha256", "questions_sha256"]


def corpus_sha256(dataset: BeirDataset) -> str:
    """Of every passage's id, title and text; their order does not count."""
    return _digest([doc_id, d.title, d.text] for doc_id, d in sorted(dataset.corpus.items()))


def questions_sha256(dataset: BeirDataset) -> str:
    """Of every question's id, text, answers, context and judgements, and of what is relevant.

    The order of questions and judgements does not count.
    """
    rows = (
        [q.id, q.text, q.answers, q.context, sorted(dataset.qrels.get(q.id, {}).items())]
        for q in sorted(dataset.questions, key=lambda q: q.id)
    )
    return _digest([[dataset.relevance_level], *rows])


def _digest(rows: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        # One line each: JSON escapes line ends, so that rows cannot run into each other.
        digest.update(json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n")
    return digest.hexdigest()

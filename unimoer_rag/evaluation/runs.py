"""Runs in the TREC format: what a first stage found for every question."""

from __future__ import annotations

import math
from pathlib import Path

from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.lines import malformed, numbered_lines

__all__ = ["Run", "load_run"]

Run = dict[str, dict[str, float]]
"""Question id -> document id -> score, higher is better."""


def load_run(path: str | Path) -> Run:
    """Read a run in the TREC format: `question Q0 document rank score tag`, plain or gzipped.

    As in trec_eval the score orders the documents, and the rank column is ignored.

    Raises:
        DataError: the file is missing or empty, a line is malformed, or a document comes twice.
    """
    path = Path(path)
    run: Run = {}
    for number, line in numbered_lines(path):
        columns = line.split()
        if len(columns) != 6:
            raise malformed(
                path,
                number,
                f"{len(columns)} columns",
                "the six of a TREC run: question, Q0, document, rank, score, tag",
            )
        qid, _, doc_id, _, score_text, _ = columns
        try:
            score = float(score_text)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise malformed(path, number, f"the score {score_text!r}", "a finite number")
        scores = run.setdefault(qid, {})
        if doc_id in scores:
            raise malformed(
                path, number, f"document {doc_id!r} again for question {qid!r}", "each pair once"
            )
        scores[doc_id] = score
    if not run:
        raise DataError(f"{path} is empty: expected a TREC run")
    return run

"""Runs in the TREC format: what a first stage found for every question.

Columns are parted by tabs where a line's tabs make six of them, and then ids may hold spaces, as
titles do; else by spaces and tabs, as trec_eval has it. Nothing else parts them: what Unicode calls
a space may stand in an id.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping
from pathlib import Path

from unimoer_rag.data.lines import malformed, numbered_lines
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.files import write_file
from unimoer_rag.retrieval import clean_text

__all__ = ["Run", "load_run", "ranked", "write_run"]

Run = dict[str, dict[str, float]]
"""Question id -> document id -> score, higher is better."""

_COLUMNS = 6
_SPACE = re.compile(r"[ \t]+")
_LINE_END = re.compile("[\t\n\r]")


def load_run(path: str | Path) -> Run:
    """Read a run in the TREC format: `question Q0 document rank score tag`, plain or gzipped.

    As in trec_eval the score orders the documents, and the rank column is ignored.

    Raises:
        DataError: the file is missing or empty, a line is malformed, or a document comes twice.
    """
    path = Path(path)
    run: Run = {}
    for number, line in numbered_lines(path):
        columns = _columns(line)
        if len(columns) != _COLUMNS:
            raise malformed(
                path,
                number,
                f"{len(columns)} columns",
                "the six of a TREC run: question, Q0, document, rank, score, tag; parted by tabs "
                "where ids hold spaces",
            )
        qid, doc_id = clean_text(columns[0]), clean_text(columns[2])
        if not qid or not doc_id:
            raise malformed(path, number, "an empty id", "a question and a document")
        try:
            score = float(columns[4])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise malformed(path, number, f"the score {columns[4]!r}", "a finite number")
        scores = run.setdefault(qid, {})
        if doc_id in scores:
            raise malformed(
                path, number, f"document {doc_id!r} again for question {qid!r}", "each pair once"
            )
        scores[doc_id] = score
    if not run:
        raise DataError(f"{path} is empty: expected a TREC run")
    return run


def write_run(
    run: Mapping[str, Mapping[str, float]], path: str | Path, *, tag: str = "unimoer-rag"
) -> None:
    """Write a run in the TREC format, so that `load_run` reads the same ids and scores again.

    Args:
        run: question id -> document id -> score; questions without documents are left out.
        path: the file, packed where it ends with `.gz`. It is written whole or not at all.
        tag: names the run in its last column.

    Raises:
        InputError: an id or the tag cannot stand in such a file, or a score is not finite.
        OSError: the file cannot be written.
    """
    path = Path(path)
    _check_id(tag, "the tag")
    lines = []
    for qid, scores in run.items():
        _check_id(qid, "the question id")
        for rank, doc_id in enumerate(ranked(scores), start=1):
            _check_id(doc_id, f"question {qid!r}: the document id")
            score = float(scores[doc_id])
            if not math.isfinite(score):
                raise InputError(
                    f"question {qid!r}, document {doc_id!r}: the score is {score}, not a finite "
                    "number"
                )
            lines.append(f"{qid}\tQ0\t{doc_id}\t{rank}\t{score!r}\t{tag}\n")
    content = "".join(lines).encode()
    write_file(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Documents by score, best first; equal scores by document id, descending."""
    return sorted(scores, key=lambda doc_id: (scores[doc_id], doc_id), reverse=True)


def _columns(line: str) -> list[str]:
    by_tab = line.split("\t")
    return by_tab if len(by_tab) == _COLUMNS else _SPACE.split(line.strip(" \t"))


def _check_id(name: str, what: str) -> None:
    if not name or _LINE_END.search(name) or name.startswith("\ufeff") or clean_text(name) != name:
        raise InputError(
            f"{what} {name!r} cannot stand in a TREC run: expected a text without tabs, line ends, "
            "control characters and halves of characters"
        )

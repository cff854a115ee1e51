"""Runs in the TREC format, and in MS MARCO's: what a first stage found for every question.

Columns are parted by tabs where a line's tabs make six of them, and then ids may hold spaces, as
titles do; else by spaces and tabs, as trec_eval has it. Nothing else parts them: what Unicode calls
a space may stand in an id.

A `.tsv` file of three columns is what MS MARCO takes as a submission: question, document, rank.
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

__all__ = ["SUBMITTED", "Run", "load_run", "ranked", "save_run", "write_run", "write_submission"]

Run = dict[str, dict[str, float]]
"""Question id -> document id -> score, higher is better."""

SUBMITTED = 1000
"""Documents of a question that MS MARCO takes at most."""

_COLUMNS = 6
_SPACE = re.compile(r"[ \t]+")
_LINE_END = re.compile("[\t\n\r]")


def load_run(path: str | Path) -> Run:
    """Read a run in the TREC format: `question Q0 document rank score tag`, plain or gzipped.

    As in trec_eval the score orders the documents, and the rank column is ignored. In a `.tsv` file
    three columns are those of MS MARCO, `question document rank`; scores are negated ranks then.

    Raises:
        DataError: the file is missing or empty, a line is malformed, or a document comes twice.
    """
    path = Path(path)
    run: Run = {}
    read = _submitted if _is_tsv(path) else _scored
    for number, line in numbered_lines(path):
        qid, doc_id, score = read(path, number, line)
        if not qid or not doc_id:
            raise malformed(path, number, "an empty id", "a question and a document")
        scores = run.setdefault(qid, {})
        if doc_id in scores:
            raise malformed(
                path, number, f"document {doc_id!r} again for question {qid!r}", "each pair once"
            )
        scores[doc_id] = score
    if not run:
        raise DataError(f"{path} is empty: expected a TREC run")
    return run


_Scored = tuple[str, str, float]  # question, document, score


def _scored(path: Path, number: int, line: str) -> _Scored:
    columns = _columns(line)
    if len(columns) != _COLUMNS:
        raise malformed(
            path,
            number,
            f"{len(columns)} columns",
            "the six of a TREC run: question, Q0, document, rank, score, tag; parted by tabs "
            "where ids hold spaces",
        )
    try:
        score = float(columns[4])
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise malformed(path, number, f"the score {columns[4]!r}", "a finite number")
    return clean_text(columns[0]), clean_text(columns[2]), score


def _submitted(path: Path, number: int, line: str) -> _Scored:
    columns = line.split("\t")
    if len(columns) != 3:
        return _scored(path, number, line)
    qid, doc_id, rank = columns
    if not rank.isascii() or not rank.isdecimal() or int(rank) < 1:
        raise malformed(path, number, f"the rank {rank!r}", "1 or more: question, document, rank")
    return clean_text(qid), clean_text(doc_id), -float(rank)


def _is_tsv(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".tsv")


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
    _check_id(tag, "the tag")
    lines = []
    for qid, scores in run.items():
        for rank, doc_id in enumerate(_checked(qid, scores), start=1):
            lines.append(f"{qid}\tQ0\t{doc_id}\t{rank}\t{float(scores[doc_id])!r}\t{tag}\n")
    _write(lines, path)


def write_submission(run: Mapping[str, Mapping[str, float]], path: str | Path) -> None:
    """Write a run as MS MARCO takes it: `question document rank`, parted by tabs.

    Args:
        run: question id -> document id -> score; the first `SUBMITTED` documents of a question are
            written, in the order of `ranked`.
        path: the file; `load_run` reads the order again from a `.tsv` or `.tsv.gz`.

    Raises:
        InputError: an id cannot stand in such a file, or a score is not finite.
        OSError: the file cannot be written.
    """
    lines = [
        f"{qid}\t{doc_id}\t{rank}\n"
        for qid, scores in run.items()
        for rank, doc_id in enumerate(_checked(qid, scores)[:SUBMITTED], start=1)
    ]
    _write(lines, path)


def save_run(run: Mapping[str, Mapping[str, float]], path: str | Path) -> None:
    """Write a run in the format that the file's name asks for: MS MARCO's to a `.tsv`, else TREC's.

    Raises:
        InputError, OSError: see `write_run`.
    """
    if _is_tsv(Path(path)):
        write_submission(run, path)
    else:
        write_run(run, path)


def _checked(qid: str, scores: Mapping[str, float]) -> list[str]:
    """A question's documents in their order, all of which can be written."""
    _check_id(qid, "the question id")
    for doc_id, score in scores.items():
        _check_id(doc_id, f"question {qid!r}: the document id")
        if not math.isfinite(score):
            raise InputError(
                f"question {qid!r}, document {doc_id!r}: the score is {score}, not a finite number"
            )
    return ranked(scores)


def _write(lines: list[str], path: str | Path) -> None:
    path, content = Path(path), "".join(lines).encode()
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

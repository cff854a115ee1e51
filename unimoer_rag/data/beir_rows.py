"""Questions and judgements, in the files of BEIR, of MS MARCO and of TREC.

| holds | file | rows |
|---|---|---|
| questions | table (JSONL, Parquet) | `_id` or `id`, `text`, `answers`?, `context`? |
| questions | `.tsv` of MS MARCO | `id`, `text`, parted by a tab |
| judgements | table | `query-id`, `corpus-id`, `score`? |
| judgements | `.tsv` of BEIR | the same parted by tabs, with or without that header |
| judgements | qrels of TREC | `query`, `0`, `document`, `grade`, parted by tabs or spaces |
| both | table of BRIGHT's examples | `id`, `query`, `gold_ids`, `excluded_ids` |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.data.file_rows import FileRow
from unimoer_rag.data.lines import malformed, numbered_lines
from unimoer_rag.data.tables import Files, as_files, is_table, table_rows
from unimoer_rag.retrieval import clean_text

__all__ = [
    "TOP_GRADE",
    "Qrels",
    "Question",
    "read_excluded",
    "read_qrels",
    "read_questions",
    "relevance_level",
]

TOP_GRADE = 1000
"""Highest grade: trec_eval makes room for each one up to the highest there is."""

_NOT_APPLICABLE = "N/A"  # what BRIGHT writes where nothing is excluded

Qrels = dict[str, dict[str, int]]
"""Question id -> document id -> grade."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a data set.

    Attributes:
        id: its id, as the judgements name it.
        text: what is asked.
        answers: accepted answers; empty when there is none to find; None when nobody recorded any.
        context: id of the passage the answers were written from, or None.
    """

    id: str
    text: str
    answers: tuple[str, ...] | None = None
    context: str | None = None


def read_questions(files: Files) -> list[Question]:
    """The questions of a table, or of MS MARCO's tab-separated file.

    Raises:
        DataError: a file cannot be read, a row is malformed, or an id comes twice.
    """
    questions: dict[str, Question] = {}
    for path in as_files(files):
        if is_table(path):
            for row in table_rows(path):
                qid = row.id(row.first("_id", "id"), taken=questions)
                text = row.question(row.first("text", "query"))
                known = None if row.fields.get("answers") is None else tuple(row.strings("answers"))
                context = None if row.fields.get("context") is None else row.text("context")
                questions[qid] = Question(id=qid, text=text, answers=known, context=context)
            continue
        for number, line in numbered_lines(path):
            qid, _, text = map(clean_text, line.partition("\t"))
            if not qid or not text.strip() or qid in questions:
                raise malformed(path, number, repr(line), "a new id, a tab and a question")
            questions[qid] = Question(id=qid, text=text)
    return list(questions.values())


def read_qrels(files: Files) -> Qrels:
    """The judgements of a table, of BEIR's `.tsv` or of TREC's qrels.

    Raises:
        DataError: a file cannot be read, a row is malformed, or a pair has two grades.
    """
    qrels: Qrels = {}
    for path in as_files(files):
        for number, qid, doc_id, grade_text in _judgements(path):
            try:
                grade = int(grade_text)
            except ValueError:
                raise malformed(path, number, f"the grade {grade_text!r}", "an integer") from None
            if abs(grade) > TOP_GRADE:
                raise malformed(path, number, f"the grade {grade}", f"at most {TOP_GRADE}")
            if qrels.setdefault(qid, {}).setdefault(doc_id, grade) != grade:
                raise malformed(
                    path, number, f"a second grade for ({qid!r}, {doc_id!r})", "one grade a pair"
                )
    return qrels


def relevance_level(qrels: Qrels) -> int:
    """The lowest grade that counts as relevant: 2 where grades reach 3, as on TREC's DL tracks."""
    top = max((grade for grades in qrels.values() for grade in grades.values()), default=1)
    return 2 if top >= 3 else 1


def read_excluded(files: Files) -> dict[str, frozenset[str]]:
    """Question id -> documents that BRIGHT leaves out of what it finds; of other tables nothing.

    Raises:
        DataError: a file cannot be read, or a row is malformed.
    """
    excluded: dict[str, frozenset[str]] = {}
    for row in table_rows([path for path in as_files(files) if is_table(path)]):
        if row.fields.get("excluded_ids"):
            named = frozenset(row.strings("excluded_ids")) - {_NOT_APPLICABLE}
            if named:
                excluded[row.id("id")] = named
    return excluded


_Judgement = tuple[int, str, str, int | str]  # row, question, document, grade


def _judgements(path: Path) -> Iterator[_Judgement]:
    if is_table(path):
        for row in table_rows(path):
            if "gold_ids" in row.fields:
                yield from ((row.number, row.id("id"), gold, 1) for gold in row.strings("gold_ids"))
            else:
                yield row.number, row.id("query-id"), row.id("corpus-id"), _score(row)
        return
    first = True
    for number, line in numbered_lines(path):
        columns = line.split("\t")
        header, first = first and columns[0] == "query-id", False
        if header:
            continue
        of_trec = columns if len(columns) > 1 else line.split()
        if len(of_trec) == 4:
            columns = [of_trec[0], *of_trec[2:]]  # the second column says nothing
        if len(columns) != 3:
            raise malformed(
                path,
                number,
                f"{len(columns)} tab-separated columns",
                "three: query-id, corpus-id, score; or the four of TREC's qrels",
            )
        qid, doc_id, grade = map(clean_text, columns)
        yield number, qid, doc_id, grade


def _score(row: FileRow) -> int:
    """A grade of a table: a whole number, perhaps a float; 1 where no row has any (NanoBEIR)."""
    value = row.fields.get("score", 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise row.wrong(f"the grade {value!r}", "an integer")
    return int(value)

"""A user's questions, and the passages that they mean.

The questions are a JSONL file, or a CSV file with a header, of these columns; either may be packed
(`.gz`):

| column | holds |
|---|---|
| `question` | what is asked |
| `answer` | the answer, in words of the document; in JSONL also `answers`, a list, empty where no
document has one |
| `source` | the file that answers: its path below the folder, or its name alone |
| `passage` | the text that answers, where no answer is given |

To train on, a question needs an answer or a passage; `source` says where to look for it. To measure
by, the document alone is enough, and an empty list of answers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from unimoer_rag.data.answer_spans import on_words
from unimoer_rag.data.file_rows import FileRow, json_rows
from unimoer_rag.data.lines import malformed, reading, text_lines
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Passage, Problem, clean_text, tokenize

__all__ = ["Asked", "Places", "literal", "plain", "read_questions"]


class Asked(NamedTuple):
    """A row of a file of questions.

    Attributes:
        question: what is asked.
        answers: in words of the document; may be empty where there is a passage.
        source: the document that answers, or "".
        passage: the text that answers, or "".
        unanswerable: said to have no answer.
    """

    question: str
    answers: tuple[str, ...]
    source: str
    passage: str
    unanswerable: bool = False


def read_questions(path: Path) -> Iterator[tuple[int, Asked]]:
    """Numbered rows of a file of questions; see above.

    Raises:
        DataError: the file cannot be read, is empty, or a row is malformed.
    """
    is_csv = path.name.lower().endswith((".csv", ".csv.gz"))
    rows = _csv_rows(path) if is_csv else json_rows(path)
    row = None
    for row in rows:
        yield row.number, _read(row)
    if row is None:
        raise DataError(f"{path} holds no questions: expected one a line")


def _csv_rows(path: Path) -> Iterator[FileRow]:
    with reading(path):
        rows = csv.DictReader(text_lines(path))
        line = 1  # where a row begins: a quoted cell may go over several lines
        try:
            if "question" not in (rows.fieldnames or ()):
                raise malformed(
                    path,
                    1,
                    f"the columns {', '.join(rows.fieldnames or ()) or 'none'}",
                    "a header "
                    "with question and, of each, answer, source and passage where there are any",
                )
            line = rows.line_num + 1
            for row in rows:
                if None in row:
                    raise malformed(
                        path,
                        line,
                        f"more cells than the header has: {row[None]!r}",  # type: ignore[index]
                        'cells with a comma in quotes, "like, this"',
                    )
                yield FileRow(path, line, row)
                line = rows.line_num + 1
        except csv.Error as error:
            raise malformed(path, line, str(error), "comma-separated values") from error


def _read(row: FileRow) -> Asked:
    def text(key: str) -> str:
        return clean_text(row.text(key, default="")).strip()

    given = row.strings("answers") if row.fields.get("answers") else []
    answers = tuple(dict.fromkeys(a.strip() for a in (text("answer"), *given) if a.strip()))
    source, passage = text("source"), text("passage")
    none = row.fields.get("answers") == [] and not (answers or source or passage)
    item = Asked(text("question"), answers, source, passage, none)
    if not item.question:
        raise row.wrong("no question", "one in the column question")
    if not (answers or source or passage or none):
        raise row.wrong("neither answer nor passage", "one of them, or source, to find the text")
    return item


class Places:
    """Finds the passages that a question means.

    Args:
        corpus: id -> passage.
    """

    def __init__(self, corpus: Mapping[str, Passage]) -> None:
        self._corpus = corpus
        self._terms = {i: frozenset(tokenize(p.content)) for i, p in corpus.items()}
        self._by_source: dict[str, list[str]] = {}
        names: dict[str, set[str]] = {}
        for i, passage in corpus.items():
            self._by_source.setdefault(passage.source, []).append(i)
            parts = passage.source.split("/")
            # With or without the folder's own name, down to the file's name.
            for at in range(len(parts)):
                names.setdefault("/".join(parts[at:]).lower(), set()).add(passage.source)
        self._names = names

    def of(self, item: Asked) -> list[str]:
        """Ids of the passages that answer, the best first; all are of one document."""
        if not item.answers and not item.passage:
            return []
        among = self.named(item.source) if item.source else list(self._corpus)
        holding = [i for i in among if self._holds(self._corpus[i].text, item)]
        if not holding:
            return []
        words = frozenset(tokenize(item.question))
        # An answer can stand in many places: the one that says most of the question's words.
        best = max(holding, key=lambda i: len(words & self._terms[i]))
        source = self._corpus[best].source
        return [best, *(i for i in holding if i != best and self._corpus[i].source == source)]

    def missing(self, item: Asked, path: Path, line: int) -> Problem:
        """Why `of` found nothing for a line of a file, and what to do."""
        reason = f"{path}, line {line}: {self._why_not(item)}"
        return Problem(f"{path.name}:{line}", reason)

    def _why_not(self, item: Asked) -> str:
        if item.source and not self.named(item.source):
            n = len(self._names.get(_path(item.source), ()))
            said = f"{n} documents are called so" if n else "there is no such document"
            return f"source {item.source!r}: {said}; give its path below the folder"
        if not item.passage and not item.answers:
            return "no answer and no passage is given to look for"
        what = f"the passage {item.passage[:60]!r}" if item.passage else f"{item.answers[0]!r}"
        where = item.source or "any document"
        return f"{what} does not stand in {where}; write it as the document does"

    def named(self, source: str) -> list[str]:
        """Ids of the passages of one document; none where no or several documents are called so."""
        sources = self._names.get(_path(source), set())
        return self._by_source[next(iter(sources))] if len(sources) == 1 else []

    def _holds(self, text: str, item: Asked) -> bool:
        if item.passage:
            own, given = plain(text), plain(item.passage)
            return given in own or own in given
        return any(literal(answer, text) for answer in item.answers)


def literal(answer: str, text: str) -> str:
    """An answer as a text words it: in any case, however its words are spaced; or ""."""
    words = r"\s+".join(map(re.escape, answer.split()))
    found = re.search(on_words(answer, words), text, re.IGNORECASE)
    return found.group() if found else ""


def plain(text: str) -> str:
    """What makes two questions or passages one: their words in lower case, however spaced."""
    return " ".join(text.lower().split())


def _path(source: str) -> str:
    return source.replace("\\", "/").removeprefix("./").strip("/").lower()

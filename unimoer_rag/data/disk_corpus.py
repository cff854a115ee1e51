"""A corpus too large for memory: an SQLite file, read like a dictionary.

Built once beside nothing that matters (a cache), and whole or not at all: an interrupted build is
started again. Reading it holds a few rows in memory, whatever its size.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from contextlib import closing
from pathlib import Path
from typing import Self

from filelock import FileLock

from unimoer_rag.data.digest import SetDigest
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document, clean_text

__all__ = ["DiskCorpus"]

# Part of every stamp: files of an older layout are built again.
_LAYOUT = "1"

_TABLES = """
CREATE TABLE passages (id TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE facts (stamp TEXT NOT NULL, n INTEGER NOT NULL, sha256 TEXT NOT NULL);
"""


class DiskCorpus(Mapping[str, Document]):
    """Document id -> document, in the order they were stored.

    Args:
        path: a file that `build` made.

    Raises:
        DataError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Immutable: nobody writes it once it has its name, so readers need no locks. Threads
            # may share the connection, which SQLite serialises.
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?immutable=1", uri=True, check_same_thread=False
            )
            weakref.finalize(self, self._db.close)
            facts = self._db.execute("SELECT stamp, n, sha256 FROM facts").fetchone()
        except sqlite3.Error as error:
            raise DataError(
                f"cannot read the stored corpus {path} ({error}): delete the file, and it is "
                "made again"
            ) from error
        self._stamp, self._n, self.sha256 = str(facts[0]), int(facts[1]), str(facts[2])

    @classmethod
    def find(cls, path: Path, *, stamp: str) -> Self | None:
        """The corpus stored at a path, unless it is absent or was made of something else."""
        if not path.is_file():
            return None
        try:
            found = cls(path)
        except DataError:
            return None  # damaged: built again
        return found if found._stamp == _LAYOUT + stamp else None

    @classmethod
    def build(cls, path: Path, documents: Iterable[Document], *, stamp: str) -> Self:
        """Store documents, each under its source.

        Args:
            path: the file; one that is there is replaced when all is stored.
            documents: read once, a few at a time.
            stamp: says what they were made of, for `find`.

        Raises:
            DataError: a source comes twice, there are no documents, or the file cannot be
                written. Nothing is left at the path then but what was there.
        """
        # A name of its own, not a random one: what a killed build left is overwritten.
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                made = cls.find(path, stamp=stamp)  # meanwhile, by another process
                if made is not None:
                    return made
                try:
                    part.unlink(missing_ok=True)
                    with closing(sqlite3.connect(part)) as db:
                        _fill(db, documents, stamp)
                    with part.open("rb") as file:
                        os.fsync(file.fileno())
                    os.replace(part, path)
                finally:
                    part.unlink(missing_ok=True)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"cannot store the corpus in {path}: {error}") from error
        return cls(path)

    def __getitem__(self, doc_id: str) -> Document:
        row = self._db.execute(
            "SELECT id, title, text FROM passages WHERE id = ?", (doc_id,)
        ).fetchone()
        if row is None:
            raise KeyError(doc_id)
        return _document(row)

    def __contains__(self, doc_id: object) -> bool:
        if not isinstance(doc_id, str):
            return False
        found = self._db.execute("SELECT 1 FROM passages WHERE id = ?", (doc_id,))
        return found.fetchone() is not None

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[str]:
        return (doc_id for (doc_id,) in self._db.execute("SELECT id FROM passages ORDER BY rowid"))

    def values(self) -> ValuesView[Document]:
        """The documents, read from the file one after the other."""
        return _Values(self)

    def items(self) -> ItemsView[str, Document]:
        """Ids and documents, read from the file one after the other."""
        return _Items(self)

    def documents(self) -> Iterator[Document]:
        """The documents in their order: one pass over the file, not a look-up for each."""
        rows = self._db.execute("SELECT id, title, text FROM passages ORDER BY rowid")
        return map(_document, rows)


class _Values(ValuesView[Document]):
    _mapping: DiskCorpus

    def __iter__(self) -> Iterator[Document]:
        return self._mapping.documents()


class _Items(ItemsView[str, Document]):
    _mapping: DiskCorpus

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        return ((document.source, document) for document in self._mapping.documents())


def _fill(db: sqlite3.Connection, documents: Iterable[Document], stamp: str) -> None:
    # No journal: a build that breaks off is thrown away.
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(_TABLES)
    n, digest = 0, SetDigest()

    def rows() -> Iterator[tuple[str, str, str]]:
        nonlocal n
        for document in documents:
            n += 1
            digest.add([document.source, document.title, document.text])
            yield (_utf8(document.source), _utf8(document.title), _utf8(document.text))

    db.executemany("INSERT INTO passages VALUES (?, ?, ?)", rows())
    if n == 0:
        raise DataError("the corpus holds no documents")
    try:
        # Last: one sort of all ids, not millions of insertions at random places.
        db.execute("CREATE UNIQUE INDEX by_id ON passages (id)")
    except sqlite3.IntegrityError as error:
        (doc_id,) = db.execute(
            "SELECT id FROM passages GROUP BY id HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        raise DataError(f"the corpus holds the id {doc_id!r} a second time") from error
    db.execute("INSERT INTO facts VALUES (?, ?, ?)", (_LAYOUT + stamp, n, digest.hexdigest()))
    db.commit()


def _utf8(text: str) -> str:
    """The text, in which halves of UTF-16 pairs, which SQLite refuses, are as `ingest` has them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return clean_text(text)
    return text


def _document(row: tuple[str, str, str]) -> Document:
    doc_id, title, text = row
    return Document(text=text, source=doc_id, title=title)

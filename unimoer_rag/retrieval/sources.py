"""Paths into documents: a file, a folder, a JSONL file or a BEIR folder.

```python
corpus = scan("handbook")
problems: list[Problem] = []
for document in corpus.documents(on_error=problems.append):
    ...  # len(corpus) is how many documents and problems come, for a progress bar
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path, PurePath

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.jsonl import SUFFIXES, count_rows, is_jsonl, read_rows
from unimoer_rag.retrieval.naming import Naming
from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.readers import (
    PICTURES,
    READERS,
    EmptyFileError,
    Ocr,
    read_document,
    unknown_suffix,
)
from unimoer_rag.retrieval.selecting import DEFAULT, Selection
from unimoer_rag.retrieval.store.manifest import is_index
from unimoer_rag.retrieval.text import clean_name, clean_text
from unimoer_rag.retrieval.types import Document
from unimoer_rag.retrieval.walking import Walk, leads_out

__all__ = ["Corpus", "Problem", "iter_documents", "scan"]

OnPageOf = Callable[[str, int, int], None]

_BEIR_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclass(frozen=True)
class Corpus:
    """The documents below a path: what was found there, read when iterated.

    A file's source is its path relative to the folder given, behind that folder's own name:
    `handbook/refunds/eu.md`, with "/" on every system. People recognise it, and it does not
    depend on the working directory, on how the path was written or on where the folder lies on
    this machine, so indexing again finds the same passages. A file given by itself has the
    source that giving its folder would have given it. Folders of one name are told apart by the
    index (`retrieval.roots`), which calls the second by more of its path.

    Attributes:
        files: the files to read with their sources, in order.
        precut: the documents are passages already (a BEIR corpus): keep each whole.
        skipped: how many entries of a folder were passed over, by kind: "hidden", "ignored",
            "excluded", "index", "linked folder", "linked file", "link out of the folder", "special
            file", or the suffix that no reader knows.
        problems: folders that could not be listed.
        within: what sources call the path itself: the file, or the folder, and behind it folders
            in it that have names of their own.
        ocr: pictures and scans are read by OCR, as far as it is installed.
    """

    files: tuple[tuple[str, Path], ...]
    precut: bool = False
    skipped: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    within: tuple[str, ...] = ()
    ocr: bool = True

    def __len__(self) -> int:
        """How many documents and problems iterating yields, if no file changes meanwhile.

        Counts the lines of JSONL files, which takes about a second for a million.
        """
        return self._n_units

    @cached_property
    def _n_units(self) -> int:
        n_lines = sum(count_rows(path) for _, path in self.files if is_jsonl(path))
        n_documents = sum(not is_jsonl(path) for _, path in self.files)
        return n_lines + n_documents + len(self.problems)

    def documents(
        self,
        *,
        on_error: Callable[[Problem], None],
        on_note: Callable[[Problem], None] = lambda problem: None,
        on_page: OnPageOf = lambda source, number, of: None,
    ) -> Iterator[Document]:
        """Yield the documents in order.

        Args:
            on_error: called with what cannot be read; the rest is.
            on_note: called with metadata of rows that is left out, once a file and key.
            on_page: called before each page that is read by OCR with its source, its number, and
                how many pages there are.
        """
        for problem in self.problems:
            on_error(problem)
        for source, path in self.files:
            if is_jsonl(path):
                yield from read_rows(path, source, on_error, on_note=on_note)
                continue
            try:
                document = read_document(
                    path, source=source, ocr=self.ocr, on_page=partial(on_page, source)
                )
            except ReadError as error:
                kind = str(error).removeprefix(f"cannot read {clean_text(str(path))}: ")
                empty = isinstance(error, EmptyFileError)
                minor = empty and path.suffix.lower() in PICTURES
                on_error(Problem(source, str(error), kind, empty, minor=minor))
            else:
                yield replace(document, origin=source)


def iter_documents(path: str | Path, *, on_error: Callable[[Problem], None]) -> Iterator[Document]:
    """Scan a path and yield its documents; see `scan` and `Corpus.documents`.

    Raises:
        ReadError: at once, if nothing at `path` can be read.
    """
    return scan(path).documents(on_error=on_error)


def scan(
    path: str | Path, *, name: str | Naming | None = None, selection: Selection = DEFAULT
) -> Corpus:
    """Find the files to read at a path, without reading them.

    A folder that holds `corpus.jsonl` or `corpus.jsonl.gz` is a BEIR data set: only that file is
    read. Other folders are walked to the bottom. Hidden entries, what the selection leaves out,
    links to folders and out of the folder, and files that no reader knows are counted in `skipped`;
    so are pictures where OCR is turned off or not installed.

    Args:
        path: a file or a folder.
        name: what sources call the folder, or the file's folder, in place of its own name; or what
            they call the folders in it, too.
        selection: what is read of a folder.

    Raises:
        ReadError: the path does not exist, is an index, or is a file of a kind that no reader
            knows.
    """
    path = Path(os.path.abspath(path))  # "." has no name; links are kept as the user wrote them
    shown = clean_text(str(path))
    if path.is_dir():
        if is_index(path):
            raise ReadError(f"cannot read {shown}: it is an index; give the folder of documents")
        naming = _naming(path.name if name is None else name)
        corpora = (path / one for one in _BEIR_CORPORA if (path / one).is_file())
        beir = next((one for one in corpora if selection.follow_links or not _out(one)), None)
        if beir is None:
            return _scan_folder(path, naming, selection)
        return replace(scan(beir, name=naming), within=(clean_name(naming.name),))
    if not os.path.lexists(path):
        raise ReadError(f"cannot read {shown}: there is no such file or folder; check the path")
    if not _is_readable_kind(path):
        raise ReadError(f"cannot read {shown}: {unknown_suffix(path, *SUFFIXES)}")
    source = _naming(path.parent.name if name is None else name).of_file(PurePath(path.name))
    precut = path.name in _BEIR_CORPORA
    return Corpus(((source, path),), precut=precut, within=(source,), ocr=selection.ocr)


def _out(path: Path) -> bool:
    return leads_out(path, path.parent)


def _scan_folder(root: Path, naming: Naming, selection: Selection) -> Corpus:
    sees = selection.ocr and Ocr.is_installed()
    walk = Walk(root, selection, lambda path: _is_readable_kind(path, sees=sees))
    files = sorted((naming.of_file(path.relative_to(root)), path) for path in walk.files())
    problems = tuple(
        Problem(
            name,
            f"cannot list {clean_text(str(where))}: {why}; make it readable",
            f"cannot be listed: {why}",
        )
        for where, why in walk.unlistable
        for name in _all_in(where, root, naming)
    )
    skipped = dict(sorted(walk.skipped.items()))
    within = naming.of_folder(PurePath())
    return Corpus(tuple(files), False, skipped, problems, within, selection.ocr)


def _all_in(where: Path, root: Path, naming: Naming) -> tuple[str, ...]:
    if not where.is_relative_to(root):
        return (clean_name(str(where)),)
    return naming.of_folder(where.relative_to(root))


def _naming(name: str | Naming) -> Naming:
    return name if isinstance(name, Naming) else Naming(name)


def _is_readable_kind(path: Path, *, sees: bool = True) -> bool:
    suffix = path.suffix.lower()
    return is_jsonl(path) or (suffix in READERS and (sees or suffix not in PICTURES))

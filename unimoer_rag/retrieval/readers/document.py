"""A file into a document: its bytes, bounded, through the reader of its suffix."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import MissingExtraError, ReadError
from unimoer_rag.retrieval.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES, TooLargeError, read_bounded
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.readers.formats import INSTEAD, READERS, TYPES
from unimoer_rag.retrieval.readers.ocr import Ocr, OnPage
from unimoer_rag.retrieval.text import clean_name, clean_text
from unimoer_rag.retrieval.types import Document

__all__ = ["EmptyFileError", "read_document", "unknown_suffix"]

# A title is encoded with every passage: a long one would crowd out the text.
_MAX_TITLE = 200


class EmptyFileError(ReadError):
    """A file was read and says nothing."""


class _NoTextError(UnreadableError):
    """A file was read to its end, and there is no text in it."""


def read_document(
    path: str | Path,
    *,
    source: str | None = None,
    ocr: bool = True,
    on_page: OnPage = lambda number, of: None,
) -> Document:
    """Read one file by its suffix.

    For plain text and Markdown (front matter aside) the text is the file's own, with newlines
    as "\\n"; the other formats are reduced to what a person reads in them. The metadata holds
    `type`, such as "text", "markdown", "html", "pdf" or "docx". The document's notes tell what
    was guessed and what could not be read.

    Args:
        path: a file with one of the suffixes in `READERS`.
        source: the document's source; the path as given if None.
        ocr: read pictures, and the pages of a PDF that have no text, by OCR; of a PDF where the
            extra `ocr` is installed.
        on_page: called with the number of each such page before it is read, and how many there are.

    Raises:
        EmptyFileError: the file is empty, or was read and has no text in it.
        ReadError: no such file, no permission, an unknown suffix, a damaged, protected or
            overlarge file, bytes that are not text, or a format whose extra is
            not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    kind = TYPES.get(suffix)
    shown = clean_text(str(path))
    blank = False
    try:
        if kind is None:
            raise UnreadableError(unknown_suffix(path))
        with reading(kind.upper()):
            data = _read_bytes(path)
            blank = not data.strip()
            extracted = READERS[suffix](data, Ocr(on_page) if ocr else None)
            if len(extracted.text) > MAX_TEXT_BYTES:
                raise TooLargeError("its text is larger than any that can be indexed")
        text = clean_text(extracted.text)
        if not text.strip():
            # Notes tell of parts that were not read, which may hold some.
            unread = extracted.notes and kind != "image"
            failure = UnreadableError if unread else _NoTextError
            raise failure(f"it is empty: no text was found in it{_remedy(kind, extracted, ocr)}")
    except UnreadableError as error:
        failed = EmptyFileError if blank or isinstance(error, _NoTextError) else ReadError
        raise failed(f"cannot read {shown}: {error}") from error.__cause__
    except MissingExtraError as error:
        raise ReadError(f"cannot read {shown}: {error}") from error
    title = " ".join(clean_text(extracted.title).split())[:_MAX_TITLE].rstrip()
    where = clean_name(path.as_posix()) if source is None else clean_text(source)
    return Document(
        text,
        where,
        title,
        {"type": kind},
        pages=extracted.pages,
        notes=tuple(map(clean_text, extracted.notes)),
    )


def unknown_suffix(path: Path, *others: str) -> str:
    """Why a file is not read, and as what to save it.

    Args:
        path: the file.
        others: suffixes that are read beside those of `READERS`.
    """
    better = INSTEAD.get(path.suffix.lower())
    return (
        f"its suffix {path.suffix!r} is not one of {', '.join((*READERS, *others))}; save it "
        f"{f'as {better}' if better else 'in one of these formats'}"
    )


def _remedy(kind: str, extracted: Extracted, ocr: bool) -> str:
    told = "".join(f"; {note}" for note in extracted.notes)
    if kind == "image":
        return f" by OCR{told}; if nothing is written in it, leave it so or exclude it"
    if kind != "pdf":
        return f"{told}; remove it or fill it"
    if not ocr:
        return f"{told}; run it through OCR first"
    if Ocr.is_installed():
        return f", by OCR neither{told}; if its text is drawn as lines, save its pages as pictures"
    return f"{told}; if it is a scan, pip install 'unimoer-rag[ocr]' reads it by OCR"


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UnreadableError("it is not a regular file; give a file")
        with path.open("rb") as file:
            return read_bounded(file, MAX_FILE_BYTES, "the file")
    except FileNotFoundError as error:
        if path.is_symlink():
            raise UnreadableError("it is a link to nothing; repair or remove it") from error
        raise UnreadableError("there is no such file; check the path") from error
    except PermissionError as error:
        raise UnreadableError("permission denied; make it readable for this user") from error
    except TooLargeError:
        raise
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{error}; check the disk and the path") from error

"""PDF: what stands on its pages, in its form fields and in its comments; scans by OCR."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unimoer_rag.retrieval.limits import (
    MAX_PICTURES,
    MAX_TEXT_BYTES,
    TooLargeError,
    in_mebibytes,
)
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, paged, reading
from unimoer_rag.retrieval.readers.ocr import Ocr
from unimoer_rag.retrieval.readers.quiet import without_warnings
from unimoer_rag.retrieval.readers.scan import page_picture
from unimoer_rag.retrieval.text import legible_text

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

__all__ = ["read_pdf"]

_MAX_PAGES = 20_000
# Of the instructions that draw all pages, which may share and repeat them.
_MAX_DRAWN_BYTES = 1 << 30
_MOST_PAGES_TOLD = 12
# How the parser's warnings about text that it left out begin; the others are about its syntax.
_LOST = ("Impossible to decode", "Exceeded", "Detected infinite loop", "Maximum")
_MOST_TOLD = 3


def read_pdf(data: bytes, ocr: Ocr | None = None) -> Extracted:
    """The text of every page, and where each begins; pages without any are told.

    Args:
        data: the file.
        ocr: reads the pages that have no text; None for nobody.
    """
    from pypdf import PdfReader
    from pypdf.errors import LimitReachedError

    with reading("PDF"):
        with _listening("pypdf") as lost:
            reader = PdfReader(io.BytesIO(data))
            # Many files are encrypted with an empty password, only to forbid printing.
            if reader.is_encrypted and not reader.decrypt(""):
                raise UnreadableError("it is protected by a password; save it without one")
            try:
                pages = list(_pages(reader, lost))
            except LimitReachedError as error:
                raise TooLargeError(f"it unpacks to more than can be read ({error})") from error
            metadata = reader.metadata
            title = str(metadata.title or "") if metadata else ""
        scans = _Scans()
        if ocr is not None and ocr.is_installed() and "" in pages:
            scans = _read_scans(reader, pages, ocr)
            lost = [*lost, *ocr.notes()]
    notes = (*_notes(pages, scans, ocr), *lost)
    return paged([page or "" for page in pages], title, notes)


def _pages(reader: PdfReader, lost: list[str]) -> Iterator[str | None]:
    """The text of each page; None for one that cannot be read, unless none can be."""
    from pypdf import errors

    n_pages = len(reader.pages)
    if n_pages > _MAX_PAGES:
        raise TooLargeError(f"it has {n_pages} pages; at most {_MAX_PAGES} are read")
    n_drawn = n_characters = n_failed = 0
    for page in reader.pages:
        try:
            contents = page.get_contents()
            n_drawn += len(contents.get_data()) if contents is not None else 0
            if n_drawn > _MAX_DRAWN_BYTES:
                raise TooLargeError(f"its pages unpack to over {in_mebibytes(_MAX_DRAWN_BYTES)}")
            parts = [page.extract_text().strip(), *_written_on(page)]
        except (TooLargeError, errors.LimitReachedError, MemoryError):
            raise
        except Exception:  # the parser raises all kinds on a damaged page
            n_failed += 1
            if n_failed == n_pages:
                raise
            yield None
            continue
        if sum("Exceeded" in told for told in lost) >= _MOST_TOLD:
            raise TooLargeError(f"{_MOST_TOLD} of its pages draw forms within forms without end")
        text = legible_text("\n".join(filter(None, parts)))
        n_characters += len(text)
        if n_characters > MAX_TEXT_BYTES:
            raise TooLargeError(f"its text is larger than {in_mebibytes(MAX_TEXT_BYTES)}")
        yield text


def _written_on(page: PageObject) -> Iterator[str]:
    """What people wrote on a page: filled fields, and comments, as any viewer shows them."""
    annotations = page.get("/Annots")
    for reference in annotations.get_object() if annotations is not None else ():
        note = reference.get_object()
        if not hasattr(note, "get"):
            continue
        kind = note.get("/Subtype")
        if kind == "/Widget":
            yield _value(note)
        elif kind not in ("/Link", "/Popup"):
            yield _string(note.get("/Contents"))


def _value(field: Any) -> str:
    """The text of a text or choice field, which may stand in its parents."""
    kind = value = None
    for _ in range(16):
        kind = kind if kind is not None else field.get("/FT")
        value = value if value is not None else field.get("/V")
        parent = field.get("/Parent")
        if parent is None or (kind is not None and value is not None):
            break
        field = parent.get_object()
    if kind not in ("/Tx", "/Ch") or value is None:
        return ""
    value = value.get_object() if hasattr(value, "get_object") else value
    return ", ".join(map(_string, value)) if isinstance(value, list) else _string(value)


def _string(value: Any) -> str:
    value = value.get_object() if hasattr(value, "get_object") else value
    text = value if isinstance(value, str) else ""
    return re.sub(r"\r\n?", "\n", text).strip()


@dataclass
class _Scans:
    """Which pages were read by OCR, and which have pictures that could not be."""

    read: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    why: str = ""


def _read_scans(reader: PdfReader, pages: list[str | None], ocr: Ocr) -> _Scans:
    """Put what OCR reads in the place of pages without text."""
    scans = _Scans()
    for number, text in enumerate(pages, 1):
        if text != "":
            continue
        try:
            with _listening("pypdf"), reading("picture"):
                picture = page_picture(reader.pages[number - 1])
        except UnreadableError as error:
            scans.failed.append(number)
            scans.why = scans.why or str(error)
            continue
        if picture is None:
            continue
        if len(scans.read) == MAX_PICTURES:
            raise TooLargeError(f"more than {MAX_PICTURES} of its pages are scans")
        ocr.on_page(number, len(pages))
        pages[number - 1] = ocr.read(picture)
        scans.read.append(number)
    return scans


def _notes(pages: list[str | None], scans: _Scans, ocr: Ocr | None) -> Iterator[str]:
    damaged = [number for number, text in enumerate(pages, 1) if text is None]
    empty = [number for number, text in enumerate(pages, 1) if text == ""]
    read = [number for number in scans.read if pages[number - 1]]
    unseen = [number for number in empty if number not in {*scans.read, *scans.failed}]
    if damaged:
        yield f"{_listed(damaged)} could not be read: damaged; save the file again"
    if read:  # of a scan the same words as of all scans, which are then told in one line
        others = sum(map(bool, pages)) - len(read)
        yield f"read by OCR: {_listed(read)}" if others else "read by OCR"
    if scans.failed:
        yield f"the pictures on {_listed(scans.failed)} could not be read ({scans.why})"
    if not unseen or len(empty) + len(damaged) == len(pages):
        return
    if ocr is None:
        yield f"no text on {_listed(unseen)}: if they are scans, run it through OCR first"
    elif ocr.is_installed():
        why = "they are blank, or their text is drawn as lines"
        yield f"no text and no picture on {_listed(unseen)}: {why}"
    else:
        remedy = "if they are scans, pip install 'unimoer-rag[ocr]' reads them by OCR"
        yield f"no text on {_listed(unseen)}: {remedy}"


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST_PAGES_TOLD]))
    if len(numbers) > _MOST_PAGES_TOLD:
        shown += f" and {len(numbers) - _MOST_PAGES_TOLD} more"
    return f"page {shown}" if len(numbers) == 1 else f"pages {shown}"


class _Listener(logging.Handler):
    """Keeps what the parser says that it left out."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        message = " ".join(record.getMessage().split())
        if message.startswith(_LOST) and len(self._told) < _MOST_TOLD:
            self._told.append(f"some of its text may be missing: {message[:200]}")


@contextmanager
def _listening(logger_name: str) -> Iterator[list[str]]:
    """Keep a parser quiet, but for what it says that it lost."""
    logger, told = logging.getLogger(logger_name), list[str]()
    with without_warnings():  # logger levels belong to the process, too
        before = logger.level, logger.propagate, logger.handlers
        logger.handlers = [_Listener(told)]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        try:
            yield told
        finally:
            level, logger.propagate, logger.handlers = before
            logger.setLevel(level)

"""Files into documents: one reader a format, each a function from bytes to title and text."""

from __future__ import annotations

import codecs
import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document

if TYPE_CHECKING:
    from bs4.element import Tag
    from docx.table import Table

__all__ = ["READERS", "Extracted", "read_document"]


class Extracted(NamedTuple):
    """What a reader finds in a file."""

    text: str
    title: str = ""


class _UnreadableError(Exception):
    """Why bytes have no text, and what to do: `read_document` adds which file it was."""


def read_document(path: str | Path, *, source: str | None = None) -> Document:
    """Read one file by its suffix.

    For plain text and Markdown (front matter aside) the text is the file's own, with newlines
    as "\\n"; the other formats are reduced to their readable text. The metadata holds `type`:
    "text", "markdown", "html", "pdf" or "docx".

    Args:
        path: a file with one of the suffixes in `READERS`.
        source: the document's source; the path as given if None.

    Raises:
        ReadError: no such file, no permission, an unknown suffix, a damaged or protected file,
            bytes that are not text, or no text in it.
    """
    path = Path(path)
    kind = _TYPES.get(path.suffix.lower())
    try:
        if kind is None:
            raise _UnreadableError(
                f"its suffix {path.suffix!r} is not one of {', '.join(READERS)}; "
                "save it in one of these formats"
            )
        extracted = READERS[path.suffix.lower()](_read_bytes(path))
        text = clean_text(extracted.text)
        if not text.strip():
            remedy = "run it through OCR first" if kind == "pdf" else "remove it or fill it"
            raise _UnreadableError(f"it is empty: no text was found in it; {remedy}")
    except _UnreadableError as error:
        raise ReadError(f"cannot read {clean_text(str(path))}: {error}") from error.__cause__
    title = " ".join(clean_text(extracted.title).split())[:_MAX_TITLE].rstrip()
    where = clean_text(path.as_posix() if source is None else source)
    return Document(text, where, title, {"type": kind})


# A title is encoded with every passage: a long one would crowd out the text.
_MAX_TITLE = 200


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise _UnreadableError("it is not a regular file; give a file")
        return path.read_bytes()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _UnreadableError("it is a link to nothing; repair or remove it") from error
        raise _UnreadableError("there is no such file; check the path") from error
    except PermissionError as error:
        raise _UnreadableError("permission denied; make it readable for this user") from error
    except (OSError, ValueError) as error:
        raise _UnreadableError(f"{error}; check the disk and the path") from error


# Plain text and Markdown -------------------------------------------------------------------------

# UTF-32's mark begins with UTF-16's, so it is looked for first.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _decode(data: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _UnreadableError(
            f"it is not {encoding.upper()} text (byte {error.object[error.start]:#04x} at offset "
            f"{error.start}); save it as UTF-8, or remove it if it is a binary file"
        ) from error
    if "\0" in text:
        raise _UnreadableError(
            f"expected text, found a NUL at character {text.index(chr(0))}: it seems to be a "
            "binary file; save it as UTF-8 text or remove it"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(data: bytes) -> Extracted:
    return Extracted(_decode(data))


_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*(?:\n|\Z)", re.S | re.M)
_FRONT_MATTER_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S.*)$", re.M | re.I)
_FENCED_CODE = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)", re.S | re.M)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*)$|^(\S.*)\n(?:=+|-{2,})[ \t]*$", re.M)


def _read_markdown(data: bytes) -> Extracted:
    text = _decode(data)
    match = None
    if front := _FRONT_MATTER.match(text):
        match = _FRONT_MATTER_TITLE.search(front[2])
        text = text[front.end() :]
    # A comment in a code block looks like a heading.
    match = match or _HEADING.search(_FENCED_CODE.sub("", text))
    title = match[match.lastindex or 0].rstrip("# \t").strip("\"'") if match else ""
    return Extracted(text, re.sub("[*`]", "", title))


# Formats read by a library -----------------------------------------------------------------------

# Warning filters and logger levels belong to the process: one thread at a time may change them.
_PARSING = threading.Lock()


@contextmanager
def _parsing(kind: str, logger_name: str) -> Iterator[None]:
    """Keep a parsing library quiet and turn whatever it raises into `_UnreadableError`."""
    logger = logging.getLogger(logger_name)
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        except _UnreadableError:
            raise
        except Exception as error:  # the parsers raise all kinds on damaged input
            raise _UnreadableError(
                f"damaged or not a {kind} file ({type(error).__name__}: {error}); "
                "open it in its program and save it again"
            ) from error
        finally:
            logger.setLevel(level)


_HTML_DROPPED = {"script", "style", "nav", "noscript", "template", "svg", "iframe", "title"}
# What stands where a block begins and ends, until neighbouring marks merge into one line break.
_LINE, _PARAGRAPH = "\v", "\f"
_HTML_BLOCKS = """
address aside body br caption center dd details div dl dt fieldset figcaption figure footer form
header hr li main ol summary tbody tfoot thead tr ul
"""
_HTML_PARAGRAPHS = "article blockquote h1 h2 h3 h4 h5 h6 p pre section table"
_HTML_MARKS = {
    **dict.fromkeys(_HTML_BLOCKS.split(), _LINE),
    **dict.fromkeys(_HTML_PARAGRAPHS.split(), _PARAGRAPH),
}


def _read_html(data: bytes) -> Extracted:
    from bs4 import BeautifulSoup

    if b"\0" in data and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _UnreadableError("expected HTML, found NUL bytes: a binary file; remove it")
    with _parsing("HTML", "bs4"):
        try:  # UTF-8 first: else what is guessed depends on the detectors that are installed
            soup = BeautifulSoup(data.decode("utf-8-sig"), "html.parser")
        except UnicodeDecodeError:
            soup = BeautifulSoup(data, "html.parser")
        heading = soup.title or soup.h1
        title = heading.get_text(" ") if heading else ""
        text = "".join(_html_pieces(soup))
    return Extracted(re.sub(f"[ {_LINE}{_PARAGRAPH}]+", _line_break, text).strip(), title)


def _line_break(run: re.Match[str]) -> str:
    """Merge a run of marks and the spaces about them."""
    marks = run[0]
    return "\n\n" if _PARAGRAPH in marks else "\n" if _LINE in marks else marks


def _html_pieces(soup: Tag) -> Iterator[str]:
    """Walk the tree without recursion or change: inserting into it takes quadratic time."""
    from bs4.element import NavigableString, Tag

    stack: list[tuple[object, bool]] = [(soup, False)]
    while stack:
        node, verbatim = stack.pop()
        if isinstance(node, Tag):
            if node.name in _HTML_DROPPED:
                continue
            mark = _HTML_MARKS.get(node.name, "")
            verbatim = verbatim or node.name == "pre"
            stack.append((" " if node.name in ("td", "th") else mark, True))
            stack.extend((child, verbatim) for child in reversed(node.contents))
            stack.append((mark, True))
        elif type(node) in (str, NavigableString):  # comments and the like are subclasses
            yield str(node) if verbatim else re.sub(r"\s+", " ", str(node))


def _read_pdf(data: bytes) -> Extracted:
    from pypdf import PdfReader

    with _parsing("PDF", "pypdf"):
        reader = PdfReader(io.BytesIO(data))
        # Many files are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise _UnreadableError("it is protected by a password; save it without one")
        text = "\n\n".join(page.extract_text().strip() for page in reader.pages)
        metadata = reader.metadata
        return Extracted(text.strip(), str(metadata.title or "") if metadata else "")


def _read_docx(data: bytes) -> Extracted:
    import docx
    from docx.text.paragraph import Paragraph

    with _parsing("DOCX", "docx"):
        document = docx.Document(io.BytesIO(data))
        title = document.core_properties.title
        blocks = []
        for block in document.iter_inner_content():
            if not isinstance(block, Paragraph):
                blocks.append(_table_text(block))
                continue
            blocks.append(block.text.strip())
            style = block.style.name if block.style is not None else ""
            if not title and str(style).startswith(("Heading", "Title")):
                title = block.text
    return Extracted("\n\n".join(filter(None, blocks)), title)


def _table_text(table: Table) -> str:
    """One line a row; a merged cell, which the library repeats, once."""
    rows = []
    for row in table.rows:
        cells = {id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}
        rows.append(" | ".join(filter(None, cells.values())))
    return "\n".join(filter(None, rows))


_FORMATS: tuple[tuple[str, tuple[str, ...], Callable[[bytes], Extracted]], ...] = (
    ("text", (".txt", ".text", ".rst"), _read_text),
    ("markdown", (".md", ".markdown"), _read_markdown),
    ("html", (".html", ".htm"), _read_html),
    ("pdf", (".pdf",), _read_pdf),
    ("docx", (".docx",), _read_docx),
)
_TYPES = {suffix: kind for kind, suffixes, _ in _FORMATS for suffix in suffixes}

READERS: Mapping[str, Callable[[bytes], Extracted]] = {
    suffix: reader for _, suffixes, reader in _FORMATS for suffix in suffixes
}
"""The reader of each suffix, which is lower case and begins with a dot."""

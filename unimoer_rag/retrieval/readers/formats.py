"""Which reader reads which suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

from unimoer_rag.retrieval.readers.extracted import Extracted
from unimoer_rag.retrieval.readers.ocr import Ocr

__all__ = ["INSTEAD", "PICTURES", "READERS", "TYPES"]


class _Reader(Protocol):
    """Bytes as text; `ocr` is for those formats that hold pictures of text."""

    def __call__(self, data: bytes, ocr: Ocr | None = None, /) -> Extracted: ...


def _reader(module: str, *, sees: bool = False) -> _Reader:
    """The function `read_MODULE` of a module beside this one, imported when it first reads.

    Args:
        module: its name.
        sees: it takes what reads pictures.
    """

    def read(data: bytes, ocr: Ocr | None = None, /) -> Extracted:
        found = import_module(f"unimoer_rag.retrieval.readers.{module}")
        reader: Callable[..., Extracted] = getattr(found, f"read_{module}")
        return reader(data, ocr) if sees else reader(data)

    return read


_text = _reader("text")
_FORMATS: tuple[tuple[str, str, _Reader], ...] = (
    ("text", ".txt .text .rst .adoc .asciidoc .org .tex .log", _text),
    ("markdown", ".md .markdown", _reader("markdown")),
    ("html", ".html .htm .xhtml", _reader("html")),
    ("pdf", ".pdf", _reader("pdf", sees=True)),
    ("docx", ".docx .docm .dotx", _reader("docx")),
    ("pptx", ".pptx .pptm .ppsx", _reader("pptx")),
    ("xlsx", ".xlsx .xlsm", _reader("xlsx")),
    ("odf", ".odt .ods .odp", _reader("odf")),
    ("epub", ".epub", _reader("epub")),
    ("rtf", ".rtf", _reader("rtf")),
    ("email", ".eml", _reader("email")),
    ("notebook", ".ipynb", _reader("notebook")),
    ("image", ".png .jpg .jpeg .tiff .tif .webp .bmp", _reader("image", sees=True)),
    ("table", ".csv .tsv", _text),
    ("data", ".json .yaml .yml .toml .ini .cfg .conf .xml", _text),
    ("code", ".py .js .ts .java .c .cpp .h .hpp .cs .go .rs .rb .php .sh .sql .css .r", _text),
)

TYPES: Mapping[str, str] = {
    suffix: kind for kind, suffixes, _ in _FORMATS for suffix in suffixes.split()
}
"""What the metadata of a document calls the format of each suffix."""

READERS: Mapping[str, _Reader] = {
    suffix: reader for _, suffixes, reader in _FORMATS for suffix in suffixes.split()
}
"""The reader of each suffix, which is lower case and begins with a dot."""

PICTURES = frozenset(suffix for suffix, kind in TYPES.items() if kind == "image")
"""The suffixes of which nothing is read without OCR."""

INSTEAD: Mapping[str, str] = {
    ".doc": ".docx", ".dot": ".docx", ".wps": ".docx", ".wpd": ".docx", ".pages": ".docx",
    ".xls": ".xlsx", ".xlsb": ".xlsx", ".numbers": ".xlsx",
    ".ppt": ".pptx", ".pps": ".pptx",
    ".msg": ".eml", ".mobi": ".epub", ".azw3": ".epub",
    ".djvu": ".pdf", ".ps": ".pdf", ".xps": ".pdf",
}  # fmt: skip
"""What no reader knows, and as what its program saves it for one that is there."""

"""Which reader reads which suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from unimoer_rag.retrieval.readers.extracted import Extracted

__all__ = ["READERS", "TYPES"]

_Reader = Callable[[bytes], Extracted]


def _reader(module: str) -> _Reader:
    """The function `read_MODULE` of a module beside this one, imported when it first reads."""

    def read(data: bytes) -> Extracted:
        found = import_module(f"unimoer_rag.retrieval.readers.{module}")
        reader: _Reader = getattr(found, f"read_{module}")
        return reader(data)

    return read


_text = _reader("text")
_FORMATS: tuple[tuple[str, str, _Reader], ...] = (
    ("text", ".txt .text .rst .adoc .asciidoc .org .tex .log", _text),
    ("markdown", ".md .markdown", _reader("markdown")),
    ("html", ".html .htm .xhtml", _reader("html")),
    ("pdf", ".pdf", _reader("pdf")),
    ("docx", ".docx .docm .dotx", _reader("docx")),
    ("pptx", ".pptx .pptm .ppsx", _reader("pptx")),
    ("xlsx", ".xlsx .xlsm", _reader("xlsx")),
    ("odf", ".odt .ods .odp", _reader("odf")),
    ("epub", ".epub", _reader("epub")),
    ("rtf", ".rtf", _reader("rtf")),
    ("email", ".eml", _reader("email")),
    ("notebook", ".ipynb", _reader("notebook")),
    ("table", ".csv .tsv", _text),
    ("data", ".json .yaml .yml .toml .ini .cfg .conf .xml", _text),
    ("code", ".py .js .ts .java .c .cpp .h .hpp .cs .go .rs .rb .php .sh .sql .css .r", _text),
)

TYPES: Mapping[str, str] = {
    suffix: kind for kind, suffixes, _ in _FORMATS for suffix in suffixes.split()
}
"""What the metadata of a document calls the format of each suffix."""

READERS: Mapping[str, Callable[[bytes], Extracted]] = {
    suffix: reader for _, suffixes, reader in _FORMATS for suffix in suffixes.split()
}
"""The reader of each suffix, which is lower case and begins with a dot."""

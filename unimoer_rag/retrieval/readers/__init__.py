"""Files into documents: one reader a format, each a function from bytes to title and text."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.document import EmptyFileError, read_document, unknown_suffix
from unimoer_rag.retrieval.readers.extracted import Extracted
from unimoer_rag.retrieval.readers.formats import INSTEAD, PICTURES, READERS
from unimoer_rag.retrieval.readers.ocr import Ocr, OnPage

__all__ = [
    "INSTEAD",
    "PICTURES",
    "READERS",
    "EmptyFileError",
    "Extracted",
    "Ocr",
    "OnPage",
    "read_document",
    "unknown_suffix",
]

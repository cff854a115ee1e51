"""Files into documents: one reader a format, each a function from bytes to title and text."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.document import EmptyFileError, read_document
from unimoer_rag.retrieval.readers.extracted import Extracted
from unimoer_rag.retrieval.readers.formats import READERS

__all__ = ["READERS", "EmptyFileError", "Extracted", "read_document"]

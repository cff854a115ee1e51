"""Files into documents: one reader a format, each a function from bytes to title and text."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.document import read_document
from unimoer_rag.retrieval.readers.extracted import Extracted
from unimoer_rag.retrieval.readers.formats import READERS

__all__ = ["READERS", "Extracted", "read_document"]

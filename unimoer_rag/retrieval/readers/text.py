"""Plain text: what was written is what is read."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted

__all__ = ["read_text"]


def read_text(data: bytes) -> Extracted:
    """The file's own text."""
    text, notes = decode(data)
    return Extracted(text, notes=notes)

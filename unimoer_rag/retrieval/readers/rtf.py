"""RTF, by striprtf."""

from __future__ import annotations

import re

from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_rtf"]

_TITLE = re.compile(r"\{\\title\s+([^{}]{1,1000})\}")
_BLANK_LINES = re.compile(r"\n{3,}")


def read_rtf(data: bytes) -> Extracted:
    """The document's text."""
    if not data.lstrip().startswith(b"{\\rtf"):
        raise UnreadableError("it does not begin as RTF does; save it again as RTF or as DOCX")
    with needs_extra("striprtf", "documents", "reading RTF"):
        from striprtf.striprtf import rtf_to_text
    with reading("RTF"):
        source = data.decode("latin-1")  # RTF is ASCII; other bytes are its escapes' business
        text = rtf_to_text(source, errors="replace")
        found = _TITLE.search(source)
        title = rtf_to_text(f"{{\\rtf1\\ansi {found[1]}}}", errors="replace") if found else ""
    return Extracted(legible_text(_BLANK_LINES.sub("\n\n", text).strip()), title.strip())

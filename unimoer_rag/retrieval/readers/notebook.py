"""Notebooks: cells and what they printed, as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from unimoer_rag.retrieval.limits import TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.readers.html import html_text
from unimoer_rag.retrieval.readers.markdown import markdown_title

__all__ = ["read_notebook"]

# Values of JSON take many times the room of their text.
_MAX_BYTES = 64 << 20
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read_notebook(data: bytes) -> Extracted:
    """Texts as they are, code and outputs in fences."""
    with reading("notebook"):
        if len(data) > _MAX_BYTES:
            raise TooLargeError(f"the notebook is larger than {in_mebibytes(_MAX_BYTES)}")
        text, notes = decode(data)
        book = json.loads(text)
        if not isinstance(book, dict):
            raise UnreadableError("it is JSON, but no notebook")
        cells = book.get("cells")
        if cells is None:  # of format 3
            cells = [cell for sheet in book["worksheets"] for cell in sheet["cells"]]
        metadata = book.get("metadata") or {}
        language = str((metadata.get("language_info") or {}).get("name", ""))
        blocks = [block for cell in cells for block in _blocks(cell, language)]
        title = str(metadata.get("title") or "")
    found = "\n\n".join(filter(None, blocks))
    return Extracted(found, title or markdown_title(found), notes=notes)


def _blocks(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input")))
    if cell.get("cell_type") != "code":
        yield source
        return
    yield _fenced(source, language)
    for output in cell.get("outputs") or ():
        yield _fenced(_output(output))


def _output(output: dict[str, Any]) -> str:
    if output.get("output_type") in ("error", "pyerr"):
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    shown = output.get("data") or output
    for kind in ("text/markdown", "text/plain", "text", "text/latex"):
        if kind in shown:
            return _joined(shown[kind])
    return html_text(_joined(shown["text/html"])).text if "text/html" in shown else ""


def _joined(text: Any) -> str:
    lines = text if isinstance(text, list) else [text or ""]
    return _COLOURS.sub("", "".join(map(str, lines))).strip("\n")


def _fenced(text: str, language: str = "") -> str:
    if not text.strip():
        return ""
    marks = max((len(run) for run in re.findall("`{3,}", text)), default=2) + 1
    return f"{'`' * marks}{language}\n{text}\n{'`' * marks}"

"""XLSX: the values of every sheet that is shown, a line a row, by openpyxl."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.limits import MAX_TEXT_BYTES, TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.archive import Archive
from unimoer_rag.retrieval.readers.extracted import Extracted, reading
from unimoer_rag.retrieval.readers.quiet import without_warnings
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_xlsx"]

# A workbook's texts are kept as objects, which takes several times their size.
_MAX_UNPACKED = 128 << 20


def read_xlsx(data: bytes) -> Extracted:
    """The sheets, each under its name: results of formulas, dates and shares as they are shown."""
    with needs_extra("openpyxl", "documents", "reading XLSX"):
        import openpyxl
    with reading("XLSX"):
        Archive(data)  # says what is encrypted
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            size = sum(part.file_size for part in parts.infolist() if part.filename[-4:] == ".xml")
        if size > _MAX_UNPACKED:
            raise TooLargeError(f"it unpacks to more than {in_mebibytes(_MAX_UNPACKED)}")
        with without_warnings():
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            hidden = [sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"]
            blocks = [_sheet(s) for s in book.worksheets if s.sheet_state == "visible"]
            title = str(book.properties.title or "")
            book.close()
    notes = (f"hidden sheets were passed over: {', '.join(hidden)}",) if hidden else ()
    return Extracted(legible_text("\n\n".join(filter(None, blocks))), title, notes=notes)


def _sheet(sheet: Any) -> str:
    sheet.reset_dimensions()  # what the file claims may be a million rows of nothing
    lines, size = [], 0
    for line in _lines(sheet.iter_rows()):
        lines.append(line)
        size += len(line)
        if size > MAX_TEXT_BYTES:
            raise TooLargeError(f"its text is larger than {in_mebibytes(MAX_TEXT_BYTES)}")
    return "\n".join([sheet.title, *lines]) if lines else ""


def _lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    for row in rows:
        cells = (_shown(cell.value, cell.number_format) for cell in row if cell.value is not None)
        if line := " | ".join(filter(None, cells)):
            yield line


def _shown(value: Any, number_format: str) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        whole_day = value.time() == datetime.time()
        return value.date().isoformat() if whole_day else value.isoformat(" ", "minutes")
    if isinstance(value, int | float):
        if "%" in number_format:
            return f"{100 * value:.6g}%"
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.12g}"
    return " ".join(str(value).split())

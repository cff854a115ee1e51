"""Rows of the tables that data sets come in: Parquet, or JSONL (plain or packed)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from unimoer_rag.data.file_rows import FileRow, json_rows
from unimoer_rag.data.lines import cleaned
from unimoer_rag.errors import DataError
from unimoer_rag.extras import needs_extra

__all__ = ["Files", "as_files", "is_table", "table_rows"]

Files = Path | Sequence[Path]
"""One file, or the parts of a large one in their order."""

_BATCH = 1024  # rows of a Parquet file that are in memory at once
_COLUMNS_WITHOUT_NAMES = (".tsv", ".txt")


def as_files(files: Files) -> tuple[Path, ...]:
    """The parts, of which there may be one."""
    return (files,) if isinstance(files, Path) else tuple(files)


def is_table(path: Path) -> bool:
    """Whether a file holds rows with named columns, as far as its name tells."""
    return not path.name.removesuffix(".gz").endswith(_COLUMNS_WITHOUT_NAMES)


def table_rows(files: Files) -> Iterator[FileRow]:
    """The rows of a table, part after part, strings as `clean_text` leaves them.

    Raises:
        DataError: a file cannot be read, is damaged, or a line of it is no JSON object.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    for path in as_files(files):
        yield from _parquet_rows(path) if path.suffix == ".parquet" else json_rows(path)


def _parquet_rows(path: Path) -> Iterator[FileRow]:
    with needs_extra("pyarrow", "eval", "reading Parquet files"):
        import pyarrow
        import pyarrow.parquet
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
            for number, fields in enumerate(rows, start=1):
                yield FileRow(path, number, cleaned(fields))
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # no UTF-8 is the last
        raise DataError(f"cannot read the Parquet file {path}: {error}") from error

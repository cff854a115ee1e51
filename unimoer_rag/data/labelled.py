"""Labelled texts read from rows as they are drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from unimoer_rag.data.by_place import ByPlace
from unimoer_rag.data.columns import read_labelled
from unimoer_rag.data.examples import Labelled
from unimoer_rag.data.groups import read_row
from unimoer_rag.data.jsonl_rows import Rows

__all__ = ["LabelledRows"]


class LabelledRows(ByPlace[Labelled]):
    """The examples of a data set's rows, all of them read once when opened.

    Args:
        rows: labelled texts; see `columns`.
        columns: our names of columns -> those of the rows.

    Raises:
        DataError: a row is malformed; names the file and line.
    """

    def __init__(self, rows: Rows, *, columns: Mapping[str, str] = {}) -> None:
        self._rows, self._columns = rows, columns
        # Read whole before training: what is wrong with a row is told now.
        counts = Counter(self[at].label for at in range(len(rows)))
        self.labels: Mapping[str, int] = dict(sorted(counts.items()))
        """Class -> how many examples it has."""

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, place: int) -> Labelled:
        """The example of a row."""
        return read_row(self._rows, place, lambda row: read_labelled(row, self._columns))

"""A table of what was found, declared once: for a terminal, and in Markdown for documentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unimoer_rag.evaluation import markdown_cell

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["Table", "fill"]


def fill(page: str, table: str, name: str = "results") -> str:
    """A page with the table between the markers of its name.

    Raises:
        SystemExit: the page lacks them.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    if start not in page or end not in page:
        raise SystemExit(f"the page lacks the markers {start} and {end}")
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{start}\n{table}\n{end}", page)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        title: what it shows.
        heads: of the columns, the first one names the rows.
        rows: as long as the heads.
        notes: sentences below it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Title, table and notes as paragraphs of Markdown."""
        rows = [f"| {' | '.join(map(markdown_cell, row))} |" for row in (self.heads, *self.rows)]
        rows.insert(1, "|---|" + "---:|" * (len(self.heads) - 1))
        return "\n\n".join([f"{self.title}:", "\n".join(rows), *self.notes])

    def rich(self) -> RichTable:
        """Title and rows for a terminal: numbers to the right, long texts folded."""
        from rich.table import Table as RichTable

        table = RichTable(title=self.title)
        for at, head in enumerate(self.heads):
            table.add_column(head, overflow="fold", justify="right" if at else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

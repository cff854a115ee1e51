"""DPR's `psgs_w100.tsv`: `id`, `text`, `title`, tab-separated and quoted as in CSV.

Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering" (2020): Wikipedia of
20 December 2018 in 21,015,324 passages of 100 words.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from unimoer_rag.data.lines import malformed, text_lines
from unimoer_rag.retrieval import Document, clean_text

__all__ = ["dpr_passages"]


def dpr_passages(path: Path) -> Iterator[tuple[int, Document]]:
    """Passages of DPR's `psgs_w100.tsv`."""
    rows = csv.reader(text_lines(path), delimiter="\t", strict=True)
    try:
        for row in rows:
            if rows.line_num == 1 and row[:1] == ["id"]:
                continue
            if len(row) != 3 or not row[0]:
                found = f"{len(row)} tab-separated columns"
                raise malformed(path, rows.line_num, found, "three: id, text, title")
            yield (
                rows.line_num,
                Document(clean_text(row[1]), source=clean_text(row[0]), title=clean_text(row[2])),
            )
    except csv.Error as error:
        raise malformed(path, rows.line_num, str(error), "three columns") from error

#!/usr/bin/env python3
"""Write the table of data sets in docs/datasets.md: python scripts/generate_dataset_docs.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from unimoer_rag.data import readable_size
from unimoer_rag.data.catalogue.ranked import RANKED
from unimoer_rag.data.catalogue.remote import RemoteFile, WebFile
from unimoer_rag.data.catalogue.sets import Known
from unimoer_rag.lab.tables import fill

PAGE = Path(__file__).parent.parent / "docs" / "datasets.md"
COLUMNS = ("name", "split", "questions", "passages", "measure", "licence", "pin", "download")


def render(page: str) -> str:
    """The page, with the table as it should be."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, RANKED)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return fill(page, table, "ranked")


def _row(known: Known) -> tuple[str, ...]:
    split = known.default_split
    counts, files = known.splits[split].counts, known.files(split)
    asked, passages = (f"{counts.questions:,}", f"{counts.passages:,}") if counts else ("", "")
    size = sum({file.url: file.size for file in files}.values())
    return (
        f"`{known.name}`",
        split,
        asked,
        passages,
        known.measure,
        known.licence,
        _pin(files[0]),
        readable_size(size),
    )


def _pin(file: RemoteFile) -> str:
    if isinstance(file, WebFile):
        return f"`{file.digest[:12]}`"
    return f"`{file.repo}@{file.revision[:8]}`"


def main() -> None:
    """Write the page anew."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()

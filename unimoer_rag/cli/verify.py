"""`unimoer-rag index verify`: whether an index is whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import JsonFlag, print_json, print_text

__all__ = ["verify"]


def verify(
    index: Annotated[Path, typer.Argument(help="Folder of the index.")],
    as_json: JsonFlag = False,
) -> None:
    """Check an index: every file against its checksum, every passage against its id.

    Opening an index compares its files too, the first 256 MiB of them; this reads all. Nothing is
    changed. The exit code is 1 where something is wrong.
    """
    from unimoer_rag.retrieval import verify_index

    found = verify_index(index)
    if as_json:
        print_json({**asdict(found), "whole": not found.problems})
    else:
        for note in found.notes:
            print_text(f"note: {note}")
        for problem in found.problems:
            print_text(f"wrong: {problem}")
        if found.problems:
            print_text(
                "the index is damaged: restore it from a copy, or delete the folder and index the "
                "documents again"
            )
        else:
            print_text(
                f"{index} is whole: {found.passages} passages, {found.files} files compared with "
                "their checksums"
            )
    if found.problems:
        raise typer.Exit(1)

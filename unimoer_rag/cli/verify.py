"""`unimoer-rag index verify`: whether an index is whole."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unimoer_rag.cli.output import JsonFlag, print_found, print_text
from unimoer_rag.cli.retrieval_options import IndexOption
from unimoer_rag.cli.settings import is_typed
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

__all__ = ["verify"]


def verify(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="Folder of the index; or --index.")] = None,
    index: IndexOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Check an index: every file against its checksum, every passage against its id.

    Opening an index compares its files too, the first 256 MiB of them; this reads all. Nothing is
    changed. The exit code is 1 where something is wrong.
    """
    from unimoer_rag.retrieval import verify_index

    if folder is not None and is_typed(context, "index"):
        raise InputError(f"two indexes are named, {folder} and {index}: leave out one of them")
    chosen = index if folder is None else folder
    if chosen is None:
        raise InputError("say where the index is: unimoer-rag index verify --index DIR")
    found = verify_index(chosen)

    def say() -> None:
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
                f"{chosen} is whole: {counted(found.passages or 0, 'passage')}, "
                f"{counted(found.files, 'file')} compared with their checksums"
            )

    print_found({**asdict(found), "whole": not found.problems}, say, as_json=as_json)
    if found.problems:
        raise typer.Exit(1)

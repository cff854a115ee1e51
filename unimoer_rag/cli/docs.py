"""`unimoer-rag docs`: what an index holds, how it compares with files, and taking things out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimoer_rag.cli.index import is_incomplete, say_problems
from unimoer_rag.cli.option_groups import with_options
from unimoer_rag.cli.output import INCOMPLETE, JsonFlag, print_found, print_text
from unimoer_rag.cli.retrieval_options import IndexPlace, Selected
from unimoer_rag.harmless import one_line
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Holding

__all__ = ["docs"]

docs = typer.Typer(
    name="docs",
    help="What an index holds: list it, compare it with files, take things out. Needs no model.",
    no_args_is_help=True,
)

_NAMES = "Files, folders and sources as `docs ls` names them; globs too."


@docs.command("ls")
@with_options
def list_command(
    names: Annotated[list[str] | None, typer.Argument(help=_NAMES)] = None,
    *,
    place: IndexPlace,
    as_json: JsonFlag = False,
) -> None:
    """List what an index holds: files, and sources that were added by themselves."""
    from unimoer_rag.retrieval.holdings import holdings

    with place.store() as store:
        found = holdings(store, names or ())
    print_found([asdict(one) for one in found], lambda: _say(found), as_json=as_json)


@docs.command("rm")
@with_options
def remove_command(
    names: Annotated[list[str], typer.Argument(help=_NAMES)],
    *,
    place: IndexPlace,
    as_json: JsonFlag = False,
) -> None:
    """Take files, folders and sources out of an index; the files themselves are left alone."""
    from unimoer_rag.retrieval import remove

    with place.store(read_only=False) as store:
        gone = remove(store, names)
        total = store.count()
    passages = sum(one.passages for one in gone)

    def say() -> None:
        _say(gone)
        print_text(f"{counted(passages, 'passage')} removed; the index holds {total}")

    print_found({"removed": [asdict(one) for one in gone], "total": total}, say, as_json=as_json)


@docs.command("status")
@with_options
def status_command(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders that were indexed.")],
    *,
    place: IndexPlace,
    selected: Selected,
    as_json: JsonFlag = False,
) -> None:
    """Compare an index with files: what is new, changed or gone since they were indexed.

    `unimoer-rag index` brings in what is new and changed, with --sync also removes what is gone.
    """
    from unimoer_rag.retrieval import Roots, Status, compare, scan

    selection = selected.selection()
    with place.store() as store:
        roots = Roots(store, place.index)
        corpora = [scan(path, name=roots.naming(path), selection=selection) for path in paths]
        parts = [compare(store, corpus) for corpus in corpora]
    kinds = ("new", "changed", "gone", "unchanged")
    joined = {kind: tuple(n for part in parts for n in getattr(part, kind)) for kind in kinds}
    whole = Status(**joined, problems=tuple(p for part in parts for p in part.problems))

    def say() -> None:
        for kind in kinds[:3]:
            for name in joined[kind]:
                print_text(f"{kind:8} {one_line(name)}")
        print_text(", ".join(f"{len(joined[kind])} {kind}" for kind in kinds))
        say_problems(whole.problems)

    print_found(asdict(whole), say, as_json=as_json)
    if is_incomplete(whole.problems):
        raise typer.Exit(INCOMPLETE)


def _say(found: Iterable[Holding]) -> None:
    n = 0
    for one in found:
        n += 1
        documents = "" if one.documents == 1 else f", {counted(one.documents, 'document')}"
        print_text(f"{one_line(one.name)}  ({counted(one.passages, 'passage')}{documents})")
    if not n:
        print_text("nothing")

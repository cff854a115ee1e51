"""`unimoer-rag docs`: what an index holds, how it compares with files, and taking things out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unimoer_rag.cli.index import (
    ExcludeOption,
    FollowFlag,
    IncludeOption,
    NoIgnoreFlag,
    say_problems,
)
from unimoer_rag.cli.output import (
    INCOMPLETE,
    Collection,
    IndexOption,
    JsonFlag,
    KeyOption,
    UrlOption,
    print_json,
    print_text,
    quiet,
)
from unimoer_rag.errors import InputError
from unimoer_rag.harmless import one_line

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Holding, Store

__all__ = ["docs"]

docs = typer.Typer(
    name="docs",
    help="What an index holds: list it, compare it with files, take things out. Needs no model.",
    no_args_is_help=True,
)

_NAMES = "Files, folders and sources as `docs ls` names them; globs too."


def _open(
    index: Path | None,
    url: str | None,
    api_key: str | None,
    collection: str,
    *,
    read_only: bool = True,
) -> Store:
    if (index is None) == (url is None):
        raise InputError("say where the index is: --index DIR, or --url of a Qdrant server")
    quiet()
    from unimoer_rag.retrieval import EdgeStore, ServerStore

    if index is not None:
        return EdgeStore(index, read_only=read_only)
    return ServerStore.connect(str(url), api_key=api_key, collection=collection)


@docs.command("ls")
def list_command(
    names: Annotated[list[str] | None, typer.Argument(help=_NAMES)] = None,
    index: IndexOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    as_json: JsonFlag = False,
) -> None:
    """List what an index holds: files, and sources that were added by themselves."""
    from unimoer_rag.retrieval.holdings import holdings

    with _open(index, url, api_key, collection) as store:
        found = holdings(store, names or ())
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _say(found)


@docs.command("rm")
def remove_command(
    names: Annotated[list[str], typer.Argument(help=_NAMES)],
    index: IndexOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    as_json: JsonFlag = False,
) -> None:
    """Take files, folders and sources out of an index; the files themselves are left alone."""
    from unimoer_rag.retrieval import remove

    with _open(index, url, api_key, collection, read_only=False) as store:
        gone = remove(store, names)
        total = store.count()
    passages = sum(one.passages for one in gone)
    if as_json:
        print_json({"removed": [asdict(one) for one in gone], "total": total})
    else:
        _say(gone)
        print_text(f"{passages} passages removed; the index holds {total}")


@docs.command("status")
def status_command(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders that were indexed.")],
    index: IndexOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    no_ignore: NoIgnoreFlag = False,
    follow_links: FollowFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Compare an index with files: what is new, changed or gone since they were indexed.

    `unimoer-rag index` brings in what is new and changed, with --sync also removes what is gone.
    """
    from unimoer_rag.retrieval import Roots, Selection, Status, compare, scan

    selection = Selection(include or (), exclude or (), not no_ignore, follow_links)
    with _open(index, url, api_key, collection) as store:
        roots = Roots(store, index)
        corpora = [scan(path, name=roots.naming(path), selection=selection) for path in paths]
        parts = [compare(store, corpus) for corpus in corpora]
    kinds = ("new", "changed", "gone", "unchanged")
    joined = {kind: tuple(n for part in parts for n in getattr(part, kind)) for kind in kinds}
    whole = Status(**joined, problems=tuple(p for part in parts for p in part.problems))
    if as_json:
        print_json(asdict(whole))
    else:
        for kind in kinds[:3]:
            for name in joined[kind]:
                print_text(f"{kind:8} {one_line(name)}")
        counts = ", ".join(f"{len(joined[kind])} {kind}" for kind in kinds)
        print_text(f"{counts}")
        say_problems(whole.problems)
    if whole.problems:
        raise typer.Exit(INCOMPLETE)


def _say(found: Iterable[Holding]) -> None:
    n = 0
    for one in found:
        n += 1
        documents = "" if one.documents == 1 else f", {one.documents} documents"
        print_text(f"{one_line(one.name)}  ({one.passages} passages{documents})")
    if not n:
        print_text("nothing")

"""`unimoer-rag index`: documents into an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli.output import (
    INCOMPLETE,
    Collection,
    DeviceOption,
    DtypeOption,
    IndexModelOption,
    IndexOption,
    JsonFlag,
    KeyOption,
    MemoryBudgetOption,
    UrlOption,
    counting,
    errors,
    print_json,
    print_text,
    progress_bar,
    quiet,
    say_plan,
)
from unimoer_rag.cli.retrieval_options import (
    TOKEN_POOLING,
    ChunkOverlapOption,
    ChunkSizeOption,
    DimensionsOption,
    QuantizationOption,
    TokenStatesOption,
    WholeFlag,
    chunking_of,
)
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.retrieval import AddReport, Corpus, Problem, UnifiedRetriever

__all__ = ["add_corpora", "index", "open_retriever", "say_problems", "scan_paths"]

_FEW = 3  # problems of a kind that are told in full

SyncFlag = Annotated[
    bool,
    typer.Option(
        "--sync",
        help="Remove what the index holds of these paths and is no longer there, or left out.",
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option("--include", help="Only files in folders that match a glob, such as '*.md'."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Pass over files and folders that match a glob: 'drafts/'."),
]
NoIgnoreFlag = Annotated[
    bool,
    typer.Option(
        "--no-ignore", help="Read what .gitignore files name, node_modules and __pycache__, too."
    ),
]
FollowFlag = Annotated[
    bool,
    typer.Option("--follow-links", help="Read what links lead to outside a folder, too."),
]


def open_retriever(
    checkpoint: str | None,
    index: Path | None,
    url: str | None,
    api_key: str | None,
    collection: str,
    **options: Any,
) -> UnifiedRetriever:
    """The retriever of a command's options."""
    quiet()
    from unimoer_rag.retrieval import UnifiedRetriever

    retriever = UnifiedRetriever(
        checkpoint, index=index, url=url, api_key=api_key, collection=collection, **options
    )
    if options.get("memory_budget") is not None:
        say_plan(retriever.model.memory_plan)
    return retriever


def scan_paths(paths: list[Path], **selection: Any) -> dict[Path, Corpus]:
    """What there is to index at each path, before a model is loaded or a folder made.

    Args:
        paths: files and folders.
        selection: what is read of a folder, as for `Selection`.
    """
    from unimoer_rag.retrieval import Selection, scan

    chosen = Selection(**selection)
    return {path: scan(path, selection=chosen) for path in paths}


def add_corpora(
    retriever: UnifiedRetriever, corpora: dict[Path, Corpus], **options: Any
) -> AddReport:
    """Index paths, showing how far it is and printing what could not be read.

    Args:
        retriever: the index.
        corpora: what there is at each path.
        options: of `UnifiedRetriever.add_path`.
    """
    from unimoer_rag.retrieval import AddReport

    whole = AddReport()
    with progress_bar() as bar:
        show = counting(bar)
        for path, corpus in corpora.items():

            def tell(report: AddReport, path: Path = path, size: int = len(corpus)) -> None:
                done = report.documents + len(report.problems)
                show(f"indexing {path}", done, size, _passages(report))

            tell(AddReport())
            part = retriever.add_path(path, on_progress=tell, **options)
            for name in ("documents", "added", "unchanged", "removed", "truncated"):
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
            whole.problems += part.problems
            whole.notes += part.notes
            for kind, n in part.skipped.items():
                whole.skipped[kind] = whole.skipped.get(kind, 0) + n
            if not len(corpus):
                errors.print(Text(f"nothing to index in {path}"), soft_wrap=True)
    say_problems(whole.problems)
    say_problems(whole.notes, "note: ")
    return whole


def _passages(report: AddReport) -> str:
    return f"{report.passages:,} passages" if report.passages else ""


def say_problems(problems: Iterable[Problem], label: str = "not indexed: ") -> None:
    """What was not indexed, or how, on standard error: in full, or a line for many of a kind.

    What the run before has told of is one line in all.
    """
    from unimoer_rag.retrieval import by_kind

    lines: list[str] = []
    told = list(problems)
    for kind, some in by_kind(one for one in told if not one.known).items():
        if len(some) > _FEW:
            lines.append(f"{len(some)}: {kind} ({_names(some)})")
        else:
            lines += [problem.reason for problem in some]
    if known := [one for one in told if one.known]:
        lines.append(f"{len(known)} as told before ({_names(known)})")
    for line in lines:
        errors.print(Text.assemble((label, "yellow"), line), soft_wrap=True)


def _names(problems: Sequence[Problem]) -> str:
    few = list(dict.fromkeys(problem.path for problem in problems))[:_FEW]
    return f"{', '.join(few)}{', ...' * (len(problems) > _FEW)}; --json lists all"


def index(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, folders, JSONL files or BEIR folders.")
    ],
    index: IndexOption = None,
    checkpoint: IndexModelOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    chunk_size: ChunkSizeOption = None,
    chunk_overlap: ChunkOverlapOption = None,
    whole: WholeFlag = False,
    dimensions: DimensionsOption = None,
    quantization: QuantizationOption = None,
    token_states: TokenStatesOption = None,
    token_pooling: Annotated[int, TOKEN_POOLING] = 1,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    memory_budget: MemoryBudgetOption = None,
    sync: SyncFlag = False,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    no_ignore: NoIgnoreFlag = False,
    follow_links: FollowFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Index documents: read, cut into passages, embed, store.

    Files that cannot be read are reported and the rest is indexed; the exit code is then 3. Run
    again after an interruption, or after files changed: only what is new is embedded. What is
    gone stays in the index, unless --sync is given; see also `unimoer-rag docs`.
    """
    from unimoer_rag.retrieval import is_index

    if index is None and url is None:
        raise InputError("say where the index is: --index DIR, or --url of a Qdrant server")
    selection = {
        "include": include or (),
        "exclude": exclude or (),
        "ignore_files": not no_ignore,
        "follow_links": follow_links,
    }
    corpora = scan_paths(paths, **selection)
    empty = not any(corpus.files for corpus in corpora.values())
    if empty and not (sync and (index is None or is_index(index))):  # before a folder is made
        raise _nothing(corpora)
    chunking = chunking_of(chunk_size, chunk_overlap, whole)
    with open_retriever(
        checkpoint,
        index,
        url,
        api_key,
        collection,
        chunking=chunking,
        dimensions=dimensions,
        quantization=quantization,
        token_states=token_states,
        token_pooling=token_pooling,
        device=device,
        dtype=dtype,
        memory_budget=memory_budget,
    ) as retriever:
        report = add_corpora(retriever, corpora, sync=sync, **selection)
        total = retriever.count()
    if as_json:
        print_json({**asdict(report), "total": total})
    else:
        print_text(
            f"{report.documents} documents: {report.added} passages added, {report.unchanged} "
            f"unchanged, {report.removed} removed; the index holds {total}"
        )
        if report.truncated:
            print_text(f"{report.truncated} passages were too long and lost their end")
        if report.skipped:
            skipped = ", ".join(f"{n} {kind}" for kind, n in report.skipped.items())
            print_text(f"passed over: {skipped}")
    if empty:
        raise typer.Exit(1)
    if report.problems:
        raise typer.Exit(INCOMPLETE)


def _nothing(corpora: dict[Path, Corpus]) -> InputError:
    """The error of paths without documents, with what there is in place of them."""
    say_problems(problem for corpus in corpora.values() for problem in corpus.problems)
    skipped = sum((Counter(corpus.skipped) for corpus in corpora.values()), Counter[str]())
    over = ", ".join(f"{n} {kind}" for kind, n in skipped.items()) or "nothing"
    return InputError(
        f"there is nothing to index in {', '.join(map(str, corpora))} (passed over: {over}); the "
        "index is as it was"
    )

"""`unimoer-rag index`: documents into an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    INCOMPLETE,
    JsonFlag,
    counting,
    print_found,
    print_note,
    print_text,
    progress_bar,
)
from unimoer_rag.cli.retrieval_options import (
    TOKEN_POOLING,
    IndexPlace,
    LoadedModel,
    NewIndex,
    Selected,
    open_retriever,
)
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.retrieval import AddReport, Corpus, Problem, Selection, UnifiedRetriever

__all__ = ["add_corpora", "index", "is_incomplete", "say_problems", "scan_paths"]

_FEW = 3  # problems of a kind that are told in full


def scan_paths(paths: list[Path], selection: Selection | None = None) -> dict[Path, Corpus]:
    """What there is to index at each path, before a model is loaded or a folder made.

    Args:
        paths: files and folders.
        selection: what is read of a folder; None for all documents.
    """
    from unimoer_rag.retrieval import Selection, scan

    chosen = Selection() if selection is None else selection
    return {path: scan(path, selection=chosen) for path in paths}


def add_corpora(
    retriever: UnifiedRetriever, corpora: Mapping[Path, Corpus], **options: Any
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
                held = counted(report.passages, "passage") if report.passages else ""
                show(f"indexing {path}", done, size, report.reading or held)

            tell(AddReport())
            part = retriever.add_path(path, on_progress=tell, **options)
            for name in ("documents", "added", "unchanged", "removed", "truncated"):
                setattr(whole, name, getattr(whole, name) + getattr(part, name))
            whole.problems += part.problems
            whole.notes += part.notes
            for kind, n in part.skipped.items():
                whole.skipped[kind] = whole.skipped.get(kind, 0) + n
            if not len(corpus):
                print_note(f"nothing to index in {path}")
    say_problems(whole.problems)
    say_problems(whole.notes, "note: ")
    return whole


def is_incomplete(problems: Iterable[Problem]) -> bool:
    """Whether something was not indexed that should have been."""
    return any(not problem.minor for problem in problems)


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
        print_note(Text.assemble((label, "yellow"), line))


def _names(problems: Sequence[Problem]) -> str:
    few = list(dict.fromkeys(problem.path for problem in problems))[:_FEW]
    return f"{', '.join(few)}{', ...' * (len(problems) > _FEW)}; --json lists all"


@with_options
def index(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, folders, JSONL files or BEIR folders.")
    ],
    *,
    place: IndexPlace,
    model: LoadedModel,
    made: NewIndex,
    token_pooling: Annotated[int, TOKEN_POOLING] = 1,
    sync: bool = option(
        "Remove what the index holds of these paths and is no longer there, or left out.",
        default=False,
    ),
    selected: Selected,
    as_json: JsonFlag = False,
) -> None:
    """Index documents: read, cut into passages, embed, store.

    Files that cannot be read are reported and the rest is indexed; the exit code is then 3. Run
    again after an interruption, or after files changed: only what is new is embedded. What is
    gone stays in the index, unless --sync is given; see also `unimoer-rag docs`.
    """
    from unimoer_rag.retrieval import is_index

    place.require()
    selection = selected.selection()
    corpora = scan_paths(paths, selection)
    empty = not any(corpus.files for corpus in corpora.values())
    if empty and not (sync and (place.index is None or is_index(place.index))):
        say_problems(problem for corpus in corpora.values() for problem in corpus.problems)
        raise _nothing(corpora)  # before a folder is made
    settings = {**made.settings(), "token_pooling": token_pooling}
    with open_retriever(place, model, **settings) as retriever:
        report = add_corpora(retriever, corpora, sync=sync, **asdict(selection))
        total = retriever.count()
    if empty:
        raise _nothing(corpora)
    found = {**asdict(report), "total": total}
    del found["reading"]
    print_found(found, lambda: _say(report, total, ocr=selection.ocr), as_json=as_json)
    if is_incomplete(report.problems):
        raise typer.Exit(INCOMPLETE)


def _say(report: AddReport, total: int, *, ocr: bool) -> None:
    from unimoer_rag.retrieval import remedies

    print_text(
        f"{counted(report.documents, 'document')}: {counted(report.added, 'passage')} added, "
        f"{report.unchanged} unchanged, {report.removed} removed; the index holds {total}"
    )
    if report.truncated:
        lost = (
            "was too long and lost its" if report.truncated == 1 else "were too long and lost their"
        )
        print_text(f"{counted(report.truncated, 'passage')} {lost} end")
    if report.skipped:
        skipped = ", ".join(f"{n} {kind}" for kind, n in report.skipped.items())
        more = "; ".join(remedies(report.skipped, ocr=ocr))
        print_text(f"passed over: {skipped}{f' ({more})' if more else ''}")


def _nothing(corpora: dict[Path, Corpus]) -> InputError:
    """The error of paths without documents, with what there is in place of them."""
    from unimoer_rag.retrieval import remedies

    skipped = sum((Counter(corpus.skipped) for corpus in corpora.values()), Counter[str]())
    over = ", ".join(f"{n} {kind}" for kind, n in skipped.items()) or "nothing"
    ocr = all(corpus.ocr for corpus in corpora.values())
    over = "; ".join([over, *remedies(skipped, ocr=ocr)])
    return InputError(
        f"there is nothing to index in {', '.join(map(str, corpora))} (passed over: {over}); the "
        "index is as it was"
    )

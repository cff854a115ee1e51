"""`unimoer-rag ask`: an answer with its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from unimoer_rag.cli.index import add_paths, open_retriever
from unimoer_rag.cli.output import (
    CheckpointOption,
    Collection,
    JsonFlag,
    KeyOption,
    UrlOption,
    console,
    print_json,
)
from unimoer_rag.cli.search import FiltersOption, ModeOption, parse_filters, require_index

__all__ = ["ask"]


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    index: Annotated[Path | None, typer.Option("--index", help="Folder of the index.")] = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option("--docs", help="Documents to index first; in memory without --index."),
    ] = None,
    n_read: Annotated[int, typer.Option("--read", help="Passages to read.")] = 5,
    rerank: Annotated[int, typer.Option(help="First-stage results to rerank; 0 for none.")] = 50,
    threshold: Annotated[float, typer.Option(help="Least confidence of an answer.")] = 0.1,
    mode: ModeOption = "dense",
    filters: FiltersOption = None,
    checkpoint: CheckpointOption = "unimoer-minilm",
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    as_json: JsonFlag = False,
) -> None:
    """Answer a question from the documents, quoting them."""
    conditions = parse_filters(filters)
    if not docs:
        require_index(index, url)
    with open_retriever(
        checkpoint, index, url, api_key, collection, mode=mode, rerank=rerank
    ) as retriever:
        from unimoer_rag.pipelines.rag import RagPipeline

        pipeline = RagPipeline(retriever, n_read=n_read, threshold=threshold)
        if docs:
            add_paths(retriever, docs)
        answer = pipeline.answer(question, filters=conditions)
    if as_json:
        print_json(answer.to_dict())
        return
    if answer.text is None:
        console.print("[bold]no answer found[/]")
        if answer.hits:
            console.print("nearest passages:")
    else:
        console.print(f"[bold]{escape(answer.text)}[/]  [dim]confidence {answer.confidence:.2f}[/]")
    for number, citation in enumerate(answer.citations, start=1):
        p = citation.hit.passage
        console.print(
            f"\n[{number}] {escape(p.source)}:{citation.start}-{citation.end}  "
            f"[dim]{escape(citation.text)} ({citation.confidence:.2f})[/]",
            highlight=False,
        )
        at, end = citation.start - p.start, citation.end - p.start
        quoted = (
            f"{escape(p.text[:at])}[bold green]{escape(p.text[at:end])}[/]{escape(p.text[end:])}"
        )
        console.print(f"    {' '.join(quoted.split())}", highlight=False)
    if answer.text is None:
        for hit in answer.hits[:3]:
            console.print(f"  {hit.score:.3f} {escape(hit.source)}", highlight=False)
    spent = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in answer.timings.items())
    console.print(f"\n[dim]{spent}[/]", highlight=False)

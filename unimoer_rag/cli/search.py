"""`unimoer-rag search`: passages for a query."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli.index import open_retriever
from unimoer_rag.cli.output import (
    Collection,
    DeviceOption,
    DtypeOption,
    IndexModelOption,
    IndexOption,
    JsonFlag,
    KeyOption,
    MemoryBudgetOption,
    ModeOption,
    RerankText,
    UrlOption,
    parse_rerank,
    print_json,
    print_text,
)
from unimoer_rag.cli.retrieval_options import OversamplingOption, RerankerOption
from unimoer_rag.errors import InputError
from unimoer_rag.json_text import parse_json

__all__ = ["FiltersOption", "parse_filters", "require_index", "search"]

FiltersOption = Annotated[
    str | None,
    typer.Option("--filters", help='Conditions as JSON, such as {"source": "a.md"}.'),
]


_DEPTH = 20  # of filters; there are no deeper ones


def parse_filters(text: str | None) -> dict[str, Any] | None:
    """The `--filters` option as a mapping."""
    if text is None:
        return None
    filters = parse_json(text, what="--filters", depth=_DEPTH)
    if not isinstance(filters, dict):
        raise InputError(f"--filters is a {type(filters).__name__}: expected a JSON object")
    return filters


def require_index(index: Path | None, url: str | None) -> None:
    """Refuse a folder that holds no index, before a model is loaded or a folder made."""
    from unimoer_rag.retrieval import is_index

    if url is not None:
        return
    if index is None:
        raise InputError("say where the index is: --index DIR, or --url of a Qdrant server")
    if not is_index(index):
        raise InputError(
            f"there is no index at {index}: make one with unimoer-rag index PATH --index {index}"
        )


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    index: IndexOption = None,
    k: Annotated[int, typer.Option("-k", help="Hits to print.")] = 5,
    rerank: Annotated[str, RerankText] = "50",
    reranker: RerankerOption = None,
    mode: ModeOption = "dense",
    filters: FiltersOption = None,
    oversampling: OversamplingOption = None,
    checkpoint: IndexModelOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    memory_budget: MemoryBudgetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the passages that answer a query, reranked."""
    conditions = parse_filters(filters)
    require_index(index, url)
    with open_retriever(
        checkpoint,
        index,
        url,
        api_key,
        collection,
        k=k,
        rerank=parse_rerank(rerank),
        reranker=reranker,
        mode=mode,
        oversampling=oversampling,
        device=device,
        dtype=dtype,
        memory_budget=memory_budget,
        read_only=True,
    ) as retriever:
        hits = retriever.search(query, filters=conditions)
    if as_json:
        print_json([hit.to_dict() for hit in hits])
        return
    if not hits:
        print_text("nothing found")
    for rank, hit in enumerate(hits, start=1):
        p = hit.passage
        print_text(
            Text.assemble(
                (f"{rank}. ", "bold"),
                (f"{hit.score:.3f}", "cyan"),
                f" {hit.place} ",
                (p.title, "dim"),
            )
        )
        print_text(f"   {' '.join(p.text.split())}\n")

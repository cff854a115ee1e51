"""`unimoer-rag search`: passages for a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import JsonFlag, print_found, print_text
from unimoer_rag.cli.retrieval_options import (
    FiltersOption,
    IndexPlace,
    LoadedModel,
    ModeOption,
    OversamplingOption,
    RerankerOption,
    RerankText,
    open_retriever,
    parse_filters,
    parse_rerank,
    require_index,
)

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Hit

__all__ = ["search"]


@with_options
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    place: IndexPlace,
    k: int = option("Hits to print.", "-k", default=5),
    rerank: Annotated[str, RerankText] = "50",
    reranker: RerankerOption = None,
    mode: ModeOption = "dense",
    filters: FiltersOption = None,
    oversampling: OversamplingOption = None,
    model: LoadedModel,
    as_json: JsonFlag = False,
) -> None:
    """Find the passages that answer a query, reranked."""
    conditions = parse_filters(filters)
    require_index(place.index, place.url)
    with open_retriever(
        place,
        model,
        k=k,
        rerank=parse_rerank(rerank),
        reranker=reranker,
        mode=mode,
        oversampling=oversampling,
        read_only=True,
    ) as retriever:
        hits = retriever.search(query, filters=conditions)
    print_found([hit.to_dict() for hit in hits], lambda: _say(hits), as_json=as_json)


def _say(hits: Sequence[Hit]) -> None:
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

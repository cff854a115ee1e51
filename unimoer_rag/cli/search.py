"""`unimoer-rag search`: passages for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import JsonFlag, linked, print_found, print_text
from unimoer_rag.cli.retrieval_options import (
    FiltersOption,
    LoadedModel,
    ModeOption,
    OversamplingOption,
    RerankText,
    SearchedPlace,
    open_retriever,
    parse_filters,
    parse_rerank,
    require_index,
)
from unimoer_rag.cli.running import running_server

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Hit, Places, Ranks, UnifiedRetriever

__all__ = ["places_of", "search"]

_DEEPER = 3  # times as many hits are looked at, of which some say the same
_ALSO = 3  # other sources of a text that are named


@with_options
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    place: SearchedPlace,
    k: int = option("Hits to print.", "-k", default=5),
    rerank: Annotated[str, RerankText] = "50",
    reranker: str | None = option(
        "What ranks in the model's place: the name or folder of another model, such as a published "
        "cross-encoder, or the YAML file of a reranker that asks a language model.",
        default=None,
    ),
    mode: ModeOption = "dense",
    filters: FiltersOption = None,
    oversampling: OversamplingOption = None,
    apart: bool = option(
        "List passages of the same text each by itself, as --json does, not once with the other "
        "files that have it.",
        default=False,
    ),
    model: LoadedModel,
    as_json: JsonFlag = False,
) -> None:
    """Find the passages that answer a query, reranked."""
    conditions = parse_filters(filters)
    from unimoer_rag.retrieval import Places

    depth = parse_rerank(rerank)
    folded = not (apart or as_json)
    require_index(place.index, place.url, place.mapping)
    n = _deeper(k, depth) if folded else k
    ranks = _opened(reranker)
    parts: dict[str, Any] = {"reranker": ranks, "oversampling": oversampling}
    if server := running_server(place.index, depth, **asdict(model), **parts):
        hits = server.search(query, k=n, rerank=depth, mode=mode, filters=conditions)
        places = Places()
    else:
        how: dict[str, Any] = {"k": k, "rerank": depth, "mode": mode}
        with open_retriever(place, model, read_only=True, **how, **parts) as retriever:
            hits = retriever.search(query, k=n, filters=conditions)
            places = places_of(retriever)
    print_found(
        [hit.to_dict() for hit in hits],
        lambda: _say(hits, k, places, folded=folded),
        as_json=as_json,
    )


def _opened(reranker: str | None) -> str | Ranks | None:
    """The reranker of a YAML file; another name as it is."""
    if reranker is None or Path(reranker).suffix not in (".yaml", ".yml"):
        return reranker
    from unimoer_rag.pipelines import RerankerConfig

    return RerankerConfig.load(reranker).open()


def places_of(retriever: UnifiedRetriever) -> Places:
    """Where the files of an index are."""
    from unimoer_rag.retrieval import Places, Roots

    index = retriever.settings.index
    return Places(Roots(retriever.store, None if index is None else Path(index)).known())


def _deeper(k: int, depth: int | str) -> int:
    """Hits to look at for k texts: as many as change nothing about which are the best."""
    if k < 1 or isinstance(depth, str):
        return k  # how many it may rerank is not known here
    return max(k, min(_DEEPER * k, depth) if depth else _DEEPER * k)


def _say(hits: Sequence[Hit], k: int, places: Places, *, folded: bool) -> None:
    from unimoer_rag.retrieval import Folded, fold

    found = fold(hits)[:k] if folded else [Folded(hit) for hit in hits]
    if not found:
        print_text("nothing found")
    for rank, (hit, also) in enumerate(found, start=1):
        p = hit.passage
        print_text(
            Text.assemble(
                (f"{rank}. ", "bold"),
                (f"{hit.score:.3f}", "cyan"),
                " ",
                linked(hit.place, places.address(p)),
                " ",
                (p.title, "dim"),
            )
        )
        print_text(f"   {' '.join(p.text.split())}")
        if also:
            print_text(_also(also, places))
        print_text("")


def _also(hits: Sequence[Hit], places: Places) -> Text:
    named = [linked(hit.place, places.address(hit.passage)) for hit in hits[:_ALSO]]
    more = f" and {len(hits) - _ALSO} more" if len(hits) > _ALSO else ""
    return Text.assemble(("   also in: ", "dim"), Text(", ").join(named), more)

"""What works behind a retriever, once its models are loaded and its index is open."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from unimoer_rag.model import StateFormat
from unimoer_rag.retrieval.chunking import Chunker, Chunking
from unimoer_rag.retrieval.identity import agree
from unimoer_rag.retrieval.indexer import Indexer
from unimoer_rag.retrieval.other_models import bm25_of
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.query_cache import QueryCache
from unimoer_rag.retrieval.running import run_by
from unimoer_rag.retrieval.searcher import Searcher
from unimoer_rag.retrieval.settings import RetrieverSettings
from unimoer_rag.retrieval.states import states_of_new
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.writing import WritingSeen

__all__ = ["Assembled", "assemble"]


class Assembled(NamedTuple):
    """What works on one index.

    Attributes:
        chunking: how documents are cut.
        states: how the passages' token states are kept; None for none.
        language: of the words that BM25 counts.
        indexer: writes the index.
        searcher: searches it.
    """

    chunking: Chunking | str
    states: StateFormat | None
    language: str
    indexer: Indexer
    searcher: Searcher


def assemble(
    store: Store,
    embeds: Embeds,
    ranks: Ranks | None,
    settings: RetrieverSettings,
    cache: QueryCache,
) -> Assembled:
    """What works on an index, once it is what the settings say.

    Args:
        store: the index.
        embeds: embeds passages and queries.
        ranks: ranks; None where nothing does.
        settings: of the retriever.
        cache: hits of earlier queries.

    Raises:
        IndexMismatchError: the index was built with something else.
    """
    chunking, form, encoder = agree(
        store,
        embeds,
        settings.chunking,
        bm25_of(embeds),
        language=settings.language,
        token_states=settings.state_format,
        states_of_new=states_of_new(embeds, ranks),
        where=settings.where,
    )
    parts = (store, encoder, cache)
    embedding, ranking = run_by(embeds, ranks, store, form)
    home = None if settings.index is None else Path(settings.index)
    chunker = _chunker(embeds, chunking)
    indexer = Indexer(embedding, *parts, chunker, WritingSeen(embeds), home=home)
    searcher = Searcher(embedding, ranking, *parts)
    return Assembled(chunking, form, encoder.language, indexer, searcher)


def _chunker(embeds: Embeds, chunking: Chunking | str) -> Chunker:
    if isinstance(chunking, Chunking):
        return Chunker(embeds.tokenizer.backend_tokenizer, chunking)
    return Chunker(None, None)

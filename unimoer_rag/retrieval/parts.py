"""The models of a retriever: loaded by their names, and refused where they cannot do their part."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model import UniMoER, late_task
from unimoer_rag.retrieval.identity import WHOLE, warn_beyond
from unimoer_rag.retrieval.index_model import DEFAULT_MODEL, model_of_index
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.settings import RetrieverSettings
from unimoer_rag.retrieval.types import Mode

__all__ = ["check_mode", "check_parts", "load_embedding", "load_ranking"]


def load_embedding(settings: RetrieverSettings) -> Embeds:
    """What embeds: loaded by its name, that of the index where none is given, or given itself.

    Raises:
        InputError: the model of that name embeds nothing.
        UnimoerError: it cannot be had; see `UniMoER.from_pretrained` and `model_of_index`.
    """
    model = settings.model
    if model is None:
        foreign = settings.mapping is not None  # such a collection names no model
        model = DEFAULT_MODEL if foreign else model_of_index(**settings.place)
    if not isinstance(model, str | Path):
        return model
    loaded = UniMoER.from_pretrained(
        model,
        device=settings.device,
        dtype=settings.dtype,
        memory_budget=settings.memory_budget,
    )
    if "embed" not in loaded.tasks:
        raise InputError(
            f"{model} embeds nothing, and so finds nothing: its tasks are "
            f"{', '.join(loaded.tasks)}; name a model that embeds, and this one as the reranker"
        )
    return loaded


def load_ranking(settings: RetrieverSettings, embeds: Embeds) -> Ranks | None:
    """What ranks: loaded by its name, given itself, or the model that embeds, where it is ours.

    Args:
        settings: of the retriever.
        embeds: what embeds.

    Raises:
        InputError: the model of that name does not rerank.
        UnimoerError: it cannot be had; see `UniMoER.from_pretrained`.
    """
    if settings.reranker is None:
        return embeds if isinstance(embeds, UniMoER) else None
    if not isinstance(settings.reranker, str | Path):
        return settings.reranker
    loaded = UniMoER.from_pretrained(
        settings.reranker, device=settings.device, dtype=settings.dtype
    )
    if "rerank" not in loaded.tasks:
        raise InputError(
            f"the reranker {settings.reranker} does not rerank: its tasks are "
            f"{', '.join(loaded.tasks)}; name a model with the task 'rerank', such as a "
            "cross-encoder's folder"
        )
    return loaded


def check_mode(mode: Mode, embeds: Embeds) -> None:
    """Refuse a first stage of vectors where none are made.

    Raises:
        InputError: names the one that there is.
    """
    if not embeds.dimension and mode in ("dense", "hybrid"):
        raise InputError(
            f"nothing is embedded here, so there is no {mode} search: the first stage must be "
            "'sparse' (BM25)"
        )


def check_parts(settings: RetrieverSettings, embeds: Embeds, ranks: Ranks | None) -> None:
    """Refuse what these models cannot have.

    Raises:
        InputError: token states of a model that keeps none, or documents cut by no tokenizer.
    """
    if isinstance(embeds, UniMoER):
        warn_beyond(embeds.rows.room(embeds.task("embed")), settings.chunking)
    if settings.token_states is not None:
        if not isinstance(embeds, UniMoER) or ranks is not embeds:
            raise InputError(
                "token states are kept for a UniMoER that embeds and ranks, and another model does "
                "here: leave token_states out"
            )
        late_task(embeds)  # refuses a model that has none to keep
    cuts = settings.chunking != WHOLE and settings.mapping is None
    if embeds.tokenizer is None and cuts:
        raise InputError(
            f"{embeds.checkpoint} has no tokenizer to cut documents by: keep each as one passage "
            f"by chunking={WHOLE!r}, or give it a tokenizer"
        )

"""The models that a retriever is made of: given, or loaded by their names."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model import UniMoER, late_task
from unimoer_rag.retrieval.identity import WHOLE
from unimoer_rag.retrieval.index_model import model_of_index
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.settings import RetrieverSettings

__all__ = ["check_parts", "load_embeds", "load_ranks"]


def load_embeds(settings: RetrieverSettings) -> Embeds:
    """What embeds: loaded by its name, that of the index where none is given, or given itself."""
    model = model_of_index(**settings.place) if settings.model is None else settings.model
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


def load_ranks(settings: RetrieverSettings, own: UniMoER | None) -> Ranks | None:
    """What ranks: loaded by its name, given itself, or the model that embeds, where it is ours."""
    if settings.reranker is None:
        return own
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


def check_parts(settings: RetrieverSettings, embeds: Embeds, ranks: Ranks | None) -> None:
    """Refuse what these models cannot have.

    Raises:
        InputError: token states of a model that keeps none, or documents cut by no tokenizer.
    """
    if settings.token_states is not None:
        if not isinstance(embeds, UniMoER) or ranks is not embeds:
            raise InputError(
                "token states are kept for a UniMoER that embeds and ranks, and another model does "
                "here: leave token_states out"
            )
        late_task(embeds)  # refuses a model that has none to keep
    if embeds.tokenizer is None and settings.chunking != WHOLE:
        raise InputError(
            f"{embeds.checkpoint} has no tokenizer to cut documents by: keep each as one passage "
            f"by chunking={WHOLE!r}, or give it a tokenizer"
        )

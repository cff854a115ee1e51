"""The models of a retriever: loaded by their names, and refused where they cannot do their part."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model import UniMoER, late_task
from unimoer_rag.retrieval.identity import WHOLE
from unimoer_rag.retrieval.index_model import model_of_index
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.settings import RetrieverSettings

__all__ = ["check_parts", "load_embedding", "load_ranking"]


def load_embedding(settings: RetrieverSettings) -> Embeds:
    """What embeds: loaded by its name, that of the index where none is given, or given itself.

    Raises:
        InputError: the model of that name embeds nothing.
        UnimoerError: it cannot be had; see `UniMoER.from_pretrained` and `model_of_index`.
    """
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


def load_ranking(settings: RetrieverSettings, own: UniMoER | None) -> Ranks | None:
    """What ranks: loaded by its name, given itself, or the model that embeds, where it is ours.

    Args:
        settings: of the retriever.
        own: the model that embeds; None where it is none of ours.

    Raises:
        InputError: the model of that name does not rerank.
        UnimoerError: it cannot be had; see `UniMoER.from_pretrained`.
    """
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

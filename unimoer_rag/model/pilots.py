"""Pilot texts: what the similarity router knows its experts by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.model.batching import default_token_budget, plan_batches
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.routers.similarity import SimilarityRouter
from unimoer_rag.model.tasks import Task, pool
from unimoer_rag.model.texts import check_list

__all__ = ["fit_pilots"]

# No expert: the bare backbone's own embedding.
_BARE = Task("pilots", "vector", ())


@torch.inference_mode()
def fit_pilots(model: RoutedModel, texts: Mapping[str, Sequence[str]], n: int = 100) -> None:
    """Tell a similarity router which texts each expert is for.

    Args:
        model: a model with the router "similarity".
        texts: some texts for each expert, in the form that it will meet (queries, passages).
        n: how many of them count at most, from the front.

    Raises:
        InputError: the router is another, an expert does not exist or has no text, or a text is
            empty; nothing was changed.
    """
    router = model.router
    if not isinstance(router, SimilarityRouter):
        raise InputError(
            f"pilot texts are for the similarity router; this model's is {model.spec.router}"
        )
    names = list(model.experts)
    unknown = sorted(set(texts) - set(names))
    if unknown or n < 1 or not all(texts.values()):
        raise InputError(
            f"pilot texts for {', '.join(texts) or 'no expert'} with n={n}: expected at least one "
            f"text for each of some experts among {', '.join(names)}, and n of at least 1"
        )
    means = {expert: _mean_embedding(model, given, n) for expert, given in texts.items()}
    for expert, mean in means.items():
        router.pilots[names.index(expert)] = mean


def _mean_embedding(model: RoutedModel, texts: Sequence[str], n: int) -> Tensor:
    """Mean of the normalised embeddings of the first `n` texts, float32 `[width]`."""
    check_list(texts, "texts")
    rows = model.rows.single(list(texts[:n]), _BARE)
    total = torch.zeros(model.width, device=model.device)
    for at in plan_batches([len(row.ids) for row in rows], default_token_budget(model.device)):
        batch = model.collate([rows[i] for i in at])
        total += pool(model(batch).hidden, batch.mask, causal=model.causal).sum(0)
    return total / len(rows)

"""RouterRetriever: the expert whose pilot texts are most like this text, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.routers.base import Decision, Router, RouterShape, RoutingInput, pooled

__all__ = ["SimilarityRouter"]


class SimilarityRouter(Router):
    """Weight 1 for one of the experts that a row may use, chosen by the bare backbone's embedding.

    The expert with the largest average cosine between the text and its pilot texts wins
    (RouterRetriever, arXiv 2409.02685). That average is the product with the mean of the
    normalised pilot embeddings, so that only the means are kept. Nothing is learned by gradient
    and no gate takes part: `fit_pilots` sets the means. Two forwards. Not safe for prefix reuse on
    decoders: the whole text decides.

    Attributes:
        pilots: float32 `[experts, width]`: each expert's mean pilot embedding; zeros where unset.
    """

    two_passes: ClassVar[bool] = True

    def __init__(self, **shape: Unpack[RouterShape]) -> None:
        super().__init__(**shape)
        pilots = torch.zeros(self.n_experts, self.width)
        self.pilots = nn.Parameter(pilots, requires_grad=False)

    def expert_axes(self) -> Mapping[str, int]:
        """See `Router.expert_axes`."""
        return {"pilots": 0}

    def forward(self, layer: int, hidden: Tensor, routing: RoutingInput) -> Decision:
        """See `Router.forward`; one decision a row.

        Raises:
            InputError: a row may choose an expert that has no pilots.
        """
        if layer == 0:
            routing.memory["similarity"] = self._similarity(routing)
        similarity = routing.memory["similarity"]
        allowed = routing.allowed_at(layer)
        # Below every cosine: a row's choice is among the experts it may use.
        best = similarity.masked_fill(~allowed, -torch.inf).argmax(-1, keepdim=True)
        weights = torch.zeros_like(similarity).scatter(-1, best, 1.0) * allowed
        return Decision(weights)

    def _similarity(self, routing: RoutingInput) -> Tensor:
        """Average cosine of each row with each active expert's pilots: `[rows, 1, active]`."""
        assert routing.frozen is not None  # two_passes
        pilots = self.pilots[list(routing.active)]
        choosing = routing.allowed.sum(-1, keepdim=True) > 1
        unset = (routing.allowed & choosing).any(0) & ~pilots.any(-1)
        if bool(unset.any()):
            missing = [e for e, no in zip(routing.experts, unset.tolist(), strict=True) if no]
            raise InputError(
                f"the similarity router has no pilot texts for {', '.join(missing)}: set them with "
                "unimoer_rag.model.pilots.fit_pilots(model, {expert: texts})"
            )
        embedding = functional.normalize(pooled(routing.frozen, routing), dim=-1)
        return (embedding @ pilots.T).unsqueeze(1)

"""Which router goes with which gate, and models ready to route."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from tiny_models import CORPUS, make_model

from unimoer_rag.model.pilots import fit_pilots
from unimoer_rag.model.routers import GATES, ROUTERS, GatedRouter
from unimoer_rag.model.unimoer import UniMoER

GATED = [name for name, kind in ROUTERS.items() if issubclass(kind, GatedRouter)]
UNGATED = [name for name in ROUTERS if name not in GATED]
COMBINATIONS = [*product(GATED, GATES), *((name, "sparsegen") for name in UNGATED)]
PER_TOKEN = {"token", "x-lora", "rank-wise"}


def untrained(path: Path, router: str, gate: str = "sparsegen", **options) -> UniMoER:
    """A model without training, with pilot texts where its router needs them."""
    model = make_model(path, trained=False, router=router, gate=gate, **options)
    if router == "similarity":
        set_pilots(model)
    return model


def set_pilots(model: UniMoER) -> None:
    """Pilots of every expert: one sentence of the corpus each, in turn."""
    fit_pilots(model, {name: [CORPUS[i % 4]] for i, name in enumerate(model.experts)})


__all__ = ["COMBINATIONS", "GATED", "PER_TOKEN", "UNGATED", "set_pilots", "untrained"]

"""Losses: what a recipe says of each, and its formula, a pure function of float32 tensors.

| file | what a recipe names | the formula, of |
|---|---|---|
| `contrastive` | `InfoNce`, `LateNce` | vectors of queries and documents; their token states |
| `matryoshka` | `dimensions` of the objective | any of those, on truncated vectors |
| `ranking` | `Lce`, `Bce` | one group's logits and labels |
| `distillation` | `Kl`, `Anchor`, `Correction` | one group's logits and a teacher's |
| `span` | the objective `reading` | one row's span scores |
| `classification` | the objective `classification` | one example's class logits |
| `routing` | `routing` | the routing of each layer |

A group is one query with its candidates: `[n]`. A loss with nothing to learn from (one candidate,
labels all the same) is exactly 0 and so is its gradient.

A new loss is a class in a file here, and a line below that imports it: see `base`.
"""

from __future__ import annotations

from unimoer_rag.training.losses.base import LOSSES, Candidates, GroupLoss, Loss
from unimoer_rag.training.losses.classification import classification
from unimoer_rag.training.losses.contrastive import InfoNce, LateNce, info_nce
from unimoer_rag.training.losses.distillation import Anchor, Correction, Kl, kl
from unimoer_rag.training.losses.matryoshka import matryoshka
from unimoer_rag.training.losses.ranking import Bce, Lce, bce, lce
from unimoer_rag.training.losses.routing import Routing, load_balance
from unimoer_rag.training.losses.span import span

__all__ = [
    "LOSSES", "Anchor", "Bce", "Candidates", "Correction", "GroupLoss", "InfoNce", "Kl", "LateNce",
    "Lce", "Loss", "Routing", "bce", "classification", "info_nce", "kl", "lce", "load_balance",
    "matryoshka", "span",
]  # fmt: skip

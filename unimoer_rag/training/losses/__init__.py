"""Losses: pure functions of float32 tensors, each a scalar, with no model inside.

| family | functions | of |
|---|---|---|
| `contrastive` | `info_nce` | vectors of queries and documents |
| `matryoshka` | `matryoshka` | any of those, on truncated vectors |
| `ranking` | `lce`, `bce`, `ranknet`, `lambda_loss` | one group's logits and labels |
| `distillation` | `kl`, `margin_mse`, `cprd` | one group's logits and a teacher's |
| `span` | `span` | one row's span scores |
| `classification` | `classification` | one example's class logits |
| `routing` | `load_balance`, `sparsity`, `entropy`, `dynmole` | the routing of each layer |

A group is one query with its candidates: `[n]`. A loss with nothing to learn from (one candidate,
labels all the same) is exactly 0 and so is its gradient.
"""

from __future__ import annotations

from unimoer_rag.training.losses.classification import classification
from unimoer_rag.training.losses.contrastive import info_nce
from unimoer_rag.training.losses.distillation import cprd, kl, margin_mse
from unimoer_rag.training.losses.matryoshka import matryoshka
from unimoer_rag.training.losses.ranking import bce, lambda_loss, lce, ranknet
from unimoer_rag.training.losses.routing import dynmole, entropy, load_balance, sparsity
from unimoer_rag.training.losses.span import span

__all__ = [
    "bce",
    "classification",
    "cprd",
    "dynmole",
    "entropy",
    "info_nce",
    "kl",
    "lambda_loss",
    "lce",
    "load_balance",
    "margin_mse",
    "matryoshka",
    "ranknet",
    "span",
    "sparsity",
]

"""The heads, by the name that a task calls them."""

from __future__ import annotations

from unimoer_rag.model.tasks.classes import ClassHead
from unimoer_rag.model.tasks.cross import CrossHead
from unimoer_rag.model.tasks.cross_encoder import CrossEncoderHead
from unimoer_rag.model.tasks.head import Head
from unimoer_rag.model.tasks.late import LateHead
from unimoer_rag.model.tasks.max_sim import MaxSimHead, TokenMeanHead
from unimoer_rag.model.tasks.span import SpanHead
from unimoer_rag.model.tasks.vector import VectorHead

__all__ = ["HEADS", "heads_of"]

HEADS: dict[str, type[Head]] = {
    "vector": VectorHead,
    "late": LateHead,
    "cross": CrossHead,
    "span": SpanHead,
    "class": ClassHead,
    "maxsim": MaxSimHead,
    "token-mean": TokenMeanHead,
    "cross-encoder": CrossEncoderHead,
}


def heads_of(*kinds: type) -> tuple[str, ...]:
    """The names of the heads of some kinds, such as `ScoringHead`."""
    return tuple(name for name, head in HEADS.items() if issubclass(head, kinds))

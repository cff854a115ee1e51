"""The token states that an index keeps, as a search asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.model import StateFormat, UniMoER
from unimoer_rag.retrieval.ports import Embeds, Ranks
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.types import Hit

__all__ = ["StoredStates", "states_of_new"]


def states_of_new(embeds: Embeds, ranks: Ranks | None) -> StateFormat | None:
    """The token states that a new index keeps where nothing is asked for; None for none.

    A published late-interaction model has them kept: they are what it was trained to be an index.

    Args:
        embeds: what embeds into the index.
        ranks: what ranks.
    """
    if not isinstance(embeds, UniMoER) or ranks is not embeds:
        return None
    task = embeds.tasks.get("rerank")
    kept = task is not None and task.head_type.as_published and task.head_type.kept
    return StateFormat("float16") if kept else None


@dataclass(frozen=True, slots=True)
class StoredStates:
    """Token states in an index.

    Attributes:
        store: the index.
        form: how it keeps them.
    """

    store: Store
    form: StateFormat

    def of(self, hits: Sequence[Hit]) -> list[bytes] | None:
        """The states of what was found, in its order; None unless all of it has some.

        A passage may be gone since it was found, or have been added by a release that knew of no
        states: it can still be encoded by its text.
        """
        found = self.store.states([hit.id for hit in hits])
        states = [found.get(hit.id) for hit in hits]
        return None if None in states else [packed for packed in states if packed is not None]

"""The token states that an index keeps, as a search asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.model import StateFormat
from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.types import Hit

__all__ = ["StoredStates"]


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

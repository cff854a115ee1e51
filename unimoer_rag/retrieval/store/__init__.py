"""Where an index lives: a folder, memory or a Qdrant server, behind one `Store`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unimoer_rag.retrieval.store.base import Found, Label, Record, Store
from unimoer_rag.retrieval.store.manifest import is_index
from unimoer_rag.retrieval.store.quantization import Quantization

if TYPE_CHECKING:
    from unimoer_rag.retrieval.store.edge import EdgeStore
    from unimoer_rag.retrieval.store.memory import MemoryStore
    from unimoer_rag.retrieval.store.server import ServerStore

__all__ = [
    "EdgeStore",
    "Found",
    "Label",
    "MemoryStore",
    "Quantization",
    "Record",
    "ServerStore",
    "Store",
    "is_index",
]


def __getattr__(name: str) -> Any:
    # qdrant-client takes a second to import; nobody pays for the home they do not use.
    if name == "EdgeStore":
        from unimoer_rag.retrieval.store.edge import EdgeStore

        return EdgeStore
    if name == "MemoryStore":
        from unimoer_rag.retrieval.store.memory import MemoryStore

        return MemoryStore
    if name == "ServerStore":
        from unimoer_rag.retrieval.store.server import ServerStore

        return ServerStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

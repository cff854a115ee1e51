"""unimoer-rag: one model that embeds, reranks and reads.

The exported names are loaded on first use, so that importing the package costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unimoer_rag.moved import install

if TYPE_CHECKING:
    from unimoer_rag.errors import UnimoerError
    from unimoer_rag.model.unimoer import UniMoER
    from unimoer_rag.pipelines.rag import RagPipeline
    from unimoer_rag.retrieval.chunking import Chunking
    from unimoer_rag.retrieval.retriever import UnifiedRetriever
    from unimoer_rag.retrieval.types import Document, Hit, Passage

__all__ = [
    "Chunking",
    "Document",
    "Hit",
    "Passage",
    "RagPipeline",
    "UniMoER",
    "UnifiedRetriever",
    "UnimoerError",
    "__version__",
]

_HOMES = {
    "Chunking": "unimoer_rag.retrieval.chunking",
    "Document": "unimoer_rag.retrieval.types",
    "Hit": "unimoer_rag.retrieval.types",
    "Passage": "unimoer_rag.retrieval.types",
    "RagPipeline": "unimoer_rag.pipelines.rag",
    "UniMoER": "unimoer_rag.model.unimoer",
    "UnifiedRetriever": "unimoer_rag.retrieval.retriever",
    "UnimoerError": "unimoer_rag.errors",
}


install()


def __getattr__(name: str) -> Any:
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("unimoer-rag")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

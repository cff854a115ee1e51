"""unimoer-rag for LangChain, on one loaded model.

Embeddings, retriever, vector store, compressor, cross-encoder, chat model, and whole pipelines.
Objects that name one checkpoint hold one live model, however many there are. With langchain-core
1.8 and later there is a decision model, too, and with langchain-qdrant there are sparse embeddings.
"""

from __future__ import annotations

from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.extras import needs_extra

if TYPE_CHECKING:
    from langchain_unimoer.decisions import UniMoERDecisionModel
    from langchain_unimoer.sparse_embeddings import UniMoERSparseEmbeddings

with needs_extra("langchain_core", "langchain", "langchain_unimoer"):
    from langchain_unimoer.chat_models import UniMoERChatModel
    from langchain_unimoer.compressors import UniMoERCompressor
    from langchain_unimoer.cross_encoders import UniMoERCrossEncoder
    from langchain_unimoer.embeddings import UniMoEREmbeddings
    from langchain_unimoer.llm_compressors import UniMoERLLMCompressor
    from langchain_unimoer.pipelines import UniMoERPipeline
    from langchain_unimoer.retrievers import UniMoERRetriever
    from langchain_unimoer.vectorstores import UniMoERVectorStore


class _Optional(NamedTuple):
    """What not every installation has: where it is, what it needs, and what brings that."""

    module: str
    needs: str
    install: str


_OPTIONAL = {
    "UniMoERDecisionModel": _Optional(
        "decisions", "langchain_core.decisions", "langchain-core>=1.8"
    ),
    "UniMoERSparseEmbeddings": _Optional(
        "sparse_embeddings", "langchain_qdrant", "langchain-qdrant"
    ),
}
_there = [name for name, optional in _OPTIONAL.items() if find_spec(optional.needs) is not None]

__all__ = [
    "UniMoERChatModel",
    "UniMoERCompressor",
    "UniMoERCrossEncoder",
    "UniMoEREmbeddings",
    "UniMoERLLMCompressor",
    "UniMoERPipeline",
    "UniMoERRetriever",
    "UniMoERVectorStore",
]
if "UniMoERDecisionModel" in _there:
    __all__ += ["UniMoERDecisionModel"]
if "UniMoERSparseEmbeddings" in _there:
    __all__ += ["UniMoERSparseEmbeddings"]


def __getattr__(name: str) -> Any:
    if name not in _OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    optional = _OPTIONAL[name]
    if name not in _there:
        raise MissingExtraError(optional.install, "langchain", name, install=optional.install)
    return resolve_name(f"{__name__}.{optional.module}:{name}")

"""unimoer-rag for LangChain: embeddings, retriever, compressor and cross-encoder on one model.

Objects that name one checkpoint hold one live model, however many there are. With langchain-core
1.8 and later there is a decision model, too.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.extras import needs_extra

if TYPE_CHECKING:
    from langchain_unimoer.decisions import UniMoERDecisionModel

with needs_extra("langchain_core", "langchain", "langchain_unimoer"):
    from langchain_unimoer.compressors import UniMoERCompressor
    from langchain_unimoer.cross_encoders import UniMoERCrossEncoder
    from langchain_unimoer.embeddings import UniMoEREmbeddings
    from langchain_unimoer.retrievers import UniMoERRetriever

__all__ = [
    "UniMoERCompressor",
    "UniMoERCrossEncoder",
    "UniMoEREmbeddings",
    "UniMoERRetriever",
]

_DECISIONS = "UniMoERDecisionModel"
_CORE = "langchain-core>=1.8"  # the first that has decision models
_decides = find_spec("langchain_core.decisions") is not None
if _decides:
    __all__ += ["UniMoERDecisionModel"]


def __getattr__(name: str) -> type[UniMoERDecisionModel]:
    if name != _DECISIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _decides:
        raise MissingExtraError(_CORE, "langchain", name, install=_CORE)
    from langchain_unimoer.decisions import UniMoERDecisionModel

    return UniMoERDecisionModel

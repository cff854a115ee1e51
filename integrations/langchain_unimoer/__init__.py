"""unimoer-rag for LangChain: embeddings, retriever, compressor and cross-encoder on one model.

Objects that name one checkpoint hold one live model, however many there are.
"""

from __future__ import annotations

from unimoer_rag.extras import needs_extra

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

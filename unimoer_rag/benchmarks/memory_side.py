"""One side of the sharing benchmark, in a process of its own: load, work, print what it takes.

python -m unimoer_rag.benchmarks.sharing_process ours '{"checkpoint": ..., "dtype": ...}'
python -m unimoer_rag.benchmarks.sharing_process pair '{"embedder": ..., "cross_encoder": ...}'

Both sides import both frameworks first and do the same work afterwards, so that they differ in
nothing but models and adapters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from unimoer_rag.benchmarks.memory import model_bytes, model_count, peak, resident

__all__ = ["main"]

_QUERY = "how long do refunds take?"
_TEXTS = [
    f"{number} days after a return arrives at warehouse {number % 7}, the refund is paid to the "
    "card that was used for the order; shipping is refunded only where the item was faulty."
    for number in range(64)
]

Embed = Callable[[Sequence[str]], object]
Rerank = Callable[[str, Sequence[str]], object]


def _ours(settings: dict[str, Any]) -> list[tuple[Embed, Rerank]]:
    """Embedding and reranker of both frameworks; whoever holds them holds the model."""
    from langchain_core.documents import Document
    from langchain_unimoer import UniMoERCompressor, UniMoEREmbeddings
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.embeddings.unimoer import UniMoEREmbedding
    from llama_index.postprocessor.unimoer_rerank import UniMoERRerank

    name, dtype = settings["checkpoint"], settings["dtype"]
    embedding = UniMoEREmbedding(name, dtype=dtype)
    postprocessor = UniMoERRerank(model=name, dtype=dtype)
    embeddings = UniMoEREmbeddings(model=name, dtype=dtype)
    compressor = UniMoERCompressor(model=name, dtype=dtype)

    def rerank_nodes(query: str, texts: Sequence[str]) -> object:
        nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in texts]
        return postprocessor.postprocess_nodes(nodes, query_str=query)

    def rerank_documents(query: str, texts: Sequence[str]) -> object:
        return compressor.compress_documents([Document(page_content=t) for t in texts], query)

    return [
        (lambda texts: embedding.get_text_embedding_batch(list(texts)), rerank_nodes),
        (lambda texts: embeddings.embed_documents(list(texts)), rerank_documents),
    ]


def _pair(settings: dict[str, Any]) -> list[tuple[Embed, Rerank]]:
    """A sentence-transformers embedder and a cross-encoder, one of each for both frameworks."""
    from sentence_transformers import CrossEncoder, SentenceTransformer

    # "auto" is the library's own default: the dtype of the files.
    options = {} if settings["dtype"] == "auto" else {"dtype": settings["dtype"]}
    embedder = SentenceTransformer(settings["embedder"], device="cpu", model_kwargs=options)
    reranker = CrossEncoder(settings["cross_encoder"], device="cpu", model_kwargs=options)

    def rerank(query: str, texts: Sequence[str]) -> object:
        return reranker.predict([(query, text) for text in texts])

    return [(lambda texts: embedder.encode(list(texts)), rerank)] * 2


def main(side: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Load one side, use it as both frameworks would, and measure."""
    import langchain_core.retrievers  # noqa: F401
    import llama_index.core  # noqa: F401

    imported = resident()
    users = {"ours": _ours, "pair": _pair}[side](settings)
    loaded = resident()
    for embed, rerank in users:
        embed(_TEXTS)
        rerank(_QUERY, _TEXTS[:20])
    return {
        "model_bytes": model_bytes(),
        "models": model_count(),
        "resident_frameworks_only": imported,
        "resident_loaded": loaded,
        "resident_in_use": resident(),
        "peak": peak(),
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], json.loads(sys.argv[2])), sys.stdout)

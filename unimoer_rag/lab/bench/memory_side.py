"""One side of the memory benchmark, in a process of its own: load, work, print what it takes.

python -m unimoer_rag.lab.bench.memory_side ours '{"checkpoint": ..., "dtype": ...}'
python -m unimoer_rag.lab.bench.memory_side three '{"embedder": ..., "cross_encoder": ..., ...}'

Every side imports all libraries first and does the same work afterwards, so that they differ in
nothing but models and adapters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from unimoer_rag.lab.bench.process import model_bytes, model_count, peak, resident

__all__ = ["main"]

_QUERY = "how long do refunds take?"
_TEXTS = [
    f"{number} days after a return arrives at warehouse {number % 7}, the refund is paid to the "
    "card that was used for the order; shipping is refunded only where the item was faulty."
    for number in range(64)
]
_CANDIDATES = _TEXTS[:20]

Work = Callable[[], object]


def _ours(settings: dict[str, Any]) -> list[Work]:
    """Embedding and reranker of both frameworks, and a reader; they all hold one model."""
    from langchain_core.documents import Document
    from langchain_unimoer import UniMoERCompressor, UniMoEREmbeddings
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.embeddings.unimoer import UniMoEREmbedding
    from llama_index.postprocessor.unimoer_rerank import UniMoERRerank

    from unimoer_rag.engine import SharedModel

    name, dtype = settings["checkpoint"], settings["dtype"]
    embedding = UniMoEREmbedding(name, dtype=dtype)
    postprocessor = UniMoERRerank(model=name, dtype=dtype)
    embeddings = UniMoEREmbeddings(model=name, dtype=dtype)
    compressor = UniMoERCompressor(model=name, dtype=dtype)
    shared = SharedModel(name, dtype=dtype)
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in _CANDIDATES]
    documents = [Document(page_content=text) for text in _CANDIDATES]
    return [
        lambda: embedding.get_text_embedding_batch(_TEXTS),
        lambda: embeddings.embed_documents(_TEXTS),
        lambda: postprocessor.postprocess_nodes(nodes, query_str=_QUERY),
        lambda: compressor.compress_documents(documents, _QUERY),
        lambda: shared.engine.read(_QUERY, _CANDIDATES),
    ]


def _pair(settings: dict[str, Any]) -> list[Work]:
    """A sentence-transformers embedder and a cross-encoder, each used as by both frameworks."""
    from sentence_transformers import CrossEncoder, SentenceTransformer

    options = _options(settings)
    embedder = SentenceTransformer(
        settings["embedder"], device="cpu", model_kwargs=options, trust_remote_code=False
    )
    reranker = CrossEncoder(
        settings["cross_encoder"], device="cpu", model_kwargs=options, trust_remote_code=False
    )
    pairs = [(_QUERY, text) for text in _CANDIDATES]
    return [lambda: embedder.encode(_TEXTS), lambda: reranker.predict(pairs)] * 2


def _three(settings: dict[str, Any]) -> list[Work]:
    """The pair, and a model that answers questions."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings["reader"], trust_remote_code=False)
    reader = AutoModelForQuestionAnswering.from_pretrained(
        settings["reader"], **_options(settings), trust_remote_code=False
    )

    @torch.inference_mode()
    def read() -> object:
        asked = [_QUERY] * len(_CANDIDATES)
        return reader(**tokenizer(asked, _CANDIDATES, padding=True, return_tensors="pt"))

    return [*_pair(settings), read]


def _options(settings: dict[str, Any]) -> dict[str, Any]:
    # "auto" is the library's own default: the dtype of the files.
    return {} if settings["dtype"] == "auto" else {"dtype": settings["dtype"]}


_SIDES = {"ours": _ours, "pair": _pair, "three": _three}


def main(side: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Load one side, use it as both frameworks would, and measure."""
    import langchain_core.retrievers  # noqa: F401
    import llama_index.core  # noqa: F401
    import sentence_transformers  # noqa: F401

    libraries = resident()
    work = _SIDES[side](settings)
    loaded = resident()
    for does in work:
        does()
    highest = peak()
    return {
        "model_bytes": model_bytes(),
        "models": model_count(),
        "resident_libraries_only": libraries,
        "resident_loaded": loaded,
        "resident_in_use": resident(),
        "peak": highest,
        "peak_added": highest - libraries,
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1], json.loads(sys.argv[2])), sys.stdout)

"""Which model wrote a collection, and whose sparse vectors it has: told by a few of its points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.engine import Engine
from unimoer_rag.errors import IndexMismatchError
from unimoer_rag.model import UniMoER, embedding
from unimoer_rag.retrieval.ports import Embeds
from unimoer_rag.retrieval.sparse import BM25Encoder, SparseVector
from unimoer_rag.retrieval.store.foreign_collection import ForeignCollection, Sample
from unimoer_rag.retrieval.store.payload_mapping import PayloadMapping, read_path

__all__ = ["check_model_wrote", "why_no_words"]

# The median cosine of all-MiniLM-L6-v2 in float32 with itself in bfloat16 is 1.000, in int8 0.999
# and in int4 0.964, over twelve documents of the handbook.
_SAME = 0.93
# What there is of a node of LlamaIndex, and what holds where it says nothing.
_NODE: Mapping[str, Any] = {
    "text": "",
    "metadata": {},
    "excluded_embed_metadata_keys": [],
    "metadata_template": "{key}: {value}",
    "metadata_separator": "\n",
    "text_template": "{metadata_str}\n\n{content}",
}
_WEIGHT = 1e-3  # by which weights of terms may differ


def check_model_wrote(collection: ForeignCollection, model: Embeds) -> float:
    """Refuse a model whose vectors of some stored texts are not those that are stored.

    Args:
        collection: holds the points.
        model: embeds their texts as documents.

    Returns:
        The median cosine of the points' vectors and the model's.

    Raises:
        IndexMismatchError: tells that cosine.
    """
    texts = [list(_written(one.payload, collection.mapping)) for one in collection.sample]
    vectors = iter(_embedded(model, [*chain.from_iterable(texts)], collection.dimension))
    found = float(
        median(
            max(_cosine(one, next(vectors)) for _ in written)
            for one, written in zip(collection.sample, texts, strict=True)
        )
    )
    if found < _SAME:
        raise IndexMismatchError(
            f"{collection.where} was not written with the model {model.checkpoint!r}: between "
            f"{len(texts)} of its vectors and what this model makes of their texts the median "
            f"cosine is {found:.3f}, and with the same model it is above {_SAME}; open it with the "
            "model that wrote it (model=, --checkpoint)"
        )
    return found


def _cosine(one: Sample, vector: NDArray[np.float32]) -> float:
    """Of a point's vector and one of length 1."""
    return float(vector @ one.dense) / (float(np.linalg.norm(one.dense)) or 1.0)


def _embedded(model: Embeds, texts: Sequence[str], dimension: int) -> NDArray[np.float32]:
    if isinstance(model, UniMoER):
        job = embedding(model, texts, "document", dimensions=dimension)
        return Engine.of(model).submit(job).result()
    return model.embed(texts, "document")


def why_no_words(collection: ForeignCollection, encoder: BM25Encoder) -> str:
    """Why a collection's sparse vectors cannot be searched by our BM25; "" where they can."""
    if collection.sparse is None:
        return "it has no sparse vectors"
    for one in collection.sample:
        written = map(encoder.document, _written(one.payload, collection.mapping))
        if one.sparse is None or not any(_equal(one.sparse, ours) for ours in written):
            return (
                f"its sparse vectors {collection.sparse!r} are not those of BM25Encoder(language="
                f"{encoder.language!r}), and number words in another way"
            )
    if not collection.has_idf:
        return (
            f"its sparse vectors {collection.sparse!r} were made without Modifier.IDF, and BM25 "
            "needs it"
        )
    return ""


def _equal(one: SparseVector, other: SparseVector) -> bool:
    """Whether two sparse vectors are the same, in whatever order and half precision."""
    left, right = (dict(zip(v.indices, v.values, strict=True)) for v in (one, other))
    return left.keys() == right.keys() and all(
        abs(value - right[index]) <= _WEIGHT * max(1.0, abs(value)) for index, value in left.items()
    )


def _written(payload: Mapping[str, Any], mapping: PayloadMapping) -> Iterator[str]:
    """What a library may have embedded of a point: its text, alone or behind what is said of it."""
    passage = mapping.passage(payload, "")
    texts = (passage.text, passage.content, _as_llama_index(payload))
    yield from dict.fromkeys(filter(None, texts))


def _as_llama_index(payload: Mapping[str, Any]) -> str:
    """What LlamaIndex embeds of a node: its metadata, but for what is excluded, then its text."""
    node = {
        name: read_path(payload, f"_node_content.{name}") or usual for name, usual in _NODE.items()
    }
    shown = [
        node["metadata_template"].replace("{key}", str(key)).replace("{value}", str(value))
        for key, value in node["metadata"].items()
        if key not in node["excluded_embed_metadata_keys"]
    ]
    said = node["metadata_separator"].join(shown).strip()
    if not said:
        return str(node["text"])
    template: str = node["text_template"]
    return template.replace("{metadata_str}", said).replace("{content}", node["text"]).strip()

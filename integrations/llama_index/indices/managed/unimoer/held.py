"""What an index holds of LlamaIndex's documents and nodes, and how it goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.retrievers.unimoer.kept import DOC_HASH, NODE, REF_DOC, own_metadata

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Document, Passage, UnifiedRetriever

__all__ = ["Held"]

_BATCH = 256  # documents or nodes in one request

_T = TypeVar("_T")


class Held:
    """Looks into the index of a retriever.

    A document of LlamaIndex is known by its id; what came another way, such as by `add_path`, by
    its source.

    Args:
        retriever: whose index.
    """

    def __init__(self, retriever: UnifiedRetriever) -> None:
        self._retriever = retriever

    def hashes(self, ref_docs: Iterable[str]) -> dict[str, set[str]]:
        """The hashes with which each document is there: one, unless its insertion broke off."""
        found: dict[str, set[str]] = defaultdict(set)
        for passage in self._of(ref_docs):
            found[_ref_doc(passage)].add(str(passage.metadata.get(DOC_HASH, "")))
        return dict(found)

    def infos(self) -> dict[str, RefDocInfo]:
        """All documents, with their nodes; goes through the whole index."""
        found: dict[str, RefDocInfo] = {}
        for passage in self._retriever.store.scroll():
            info = found.setdefault(_ref_doc(passage), RefDocInfo())
            info.node_ids.append(passage.document_id if NODE in passage.metadata else passage.id)
            info.metadata = info.metadata or own_metadata(passage)
        return found

    def remove_of(self, ref_docs: Iterable[str], *, but: Collection[str] = ()) -> int:
        """Remove what is there of documents, but for these documents and nodes; tell how much."""
        return self._remove(p.id for p in self._of(ref_docs) if p.document_id not in but)

    def remove_moved(self, documents: Sequence[Document]) -> int:
        """Remove what has the id of one of these and another source, which was its earlier one."""
        given = {document.document_id: document.source for document in documents}
        return self._remove(
            label.id
            for ids in _batches(given)
            for label in self._retriever.store.labels(document_ids=ids)
            if given[label.document_id] != label.source
        )

    def remove_nodes(self, node_ids: Iterable[str]) -> int:
        """Remove nodes by the ids with which they are found."""
        ids = list(node_ids)
        own = (
            label.id
            for some in _batches(ids)
            for label in self._retriever.store.labels(document_ids=some)
        )
        return self._remove([*own, *filter(_is_uuid, ids)])

    def _of(self, ref_docs: Iterable[str]) -> Iterator[Passage]:
        for some in _batches(ref_docs):
            yield from self._retriever.store.scroll(_filters(some))

    def _remove(self, ids: Iterable[str]) -> int:
        gone = list(ids)
        return self._retriever.delete(gone) if gone else 0


def _filters(ref_docs: list[str]) -> dict[str, Any]:
    other = {"source": ref_docs, REF_DOC: {"empty": True}}
    return {"any": [{REF_DOC: ref_docs}, other]}


def _ref_doc(passage: Passage) -> str:
    return str(passage.metadata.get(REF_DOC, passage.source))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _batches(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while batch := list(islice(rest, _BATCH)):
        yield batch

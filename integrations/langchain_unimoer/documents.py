"""LangChain's documents and ours, one made from the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Coercion, coerce_metadata, to_documents, types

if TYPE_CHECKING:
    from unimoer_rag.retrieval import AddReport

__all__ = [
    "END",
    "RELEVANCE",
    "RETRIEVAL",
    "START",
    "Metadata",
    "scored",
    "tell_cut",
    "to_filters",
    "to_langchain",
    "to_unimoer",
    "with_metadata",
]

RELEVANCE = "relevance_score"
RETRIEVAL = "retrieval_score"
START, END = "start_index", "end_index"


class Metadata(dict[str, Any]):
    """A found document's metadata: equal to another's whatever the scores of either.

    A passage found for two queries has two scores and is one document all the same: LangChain tells
    documents apart by `==` (as `MultiQueryRetriever` does), which compares their metadata. It is a
    dictionary in all else, and becomes a plain one where a document is written and read again.
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return _unscored(self) == _unscored(other)

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = None  # type: ignore[assignment]


def with_metadata(document: Document, metadata: Mapping[str, Any]) -> Document:
    """A copy of a document, its id and what a subclass adds included, with these metadata."""
    # Not through its constructor, which would make the metadata a plain dictionary.
    return document.model_copy(update={"metadata": Metadata(metadata)})


def scored(document: Document, score: float) -> Document:
    """A copy of a document with its relevance among the metadata."""
    return with_metadata(document, {**document.metadata, RELEVANCE: score})


def _unscored(metadata: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in metadata.items() if key not in (RELEVANCE, RETRIEVAL)}


def to_langchain(hit: types.Hit) -> Document:
    """A hit as a LangChain document.

    Its id is the passage's. Its metadata has the passage's own, `source`, where there are such
    `title`, the `document_id` that it was given and the `page` on which it begins (from 1),
    `start_index` and `end_index` of its characters in the text it was cut from (LangChain's
    splitters write the first), `retrieval_score` of the first stage and, where it was reranked, the
    probability `relevance_score`.
    """
    passage = hit.passage
    metadata: dict[str, Any] = {**passage.metadata, "source": passage.source}
    if passage.title:
        metadata["title"] = passage.title
    if passage.document_id:
        metadata.setdefault("document_id", passage.document_id)
    if passage.page is not None:
        metadata.setdefault("page", passage.page)
    origin = _origin(passage.metadata)
    metadata[START], metadata[END] = origin + passage.start, origin + passage.end
    metadata[RETRIEVAL] = next(
        score for score in (hit.fused, hit.dense, hit.sparse) if score is not None
    )
    if hit.rerank is not None:
        metadata[RELEVANCE] = hit.rerank
    return with_metadata(Document(id=hit.id, page_content=hit.text), metadata)


def to_unimoer(documents: Iterable[Document]) -> list[types.Document]:
    """LangChain documents as documents to index.

    `metadata["source"]` names a document's source, else its id, else its text does;
    `metadata["title"]` is its title; the rest is coerced as `unimoer_rag.retrieval.coercion` says
    and can be filtered by. One warning names what is left out. An id tells documents of one source
    apart. Of what an earlier search found, scores, `end_index` and the passage's id are left out.

    Raises:
        InputError: something is no document.
    """
    coercion = Coercion()
    ours = [_to_unimoer(document, at, coercion) for at, document in enumerate(documents)]
    coercion.tell(stacklevel=3)
    return ours


def to_filters(filters: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Filters whose values are those that metadata with the same values became when indexed.

    Raises:
        InputError: a value becomes nothing, so that no passage has it.

    >>> to_filters({"day": date(2024, 2, 29), "path": Path("a.md")})
    {'day': '2024-02-29', 'path': 'a.md'}
    """
    if not isinstance(filters, Mapping):
        return filters  # none, or what is refused where it is used
    kept, dropped = coerce_metadata(filters)
    for key, kind in dropped.items():
        raise InputError(
            f"filter {key!r} has a {kind} as its value, which no index keeps: give strings, finite "
            "numbers, booleans, dates, paths, or lists of them"
        )
    return kept


def tell_cut(report: AddReport) -> None:
    """Warn of what was too long, where nobody is given the report."""
    if report.truncated:
        warnings.warn(
            f"{report.truncated} of {report.added} passages are longer than the model reads, and "
            "are embedded by their beginning alone: cut them shorter, or leave "
            "chunking='whole' out to have them cut",
            stacklevel=3,
        )


def _to_unimoer(document: Document, at: int, coercion: Coercion) -> types.Document:
    if not isinstance(document, Document):
        raise InputError(
            f"document {at} is a {type(document).__name__}: expected a LangChain Document in a list"
        )
    [ours] = to_documents([document], source="text", coercion=coercion)
    return ours


def _origin(metadata: Mapping[str, Any]) -> int:
    """Where a splitter says that the indexed text began in its own document."""
    start = metadata.get(START, 0)
    return start if isinstance(start, int) and start > 0 else 0

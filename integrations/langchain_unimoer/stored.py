"""Documents of a vector store: what was given comes back, under the id that it was given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid5

from langchain_core.documents import Document

from langchain_unimoer.documents import END, RELEVANCE, RETRIEVAL, START
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Coercion, clean_text, name_of, types

__all__ = ["id_of", "to_found", "to_stored"]

# Of the ids that documents get which come without; any fixed UUID serves.
_NAMESPACE = UUID("0b3f0f5e-5f6b-5c52-8f0e-6f1d0c9f7c11")


def to_stored(
    documents: Iterable[Document], ids: Sequence[str | None] | None
) -> list[types.Document]:
    """Documents as they are stored, each under its id.

    All of a document's metadata are kept as they are; `source` and `title` in them name the
    passage's own, too. One warning names what no index keeps.

    Args:
        documents: to store.
        ids: theirs, before those that they have themselves; None for those.

    Returns:
        One for each, in order. One without an id gets that of its text and metadata.

    Raises:
        InputError: something is no document, an id is none, or there are not as many as documents.
    """
    coercion = Coercion()
    given = list(documents)
    named: Sequence[Any] = [None] * len(given) if ids is None else list(ids)
    if len(named) != len(given):
        raise InputError(
            f"{len(named)} ids for {len(given)} documents: give one for each, or none at all"
        )
    stored = [
        _to_stored(document, at, key, coercion)
        for at, (document, key) in enumerate(zip(given, named, strict=True))
    ]
    coercion.tell(stacklevel=3)
    return stored


def to_found(passage: types.Passage, *, whole: bool) -> Document:
    """A passage as a document, with the metadata that were given.

    What came in by another door has the passage's `source`, `title` and `page` among them.

    Args:
        passage: what was found.
        whole: the index cuts no documents; where it does, `start_index` and `end_index` tell where
            the passage stands in its document.
    """
    metadata: dict[str, Any] = dict(passage.metadata)
    if passage.source != passage.document_id:
        metadata.setdefault("source", passage.source)
    if passage.title:
        metadata.setdefault("title", passage.title)
    if passage.page is not None:
        metadata.setdefault("page", passage.page)
    if not whole:
        metadata[START], metadata[END] = passage.start, passage.end
    return Document(id=id_of(passage), page_content=passage.text, metadata=metadata)


def id_of(passage: types.Passage) -> str:
    """The id of a passage's document; the passage's own where it has none.

    Ids of rows in a file name them among the file's rows alone.
    """
    return passage.document_id if passage.document_id and not passage.origin else passage.id


def _to_stored(document: Any, at: int, key: Any, coercion: Coercion) -> types.Document:
    if not isinstance(document, Document):
        raise InputError(
            f"document {at} is a {type(document).__name__}: expected a LangChain Document in a list"
        )
    key = document.id if key is None else key
    if not (key is None or (isinstance(key, str) and key)):
        raise InputError(f"the id of document {at} is {key!r}: expected a text, or None")
    found = RETRIEVAL in document.metadata
    scores = {RELEVANCE, RETRIEVAL, *([END] if found else [])}
    metadata = coercion({k: v for k, v in document.metadata.items() if k not in scores})
    if key is None:
        key = _content_id(document.page_content, metadata)
    source, title = (name_of(metadata.get(name)) for name in ("source", "title"))
    return types.Document(
        document.page_content, source or key, title, metadata, document_id=clean_text(key)
    )


def _content_id(text: str, metadata: dict[str, Any]) -> str:
    content = json.dumps([clean_text(text), metadata], sort_keys=True)
    return str(uuid5(_NAMESPACE, content))

"""Documents of LangChain, LlamaIndex and Haystack, made into ours; none of them is imported here.

| of | text | names of the source | `document_id` |
|---|---|---|---|
| LangChain `Document` | `page_content` | `source`; its id | its id |
| Haystack `Document` | `content` | `source`, `file_path`, `file_name`, `url`; its id | its id |
| LlamaIndex nodes, `NodeWithScore` | the node's own | as Haystack's; its document's id | its id |

The first of the names that metadata have is the source's, and their `title` is the title; the rest
is coerced (see `retrieval.coercion`). Where nothing names a source, the text does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from unimoer_rag.errors import InputError
from unimoer_rag.foreign_types import is_a
from unimoer_rag.retrieval.coercion import Coercion
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document

__all__ = ["FILE_NAMES", "SCORES", "is_document", "name_of", "to_documents"]

FILE_NAMES = ("file_path", "file_name", "url")
"""What the readers of LlamaIndex and Haystack call the file that they read."""

# What our own adapters write beside a passage's metadata. With the first, the id is a passage's.
_FOUND = "retrieval_score"
SCORES = (_FOUND, "relevance_score", "end_index")


class _Said(NamedTuple):
    """What a framework's document says of itself."""

    text: str | None
    metadata: Mapping[Any, Any]
    id: str
    files: tuple[str, ...] = ()
    parent: str = ""


def is_document(value: object) -> bool:
    """Whether it is one document: a text, ours, or one of a framework."""
    return isinstance(value, str | Document) or _reader(value) is not None


def to_documents(
    documents: Iterable[object], *, source: str, coercion: Coercion, apart: bool = False
) -> Iterator[Document]:
    """Texts and documents of any kind as documents to index, one at a time.

    Args:
        documents: what to index.
        source: texts without a name get the sources `<source>/<hash of the text>`.
        coercion: of the frameworks' metadata; it knows in the end what was left out.
        apart: a framework's document without an id gets one from its text: chunks of one source,
            given in several calls, do not take each other's place.

    Raises:
        InputError: something is no document, or has no text.
    """
    for at, document in enumerate(documents):
        if isinstance(document, Document):
            yield document
        elif isinstance(document, str):
            yield Document(text=document, source=_text_name(document, source))
        else:
            ours = _converted(document, source, at, coercion)
            unnamed = apart and not ours.document_id
            yield replace(ours, document_id=_digest(ours.text)) if unnamed else ours


def name_of(value: object) -> str:
    """Some metadata as a name: "" for none, and for what is no text, number or list of those."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _converted(document: object, source: str, at: int, coercion: Coercion) -> Document:
    kind = type(document)
    named = f"document {at} is a {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
    reader = _reader(document)
    if reader is None:
        raise InputError(
            f"{named}: expected a str, a unimoer_rag Document, a Document of LangChain or "
            "Haystack, or a Document or node of LlamaIndex"
        )
    said = reader(document)
    if not isinstance(said.text, str):
        raise InputError(f"{named} without text ({said.id or 'no id'}): leave it out")
    own = "" if _FOUND in said.metadata else said.id
    metadata = coercion({key: said.metadata[key] for key in said.metadata if key not in SCORES})
    title, first = (name_of(metadata.pop(key, None)) for key in ("title", "source"))
    names = (first, *(name_of(metadata.get(key)) for key in said.files), said.parent, own)
    named_by = next(filter(None, names), "") or _text_name(said.text, source)
    return Document(said.text, named_by, title, metadata, document_id=own)


def _text_name(text: str, source: str) -> str:
    return f"{source}/{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(clean_text(text).encode()).hexdigest()[:16]


def _of_langchain(document: Any) -> _Said:
    return _Said(document.page_content, document.metadata, document.id or "")


def _of_node(node: Any) -> _Said:
    return _Said(node.get_content(), node.metadata, node.node_id, FILE_NAMES, node.ref_doc_id or "")


def _of_scored(scored: Any) -> _Said:
    return _of_node(scored.node)


def _of_haystack(document: Any) -> _Said:
    return _Said(document.content, document.meta, document.id, FILE_NAMES)


# By the package and name of the class that makes something a document.
_READERS: Mapping[tuple[str, str], Callable[[Any], _Said]] = {
    ("langchain_core.documents", "Document"): _of_langchain,
    ("llama_index.core.schema", "BaseNode"): _of_node,
    ("llama_index.core.schema", "NodeWithScore"): _of_scored,
    ("haystack.dataclasses", "Document"): _of_haystack,
}


def _reader(value: object) -> Callable[[Any], _Said] | None:
    """What reads an object of a framework, also of a class derived from its; None for others."""
    return next((reader for kind, reader in _READERS.items() if is_a(value, *kind)), None)

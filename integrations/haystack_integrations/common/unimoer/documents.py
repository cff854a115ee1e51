"""Haystack's documents as the texts that a model reads."""

from __future__ import annotations

from collections.abc import Sequence

from haystack import Document

from unimoer_rag.errors import InputError

__all__ = ["texts_of", "unique"]


def texts_of(
    documents: Sequence[Document], meta_fields: Sequence[str] = (), separator: str = "\n"
) -> list[str]:
    r"""The documents' texts, those metadata before them that are named and there.

    Raises:
        InputError: something is no document; names its position.

    >>> texts_of([Document(content="Free.", meta={"title": "Returns"})], ["title"])
    ['Returns\nFree.']
    """
    _check(documents)
    return [
        separator.join(
            [
                *(str(document.meta[name]) for name in meta_fields if _has(document, name)),
                document.content or "",
            ]
        )
        for document in documents
    ]


def unique(documents: Sequence[Document]) -> list[Document]:
    """The documents, each id once, in order; the one with the best score where an id comes twice.

    Raises:
        InputError: something is no document; names its position.
    """
    _check(documents)
    best: dict[str, Document] = {}
    for document in documents:
        known = best.setdefault(document.id, document)
        if _score(document) > _score(known):
            best[document.id] = document
    return list(best.values())


def _check(documents: object) -> None:
    if not isinstance(documents, Sequence) or isinstance(documents, str):
        raise InputError(
            f"documents are a {type(documents).__name__}: expected a list of Haystack documents"
        )
    for at, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InputError(
                f"document {at} is a {type(document).__name__}: expected a Haystack Document"
            )


def _has(document: Document, name: str) -> bool:
    return document.meta.get(name) is not None


def _score(document: Document) -> float:
    return float("-inf") if document.score is None else document.score

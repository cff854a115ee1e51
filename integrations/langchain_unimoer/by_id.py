"""The documents of an index by their ids: put in, taken out, and read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_unimoer.documents import tell_cut
from langchain_unimoer.stored import id_of
from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import clean_text, types

if TYPE_CHECKING:
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["ById"]

_BATCH = 256  # ids in one request


class ById:
    """The documents of a retriever's index, each under one id in the whole of it.

    Args:
        retriever: whose index it is.
    """

    def __init__(self, retriever: UnifiedRetriever) -> None:
        self._retriever = retriever

    def put(self, documents: Sequence[types.Document]) -> list[str]:
        """Index documents in the place of those with their ids; the last counts of one id.

        Returns:
            The id of each, in order.
        """
        latest = {document.document_id: document for document in documents}
        report = self._retriever.add(latest.values())
        earlier = [
            label.id
            for label in self._labels(list(latest))
            # Under its own source the retriever has replaced it already.
            if label.source != clean_text(latest[label.document_id].source)
            or not clean_text(latest[label.document_id].text).strip()
        ]
        if earlier:
            self._retriever.delete(earlier)
        if report.problems:
            warnings.warn(
                f"{len(report.problems)} of {report.documents} documents hold no words, so nothing "
                "of them is kept",
                stacklevel=3,
            )
        tell_cut(report)
        return [document.document_id for document in documents]

    def passages(self, ids: Sequence[str]) -> list[types.Passage]:
        """The passages of some ids, in this order, those of one as they stand in its document.

        Raises:
            InputError: it is one id and no list.
        """
        if isinstance(ids, str):
            raise InputError(f"ids is {ids!r}: expected a list of ids")
        places = {clean_text(key): at for at, key in reversed(list(enumerate(ids)))}
        keys = {label.id for label in self._labels(list(places))} | set(filter(_is_uuid, places))
        found = [p for p in self._retriever.store.get(sorted(keys)) if id_of(p) in places]
        return sorted(found, key=lambda passage: (places[id_of(passage)], passage.start))

    def remove(self, ids: Sequence[str]) -> None:
        """Remove what has one of these ids; those that are not there are passed over."""
        if passages := self.passages(ids):
            self._retriever.delete([passage.id for passage in passages])

    def _labels(self, ids: Sequence[str]) -> Iterator[Any]:
        """Those of documents with these ids; not of rows in files, which have ids of their own."""
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            labels = self._retriever.store.labels(document_ids=some)
            yield from (label for label in labels if not label.origin)


def _is_uuid(key: str) -> bool:
    try:
        return bool(UUID(key))
    except ValueError:
        return False

"""Where the payloads of collections that other libraries wrote keep what a passage is made of.

| written by | text | metadata | source | id |
|---|---|---|---|---|
| langchain-qdrant | `page_content` | `metadata` | `source` | the point's |
| qdrant-haystack | `content` | `meta` | `source`, `file_path`, `file_name`, `url` | `id` |
| llama-index-vector-stores-qdrant | in `_node_content` | beside it | as Haystack's | the point's |

The source is the first of those metadata that is there, else the id; the title is their `title`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.coercion import coerce_metadata
from unimoer_rag.retrieval.framework_documents import FILE_NAMES, name_of
from unimoer_rag.retrieval.metadata import clean
from unimoer_rag.retrieval.text import clean_text, visible_text
from unimoer_rag.retrieval.types import Passage

__all__ = ["DETECT", "PayloadMapping", "mapping_of", "read_path"]

DETECT = "auto"
"""Let the payloads tell which library wrote them."""

_PARTS = ("text", "source", "title")
# The last is what LlamaIndex writes for a node of no document.
_NOTHING: tuple[Any, ...] = (None, "", [], "None")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadMapping:
    """Where payloads keep what a passage is made of.

    Places are names, with dots before what lies inside others: "metadata.source". Of several places
    the first counts that holds something. A text on the way is read as JSON.

    Attributes:
        text: places of the text.
        metadata: the name of what holds the metadata; "" where the payload itself does.
        source: places of the source; the passage's id, where none holds one.
        title: places of the title.
        document_id: place of its id; "" for the point's.
        hidden: names in the payload that are no metadata, where the payload itself holds those.
        vector: name of the dense vector; None for the only one.
        sparse_vector: name of the sparse vector; None for the only one, if there is one.

    Raises:
        InputError: no place is named for the text.

    >>> PayloadMapping(text="body", source="link").passage({"body": "Hi.", "link": "a"}, 7).source
    'a'
    """

    text: str | Sequence[str]
    metadata: str = ""
    source: str | Sequence[str] = ()
    title: str | Sequence[str] = ()
    document_id: str = ""
    hidden: Sequence[str] = ()
    vector: str | None = None
    sparse_vector: str | None = None

    def __post_init__(self) -> None:
        if not self.places("text"):
            raise InputError("a payload mapping has no text: name the place of it, as text='body'")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The mapping of a library, "langchain", "llama-index" or "haystack".

        Args:
            name: of the library.
            changes: attributes that differ, such as the vector's name.

        Raises:
            InputError: there is no such preset.
        """
        if name not in _PRESETS:
            raise InputError(
                f"unknown payload mapping {name!r}: expected {DETECT}, {', '.join(_PRESETS)} or a "
                "PayloadMapping"
            )
        return replace(cls(**_PRESETS[name]), **changes)

    def places(self, what: str) -> tuple[str, ...]:
        """The places of "text", "source" or "title", in order."""
        found: str | Sequence[str] = getattr(self, what)
        return (found,) if isinstance(found, str) and found else tuple(found)

    def text_of(self, payload: Mapping[str, Any]) -> str:
        """The text of a payload; "" where it has none, or none that anyone sees."""
        found = _first(payload, self.places("text"))
        text = clean_text(found) if isinstance(found, str) else ""
        return text if visible_text(text).strip() else ""

    def passage(self, payload: Mapping[str, Any], point: object) -> Passage:
        """The passage of a payload.

        Args:
            payload: as the other library wrote it.
            point: the id of its point.
        """
        key = name_of(read_path(payload, self.document_id)) if self.document_id else ""
        key, text = key or str(point), self.text_of(payload)
        source, title = (name_of(_first(payload, self.places(k))) for k in ("source", "title"))
        return Passage(
            text,
            clean_text(source) or key,
            clean_text(title),
            end=len(text),
            metadata=self._metadata(payload),
            document_id=key,
        )

    def _metadata(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        held = payload.get(self.metadata) if self.metadata else payload
        if not isinstance(held, Mapping):
            return {}
        prefix = f"{self.metadata}." if self.metadata else ""
        # Found elsewhere; whatever else names a source stays, to filter by.
        own = [*self.places("text"), *(f"{prefix}{name}" for name in ("source", "title"))]
        mapped = {place for what in _PARTS for place in self.places(what)}.intersection(own)
        kept = {
            key: value
            for key, value in held.items()
            if key not in self.hidden and f"{prefix}{key}" not in mapped
        }
        return dict(clean(coerce_metadata(kept)[0]))


def read_path(payload: Any, path: str) -> Any:
    """What a payload holds at a place; None for nothing."""
    for name in path.split("."):
        if isinstance(payload, str):
            try:
                payload = json.loads(payload)
            except (ValueError, RecursionError):
                return None
        payload = payload.get(name) if isinstance(payload, Mapping) else None
    return payload


def _first(payload: Mapping[str, Any], places: Iterable[str]) -> Any:
    found = (read_path(payload, place) for place in places)
    return next((value for value in found if value not in _NOTHING), None)


def mapping_of(
    wanted: PayloadMapping | str, payloads: Sequence[Mapping[str, Any]], *, where: str
) -> PayloadMapping:
    """The mapping that is asked for, by its name or by what some payloads look like.

    Args:
        wanted: itself, a preset's name, or "auto".
        payloads: some of the collection's.
        where: the collection, for messages.

    Raises:
        InputError: there is no such preset, payloads are of no known kind, or have no text there.
    """
    if wanted == DETECT:
        wanted = _detected(payloads, where)
    mapping = PayloadMapping.preset(wanted) if isinstance(wanted, str) else wanted
    if payloads and not any(map(mapping.text_of, payloads)):
        raise InputError(
            f"{where} has no text at {' or '.join(map(repr, mapping.places('text')))}: its "
            f"payloads have {_named(payloads)}; give a PayloadMapping with their names"
        )
    return mapping


def _detected(payloads: Sequence[Mapping[str, Any]], where: str) -> str:
    if all(payload.keys() >= _OURS for payload in payloads):
        raise InputError(
            f"{where} is an index of unimoer-rag: open it by UnifiedRetriever(url=, collection=), "
            "or without --mapping"
        )
    for name, signs in _SIGNS.items():
        if all(payload.keys() >= signs for payload in payloads):
            return name
    raise InputError(
        f"{where} was written by no library that is known here ({', '.join(_SIGNS)}): its payloads "
        f"have {_named(payloads)}; say where the text is, as mapping=PayloadMapping(text=NAME)"
    )


def _named(payloads: Sequence[Mapping[str, Any]]) -> str:
    names = sorted({str(name)[:80] for payload in payloads for name in payload})
    return ", ".join(map(repr, names[:12])) or "nothing"


# What tells the payloads of a library from those of others.
_SIGNS = {
    "llama-index": {"_node_content", "_node_type"},
    "langchain": {"page_content", "metadata"},
    "haystack": {"content", "meta", "id"},
}
_OURS = {"text", "source", "title", "start", "end", "metadata"}

_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "langchain": {
        "text": "page_content",
        "metadata": "metadata",
        "source": "metadata.source",
        "title": "metadata.title",
    },
    "llama-index": {
        # Of a text node, of any other, and of early releases.
        "text": ("_node_content.text", "_node_content.text_resource.text", "text"),
        "source": ("source", *FILE_NAMES, "ref_doc_id"),
        "title": "title",
        "hidden": ("_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id"),
    },
    "haystack": {
        "text": "content",
        "metadata": "meta",
        "source": ("meta.source", *(f"meta.{name}" for name in FILE_NAMES)),
        "title": "meta.title",
        "document_id": "id",
    },
}

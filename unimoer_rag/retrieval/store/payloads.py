"""What stands beside a passage's vectors: payloads, and what is read back from them."""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unimoer_rag.retrieval.metadata import EXACT, plain, stored, stored_twice
from unimoer_rag.retrieval.store.base import Label, Record
from unimoer_rag.retrieval.store.filters import Condition
from unimoer_rag.retrieval.types import Passage

__all__ = [
    "LABEL_FIELDS",
    "PASSAGE_FIELDS",
    "STATES_FIELD",
    "count_sources",
    "label_conditions",
    "of_record",
    "to_label",
    "to_passage",
    "to_payload",
    "to_states",
    "to_states_payload",
]

# Passages are read without their token states, which are far larger.
PASSAGE_FIELDS = [
    "text", "source", "title", "start", "end", "metadata", "page", "document_id", "origin",
    "page_breaks", EXACT
]  # fmt: skip
LABEL_FIELDS = ["source", "title", "document_id", "origin", "metadata"]
STATES_FIELD = "states"


def to_states_payload(states: bytes) -> dict[str, str]:
    """Token states as part of a payload.

    A payload comes and goes with its point: what interrupts an upsert or a delete cannot part a
    passage from its states. Engines keep it as JSON, hence base64. Multivectors would hold the
    numbers too, but come back as lists of floats, which takes ten times as long.
    """
    return {STATES_FIELD: b64encode(states).decode()} if states else {}


def to_states(payload: Mapping[str, Any] | None) -> bytes:
    """The token states in a payload; empty where there are none."""
    return a2b_base64((payload or {}).get(STATES_FIELD, ""))


def to_payload(passage: Passage) -> dict[str, Any]:
    """What is stored beside the vectors."""
    payload = {
        "text": passage.text,
        "source": passage.source,
        "title": passage.title,
        "start": passage.start,
        "end": passage.end,
        "metadata": plain(passage.metadata),
    }
    told: dict[str, Any] = {
        "document_id": passage.document_id,
        "origin": passage.origin,
        "page": passage.page,
        "page_breaks": list(passage.page_breaks),
    }
    named = {key: value for key, value in told.items() if value}
    return payload | named | stored_twice(passage.metadata)


def to_passage(payload: Mapping[str, Any] | None) -> Passage:
    """The passage a payload came from.

    Raises:
        KeyError: the payload was not written by a store.
    """
    p = payload or {}
    return Passage(
        p["text"],
        p["source"],
        p["title"],
        int(p["start"]),
        int(p["end"]),
        stored(p),
        page=p.get("page"),
        document_id=p.get("document_id", ""),
        origin=p.get("origin", ""),
        page_breaks=tuple(p.get("page_breaks", ())),
    )


def to_label(key: object, payload: Mapping[str, Any] | None) -> Label:
    """What a stored payload says of its document."""
    p = payload or {}
    return Label(
        str(key),
        p["source"],
        p["title"],
        p.get("document_id", ""),
        p.get("origin", ""),
        str(p["metadata"].get("type", "")),
    )


def label_conditions(
    sources: Sequence[str] | None, document_ids: Sequence[str] | None
) -> tuple[Condition, ...]:
    """Of passages with one of the sources and one of the document ids; None stands for any."""
    wanted = {"source": sources, "document_id": document_ids}
    return tuple(
        Condition(key, tuple(some), own=True) for key, some in wanted.items() if some is not None
    )


def count_sources(payloads: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many payloads each source has, in order of source."""
    counts = Counter(str(payload["source"]) for payload in payloads)
    return dict(sorted(counts.items()))


def of_record(record: Record) -> dict[str, Any]:
    """All that is stored beside a record's vectors."""
    return to_payload(record.passage) | to_states_payload(record.states)

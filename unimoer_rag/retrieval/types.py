"""The nouns of retrieval: documents come in, passages are stored, hits come out."""

from __future__ import annotations

import uuid
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any, Literal, Self

from unimoer_rag.retrieval.text import legible_text

__all__ = ["Document", "Hit", "Mode", "Passage", "Scalar"]

Scalar = str | int | float | bool
Mode = Literal["dense", "sparse", "hybrid"]

# Namespace of passage ids; any fixed UUID serves, this one is ours.
_PASSAGE_NAMESPACE = uuid.UUID("6f1e2c5a-6a4b-5b1e-9d53-0d8f5c1f7a10")


@dataclass(frozen=True, slots=True)
class Document:
    """One text to index, before chunking.

    Attributes:
        text: the whole text, as its reader extracted it.
        source: where it came from: a path, a URL, a data set id.
        title: shown and encoded with every passage when not empty.
        metadata: scalars (or lists of strings) to filter by.
        pages: where its pages begin, as character offsets in order; () where it has none.
        notes: what its reader has to tell: an encoding that was guessed, a page without text.
        document_id: names it among the documents of its source, where the source has several.
        origin: the file it was read from, as sources name files; "" for what no file held.
    """

    text: str
    source: str
    title: str = ""
    metadata: Mapping[str, Scalar | list[str]] = field(default_factory=dict)
    pages: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    document_id: str = ""
    # Where something was read is no part of what it is: a moved file changes nothing.
    origin: str = field(default="", compare=False)

    @property
    def content(self) -> str:
        """What the model sees of a document kept whole: the title, then the text."""
        return _with_title(self.title, self.text)

    def page_at(self, offset: int) -> int | None:
        """The page, counted from 1, that holds the character at an offset; None without pages."""
        return max(bisect_right(self.pages, offset), 1) if self.pages else None


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document: the unit that is embedded, stored and found.

    Attributes:
        text: the span's text, exactly `document.text[start:end]`.
        source: the document's source.
        title: the document's title, or "".
        start: character offset of the first character in the document.
        end: character offset behind the last one.
        metadata: the document's metadata.
        page: the document's page on which it begins, counted from 1; None where it has none.
        document_id: the document's id within its source, or "".
        origin: the file that the document was read from, or "".
        page_breaks: where later pages begin within it, as character offsets in the document.
    """

    text: str
    source: str
    title: str = ""
    start: int = 0
    end: int = 0
    metadata: Mapping[str, Scalar | list[str]] = field(default_factory=dict)
    page: int | None = None
    document_id: str = ""
    origin: str = field(default="", compare=False)
    # An index of before they were kept holds the same passages without them.
    page_breaks: tuple[int, ...] = field(default=(), compare=False)

    def page_at(self, offset: int) -> int | None:
        """The page that holds the character at an offset in the document; None without pages."""
        return None if self.page is None else self.page + bisect_right(self.page_breaks, offset)

    @property
    def id(self) -> str:
        """UUID of source, document id, position, title and text: same content, same id."""
        parts = (self.source, str(self.start), self.title, self.text)
        # Behind the text, and only where there is one: other ids stay what they always were.
        name = "\x1f".join((*parts, self.document_id) if self.document_id else parts)
        return str(uuid.uuid5(_PASSAGE_NAMESPACE, name))

    @property
    def content(self) -> str:
        """What the model sees: the title, where there is one, then the text."""
        return _with_title(self.title, self.text)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with the scores each stage gave it.

    Attributes:
        passage: what was found.
        dense: cosine of query and passage vector, or None if not computed.
        sparse: BM25 score, or None.
        fused: reciprocal-rank fusion score in hybrid mode, or None.
        rerank: relevance in [0, 1] from the reranker, or None; it orders the hits of a query and is
            no calibrated probability.
        from_query: the near query that it was found for, where a semantic cache gave it; or None.
    """

    passage: Passage
    dense: float | None = None
    sparse: float | None = None
    fused: float | None = None
    rerank: float | None = None
    from_query: str | None = None

    @property
    def score(self) -> float:
        """The score of the last stage that ran."""
        for value in (self.rerank, self.fused, self.dense, self.sparse):
            if value is not None:
                return value
        return 0.0

    @property
    def id(self) -> str:
        """The passage's id."""
        return self.passage.id

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.passage.text

    @property
    def source(self) -> str:
        """Where the passage came from."""
        return self.passage.source

    @property
    def title(self) -> str:
        """The document's title, or ""."""
        return self.passage.title

    @property
    def start(self) -> int:
        """Where the passage begins in its document, in characters."""
        return self.passage.start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.passage.end

    @property
    def metadata(self) -> Mapping[str, Scalar | list[str]]:
        """The document's metadata."""
        return self.passage.metadata

    @property
    def document_id(self) -> str:
        """The document's id within its source, or ""."""
        return self.passage.document_id

    @property
    def place(self) -> str:
        """Where it stands, for people: `handbook/a.pdf:0-120, page 3`."""
        page = "" if self.page is None else f", page {self.page}"
        return f"{self.source}:{self.start}-{self.end}{page}"

    def __str__(self) -> str:
        """One line to look at: the score, where it stands, how it begins."""
        text = shorten(self.text, 80, placeholder="…") or "…"
        return f"{self.score:.3f} {self.place} {text}"

    @property
    def page(self) -> int | None:
        """The page on which the passage begins, counted from 1; None where there are none."""
        return self.passage.page

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        p = self.passage
        return {
            "id": p.id,
            "score": self.score,
            "text": p.text,
            "source": p.source,
            "title": p.title,
            "start": p.start,
            "end": p.end,
            "page": p.page,
            "metadata": dict(p.metadata),
            "document_id": p.document_id,
            "dense": self.dense,
            "sparse": self.sparse,
            "fused": self.fused,
            "rerank": self.rerank,
            "from_query": self.from_query,
            **({"page_breaks": list(p.page_breaks)} if p.page_breaks else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The hit that `to_dict` made these of, but for `Passage.origin`, which they leave out."""
        said = ("text", "source", "title", "start", "end", "page", "metadata", "document_id")
        scores = ("dense", "sparse", "fused", "rerank", "from_query")
        breaks = tuple(values.get("page_breaks", ()))
        passage = Passage(**{name: values[name] for name in said}, page_breaks=breaks)
        return cls(passage, **{name: values[name] for name in scores})


def _with_title(title: str, text: str) -> str:
    # Letters, not glyphs: dense and keyword search see the same, whatever the tokenizer.
    return legible_text(f"{title}. {text}" if title else text)

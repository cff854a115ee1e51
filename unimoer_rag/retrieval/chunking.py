"""Documents into passages: by tokens, along sentence boundaries, with overlap."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.text import clean_text
from unimoer_rag.retrieval.types import Document, Passage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Chunker", "Chunking", "whole"]

# A passage holds at most this many characters a token. English has about 4.5, so prose never
# meets it. What does is a run that the vocabulary cannot see into (WordPiece makes one [UNK] of a
# base64 blob of any length), which would else be a single passage of a megabyte. It also spares
# tokenising candidates that are far too long.
_CHARACTERS_PER_TOKEN = 8

_MOST_TOKENS = 2**31 - 1  # what the splitter counts to on every machine

# The splitter looks through all text ahead of it for the end of a sentence, at every passage: where
# there is none (a data URI, minified JSON, Thai without spaces) its time is quadratic. It therefore
# gets a window of this many tokens' worth of characters at a time. Passages this near to a window's
# end, where what follows is not seen, are cut again in the next one.
_WINDOW, _MARGIN = 20 * _CHARACTERS_PER_TOKEN, 2 * _CHARACTERS_PER_TOKEN

# Pieces whose length is remembered: more than a passage takes to be cut.
_PIECES = 128

# A newline inside a hard-wrapped sentence: behind a line of some length that ends without a full
# stop, before one that begins like prose (no bullet, number, heading or table row).
_SOFT_NEWLINE = re.compile(r"""(?<=[^\n]{40})(?<![.!?:;|。！？])\n(?=[("'“‘]?[^\W_])(?!\d+[.)])""")
# Stands for it while splitting: the splitter ends a section at every newline, whereas a vertical
# tab is plain space to it. `clean_text` leaves none in a text, so it maps back without loss.
_SOFT = "\v"


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut; part of an index's identity.

    The default leaves a passage and its title inside the 256 tokens that MiniLM was trained on.

    Attributes:
        size: most tokens a passage may have, special tokens not counted.
        overlap: most tokens that a passage may repeat from the one before it.

    Raises:
        InputError: `size` is below 8 or beyond counting, or `overlap` is negative or not below half
            of `size`.
    """

    size: int = 160
    overlap: int = 32

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise InputError(f"chunking {name} must be a whole number of tokens, got {value!r}")
        # A character may take four byte-level tokens, so far smaller sizes could not be kept.
        if self.size < 8:
            raise InputError(
                f"chunking size must be at least 8 tokens, got {self.size}: 160 is the default; "
                "to keep each document as one passage, use chunking='whole'"
            )
        if self.size > _MOST_TOKENS:
            raise InputError(
                f"chunking size is {self.size:.3g} tokens: {_MOST_TOKENS:,} are the most; for "
                "whole documents, use chunking='whole'"
            )
        if not 0 <= 2 * self.overlap < self.size:
            raise InputError(
                f"chunking overlap must be at least 0 and below half of size={self.size}, "
                f"got {self.overlap}: a fifth of the size is a good choice"
            )

    def to_dict(self) -> dict[str, int]:
        """JSON-ready form; `Chunking(**stored)` reads it back."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.size} tokens with {self.overlap} overlapping"


class Chunker:
    """Cuts documents into passages.

    Safe to share between threads.

    >>> chunker = Chunker(tokenizer.backend_tokenizer)           # doctest: +SKIP
    >>> chunker.split(Document("A text. Its end.", "a.txt"))     # doctest: +SKIP

    Args:
        tokenizer: the backbone's fast tokenizer; a copy is taken, without truncation or padding.
            None is for whole documents alone.
        chunking: sizes, or None to make one passage of each document.
    """

    def __init__(self, tokenizer: Tokenizer | None, chunking: Chunking | None = Chunking()) -> None:
        self.chunking = chunking
        if chunking is None or tokenizer is None:
            return
        from semantic_text_splitter import TextSplitter

        # Truncation would hide the length of what is counted, and padding would inflate it.
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # The splitter asks of most pieces twice.
        measure = lru_cache(maxsize=_PIECES)(self._measure)
        self._splitter = TextSplitter.from_callback(
            measure, chunking.size, overlap=chunking.overlap
        )

    @property
    def identity(self) -> Mapping[str, int] | None:
        """What an index records and compares: the sizes, or None for whole documents."""
        return None if self.chunking is None else self.chunking.to_dict()

    def split(self, document: Document) -> list[Passage]:
        """Return the document's passages in order; none for a text without words.

        Each holds at most `size` tokens and is exactly `clean_text(document.text)[start:end]`;
        together they hold every character that is not white space. A sentence (or, without
        sentences, a word) is cut only where it alone is too long for a passage.
        """
        if self.chunking is None:
            return whole(document)
        text = clean_text(document.text)
        shadow = _SOFT_NEWLINE.sub(_SOFT, text)  # one character for one: offsets stay
        return [_passage(document, text, start, end) for start, end in self._spans(shadow)]

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the passages begin and end, the text cut window by window."""
        size = self.chunking.size if self.chunking else 0
        at = seen = 0
        while at < len(text):
            window = text[at : at + _WINDOW * size]
            rest = len(text) - at - len(window)
            sure = len(window) - (_MARGIN * size if rest else 0)
            begin = at
            at += len(window)  # unless a passage comes that is not sure
            for start, piece in self._splitter.chunk_indices(window):
                end = start + len(piece)
                # What fills a whole window cannot be surer in the next.
                if end > sure and start > 0:
                    at = begin + start
                    break
                if begin + end > seen:  # not inside the passage before
                    seen = begin + end
                    yield begin + start, seen

    def _measure(self, piece: str) -> int:
        """Tokens of a piece, or its share by characters where that is more."""
        by_characters = -(-len(piece) // _CHARACTERS_PER_TOKEN)
        if self.chunking is not None and by_characters > self.chunking.size:
            return by_characters
        encoding = self._tokenizer.encode(piece.replace(_SOFT, "\n"), add_special_tokens=False)
        return max(by_characters, len(encoding))


def whole(document: Document) -> list[Passage]:
    """Return one passage with all of the document's text, less outer white space; or none."""
    text = clean_text(document.text)
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return [_passage(document, text, start, end)] if start < end else []


def _passage(document: Document, text: str, start: int, end: int) -> Passage:
    return Passage(
        text[start:end],
        document.source,
        document.title,
        start,
        end,
        document.metadata,
        page=document.page_at(start),
        document_id=document.document_id,
        origin=document.origin,
        page_breaks=tuple(page for page in document.pages[1:] if start < page < end),
    )

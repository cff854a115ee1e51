"""The lines of a stream of server-sent events, as the standard ends them.

A library's parser was tried and not taken: httpx splits at every line end of Unicode, some of which
stand unescaped in JSON; httpx-sse and httpx2 refuse a stream whose content type is missing, and
drop an event that no blank line ends, which proxies send.
"""

from __future__ import annotations

import re

from unimoer_rag.errors import GenerationError
from unimoer_rag.steps import Source, Streamed

__all__ = ["LineSplitter", "lines"]

_END = re.compile("\r\n|\r|\n")
_LONGEST = 16 * 1024**2  # characters of a line
_MOST = 64 * 1024**2  # characters of a stream


class LineSplitter:
    """Takes text as it comes, gives the lines that are whole.

    >>> splitter = LineSplitter()
    >>> splitter.take("data: a\\r"), splitter.take("\\ndata"), splitter.rest()
    (['data: a'], [], 'data')
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._waiting = self._taken = 0
        self._ended_by_cr = False

    def take(self, text: str) -> list[str]:
        """The lines that end in this piece of text.

        Raises:
            GenerationError: a line, or all of it, is longer than any answer.
        """
        if not self._taken:
            text = text.removeprefix("\ufeff")
        if not text:
            return []
        self._taken += len(text)
        if self._ended_by_cr:  # whose line feed comes in the next piece
            text = text.removeprefix("\n")
        self._ended_by_cr = text.endswith("\r")
        first, *more = _END.split(text)
        self._parts.append(first)
        self._waiting += len(first)
        if max(self._waiting / _LONGEST, self._taken / _MOST) > 1:
            raise GenerationError("the server sends more than any answer is long: see what it is")
        if not more:
            return []
        found = ["".join(self._parts), *more[:-1]]
        self._parts, self._waiting = [more[-1]], len(more[-1])
        return found

    def rest(self) -> str:
        """What came behind the last line's end."""
        return "".join(self._parts)


def lines(chunks: Source[str]) -> Streamed[str]:
    """The lines of a stream; the last one may have no end."""
    splitter = LineSplitter()
    while (chunk := (yield from chunks.next())) is not None:
        yield from splitter.take(chunk)
    yield splitter.rest()

"""What of a language model's text is its answer: no thoughts, and only text that can be kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unimoer_rag.retrieval import clean_text

__all__ = ["ReplyWords", "SpokenText", "WholeCharacters", "spoken"]

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
# "[THINK]" is Mistral's, the triangles are Kimi's.
_OPENING = re.compile(rf"<(?:{'|'.join(_NAMES)})>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSING = re.compile(rf"</(?:{'|'.join(_NAMES)})>|\[/THINK\]|◁/think▷", re.IGNORECASE)
_TAG = re.compile(f"(?P<opening>{_OPENING.pattern})|(?P<closing>{_CLOSING.pattern})", re.IGNORECASE)
_LONGEST = max(map(len, _NAMES)) + len("</>")


def spoken(text: str) -> str:
    """The answer in a reply: what stands behind the thoughts it begins with.

    Thoughts end where as many tags have closed as were opened; where that never happens, at the
    last one that closed. A reply may begin inside them: some servers keep the opening tag, which
    the chat template writes, to themselves. A tag further on is a word of the answer.

    >>> spoken("<think>Passage [2]? No.</think> 14 days [1].")
    '14 days [1].'
    """
    rest = text.strip()
    first = _TAG.search(rest)
    if first is not None and first["closing"]:
        rest = rest[first.end() :].lstrip()
    while found := _OPENING.match(rest):
        rest = rest[_thought_end(rest, found.end()) :].lstrip()
    return rest


def _thought_end(text: str, begun: int) -> int:
    """Where a thought ends that begins with the tag before `begun`."""
    depth, last = 1, len(text)
    for tag in _TAG.finditer(text, begun):
        depth += 1 if tag["opening"] else -1
        if tag["closing"]:
            last = tag.end()
        if depth == 0:
            return last
    return last


@dataclass(slots=True)
class SpokenText:
    """`spoken` of a reply that comes in pieces: each as soon as it is known to be of the answer.

    What a reply says before a tag that closes thoughts nobody opened is out by then; the whole,
    read by `spoken`, leaves it out.
    """

    _held: str = ""
    _depth: int = 0
    _answering: bool = False
    _since: list[str] | None = None  # what came since a tag closed, while others are open

    def take(self, piece: str) -> str:
        """The words of the answer that are known with this piece."""
        if self._answering:
            return piece
        text, self._held = self._held + piece, ""
        while text := text if self._depth else text.lstrip():
            if self._depth:
                text = self._think(text)
            elif found := _OPENING.match(text):
                self._depth, self._since, text = 1, None, text[found.end() :]
            elif _may_open(text):
                self._held = text
                break
            else:
                self._answering = True
                return text
        return ""

    def _think(self, text: str) -> str:
        """Take in thoughts up to their next tag; what stands behind it."""
        tag = _TAG.search(text)
        if tag is None:
            # A tag may have begun at the end.
            known, self._held = text[:-_LONGEST], text[-_LONGEST:]
            self._keep(known)
            return ""
        self._depth += 1 if tag["opening"] else -1
        if tag["closing"]:
            self._since = []
        else:
            self._keep(text[: tag.end()])
        return text[tag.end() :]

    def _keep(self, text: str) -> None:
        if self._since is not None:
            self._since.append(text)

    def end(self) -> str:
        """The words of the answer that were held back until its end."""
        if self._depth:
            self._keep(self._held)
            held = spoken("".join(self._since or ()))
        else:
            held = self._held
        self._held, self._since, self._depth = "", None, 0
        return held


def _may_open(text: str) -> bool:
    """Whether text may be the beginning of a tag that opens thoughts."""
    tags = (*(f"<{name}>" for name in _NAMES), "[think]", "◁think▷")
    return any(tag.startswith(text.casefold()) for tag in tags)


class WholeCharacters:
    """Text that can be kept, out of pieces that may end inside a character.

    Half of a surrogate pair waits for its other half; one that has none becomes U+FFFD, and control
    characters become spaces, as in every text that enters.

    >>> whole = WholeCharacters()
    >>> whole.take("a\\ud83d"), whole.take("\\ude00b"), whole.end()
    ('a', '😀b', '')
    """

    def __init__(self) -> None:
        self._half = ""

    def take(self, piece: str) -> str:
        """The characters that are whole with this piece."""
        text = self._half + piece
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return _kept(text[: len(text) - len(self._half)])

    def end(self) -> str:
        """The half that nothing followed."""
        half, self._half = self._half, ""
        return _kept(half)


class ReplyWords:
    """A reply as it comes: all of it in `text`, and of the answer what is to be told."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._characters, self._spoken = WholeCharacters(), SpokenText()

    @property
    def text(self) -> str:
        """The whole reply so far, thoughts included."""
        return "".join(self._pieces)

    def take(self, piece: str) -> str:
        """The words of the answer that are known with this piece."""
        text = self._characters.take(piece)
        self._pieces.append(text)
        return self._spoken.take(text)

    def end(self) -> str:
        """Those that were held back until its end."""
        text = self._characters.end()
        self._pieces.append(text)
        return self._spoken.take(text) + self._spoken.end()


def _kept(text: str) -> str:
    pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return clean_text(pairs)

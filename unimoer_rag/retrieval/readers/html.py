"""HTML as a browser shows it, less the navigation: by libxml2's events, without a tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.text import legible_text

__all__ = ["html_text", "read_html"]

_DROPPED: Final = frozenset(
    "script style nav noscript template iframe noframes rp annotation annotation-xml".split()  # noqa: SIM905
)
# Of a drawing only its labels are read: what titles it is its tooltip.
_SHOWN_IN_DRAWINGS: Final = frozenset({"text", "foreignobject"})
# What stands where a block begins and ends, until neighbouring marks merge into one line break.
_SPACE, _LINE, _PARAGRAPH = "\x1f", "\v", "\f"
_BLANK = f" \t\n\r{_SPACE}{_LINE}{_PARAGRAPH}"
_BLOCKS = """
address aside audio body br button caption center dd details dialog dir div dl dt fieldset
figcaption figure footer form frameset head header hgroup hr html legend li main menu nav object
ol optgroup option search select summary tbody textarea tfoot thead tr ul video
"""
_PARAGRAPHS = "article blockquote h1 h2 h3 h4 h5 h6 listing p plaintext pre section table xmp"
_MARKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(_BLOCKS.split(), _LINE),
    **dict.fromkeys(_PARAGRAPHS.split(), _PARAGRAPH),
    **dict.fromkeys(["td", "th", "input", "img", "label", "output", "meter", "rt", "text"], _SPACE),
}
_BREAKING_OUT: Final = frozenset([*_BLOCKS.split(), *_PARAGRAPHS.split()])
_VERBATIM: Final = frozenset(["pre", "listing", "xmp", "plaintext", "textarea"])
_EXPONENT: Final = "0123456789+-−"
# Inputs that show no words of theirs.
_WORDLESS_INPUTS: Final = frozenset(
    ["hidden", "password", "checkbox", "radio", "file", "color", "range"]
)
_NOT_DISPLAYED = re.compile(r"(?:^|;)\s*display\s*:\s*none\s*(?:!\s*important\s*)?(?:;|$)", re.I)

# An end tag is looked for in all elements that are open, so the work is at most depth times length.
# No page is as deep as the first figure; many are as deep as the second where little is behind it.
_USUAL_DEPTH, _MAX_DEPTH = 256, 1 << 16
_MAX_WORK = 1 << 31
_PIECE = 1 << 16


def read_html(data: bytes) -> Extracted:
    """The text that a browser would show, and the page's title or first heading."""
    decoded = decode(data)
    return html_text(decoded.text)._replace(notes=decoded.notes)


def html_text(markup: str) -> Extracted:
    """The text and the title of a page.

    Raises:
        UnreadableError: it is nested deeper than any page.
    """
    target = _parsed(markup, _DROPPED)
    shown = target.text().strip(_BLANK)
    if not shown and "<nav" in markup.lower():  # a page of nothing but links
        shown = _parsed(markup, _DROPPED - {"nav"}).text().strip(_BLANK)
    runs = f"[ {_SPACE}{_LINE}{_PARAGRAPH}]+"
    text = legible_text(re.sub(runs, _line_break, shown))
    title = "".join(target.title).strip(_BLANK) or "".join(target.heading).strip(_BLANK)
    return Extracted(text, title)


def _parsed(markup: str, dropped: frozenset[str]) -> _Target:
    from lxml import etree

    target = _Target(dropped)
    # Without `huge_tree` text behind the 256th element inside another would be left out.
    parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
    with reading("HTML"):
        work = 0
        for at in range(0, len(markup), _PIECE):
            piece = markup[at : at + _PIECE].encode("utf-8", "replace")
            parser.feed(piece)
            target.gather()
            work += max(target.depth - _USUAL_DEPTH, 0) * len(piece)
            if work > _MAX_WORK or target.depth > _MAX_DEPTH:
                raise UnreadableError(
                    f"{target.depth} of its elements stand inside one another: more than any "
                    "page has; save it anew, or save its text"
                )
        if markup:
            parser.close()
    return target


def _line_break(run: re.Match[str]) -> str:
    """Merge a run of marks and the spaces about them."""
    marks = run[0]
    if _PARAGRAPH in marks:
        return "\n\n"
    return "\n" if _LINE in marks else " " if _SPACE in marks else marks


class _Target:
    """Gathers what is shown while the parser tells what begins and ends."""

    def __init__(self, dropped: frozenset[str]) -> None:
        self._dropped = dropped
        self.pieces: list[str] = []
        self._gathered: list[str] = []
        self.title: list[str] = []
        self.heading: list[str] = []
        self.depth = 0
        self._hidden_at = 0  # depth of the outermost element that is not shown; 0 for none
        self._drawing_at = 0  # of the outermost drawing
        self._label_at = 0  # of the label within it
        self._verbatim_at = 0
        self._title_at = 0
        self._heading_at = 0
        self._has_title = self._has_heading = False
        self._raised = False  # what comes next is an exponent or the number of a note
        self._closed = ""  # the tag that ended just before

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        if self._hidden_at:
            return
        if tag in self._dropped or _is_hidden(attributes):
            self._hidden_at = self.depth
            self.pieces.append(_MARKS.get(tag, ""))
            return
        if tag == "svg" and not self._drawing_at:
            self._drawing_at = self.depth
        if self._drawing_at and not self._label_at and tag in _BREAKING_OUT:
            self._drawing_at = 0  # nobody closed it
        if self._drawing_at and not self._label_at and tag in _SHOWN_IN_DRAWINGS:
            self._label_at = self.depth
        if tag == "title" and not self._title_at:
            self._title_at = self.depth
        if tag == "h1" and not self._has_heading:
            self._heading_at, self._has_heading = self.depth, True
        if tag in _VERBATIM and not self._verbatim_at:
            self._verbatim_at = self.depth
        mark = _MARKS.get(tag, "")
        self._raised = tag == "sup"
        if tag == self._closed == "a":
            mark = _SPACE  # style sheets set neighbouring links apart
        self._closed = ""
        self._show(mark)
        if self._heading_at and mark:
            self.heading.append(" ")
        if words := _words(tag, attributes):
            self.data(words)
            self._show(mark or _LINE)

    def end(self, tag: str) -> None:
        depth, self.depth = self.depth, self.depth - 1
        if self._hidden_at:
            if self._hidden_at == depth:
                self._hidden_at = 0
                self.pieces.append(_MARKS.get(tag, ""))
            return
        self._show(_MARKS.get(tag, ""))
        self._raised, self._closed = False, tag
        if self._heading_at == depth and not "".join(self.heading).strip(_BLANK):
            self.heading.clear()
            self._has_heading = False
        if self._title_at == depth:
            self._title_at, self._has_title = 0, self._has_title or bool(self.title)
        for name in ("_drawing_at", "_label_at", "_verbatim_at", "_heading_at"):
            if getattr(self, name) == depth:
                setattr(self, name, 0)

    def data(self, text: str) -> None:
        if self._hidden_at:
            return
        if self._title_at:
            if not self._drawing_at and not self._has_title:
                self.title.append(text)
            return
        if self._raised and text[0] in _EXPONENT:
            text = f"^{text}"
        self._raised, self._closed = False, ""
        if self._heading_at:
            self.heading.append(text)
        self._show(text if self._verbatim_at else re.sub(r"\s+", _SPACE, text))

    def close(self) -> None:
        """The parser asks for it; nothing is left to do."""

    def gather(self) -> None:
        """Make one piece of those so far: millions of small ones take many times their length."""
        self._gathered.append("".join(self.pieces))
        self.pieces.clear()

    def text(self) -> str:
        """All that was shown, with marks between blocks."""
        self.gather()
        return "".join(self._gathered)

    def _show(self, text: str) -> None:
        if not self._drawing_at or self._label_at:
            self.pieces.append(text)


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    """Whether the element says itself that it is not shown, nor will be by a click."""
    if not attributes or attributes.get("role", "").lower() == "tabpanel":
        return False
    hidden = attributes.get("hidden")
    if hidden is not None and hidden.lower() != "until-found":
        return True
    style = attributes.get("style")
    return bool(style and _NOT_DISPLAYED.search(style[:1000]))


def _words(tag: str, attributes: Mapping[str, str]) -> str:
    """What is shown of an element's attributes."""
    if tag in ("img", "area"):
        return attributes.get("alt", "")
    if tag == "input":
        kind = attributes.get("type", "text").lower()
        if kind in _WORDLESS_INPUTS:
            return ""
        if kind == "image":
            return attributes.get("alt", "")
        return attributes.get("value") or attributes.get("placeholder", "")
    if tag == "textarea":
        return attributes.get("placeholder", "")
    if tag in ("optgroup", "track"):
        return attributes.get("label", "")
    return ""

"""RTF, by striprtf, which is told to read what stands beside the body too."""

from __future__ import annotations

import re

from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.limits import TooLargeError, in_mebibytes
from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, reading
from unimoer_rag.retrieval.text import legible_text

__all__ = ["read_rtf"]

_MAX_BYTES = 64 << 20
_TITLE = re.compile(r"\{\\title\s+([^{}]{1,1000})\}")
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")

# striprtf passes over headers, notes, comments and boxes, which are groups that begin with these.
_BESIDE_THE_BODY = re.compile(
    r"\\[{}\\]|(?P<brace>[{}])|(?:\\\*\s*)?\\(?P<begin>(?:header|footer)[lrf]?|footnote|annotation"
    r"|shp|shpinst|shptxt|do|dptxbxtext)(?![a-zA-Z0-9]) ?"
)
# What is set as hidden, or was deleted while changes were recorded.
_UNSEEN = re.compile(r"\{[^{}]*\\(?:v|deleted)(?![a-zA-Z0-9])[^{}]*\}")
# It looks for links and fonts by expressions that cross a whole line or more, in quadratic time.
_LINK, _FONT = re.compile(r"\\field\{"), re.compile(r"(?=\\f\d)")
_FONTS, _BRACE = re.compile(r"\{[^{}]*\\fonttbl"), re.compile("[{}]")
_MAX_FONTS = 1 << 18


def read_rtf(data: bytes) -> Extracted:
    """The document's text, with what stands beside the body where it is anchored."""
    if not data.lstrip().startswith(b"{\\rtf"):
        raise UnreadableError("it does not begin as RTF does; save it again as RTF or as DOCX")
    with needs_extra("striprtf", "documents", "reading RTF"):
        from striprtf.striprtf import rtf_to_text
    with reading("RTF"):
        if len(data) > _MAX_BYTES:
            raise TooLargeError(f"it is larger than {in_mebibytes(_MAX_BYTES)}")
        source = data.decode("latin-1")  # RTF is ASCII; other bytes are its escapes' business
        found = _TITLE.search(source)
        title = rtf_to_text(f"{{\\rtf1\\ansi {found[1]}}}", errors="replace") if found else ""
        source = _within_the_body(_UNSEEN.sub("", source))
        source = _bounded_fonts(_LINK.sub(r"\\field {", source))
        text = rtf_to_text(source, errors="replace")
    return Extracted(legible_text(_BLANK_LINES.sub("\n\n", text).strip()), title.strip())


def _within_the_body(source: str) -> str:
    """The same document, its notes, boxes and the like as paragraphs where they are anchored."""
    beside: list[bool] = []  # of the open groups

    def paragraph(found: re.Match[str]) -> str:
        if found["brace"] == "{":
            beside.append(False)
        elif found["brace"] and beside and beside.pop():
            return r"\par }"
        elif found["begin"]:
            beside[-1:] = [True]
            return r"\par "
        return found[0]

    return _BESIDE_THE_BODY.sub(paragraph, source)


def _bounded_fonts(source: str) -> str:
    """The same document with every font of its table on a line that ends."""
    begin = _FONTS.search(source)
    if begin is None:
        return source
    depth, end = 1, 0
    for brace in _BRACE.finditer(source, begin.end(), begin.end() + _MAX_FONTS):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            end = brace.end()
            break
    if not end:
        raise UnreadableError("its table of fonts does not end; open it in its program and save it")
    fonts = _FONT.sub(";\n", source[begin.start() : end])
    return source[: begin.start()] + fonts + source[end:]

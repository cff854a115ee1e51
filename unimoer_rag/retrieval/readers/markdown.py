"""Markdown: kept as it is, less front matter; its title from there or the first heading."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from unimoer_rag.retrieval.readers.decoding import decode
from unimoer_rag.retrieval.readers.extracted import Extracted

__all__ = ["markdown_title", "read_markdown"]

# Three dashes are also a thematic break, so what stands between two of them must be a mapping.
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*(?:\n|\Z)", re.S | re.M)
_MAX_FRONT_MATTER = 1 << 14
_MAX_BRACKETS = 500  # the parser's time is quadratic in them
_TITLE_KEYS = ("title", "Title", "TITLE")
_FRONT_MATTER_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S.*)$", re.M | re.I)
_FIELD = re.compile(r"(?:[A-Za-z_][\w.-]*[ \t]*:(?:[ \t].*)?|[ \t-].*|#.*|)")

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_INDENTED = re.compile(r" {4}|\t")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*")
_NO_PARAGRAPH = re.compile(
    r" {0,3}(?:[>|#<]|[-*+][ \t]|\d+[.)][ \t]|([-*_])[ \t]*(?:\1[ \t]*){2,}$)"
)


def read_markdown(data: bytes) -> Extracted:
    """The file's text; what its front matter says of it is no part of the text."""
    text, notes = decode(data)
    title = ""
    if (front := _FRONT_MATTER.match(text)) and (fields := _fields(front[1], front[2])) is not None:
        text = text[front.end() :]
        title = next((v for k, v in fields.items() if k in _TITLE_KEYS and isinstance(v, str)), "")
    return Extracted(text, title or markdown_title(text), notes=notes)


def _fields(mark: str, front: str) -> Mapping[Any, Any] | None:
    """What front matter says; None for text between two rules."""
    if not front.strip():
        return {}
    n_brackets = front.count("[") + front.count("{")
    if len(front) > _MAX_FRONT_MATTER or n_brackets > _MAX_BRACKETS:
        return None
    if mark == "+++":
        try:
            return tomllib.loads(front)
        except (ValueError, RecursionError):
            return None
    return _yaml(front)


def _yaml(front: str) -> Mapping[Any, Any] | None:
    import yaml

    try:
        found = yaml.load(front, Loader=yaml.BaseLoader)  # strings only: constructs nothing
    except (yaml.YAMLError, ValueError, RecursionError):
        # Many a `title: Refunds: a guide` is no YAML, though nobody who wrote it would know.
        title = _FRONT_MATTER_TITLE.search(front)
        fields = all(_FIELD.fullmatch(line) for line in front.splitlines())
        return {"title": title[1].strip("\"' ")} if title and fields else None
    return found if isinstance(found, dict) else None


def markdown_title(text: str) -> str:
    """The first heading of a Markdown text, without its marks; "" where it has none."""
    fence, above = "", ""
    for line in text.split("\n"):
        if fence:
            closing = _FENCE.fullmatch(line)
            if closing and closing[1].startswith(fence) and not closing[2].strip():
                fence = ""
            continue
        opening = _FENCE.fullmatch(line)
        if opening and not (opening[1][0] == "`" and "`" in opening[2]):
            fence, above = opening[1], ""
            continue
        heading = _HEADING.fullmatch(line)
        if heading and (found := _plain(heading[1])):
            return found
        if above and _UNDERLINE.fullmatch(line):
            return _plain(above)
        code = not above and _INDENTED.match(line)
        above = "" if code or _NO_PARAGRAPH.match(line) else line.strip()
    return ""


def _plain(heading: str) -> str:
    """A heading's words: no closing marks, no emphasis, no code marks."""
    return re.sub("[*`]", "", heading.rstrip("# \t")).strip()

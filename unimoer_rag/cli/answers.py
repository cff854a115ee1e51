"""How an answer looks on a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from unimoer_rag.cli.output import linked, print_text

if TYPE_CHECKING:
    from unimoer_rag.generation import Citation
    from unimoer_rag.pipelines import Answer
    from unimoer_rag.retrieval import Hit, Places

__all__ = ["print_answer", "print_hits"]

_CONTEXT = 160  # characters printed on either side of an answer


def print_answer(answer: Answer, *, streamed: bool = False, places: Places | None = None) -> None:
    """An answer with its confidence, sources and timings.

    Args:
        answer: what to print.
        streamed: its text stands on the terminal already, with no new line behind it.
        places: where the files are, whose names open them then.
    """
    if answer.text is None:
        from unimoer_rag.pipelines import NO_ANSWER

        print_text(Text.assemble((NO_ANSWER, "bold"), (_cut(answer), "dim")))
        if answer.hits:
            print_text("nearest passages:")
        for hit in answer.hits[:3]:
            print_text(Text.assemble(f"  {hit.score:.3f} ", _opens(hit.place, hit, places)))
    else:
        sure = "" if answer.confidence is None else f"  confidence {answer.confidence:.2f}"
        told = sure + _cut(answer)
        print_text(Text.assemble(("" if streamed else answer.text, "bold"), (told, "dim")))
    if answer.standalone is not None:
        print_text(Text(f"looked for: {answer.standalone}", "dim"))
    for number, citation in enumerate(answer.citations, start=1):
        _print_citation(citation.number or number, citation, places)
    if answer.candidates:
        print_text("\nother candidates:")
    for citation in answer.candidates:
        place = _opens(_place(citation), citation.hit, places, citation.page)
        said = Text.assemble(_sure(citation), place, style="dim")
        print_text(Text.assemble(f"  {_flat(citation.text)}  ", said))
    spent = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in answer.timings.items())
    print_text(Text(f"\n{spent}", "dim"))


def print_hits(answer: Answer) -> None:
    """The passages that an answer was read from, whole."""
    for hit in answer.hits:
        print_text(Text.assemble((f"\n{hit.score:.3f} {hit.place}", "bold")))
        print_text(f"    {_flat(hit.text)}")


def _cut(answer: Answer) -> str:
    """What ended an answer that did not end by itself."""
    if answer.complete:
        return ""
    words = {"": "", "length": " at the limit of tokens", "content_filter": " by a content filter"}
    return f"  (cut off{words.get(answer.cut_by, f': {answer.cut_by}')})"


def _place(citation: Citation) -> str:
    """Where it stands, as far as its document tells."""
    page = "" if citation.page is None else f", page {citation.page}"
    return f"{citation.hit.source}:{citation.start}-{citation.end}{page}"


def _opens(place: str, hit: Hit, places: Places | None, page: int | None = None) -> Text:
    return linked(place, None if places is None else places.address(hit.passage, page))


def _sure(citation: Citation) -> str:
    return "" if citation.confidence is None else f"{citation.confidence:.2f}  "


def _print_citation(number: int, citation: Citation, places: Places | None) -> None:
    p = citation.hit.passage
    at, end = citation.start - p.start, citation.end - p.start
    opens = _opens(_place(citation), citation.hit, places, citation.page)
    place = Text.assemble(f"\n[{number}] ", opens, "  ")
    if citation.confidence is None:  # the whole passage supports an answer in other words
        print_text(place)
        print_text(f"    {_flat(p.text)}")
        return
    found = f"{_flat(citation.text)} ({citation.confidence:.2f})"
    print_text(Text.assemble(place, (found, "dim")))
    print_text(
        Text.assemble(
            f"    {_tail(_flat(p.text[:at]))}",
            (_flat(p.text[at:end]), "bold green"),
            _tail(_flat(p.text[end:])[::-1])[::-1],
        )
    )


def _tail(text: str) -> str:
    """The last words, as many as a reader needs to see what an answer is about."""
    return text if len(text) <= _CONTEXT else f"…{text[-_CONTEXT:].partition(' ')[2]}"


def _flat(text: str) -> str:
    """On one line."""
    return re.sub(r"\s+", " ", text)

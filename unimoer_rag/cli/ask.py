"""`unimoer-rag ask`: an answer with its sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from unimoer_rag.cli.index import add_corpora, open_retriever, scan_paths
from unimoer_rag.cli.output import (
    INCOMPLETE,
    CheckpointOption,
    Collection,
    JsonFlag,
    KeyOption,
    ModeOption,
    UrlOption,
    print_json,
    print_text,
)
from unimoer_rag.cli.search import FiltersOption, parse_filters, require_index

if TYPE_CHECKING:
    from unimoer_rag.generation.types import Citation, Generator
    from unimoer_rag.pipelines.rag import Answer

__all__ = ["ask"]

_CONTEXT = 160  # characters printed on either side of an answer


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    index: Annotated[Path | None, typer.Option("--index", help="Folder of the index.")] = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option("--docs", help="Documents to index first; in memory without --index."),
    ] = None,
    n_read: Annotated[int, typer.Option("--read", help="Passages to read.")] = 5,
    rerank: Annotated[int, typer.Option(help="First-stage results to rerank; 0 for none.")] = 50,
    threshold: Annotated[float, typer.Option(help="Least confidence of an answer.")] = 0.05,
    chat_url: Annotated[
        str | None,
        typer.Option(
            "--chat-url",
            envvar="UNIMOER_CHAT_URL",
            help="A chat server (OpenAI's interface, as of vllm serve) that words the answer.",
        ),
    ] = None,
    chat_model: Annotated[
        str | None, typer.Option("--chat-model", help="Its model; the first one if not given.")
    ] = None,
    chat_key: Annotated[
        str | None,
        typer.Option("--chat-key", envvar="UNIMOER_CHAT_KEY", help="Its API key."),
    ] = None,
    mode: ModeOption = "dense",
    filters: FiltersOption = None,
    checkpoint: CheckpointOption = "unimoer-minilm",
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Collection = "unimoer",
    as_json: JsonFlag = False,
) -> None:
    """Answer a question from the documents, quoting them, or in the words of a chat model.

    Where no passage supports an answer, that is said and the nearest passages are named; the exit
    code is 0 all the same.
    """
    conditions = parse_filters(filters)
    corpora = scan_paths(docs or [])
    if not docs:
        require_index(index, url)
    with open_retriever(
        checkpoint, index, url, api_key, collection, mode=mode, rerank=rerank
    ) as retriever:
        from unimoer_rag.pipelines.rag import RagPipeline

        pipeline = RagPipeline(
            retriever,
            n_read=n_read,
            threshold=threshold,
            generator=_generator(chat_url, chat_model, chat_key),
        )
        report = add_corpora(retriever, corpora)
        answer = pipeline.answer(question, filters=conditions)
    if as_json:
        print_json(answer.to_dict())
    else:
        _print(answer)
    if report.problems:
        raise typer.Exit(INCOMPLETE)


def _generator(url: str | None, model: str | None, key: str | None) -> Generator | None:
    if url is None:
        return None
    from unimoer_rag.generation.chat_server import ChatServer

    return ChatServer(url, model, api_key=key)


def _print(answer: Answer) -> None:
    if answer.text is None:
        from unimoer_rag.pipelines.rag import NO_ANSWER

        print_text(Text(NO_ANSWER, "bold"))
        if answer.hits:
            print_text("nearest passages:")
        for hit in answer.hits[:3]:
            print_text(f"  {hit.score:.3f} {hit.source}:{hit.passage.start}-{hit.passage.end}")
    else:
        sure = "" if answer.confidence is None else f"  confidence {answer.confidence:.2f}"
        print_text(Text.assemble((answer.text, "bold"), (sure, "dim")))
    for number, citation in enumerate(answer.citations, start=1):
        _print_citation(number, citation)
    spent = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in answer.timings.items())
    print_text(Text(f"\n{spent}", "dim"))


def _print_citation(number: int, citation: Citation) -> None:
    p = citation.hit.passage
    at, end = citation.start - p.start, citation.end - p.start
    place = f"\n[{number}] {p.source}:{citation.start}-{citation.end}  "
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

"""`unimoer-rag mcp`: an index as tools of an assistant."""

from __future__ import annotations

import typer

from unimoer_rag.cli.answering import Answering, opened, planned
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.retrieval_options import ModelChoice, NewIndex, PipelinePlace
from unimoer_rag.errors import InputError

__all__ = ["mcp"]


@with_options
def mcp(
    context: typer.Context,
    *,
    place: PipelinePlace,
    how: Answering,
    model: ModelChoice,
    made: NewIndex,
    writes: bool = option("Give the tool that adds documents, too.", default=False),
) -> None:
    """Give an index to an assistant as tools of the Model Context Protocol: search, ask.

    The assistant starts this command and speaks with it over standard input and output
    (docs/mcp.md has the lines for common ones). Over HTTP: unimoer-rag serve --mcp read.
    """
    if how.filters:
        raise InputError("--filter is of one question: the tools take filters with each")
    from unimoer_rag.serving import run_mcp

    with opened(context, planned(context, place, model, made, how), writes=writes) as ready:
        run_mcp(ready.pipeline, writes=writes)

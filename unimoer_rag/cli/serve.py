"""`unimoer-rag serve`: an index and its model behind HTTP."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from unimoer_rag.cli.answering import Plan, answered_by, built, nearest
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import print_text, quiet
from unimoer_rag.cli.retrieval_options import (
    MODE,
    Mode,
    ModelChoice,
    OversamplingOption,
    PipelinePlace,
    RerankerOption,
    RerankText,
    parse_rerank,
    require_index,
)

if TYPE_CHECKING:
    from unimoer_rag.pipelines import RagPipeline
    from unimoer_rag.serving import ServeSettings

__all__ = ["serve"]


@with_options
def serve(
    context: typer.Context,
    *,
    place: PipelinePlace,
    host: str | None = option(
        "Address to listen on (127.0.0.1); one that others reach needs keys."
    ),
    port: int | None = option("Port to listen on (8000); 0 for a free one."),
    keys_file: Path | None = option(
        "Bearer keys, a line each: the key, then read (the default) or write."
    ),
    open_to_all: bool = option(
        "Serve without keys where others reach it, as behind a proxy that asks for them.",
        "--open",
        default=False,
    ),
    cors_origin: list[str] | None = option("A web page's origin that may ask from browsers."),
    name: list[str] | None = option("The model's name in requests; its own if not given."),
    max_bytes: int | None = option("Of a request's body (8 MiB)."),
    max_texts: int | None = option("Of a request (2048)."),
    max_tokens: int | None = option("Of a request's texts together (300000)."),
    max_concurrent: int | None = option("Requests worked on at once (64); more come again."),
    mcp: str | None = option(
        "Serve the tools of the Model Context Protocol at /mcp, too: read, or write for adding."
    ),
    read_only: bool = option("Take no documents.", default=False),
    pipeline: str = option(
        "How questions are answered: a preset, such as hybrid, or a YAML file.", default="local"
    ),
    rerank: Annotated[str | None, RerankText] = None,
    reranker: RerankerOption = None,
    mode: Annotated[Mode | None, MODE] = None,
    n_read: int | None = option("Passages to read.", "--read"),
    chat_url: str | None = option(
        "A chat server that words the answers.", envvar="UNIMOER_CHAT_URL"
    ),
    chat_model: str | None = option("Its model; the first one if not given."),
    chat_key: str | None = option("Its API key.", envvar="UNIMOER_CHAT_KEY"),
    model: ModelChoice,
    oversampling: OversamplingOption = None,
    device: str | None = option("As of index; the pipeline's if not given."),
    dtype: str | None = option("As of index; the pipeline's if not given."),
) -> None:
    """Serve an index over HTTP: embeddings, reranking, search, answers, chat.

    Programs that speak OpenAI's interface or Cohere's are clients (docs/serving.md). Every setting
    of the server is also a variable, such as UNIMOER_SERVE_PORT. While it runs, search and ask on
    the same folder ask it. Ctrl-C, or SIGTERM, finishes what is under way and closes the index.
    """
    from unimoer_rag.serving import ServeSettings

    settings = ServeSettings.load(
        host=host,
        port=port,
        keys_file=keys_file,
        open=open_to_all or None,
        cors_origins=cors_origin,
        names=name,
        max_bytes=max_bytes,
        max_texts=max_texts,
        max_tokens=max_tokens,
        max_concurrent=max_concurrent,
        mcp=mcp,
    )
    settings.read_keys()  # what is wrong with them is told before a model is loaded
    quiet()
    from unimoer_rag.pipelines import PipelineConfig

    loaded = PipelineConfig.load(pipeline)
    place, model = nearest(context, loaded, place, model)
    config = loaded.at(index=place.index, url=place.url).updated(
        retrieve={
            "model": model.checkpoint,
            "memory_budget": model.memory_budget,
            "mode": mode,
            "rerank": None if rerank is None else parse_rerank(rerank),
            "reranker": reranker,
            "collection": place.collection,
            "mapping": place.mapping,
            "oversampling": oversampling,
            "device": device,
            "dtype": dtype,
        },
        select={"n_read": n_read},
    )
    config = answered_by(config, chat_url, chat_model)
    at = config.retrieve
    require_index(None if at.index is None else Path(at.index), at.url, at.mapping)
    named_by = None if PipelineConfig.ships(pipeline) else pipeline
    plan = Plan(config, named_by, place.url, chat_url)
    _serve(built(context, plan, read_only=read_only), settings)


def _serve(pipeline: RagPipeline, settings: ServeSettings) -> None:
    """Serve until told to stop, then close the index."""
    from unimoer_rag.serving import serve as run

    def tell(url: str) -> None:
        what = pipeline.retriever.settings.where
        print_text(f"serving {what} on {url} (Ctrl-C to stop)")
        sys.stdout.flush()  # for whoever reads it through a pipe

    # What stopped the server is raised again once it has stopped: that is no failure.
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with pipeline.retriever, contextlib.suppress(KeyboardInterrupt):
            run(pipeline, settings, on_ready=tell)
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(*_: object) -> NoReturn:
    raise KeyboardInterrupt

"""`unimoer-rag ask`: an answer with its sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.output import (
    INCOMPLETE,
    IndexModelOption,
    IndexOption,
    JsonFlag,
    KeyOption,
    MemoryBudgetOption,
    RerankText,
    UrlOption,
    parse_rerank,
    print_json,
    print_piece,
    quiet,
    say_plan,
)
from unimoer_rag.cli.retrieval_options import (
    TOKEN_POOLING,
    ChunkOverlapOption,
    ChunkSizeOption,
    DimensionsOption,
    OversamplingOption,
    QuantizationOption,
    RerankerOption,
    TokenStatesOption,
    WholeFlag,
    chunking_of,
)
from unimoer_rag.cli.search import FiltersOption, parse_filters, require_index
from unimoer_rag.cli.settings import ENVIRONMENT, is_typed
from unimoer_rag.errors import InputError, UnimoerError

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer, PipelineConfig, RagPipeline

__all__ = ["ask"]


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    index: IndexOption = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option("--docs", help="Documents to index first; in memory without --index."),
    ] = None,
    pipeline: Annotated[
        str,
        typer.Option(
            "--pipeline",
            help="A preset, such as hybrid or multihop, or a YAML file; the other options take the "
            "place of what it says.",
        ),
    ] = "local",
    n_read: Annotated[int | None, typer.Option("--read", help="Passages to read.")] = None,
    rerank: Annotated[str | None, RerankText] = None,
    reranker: RerankerOption = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least confidence of the reader's answer.")
    ] = None,
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
    mode: Annotated[
        Literal["dense", "sparse", "hybrid"] | None,
        typer.Option("--mode", help="First stage: vectors, BM25, or both fused by rank."),
    ] = None,
    filters: FiltersOption = None,
    checkpoint: IndexModelOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", envvar=ENVIRONMENT["collection"], help="Collection on the server."
        ),
    ] = None,
    chunk_size: ChunkSizeOption = None,
    chunk_overlap: ChunkOverlapOption = None,
    whole: WholeFlag = False,
    dimensions: DimensionsOption = None,
    quantization: QuantizationOption = None,
    oversampling: OversamplingOption = None,
    token_states: TokenStatesOption = None,
    token_pooling: Annotated[int | None, TOKEN_POOLING] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="As of index; the pipeline's if not given.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="As of index; the pipeline's if not given.")
    ] = None,
    memory_budget: MemoryBudgetOption = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Print the answer as it is worded.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Answer a question from the documents, quoting them, or in the words of a chat model.

    Where no passage supports an answer, that is said and the nearest passages are named; the exit
    code is 0 all the same.
    """
    if stream and as_json:
        raise InputError("--stream prints text as it comes: leave out --json, or --stream")
    conditions = parse_filters(filters)
    corpora = scan_paths(docs or [])
    quiet()
    from unimoer_rag.pipelines import PipelineConfig

    loaded = PipelineConfig.load(pipeline)
    # What a pipeline says is nearer than settings, and farther than what is typed.
    said = loaded.retrieve.model_fields_set
    if said & {"index", "url"}:
        index = index if is_typed(context, "index") else None
        url = url if is_typed(context, "url") else None
    if "model" in said and not is_typed(context, "checkpoint"):
        checkpoint = None
    if "collection" in said and not is_typed(context, "collection"):
        collection = None
    config = loaded.at(index=index, url=url).updated(
        retrieve={
            "model": checkpoint,
            "mode": mode,
            "rerank": None if rerank is None else parse_rerank(rerank),
            "reranker": reranker,
            "collection": collection,
            "chunking": chunking_of(chunk_size, chunk_overlap, whole),
            "dimensions": dimensions,
            "quantization": quantization,
            "oversampling": oversampling,
            "token_states": token_states,
            "token_pooling": token_pooling,
            "device": device,
            "dtype": dtype,
            "memory_budget": memory_budget,
        },
        select={"n_read": n_read},
    )
    config = _answered_by(config, chat_url, chat_model, threshold)
    if not docs:
        place = config.retrieve.index
        require_index(None if place is None else Path(place), config.retrieve.url)
    from unimoer_rag.pipelines.build import build

    named_by = None if PipelineConfig.ships(pipeline) else pipeline
    built = build(
        config,
        api_key=key_for(
            context,
            "api_key",
            url=config.retrieve.url,
            named_by=named_by if url is None else None,
            variable="QDRANT_API_KEY",
            typed="--api-key",
        ),
        chat_key=key_for(
            context,
            "chat_key",
            url=getattr(config.generate, "url", None),
            named_by=named_by if chat_url is None else None,
            variable="UNIMOER_CHAT_KEY",
            typed="--chat-key",
        ),
        read_only=not docs,
    )
    if config.retrieve.memory_budget is not None:
        say_plan(built.retriever.model.memory_plan)
    with built.retriever as retriever:
        report = add_corpora(retriever, corpora)
        if stream:
            answer = _streamed(built, question, conditions)
        else:
            answer = built.answer(question, filters=conditions)
    if as_json:
        print_json(answer.to_dict())
    else:
        print_answer(answer, streamed=stream)
    if report.problems:
        raise typer.Exit(INCOMPLETE)


def _answered_by(
    config: PipelineConfig, url: str | None, model: str | None, threshold: float | None
) -> PipelineConfig:
    """The pipeline with the chat server, or with the reader's threshold, that was asked for."""
    from unimoer_rag.pipelines import ReaderConfig, ServerConfig

    if url is not None and not isinstance(config.generate, ServerConfig):
        server = ServerConfig(kind="chat-server", url=url)
        config = config.model_copy(update={"generate": server})
    kind = config.generate.kind
    if threshold is not None and not isinstance(config.generate, ReaderConfig):
        raise InputError(
            f"--threshold is {threshold}, but the answer comes from a {kind}, which gives no "
            "confidence: leave out --threshold, or what asks for the server (--pipeline, "
            "--chat-url, UNIMOER_CHAT_URL)"
        )
    if model is not None and not isinstance(config.generate, ServerConfig):
        raise InputError(
            f"--chat-model is {model!r}, but the answer comes from a {kind}: say where the chat "
            "server is (--chat-url)"
        )
    return config.updated(generate={"url": url, "model": model, "threshold": threshold})


def _streamed(pipeline: RagPipeline, question: str, filters: dict[str, Any] | None) -> Answer:
    """The answer, its words printed as they come."""
    pieces = pipeline.stream(question, filters=filters)
    printed = False
    try:
        while isinstance(piece := next(pieces), str):
            print_piece(piece)
            printed = True
    except UnimoerError:
        if printed:
            print_piece("\n")  # what came before it broke off stands there
        raise
    if piece.text is None and printed:
        print_piece("\n")  # the model's own words for it stand there
    return piece

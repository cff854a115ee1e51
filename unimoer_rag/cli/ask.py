"""`unimoer-rag ask`: an answer with its sources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimoer_rag.cli.answers import print_answer
from unimoer_rag.cli.index import add_corpora, scan_paths
from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    INCOMPLETE,
    JsonFlag,
    print_found,
    print_note,
    print_piece,
    quiet,
    say_plan,
)
from unimoer_rag.cli.retrieval_options import (
    MODE,
    TOKEN_POOLING,
    FiltersOption,
    Mode,
    ModelChoice,
    NewIndex,
    OversamplingOption,
    PipelinePlace,
    RerankerOption,
    RerankText,
    parse_filters,
    parse_rerank,
    require_index,
)
from unimoer_rag.cli.settings import is_typed
from unimoer_rag.errors import InputError, UnimoerError

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer, PipelineConfig, RagPipeline
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["ask"]


@with_options
def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What to ask.")],
    *,
    place: PipelinePlace,
    docs: list[Path] | None = option("Documents to index first; in memory without --index."),
    pipeline: str = option(
        "A preset, such as hybrid or multihop, or a YAML file; the other options take the "
        "place of what it says.",
        default="local",
    ),
    n_read: int | None = option("Passages to read.", "--read"),
    rerank: Annotated[str | None, RerankText] = None,
    reranker: RerankerOption = None,
    threshold: float | None = option("Least confidence of the reader's answer."),
    chat_url: str | None = option(
        "A chat server (OpenAI's interface, as of vllm serve) that words the answer.",
        envvar="UNIMOER_CHAT_URL",
    ),
    chat_model: str | None = option("Its model; the first one if not given."),
    chat_key: str | None = option("Its API key.", envvar="UNIMOER_CHAT_KEY"),
    mode: Annotated[Mode | None, MODE] = None,
    filters: FiltersOption = None,
    model: ModelChoice,
    made: NewIndex,
    oversampling: OversamplingOption = None,
    token_pooling: Annotated[int | None, TOKEN_POOLING] = None,
    device: str | None = option("As of index; the pipeline's if not given."),
    dtype: str | None = option("As of index; the pipeline's if not given."),
    stream: bool = option("Print the answer as it is worded.", default=False),
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
    place, model = _nearest(context, loaded, place, model)
    config = loaded.at(index=place.index, url=place.url).updated(
        retrieve={
            "model": model.checkpoint,
            "memory_budget": model.memory_budget,
            "mode": mode,
            "rerank": None if rerank is None else parse_rerank(rerank),
            "reranker": reranker,
            "collection": place.collection,
            **made.settings(),
            "oversampling": oversampling,
            "token_pooling": token_pooling,
            "device": device,
            "dtype": dtype,
        },
        select={"n_read": n_read},
    )
    config = _answered_by(config, chat_url, chat_model, threshold)
    if not docs:
        folder = config.retrieve.index
        require_index(None if folder is None else Path(folder), config.retrieve.url)
    from unimoer_rag.pipelines.build import build

    named_by = None if PipelineConfig.ships(pipeline) else pipeline
    built = build(
        config,
        api_key=key_for(
            context,
            "api_key",
            url=config.retrieve.url,
            named_by=named_by if place.url is None else None,
        ),
        chat_key=key_for(
            context,
            "chat_key",
            url=getattr(config.generate, "url", None),
            named_by=named_by if chat_url is None else None,
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
    print_found(answer.to_dict(), lambda: print_answer(answer, streamed=stream), as_json=as_json)
    if answer.text is None and config.generate.kind == "reader":
        _tell_untrained(retriever)
    if report.problems:
        raise typer.Exit(INCOMPLETE)


def _tell_untrained(retriever: UnifiedRetriever) -> None:
    """Say so where no answer means that nobody has learnt to read one."""
    from unimoer_rag.model import is_untrained

    model = retriever.model
    if "read" in model.tasks and is_untrained(model, "read"):
        print_note(
            f"{model.checkpoint} has no trained reader, so that it finds no answer in any passage: "
            "index with a trained checkpoint, such as unimoer-minilm, or have a chat server word "
            "the answer (--chat-url)"
        )


def _nearest(
    context: typer.Context, pipeline: PipelineConfig, place: PipelinePlace, model: ModelChoice
) -> tuple[PipelinePlace, ModelChoice]:
    """What is left of options: what a pipeline says is farther than what is typed, no more."""
    said = pipeline.retrieve.model_fields_set

    def passed_over(*names: str) -> dict[str, None]:
        return {name: None for name in names if not is_typed(context, name)}

    if said & {"index", "url"}:
        place = replace(place, **passed_over("index", "url"))
    if "collection" in said:
        place = replace(place, **passed_over("collection"))
    if "model" in said:
        model = replace(model, **passed_over("checkpoint"))
    return place, model


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

"""What `ask`, `chat` and `serve` share: options, and the pipeline that these make."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimoer_rag.cli.index import add_corpora, is_incomplete, scan_paths
from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.option_groups import option
from unimoer_rag.cli.output import print_note, print_piece, quiet, say_plan
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
from unimoer_rag.cli.search import places_of
from unimoer_rag.cli.settings import is_typed
from unimoer_rag.errors import InputError, UnimoerError, UntrainedWarning

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer, PipelineConfig, RagPipeline
    from unimoer_rag.retrieval import Corpus, Places

__all__ = [
    "Answering", "Opened", "Plan", "answered_by", "built", "nearest", "opened", "planned",
    "tell_untrained",
]  # fmt: skip


@dataclass(frozen=True)
class Answering:
    """How questions are answered."""

    docs: list[Path] | None = option("Documents to index first; in memory without --index.")
    pipeline: str = option(
        "A preset, such as hybrid or multihop, or a YAML file; the other options take the "
        "place of what it says.",
        default="local",
    )
    n_read: int | None = option("Passages to read.", "--read")
    rerank: Annotated[str | None, RerankText] = None
    reranker: RerankerOption = None
    threshold: float | None = option("Least confidence of the reader's answer.")
    chat_url: str | None = option(
        "A chat server (OpenAI's interface, as of vllm serve) that words the answer.",
        envvar="UNIMOER_CHAT_URL",
    )
    chat_model: str | None = option("Its model; the first one if not given.")
    chat_key: str | None = option("Its API key.", envvar="UNIMOER_CHAT_KEY")
    mode: Annotated[Mode | None, MODE] = None
    filters: FiltersOption = None
    oversampling: OversamplingOption = None
    token_pooling: Annotated[int | None, TOKEN_POOLING] = None
    device: str | None = option("As of index; the pipeline's if not given.")
    dtype: str | None = option("As of index; the pipeline's if not given.")


@dataclass(frozen=True)
class Opened:
    """A pipeline that is open for questions.

    Attributes:
        pipeline: answers.
        filters: conditions on the passages.
        places: where the files of the index are.
        complete: whether all documents that were to be indexed could be.
        quotes: the model's own reader answers.
    """

    pipeline: RagPipeline
    filters: dict[str, Any] | None
    places: Places
    complete: bool
    quotes: bool

    def answer(self, question: str, history: Iterable[Answer] = ()) -> Answer:
        """The answer to a question after others."""
        return self.pipeline.answer(question, history=history, filters=self.filters)

    def streamed(self, question: str, history: Iterable[Answer] = ()) -> Answer:
        """The same, its words printed as they come."""
        pieces = self.pipeline.stream(question, history=history, filters=self.filters)
        printed = False
        try:
            while isinstance(piece := next(pieces), str):
                print_piece(piece)
                printed = True
        except (UnimoerError, KeyboardInterrupt):
            if printed:
                print_piece("\n")  # what came before it broke off stands there
            raise
        finally:
            pieces.close()  # type: ignore[attr-defined]  # it is a generator
        if piece.text is None and printed:
            print_piece("\n")  # the model's own words for it stand there
        return piece

    @property
    def untrained(self) -> str | None:
        """The model's name, where it is to quote and nobody has taught it to read."""
        from unimoer_rag.model import is_untrained

        if not self.quotes:
            return None
        model = self.pipeline.retriever.model
        untaught = "read" in model.tasks and is_untrained(model, "read")
        return model.checkpoint if untaught else None


def tell_untrained(checkpoint: str) -> None:
    """Say so where no answer means that nobody has learnt to read one."""
    print_note(
        f"{checkpoint} has no trained reader, so that it finds no answer in any passage: index "
        "with a trained checkpoint, such as unimoer-minilm, or have a chat server word the answer "
        "(--chat-url)"
    )


@dataclass(frozen=True)
class Plan:
    """What the options of a command ask for, checked and not begun.

    Attributes:
        config: of the pipeline.
        named_by: the user's own file that named the pipeline, whose addresses get no key.
        url: of the index, where it was typed.
        chat_url: of the chat server, where it was typed.
        filters: conditions on the passages.
        corpora: documents to index first.
    """

    config: PipelineConfig
    named_by: str | None
    url: str | None
    chat_url: str | None
    filters: dict[str, Any] | None = None
    corpora: Mapping[Path, Corpus] = field(default_factory=dict)


def planned(
    context: typer.Context,
    place: PipelinePlace,
    model: ModelChoice,
    made: NewIndex,
    how: Answering,
) -> Plan:
    """What a command's options ask for.

    Args:
        context: of the command.
        place: where the index is.
        model: its model.
        made: what a new index is.
        how: the rest.

    Raises:
        InputError: an option has a value that cannot be used, or there is no index.
    """
    filters = parse_filters(how.filters)
    corpora = scan_paths(how.docs or [])
    quiet()
    warnings.simplefilter("ignore", UntrainedWarning)  # told at the end, where it matters
    from unimoer_rag.pipelines import PipelineConfig

    loaded = PipelineConfig.load(how.pipeline)
    place, model = nearest(context, loaded, place, model)
    config = _configured(loaded, place, model, made, how)
    if not how.docs:
        at = config.retrieve
        require_index(None if at.index is None else Path(at.index), at.url, at.mapping)
    named_by = None if PipelineConfig.ships(how.pipeline) else how.pipeline
    return Plan(config, named_by, place.url, how.chat_url, filters, corpora)


def built(context: typer.Context, plan: Plan, *, read_only: bool) -> RagPipeline:
    """A plan's pipeline, its index open and its model loaded; what a memory budget means is said.

    Args:
        context: of the command, which has the keys that were typed.
        plan: what is to be built.
        read_only: nothing is written into the index.
    """
    from unimoer_rag.pipelines.build import build

    config, named_by = plan.config, plan.named_by
    pipeline = build(
        config,
        api_key=key_for(
            context,
            "api_key",
            url=config.retrieve.url,
            named_by=named_by if plan.url is None else None,
        ),
        chat_key=key_for(
            context,
            "chat_key",
            url=getattr(config.generate, "url", None),
            named_by=named_by if plan.chat_url is None else None,
        ),
        read_only=read_only,
    )
    if config.retrieve.memory_budget is not None:
        say_plan(pipeline.retriever.model.memory_plan)
    return pipeline


@contextmanager
def opened(context: typer.Context, plan: Plan, *, writes: bool = False) -> Iterator[Opened]:
    """A block in which a plan's pipeline is open, its documents indexed; `writes` adds more."""
    pipeline = built(context, plan, read_only=not (writes or plan.corpora))
    with pipeline.retriever as retriever:
        report = add_corpora(retriever, plan.corpora)
        yield Opened(
            pipeline,
            plan.filters,
            places_of(retriever),
            complete=not is_incomplete(report.problems),
            quotes=plan.config.generate.kind == "reader",
        )


def _configured(
    loaded: PipelineConfig,
    place: PipelinePlace,
    model: ModelChoice,
    made: NewIndex,
    how: Answering,
) -> PipelineConfig:
    """A pipeline with what the options say in the place of what it says."""
    config = loaded.at(index=place.index, url=place.url).updated(
        retrieve={
            "model": model.checkpoint,
            "memory_budget": model.memory_budget,
            "mode": how.mode,
            "rerank": None if how.rerank is None else parse_rerank(how.rerank),
            "reranker": how.reranker,
            "collection": place.collection,
            "mapping": place.mapping,
            **made.settings(),
            "oversampling": how.oversampling,
            "token_pooling": how.token_pooling,
            "device": how.device,
            "dtype": how.dtype,
        },
        select={"n_read": how.n_read},
    )
    return answered_by(config, how.chat_url, how.chat_model, how.threshold)


def nearest(
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


def answered_by(
    config: PipelineConfig, url: str | None, model: str | None, threshold: float | None = None
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

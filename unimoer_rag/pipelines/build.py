"""From a validated configuration to a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unimoer_rag.generation import Generator
from unimoer_rag.pipelines.config import PipelineConfig
from unimoer_rag.pipelines.generators import (
    GenerateConfig,
    LocalConfig,
    ReaderConfig,
    ResidentConfig,
    ServerConfig,
    VllmConfig,
)
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.pipelines.rerankers import RerankerConfig
from unimoer_rag.retrieval import UnifiedRetriever
from unimoer_rag.urls import same_server

if TYPE_CHECKING:
    from unimoer_rag.engine import Engine
    from unimoer_rag.generation import LanguageModel

__all__ = ["assemble", "build"]


def build(
    config: PipelineConfig,
    *,
    api_key: str | None = None,
    chat_key: str | None = None,
    rerank_key: str | None = None,
    read_only: bool = False,
) -> RagPipeline:
    """The pipeline of a configuration, its index open and its model loaded.

    Args:
        config: says everything but the keys.
        api_key: of the Qdrant server.
        chat_key: of the generator's chat server.
        rerank_key: of the reranker's; by default that of the generator's, if both are one server.
        read_only: see `UnifiedRetriever`.

    Raises:
        InputError: a value cannot be used.
        UnimoerError: the index or the model cannot be opened; see `UnifiedRetriever`.
    """
    retriever = config.retrieve.open(
        api_key=api_key,
        rerank_key=_shared_key(config, chat_key) if rerank_key is None else rerank_key,
        read_only=read_only,
    )
    try:
        return assemble(retriever, config, chat_key=chat_key)
    except BaseException:
        retriever.close()
        raise


def _shared_key(config: PipelineConfig, chat_key: str | None) -> str | None:
    """The generator's key for a reranker on the same server; a file may name two."""
    ranks, writes = config.retrieve.reranker, config.generate
    if not isinstance(ranks, RerankerConfig) or not isinstance(writes, ServerConfig):
        return None
    return chat_key if ranks.url is not None and same_server(ranks.url, writes.url) else None


def assemble(
    retriever: UnifiedRetriever, config: PipelineConfig, *, chat_key: str | None = None
) -> RagPipeline:
    """The pipeline of a configuration over a retriever that is there.

    Args:
        retriever: finds and reranks, in place of what the configuration says of it.
        config: says the rest.
        chat_key: of the chat server.

    Raises:
        UnimoerError: the generator cannot be made.
    """
    reader = config.generate if isinstance(config.generate, ReaderConfig) else ReaderConfig()
    return RagPipeline(
        retriever,
        hops=config.hops,
        follow_up=config.follow_up,
        threshold=reader.threshold,
        generator=_generator(config.generate, retriever.engine, chat_key),
        **config.select.model_dump(),
    )


def _generator(config: GenerateConfig, engine: Engine, chat_key: str | None) -> Generator | None:
    """Who answers; None for the model's own reader."""
    settings = config.model_dump(exclude={"kind", "prompt"})
    match config:
        case ReaderConfig():
            return None
        case ServerConfig():
            from unimoer_rag.generation import ChatServer

            return ChatServer(**settings, prompt=config.prompt, api_key=chat_key)
        case ResidentConfig() | LocalConfig() | VllmConfig():
            from unimoer_rag.generation import Writer

            return Writer(_language_model(config, settings, engine), prompt=config.prompt)


def _language_model(
    config: ResidentConfig | LocalConfig | VllmConfig, settings: dict[str, Any], engine: Engine
) -> LanguageModel:
    match config:
        case ResidentConfig():
            from unimoer_rag.generation import ResidentLLM

            return ResidentLLM(engine, **settings)
        case LocalConfig():
            from unimoer_rag.generation import LocalLLM

            return LocalLLM(**settings)
        case VllmConfig():
            from unimoer_rag.generation import VllmEngine

            return VllmEngine(**settings)

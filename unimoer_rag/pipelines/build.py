"""From a validated configuration to a pipeline."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.generation.types import Generator
from unimoer_rag.pipelines.config import PipelineConfig, ReaderConfig, ServerConfig
from unimoer_rag.pipelines.rag import RagPipeline
from unimoer_rag.retrieval.retriever import UnifiedRetriever

__all__ = ["build"]


def build(
    name: str | Path,
    *,
    index: str | Path | None = None,
    url: str | None = None,
    api_key: str | None = None,
    chat_key: str | None = None,
) -> RagPipeline:
    """See `RagPipeline.from_yaml`."""
    config = PipelineConfig.load(name)
    generator = _generator(config.generate, chat_key)
    retrieve = config.retrieve.model_dump(exclude={"index", "url"})
    # A place that is given takes the place of whichever the file names.
    given = index is not None or url is not None
    retriever = UnifiedRetriever(
        **retrieve,
        index=index if given else config.retrieve.index,
        url=url if given else config.retrieve.url,
        api_key=api_key,
    )
    reader = config.generate if isinstance(config.generate, ReaderConfig) else ReaderConfig()
    return RagPipeline(
        retriever, threshold=reader.threshold, generator=generator, **config.select.model_dump()
    )


def _generator(config: ReaderConfig | ServerConfig, key: str | None) -> Generator | None:
    if isinstance(config, ReaderConfig):
        return None
    return ChatServer(**config.model_dump(exclude={"kind"}), api_key=key)

"""Where a server holds the index, `search` and `ask` ask it: nothing is loaded or copied."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer, PipelineConfig
    from unimoer_rag.serving import RunningServer

__all__ = ["answered", "running_server"]

# Of an index for good: where a command says one of them, the index has to be asked for it.
_FOR_GOOD = ("chunking", "language", "dimensions", "quantization", "token_states")


def running_server(
    index: str | Path | None, rerank: object, *, checkpoint: str | None, **settings: Any
) -> RunningServer | None:
    """The server that holds an index and gives what the command itself would, if there is one.

    Args:
        index: its folder, if it is one.
        rerank: how results are reranked; the file of a calibration is not sent.
        checkpoint: that was asked for.
        settings: others of the retriever.
    """
    if index is None or not (isinstance(rerank, int) or rerank == "auto"):
        return None
    from unimoer_rag.serving import find_server

    return find_server(Path(index), model=checkpoint, settings=SimpleNamespace(**settings))


def answered(
    config: PipelineConfig, question: str, filters: dict[str, Any] | None
) -> tuple[Answer, str | None] | None:
    """What the server says that holds a pipeline's index.

    Returns:
        The answer, and the model's name where it has not learnt to read; None where there is no
        such server, or it would answer otherwise.
    """
    retrieve, select = config.retrieve, config.select
    if config.generate.kind != "reader" or retrieve.url is not None:
        return None
    if any(getattr(retrieve, name) is not None for name in _FOR_GOOD):
        return None
    how = dict(retrieve)
    server = running_server(how.pop("index"), how.pop("rerank"), checkpoint=how.pop("model"), **how)
    if server is None:
        return None
    return server.ask(
        question,
        filters=filters,
        mode=retrieve.mode,
        rerank=retrieve.rerank,
        threshold=config.generate.threshold,
        hops=config.hops,
        **select.model_dump(),
    )

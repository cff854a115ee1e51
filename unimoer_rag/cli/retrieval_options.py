"""The options of `index`, `search` and `ask` that are settings of a retriever."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import DECLARED

__all__ = [
    "TOKEN_POOLING",
    "ChunkOverlapOption",
    "ChunkSizeOption",
    "DimensionsOption",
    "OversamplingOption",
    "QuantizationOption",
    "RerankerOption",
    "TokenStatesOption",
    "WholeFlag",
    "chunking_of",
    "told",
]


def told(name: str) -> str:
    """A setting's declared meaning, as the help of an option."""
    meaning = DECLARED[name].meaning.replace("`", "")
    return f"{meaning[0].upper()}{meaning[1:]}."


ChunkSizeOption = Annotated[
    int | None,
    typer.Option("--chunk-size", help="Tokens a passage has at most (a new index: 160)."),
]
ChunkOverlapOption = Annotated[
    int | None,
    typer.Option("--chunk-overlap", help="Tokens repeated from the passage before (32)."),
]
WholeFlag = Annotated[
    bool, typer.Option("--whole", help="Keep each document as one passage, however long.")
]
DimensionsOption = Annotated[int | None, typer.Option("--dimensions", help=told("dimensions"))]
QuantizationOption = Annotated[
    Literal["int8", "binary"] | None, typer.Option("--quantization", help=told("quantization"))
]
TokenStatesOption = Annotated[
    Literal["float16", "int8", "binary"] | None,
    typer.Option("--token-states", help=told("token_states")),
]
TOKEN_POOLING = typer.Option("--token-pooling", help=told("token_pooling"))
RerankerOption = Annotated[str | None, typer.Option("--reranker", help=told("reranker"))]
OversamplingOption = Annotated[
    float | None, typer.Option("--oversampling", help=told("oversampling"))
]


def chunking_of(size: int | None, overlap: int | None, whole: bool) -> object:
    """The chunking that is asked for; None where nothing is.

    Raises:
        InputError: documents cannot both be kept whole and be cut.
    """
    if whole and (size is not None or overlap is not None):
        raise InputError("--whole keeps documents as they are: leave out --chunk-size and -overlap")
    if size is None and overlap is None:
        return "whole" if whole else None
    from unimoer_rag.retrieval import Chunking

    default = Chunking()
    chosen = default.size if size is None else size
    return Chunking(chosen, min(default.overlap, chosen // 5) if overlap is None else overlap)

"""The options of `index`, `search`, `ask` and `docs`: where passages are, what is read and kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unimoer_rag.cli.option_groups import option
from unimoer_rag.cli.output import quiet, say_plan
from unimoer_rag.cli.settings import ENVIRONMENT, key_of, model_of, one_place
from unimoer_rag.errors import InputError
from unimoer_rag.json_text import parse_json
from unimoer_rag.retrieval import DECLARED

if TYPE_CHECKING:
    from unimoer_rag.retrieval import Selection, Store, UnifiedRetriever

__all__ = [
    "CheckpointOption",
    "DtypeOption",
    "FiltersOption",
    "IndexOption",
    "IndexPlace",
    "LoadedModel",
    "MemoryBudgetOption",
    "Mode",
    "ModeOption",
    "ModelChoice",
    "NewIndex",
    "OversamplingOption",
    "PipelinePlace",
    "RerankText",
    "RerankerOption",
    "SearchedPlace",
    "Selected",
    "open_retriever",
    "parse_filters",
    "parse_rerank",
    "require_index",
]

Mode = Literal["dense", "sparse", "hybrid"]
_DEPTH = 20  # of filters; there are no deeper ones
_WHERE = "say where the index is: --index DIR, or --url of a Qdrant server"


def _declared(name: str) -> str:
    """A setting's declared meaning, as the help of an option."""
    meaning = DECLARED[name].meaning.replace("`", "")
    return f"{meaning[0].upper()}{meaning[1:]}."


CheckpointOption = Annotated[
    str,
    typer.Option("--checkpoint", help="A shipped checkpoint, a folder, or a backbone's name."),
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto, float32, bfloat16, float16, int8 or int4.")
]
MemoryBudgetOption = Annotated[
    str | None,
    typer.Option(
        "--memory-budget",
        help="What the process may take, such as 4GB: picks dtype, batches and cache that fit.",
    ),
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index", envvar=ENVIRONMENT["index"], callback=one_place, help="Folder of the index."
    ),
]
FiltersOption = Annotated[
    str | None,
    typer.Option("--filters", help='Conditions as JSON, such as {"source": "a.md"}.'),
]
RerankerOption = Annotated[str | None, typer.Option("--reranker", help=_declared("reranker"))]
OversamplingOption = Annotated[
    float | None, typer.Option("--oversampling", help=_declared("oversampling"))
]
TOKEN_POOLING = typer.Option("--token-pooling", help=_declared("token_pooling"))
MODE = typer.Option("--mode", help="First stage: vectors, BM25, or both fused by rank.")
ModeOption = Annotated[Mode, MODE]
COLLECTION = typer.Option(
    "--collection", envvar=ENVIRONMENT["collection"], help="Collection on the server."
)
MAPPING = typer.Option(
    "--mapping",
    help="auto, langchain, llama-index or haystack: search a collection, on a server or in the "
    "folder of a QdrantClient, as that library wrote it.",
)
RerankText = typer.Option(
    "--rerank",
    metavar="N|auto|FILE",
    help="First-stage results to rerank (50), 0 for none; auto: only those of searches that are "
    "uncertain; FILE: as calibrate wrote it.",
)


@dataclass(frozen=True)
class _Place:
    # In this order: what a callback asks for comes before it.
    index: IndexOption = None
    url: str | None = option(
        "A Qdrant server, in place of a folder.",
        envvar=ENVIRONMENT["url"],
        callback=one_place,
    )
    api_key: str | None = option("The server's API key.", envvar="QDRANT_API_KEY", callback=key_of)


@dataclass(frozen=True)
class PipelinePlace(_Place):
    """Where an index is, if not where a pipeline says."""

    collection: Annotated[str | None, COLLECTION] = None
    mapping: Annotated[str | None, MAPPING] = None


@dataclass(frozen=True)
class IndexPlace(_Place):
    """Where an index is."""

    collection: Annotated[str, COLLECTION] = "unimoer"

    def require(self) -> None:
        """Refuse a command that names no place."""
        if self.index is None and self.url is None:
            raise InputError(_WHERE)

    def store(self, *, read_only: bool = True) -> Store:
        """What the index holds, opened without a model."""
        if (self.index is None) == (self.url is None):
            raise InputError(_WHERE)
        quiet()
        from unimoer_rag.retrieval import EdgeStore, ServerStore

        if self.index is not None:
            return EdgeStore(self.index, read_only=read_only)
        url, key = str(self.url), self.api_key
        return ServerStore.connect(url, api_key=key, collection=self.collection)


@dataclass(frozen=True)
class SearchedPlace(IndexPlace):
    """Where an index is, or a collection of another library."""

    mapping: Annotated[str | None, MAPPING] = None


@dataclass(frozen=True)
class ModelChoice:
    """The model of an index, and what it may take."""

    checkpoint: str | None = option(
        "A shipped checkpoint, a folder, or a backbone's name; the one the index was built with, "
        "or unimoer-minilm for a new index, if not given.",
        envvar=ENVIRONMENT["checkpoint"],
        callback=model_of,
    )
    memory_budget: MemoryBudgetOption = None


@dataclass(frozen=True)
class LoadedModel(ModelChoice):
    """The model of an index, and where and how it computes."""

    device: str = option(_declared("device"), default="auto")
    dtype: DtypeOption = "auto"


@dataclass(frozen=True)
class NewIndex:
    """What an index is for good."""

    chunk_size: int | None = option("Tokens a passage has at most (a new index: 160).")
    chunk_overlap: int | None = option("Tokens repeated from the passage before (32).")
    whole: bool = option("Keep each document as one passage, however long.", default=False)
    language: str | None = option(_declared("language"))
    dimensions: int | None = option(_declared("dimensions"))
    quantization: Literal["int8", "binary"] | None = option(_declared("quantization"))
    token_states: Literal["float16", "int8", "binary"] | None = option(_declared("token_states"))

    def settings(self) -> dict[str, Any]:
        """Those of a retriever, None where nothing is said.

        Raises:
            InputError: documents cannot both be kept whole and be cut.
        """
        kept = {name: getattr(self, name) for name in ("language", "dimensions", "quantization")}
        return {**kept, "token_states": self.token_states, "chunking": self._chunking()}

    def _chunking(self) -> object:
        size, overlap = self.chunk_size, self.chunk_overlap
        if self.whole and (size is not None or overlap is not None):
            raise InputError(
                "--whole keeps documents as they are: leave out --chunk-size and -overlap"
            )
        if size is None and overlap is None:
            return "whole" if self.whole else None
        from unimoer_rag.retrieval import Chunking

        default = Chunking()
        chosen = default.size if size is None else size
        return Chunking(chosen, min(default.overlap, chosen // 5) if overlap is None else overlap)


@dataclass(frozen=True)
class Selected:
    """What is read of folders."""

    include: list[str] | None = option("Only files in folders that match a glob, such as '*.md'.")
    exclude: list[str] | None = option("Pass over files and folders that match a glob: 'drafts/'.")
    no_ignore: bool = option(
        "Read what .gitignore files name, node_modules and __pycache__, too.",
        default=False,
    )
    follow_links: bool = option("Read what links lead to outside a folder, too.", default=False)
    no_ocr: bool = option(
        "Read no text in pictures and scans; it takes seconds a page (extra ocr).", default=False
    )

    def selection(self) -> Selection:
        """The same, as the library says it."""
        from unimoer_rag.retrieval import Selection

        included, excluded = self.include or (), self.exclude or ()
        return Selection(included, excluded, not self.no_ignore, self.follow_links, not self.no_ocr)


def open_retriever(place: IndexPlace, model: LoadedModel, **settings: Any) -> UnifiedRetriever:
    """The retriever of a command's options.

    Args:
        place: where the index is.
        model: its model.
        settings: others of `RetrieverSettings`.
    """
    quiet()
    from unimoer_rag.retrieval import UnifiedRetriever

    chosen = {**asdict(place), **asdict(model), **settings}
    retriever = UnifiedRetriever(chosen.pop("checkpoint"), **chosen)
    if model.memory_budget is not None:
        say_plan(retriever.model.memory_plan)
    return retriever


def require_index(index: Path | None, url: str | None, mapping: str | None = None) -> None:
    """Refuse a folder that holds no index, before a model is loaded or a folder made."""
    from unimoer_rag.retrieval import is_index

    if url is not None:
        return
    if index is None:
        raise InputError(_WHERE)
    if mapping is None and not is_index(index):
        raise InputError(
            f"there is no index at {index}: make one with unimoer-rag index PATH --index {index}"
        )


def parse_filters(text: str | None) -> dict[str, Any] | None:
    """The `--filters` option as a mapping."""
    if text is None:
        return None
    filters = parse_json(text, what="--filters", depth=_DEPTH)
    if not isinstance(filters, dict):
        raise InputError(f"--filters is a {type(filters).__name__}: expected a JSON object")
    return filters


def parse_rerank(text: str) -> int | str:
    """The option `--rerank`: a number, "auto", or the file of a calibration."""
    try:
        return int(text)
    except ValueError:
        return text

"""What an index and its searches are set by: declared here, and nowhere else.

Python, pipelines in YAML, the command line and the adapters of frameworks take these settings;
`docs/concepts.md` has them as a table. A new one is added here, and a test names each door that
does not take it yet.
"""

# ruff: noqa: RUF009 - what gives the defaults are fields
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypedDict, TypeVar

from unimoer_rag.errors import InputError
from unimoer_rag.urls import shown_url

if TYPE_CHECKING:
    from unimoer_rag.model import StateFormat
    from unimoer_rag.model.tasks.state_format import Precision
    from unimoer_rag.retrieval.auto_rerank import Rerank
    from unimoer_rag.retrieval.identity import ChunkingChoice
    from unimoer_rag.retrieval.ports import Embeds, Ranks
    from unimoer_rag.retrieval.query_cache import QueryCache
    from unimoer_rag.retrieval.store import Quantization
    from unimoer_rag.retrieval.store.payload_mapping import PayloadMapping
    from unimoer_rag.retrieval.types import Mode

__all__ = ["DECLARED", "Kind", "RetrieverSettings", "Setting", "takes_settings"]

P = ParamSpec("P")
T = TypeVar("T")

Kind = Literal["model", "place", "index", "search"]
"""What a setting is of: what runs, where passages are, what an index is for good, its searches."""


class Place(TypedDict):
    """Where an index is: a folder, a server, or memory."""

    index: str | Path | None
    url: str | None
    api_key: str | None
    collection: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What is declared of a setting.

    Attributes:
        kind: what it is of.
        default: where it is left out.
        meaning: in a sentence.
    """

    kind: Kind
    default: Any
    meaning: str


def _setting(kind: Kind, default: T, meaning: str, *, secret: bool = False) -> T:
    declared = Setting(kind, default, meaning)
    made: T = field(default=default, repr=not secret, metadata={"declared": declared})
    return made


@dataclass(frozen=True, slots=True)
class RetrieverSettings:
    """The arguments of a `UnifiedRetriever`.

    Raises:
        InputError: one has a value that cannot be used; names it and what is expected.

    >>> RetrieverSettings(index="handbook.index", mode="hybrid").rerank
    50
    """

    model: str | Path | Embeds | None = _setting(
        "model",
        None,
        "a checkpoint's name or folder, a backbone's name, a loaded model, or whatever else embeds "
        "(see `Embeds`); none takes the one that the index was built with, or unimoer-minilm for "
        "a new index",
    )
    _: KW_ONLY
    reranker: str | Path | Ranks | None = _setting(
        "search",
        None,
        "what ranks in the model's place: the name or folder of another model, such as a published "
        "cross-encoder, or whatever else ranks (see `Ranks`); none is the model, where it can",
    )
    index: str | Path | None = _setting(
        "place", None, "folder of an embedded index on disk; made on first use"
    )
    url: str | None = _setting(
        "place",
        None,
        "a Qdrant server's URL, in place of a folder; with neither, the index is in memory",
        secret=True,  # it may hold a password
    )
    api_key: str | None = _setting("place", None, "key of the server", secret=True)
    collection: str = _setting("place", "unimoer", "collection on the server")
    mapping: PayloadMapping | str | None = _setting(
        "place",
        None,
        "the collection is one that another library wrote, to be searched as it is: langchain, "
        "llama-index or haystack, auto for whichever its payloads say, or a PayloadMapping; none "
        "for an index of ours",
    )
    chunking: ChunkingChoice = _setting(
        "index",
        None,
        "how documents are cut; `whole` keeps each as one passage; none takes the index's, or 160 "
        "tokens with 32 overlapping for a new one",
    )
    language: str | None = _setting(
        "index",
        None,
        "of the documents, whose words BM25 stems: german, french, ... (or de, fr, ...), or any "
        "for words as they stand; none takes the index's, or english for a new one",
    )
    dimensions: int | None = _setting(
        "index",
        None,
        "length of the vectors, where the checkpoint was trained to be cut (Matryoshka); none "
        "takes the index's, or the whole for a new one",
    )
    quantization: Quantization | None = _setting(
        "index",
        None,
        "vectors in a quarter or a thirtieth of the memory; none takes the index's, or no "
        "quantization for a new one; an index in memory records it and compares full vectors",
    )
    oversampling: float | None = _setting(
        "search",
        None,
        "candidates that a quantized index orders by their full vectors, for each passage asked "
        "for; none takes 2 for int8 and 8 for binary",
    )
    token_states: Precision | None = _setting(
        "index",
        None,
        "keep the passages' token states, so that reranking encodes the query alone; none takes "
        "what the index has, and in a new one keeps float16 for a published late-interaction "
        "model, and none for others",
    )
    token_pooling: int = _setting("index", 1, "neighbouring tokens whose states are kept as one")
    k: int = _setting("search", 5, "hits that a search gives")
    rerank: Rerank = _setting(
        "search",
        50,
        "first-stage results that are reranked, 0 for none; `auto` reranks only where the first "
        "stage is uncertain, as calibrated for the checkpoint or in the file of a calibration",
    )
    mode: Mode = _setting("search", "dense", "first stage: vectors, BM25, or both fused by rank")
    device: str = _setting("model", "auto", "what the model runs on: auto, cpu, cuda, cuda:1, ...")
    dtype: str = _setting(
        "model", "auto", "of the weights: auto, float32, bfloat16, float16, int8 or int4"
    )
    query_cache: QueryCache | None = _setting(
        "search", None, "keeps the hits of earlier queries; none keeps nothing"
    )
    memory_budget: str | int | None = _setting(
        "model",
        None,
        "what the process may take, such as 4GB: picks dtype, batches and cache that fit",
    )
    read_only: bool = _setting(
        "place", False, "refuse changes, and open a folder that another process has open too"
    )

    def __post_init__(self) -> None:
        from unimoer_rag.retrieval.chunking import Chunking
        from unimoer_rag.retrieval.identity import WHOLE
        from unimoer_rag.retrieval.search import check_settings
        from unimoer_rag.retrieval.store.quantization import check_oversampling, check_quantization
        from unimoer_rag.retrieval.words import language_named

        if self.index is not None and self.url is not None:
            raise InputError("give either index (a folder) or url (a server), not both")
        # What no number says is looked up once there is a model.
        check_settings(self.k, self.rerank if isinstance(self.rerank, int) else 0, self.mode)
        if not (self.chunking in (None, WHOLE) or isinstance(self.chunking, Chunking)):
            raise InputError(
                f"chunking is {self.chunking!r}: expected a Chunking, {WHOLE!r} or None"
            )
        if self.language is not None:
            object.__setattr__(self, "language", language_named(self.language))
        check_quantization(self.quantization)
        check_oversampling(self.oversampling)
        _ = self.state_format
        if self.mapping is not None:
            self._check_foreign()

    def _check_foreign(self) -> None:
        """Refuse what only an index of ours can have."""
        for name in ("quantization", "oversampling", "token_states"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}: a collection that another library wrote "
                    f"(mapping) is searched as it is; leave out {name}"
                )

    @property
    def place(self) -> Place:
        """Where the index is."""
        return {
            "index": self.index,
            "url": self.url,
            "api_key": self.api_key,
            "collection": self.collection,
        }

    @property
    def where(self) -> str:
        """The index, for messages."""
        return shown_url(self.url) if self.url else str(self.index or "memory")

    @property
    def state_format(self) -> StateFormat | None:
        """How token states are asked to be kept; None where nothing is asked.

        Raises:
            InputError: pooling is asked for and no precision, or one of them cannot be used.
        """
        if self.token_states is not None:
            from unimoer_rag.model import StateFormat

            return StateFormat(self.token_states, self.token_pooling)
        if self.token_pooling != 1:
            raise InputError(
                f"token_pooling is {self.token_pooling!r} without token_states: say how they are "
                "kept, such as token_states='int8'"
            )
        return None


DECLARED: Mapping[str, Setting] = {
    each.name: each.metadata["declared"] for each in fields(RetrieverSettings)
}
"""The settings by name."""


def takes_settings(
    settings: Callable[P, RetrieverSettings],
) -> Callable[[Callable[[T, RetrieverSettings], None]], Callable[Concatenate[T, P], None]]:
    """Let an `__init__` that is written for the settings take each of them as an argument.

    Type checkers, `help` and `inspect.signature` see the arguments with their types and defaults.

    Args:
        settings: the class that declares them.
    """

    def decorate(
        init: Callable[[T, RetrieverSettings], None],
    ) -> Callable[Concatenate[T, P], None]:
        def taking(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
            _check_names(type(self).__name__, kwargs)
            init(self, settings(*args, **kwargs))

        own = next(iter(signature(init).parameters.values()))
        declared = signature(settings)
        taking.__signature__ = declared.replace(  # type: ignore[attr-defined]
            parameters=[own, *declared.parameters.values()], return_annotation=None
        )
        taking.__name__, taking.__qualname__ = init.__name__, init.__qualname__
        taking.__doc__ = f"Args:\n{_arguments()}"
        return taking

    return decorate


def _check_names(who: str, given: Iterable[str]) -> None:
    """Refuse what is no setting, as Python does, and say which one may be meant."""
    for name in given:
        if name == "revision":
            raise TypeError(
                f"{who} takes no 'revision': give model='owner/name@<40-digit commit>', or "
                "model=UniMoER.from_pretrained(name, revision=...)"
            )
        if name not in DECLARED:
            near = get_close_matches(name, DECLARED, n=1)
            meant = f"did you mean {near[0]!r}? It" if near else "it"
            raise TypeError(f"{who} takes no {name!r}: {meant} takes {', '.join(DECLARED)}")


def _arguments() -> str:
    """The settings as a docstring has them."""
    wide = {"initial_indent": "    ", "subsequent_indent": "        ", "width": 96}
    return "\n".join(fill(f"{name}: {s.meaning}.", **wide) for name, s in DECLARED.items())  # type: ignore[arg-type]

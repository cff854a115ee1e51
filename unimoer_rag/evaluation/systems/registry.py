"""Systems by name, and the models that each of them takes.

| name | `checkpoint` | `embedder` | `reranker` |
|---|---|---|---|
| unimoer | a UniMoER checkpoint | | |
| bm25 | | | |
| backbone, backbone-cosine | | a backbone | |
| two-models | | that embeds, as published | a cross-encoder, as published |
| qwen3 | | Qwen3-Embedding | Qwen3-Reranker |
| e2rank, gritlm | | the one model | |
| jina-listwise | | of sentence-transformers | jina-reranker-v3 |
| task-lora | a backbone | adapter's folder | adapter's folder |
| rerank-lora | a backbone | | adapter's folder |
| shared-lora | a backbone | adapter's folder | |
| llm-listwise, llm-setwise, ... | | | a decoder, or a chat server's URL |

Every system that does not read takes a `reader`: a UniMoER checkpoint. What a system needs is
imported when it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TypedDict

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.systems.types import System
from unimoer_rag.model import UniMoER
from unimoer_rag.ranking import METHODS
from unimoer_rag.retrieval import Mode

__all__ = ["READER", "SYSTEMS", "Entry", "Models", "build_system", "choose_models", "find_entry"]

READER = "unimoer-minilm"
"""Reads answers for systems that do not, where nothing else is asked for."""

# The laboratory is not imported before a system is built.
_LAB = "unimoer_rag.lab.baselines"
_ADAPTER = ""  # the only models without a default


class Where(TypedDict):
    """Device and precision, as everything that is loaded takes them."""

    device: str
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What a system is built of.

    Attributes:
        checkpoint: a name or a folder, as `embedder` and `reranker`; a repository of the Hub
            with its commit as `owner/name@<commit>`.
        embedder: first stage.
        reranker: second stage.
        reader: reads answers; None where the system does, or nothing is read.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
    """

    checkpoint: str = ""
    embedder: str = ""
    reranker: str = ""
    reader: Engine | None = None
    device: str = "auto"
    dtype: str = "auto"

    @property
    def where(self) -> Where:
        """Device and precision."""
        return {"device": self.device, "dtype": self.dtype}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A system that can be built by name.

    Attributes:
        build: the function that makes it of `Models`, as "module:name".
        takes: the models it is made of, with their defaults; "" where one must be named.
        reads: whether it reads answers itself.
        mode: its first stage where nothing else is asked for.
    """

    build: str
    takes: Mapping[str, str]
    reads: bool = False
    mode: Mode = "dense"


SYSTEMS: Mapping[str, Entry] = {
    "unimoer": Entry(
        build=f"{_LAB}.builders:unimoer",
        takes={"checkpoint": "unimoer-minilm"},
        reads=True,
    ),
    "bm25": Entry(build=f"{_LAB}.two_stage:bm25", takes={}, mode="sparse"),
    "bm25-beir": Entry(build=f"{_LAB}.two_stage:bm25_beir", takes={}, mode="sparse"),
    "backbone": Entry(build=f"{_LAB}.builders:backbone", takes={"embedder": "minilm"}),
    "backbone-cosine": Entry(
        build=f"{_LAB}.builders:backbone_cosine", takes={"embedder": "minilm"}
    ),
    "two-models": Entry(
        build=f"{_LAB}.published:build",
        takes={"embedder": "minilm", "reranker": "cross-encoder/ms-marco-MiniLM-L6-v2"},
    ),
    "qwen3": Entry(
        build=f"{_LAB}.qwen3:build",
        takes={"embedder": "Qwen/Qwen3-Embedding-0.6B", "reranker": "Qwen/Qwen3-Reranker-0.6B"},
    ),
    "e2rank": Entry(build=f"{_LAB}.e2rank:build", takes={"embedder": "Alibaba-NLP/E2Rank-0.6B"}),
    "jina-listwise": Entry(
        build=f"{_LAB}.listwise:build",
        takes={"embedder": "minilm", "reranker": "jinaai/jina-reranker-v3"},
    ),
    "gritlm": Entry(build=f"{_LAB}.gritlm:build", takes={"embedder": "GritLM/GritLM-7B"}),
    "task-lora": Entry(
        build=f"{_LAB}.builders:task_lora",
        takes={"checkpoint": "minilm", "embedder": _ADAPTER, "reranker": _ADAPTER},
    ),
    "rerank-lora": Entry(
        build=f"{_LAB}.builders:rerank_lora",
        takes={"checkpoint": "qwen3-embedding-0.6b", "reranker": _ADAPTER},
    ),
    "shared-lora": Entry(
        build=f"{_LAB}.builders:shared_lora", takes={"checkpoint": "minilm", "embedder": _ADAPTER}
    ),
    **{
        f"llm-{kind}": Entry(
            build=f"{_LAB}.llm:{kind.replace('-', '_')}",
            takes={"reranker": "qwen3-0.6b"},
            mode="sparse",
        )
        for kind in METHODS
    },
}
"""Every system that `--system` knows, by name."""


def build_system(
    name: str,
    *,
    checkpoint: str | None = None,
    embedder: str | None = None,
    reranker: str | None = None,
    reader: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> System:
    """The system of a name.

    Args:
        name: a key of `SYSTEMS`.
        checkpoint: see the table above, as for the other two; None for the system's own default.
        embedder: what finds.
        reranker: what reranks.
        reader: checkpoint that reads answers; None for none.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        InputError: there is no such system, it does not take such a model, or it needs one that
            was not given.
        BackboneError: a model cannot be had.
        CheckpointError: a checkpoint cannot be had.
        MissingExtraError: what the system is made of is not installed.

    >>> build_system("bm25").name
    'bm25'
    """
    chosen = choose_models(
        name, checkpoint=checkpoint, embedder=embedder, reranker=reranker, reader=reader
    )
    engine = None
    if reader is not None:
        engine = Engine.of(UniMoER.from_pretrained(reader, device=device, dtype=dtype))
    build = resolve_name(SYSTEMS[name].build)
    system: System = build(Models(**chosen, reader=engine, device=device, dtype=dtype))
    return system


def find_entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        InputError: there is none; names those there are.
    """
    try:
        return SYSTEMS[name]
    except KeyError:
        raise InputError(f"unknown system {name!r}: expected one of {', '.join(SYSTEMS)}") from None


def choose_models(
    name: str,
    *,
    checkpoint: str | None = None,
    embedder: str | None = None,
    reranker: str | None = None,
    reader: str | None = None,
) -> dict[str, str]:
    """The models a system is built of: those given, its defaults for the rest; loads nothing.

    Raises:
        InputError: see `build_system`.
    """
    entry = find_entry(name)
    if reader is not None and entry.reads:
        raise InputError(f"the system {name!r} reads answers itself: leave the reader out")
    given = {"checkpoint": checkpoint, "embedder": embedder, "reranker": reranker}
    for kind, model in given.items():
        if model is not None and kind not in entry.takes:
            takes = ", ".join(entry.takes) or "no model"
            raise InputError(
                f"the system {name!r} has no {kind} to choose ({model!r}): it takes {takes}"
            )
        if model == "":
            raise InputError(f"the {kind} is an empty name: name one, or leave it out")
    named = {kind: model for kind, model in given.items() if model is not None}
    chosen = {**entry.takes, **named}
    missing = [kind for kind, model in chosen.items() if model == _ADAPTER]
    if missing:
        raise InputError(
            f"the system {name!r} needs {' and '.join(missing)}: name the folder of a plain LoRA "
            "adapter, as PEFT saves it"
        )
    return chosen

"""Pipelines as YAML: validated whole, with the line and the key of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from pydantic import Field, field_validator, model_validator

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.state_format import Precision
from unimoer_rag.pipelines.condensing import FollowUp
from unimoer_rag.pipelines.generators import GenerateConfig, ReaderConfig
from unimoer_rag.pipelines.rerankers import RerankerConfig
from unimoer_rag.pipelines.section import Section, Url
from unimoer_rag.retrieval import (
    AUTO,
    WHOLE,
    Chunking,
    Mode,
    Quantization,
    QueryCache,
    UnifiedRetriever,
    language_named,
)
from unimoer_rag.yaml_files import read_yaml

__all__ = ["PipelineConfig", "RetrieveConfig", "SelectConfig"]

_PRESETS = Path(__file__).parent.parent / "_presets" / "pipelines"
_CLONE = Path(__file__).parents[2] / "pipelines"


class QueryCacheConfig(Section):
    """Hits of earlier queries; the fields are arguments of `QueryCache`."""

    entries: int = Field(default=1000, ge=0)
    semantic: float | None = Field(default=None, gt=0, le=1)
    ttl: float | None = Field(default=None, gt=0)


class RetrieveConfig(Section):
    """What finds and reranks passages: of `RetrieverSettings` those that a file may hold.

    Keys do not belong into files, models are there by their names, and a pipeline knows by itself
    how many hits it reads and whether it writes.
    """

    model: str | None = None
    index: str | None = None
    url: Url | None = None
    collection: str = "unimoer"
    mapping: str | None = None
    chunking: Chunking | str | None = None
    language: str | None = None
    dimensions: int | None = None
    quantization: Quantization | None = None
    oversampling: float | None = Field(default=None, ge=1)
    token_states: Precision | None = None
    token_pooling: int = Field(default=1, ge=1)
    mode: Mode = "dense"
    rerank: int | str = 50
    reranker: RerankerConfig | str | None = None
    device: str = "auto"
    dtype: str = "auto"
    query_cache: QueryCacheConfig | None = None
    memory_budget: str | int | None = None

    def open(
        self, *, api_key: str | None = None, rerank_key: str | None = None, read_only: bool = False
    ) -> UnifiedRetriever:
        """The retriever of these settings, and of those that no file holds."""
        settings = dict(self)
        if isinstance(self.reranker, RerankerConfig):
            settings["reranker"] = self.reranker.open(key=rerank_key)
        if self.query_cache is not None:
            settings["query_cache"] = QueryCache(**dict(self.query_cache))
        return UnifiedRetriever(**settings, api_key=api_key, read_only=read_only)

    @field_validator("chunking", mode="before")
    @classmethod
    def _whole_or_sizes(cls, value: object) -> object:
        if value is None or value == WHOLE or isinstance(value, dict | Chunking):
            return value
        raise ValueError(f"expected {WHOLE}, or size and overlap in tokens")

    @field_validator("language")
    @classmethod
    def _known_language(cls, value: str | None) -> str | None:
        return None if value is None else language_named(value)

    @field_validator("rerank", mode="plain")
    @classmethod
    def _number_or_calibration(cls, value: object) -> int | str:
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        file = isinstance(value, str) and (value == AUTO or Path(value).is_file())
        if not number and not file:
            raise ValueError(f"expected an integer from 0 up, {AUTO}, or a file of calibrate")
        return cast("int | str", value)


class SelectConfig(Section):
    """What of it is read; the fields are arguments of `RagPipeline`."""

    n_read: int = Field(default=5, ge=1)
    min_score: float = 0.0
    max_tokens: int | None = Field(default=None, ge=1)


class PipelineConfig(Section):
    """A whole pipeline: retrieve, rerank, select, generate, as often as there are hops."""

    hops: int = Field(default=1, ge=1)
    follow_up: FollowUp = "auto"
    retrieve: RetrieveConfig = RetrieveConfig()
    select: SelectConfig = SelectConfig()
    generate: GenerateConfig = ReaderConfig()

    @model_validator(mode="before")
    @classmethod
    def _empty_file(cls, values: Any) -> Any:
        return {} if values is None else values

    @field_validator("generate", mode="before")
    @classmethod
    def _reader_by_default(cls, values: Any) -> Any:
        return {"kind": "reader", **values} if isinstance(values, dict) else values

    @classmethod
    def load(cls, name: str | Path) -> PipelineConfig:
        """The pipeline of a preset ("local") or of a YAML file.

        Raises:
            InputError: there is none, or it is malformed; names the line and the key.
        """
        return read_yaml(_find(name), cls, whole="pipeline", error=InputError)

    @classmethod
    def ships(cls, name: str | Path) -> bool:
        """Whether `load` takes one of the presets for this name, and no file of somebody's."""
        return _find(name).resolve().parent in (_PRESETS, _CLONE)

    def updated(self, **sections: Mapping[str, Any]) -> Self:
        """The same with some values in other places; those that are None stay as they are.

        What uses the values checks them, as it does those of its own caller.

        >>> PipelineConfig().updated(select={"n_read": 3, "max_tokens": None}).select.n_read
        3
        """
        changed = {
            name: getattr(self, name).model_copy(
                update={key: value for key, value in values.items() if value is not None}
            )
            for name, values in sections.items()
        }
        return self.model_copy(update=changed)

    def at(self, *, index: str | Path | None, url: str | None) -> Self:
        """The same with its passages in another place: a folder, or a Qdrant server."""
        if index is None and url is None:
            return self
        place = {"index": None if index is None else str(index), "url": url}
        return self.model_copy(update={"retrieve": self.retrieve.model_copy(update=place)})


def _find(name: str | Path) -> Path:
    candidates = [Path(name), *(folder / f"{name}.yaml" for folder in (_PRESETS, _CLONE))]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        known = {file.stem for folder in (_PRESETS, _CLONE) for file in folder.glob("*.yaml")}
        raise InputError(
            f"no pipeline {str(name)!r}: expected a YAML file or one of {', '.join(sorted(known))}"
        )
    return path

"""Who answers, as values: one class for each kind of generator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unimoer_rag.generation.types import THRESHOLD

__all__ = [
    "GenerateConfig",
    "LocalConfig",
    "ReaderConfig",
    "ResidentConfig",
    "ServerConfig",
    "VllmConfig",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReaderConfig(_Frozen):
    """The model's own reader, which quotes."""

    kind: Literal["reader"] = "reader"
    threshold: float = Field(default=THRESHOLD, ge=0, le=1)


class ServerConfig(_Frozen):
    """A chat server; the fields are arguments of `ChatServer`."""

    kind: Literal["chat-server"]
    url: str
    model: str | None = None
    prompt: str = "cited"
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=3, ge=0)
    max_concurrency: int = Field(default=16, ge=1)


class _WriterConfig(_Frozen):
    prompt: str = "cited"
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0
    template_options: dict[str, Any] | None = None


class ResidentConfig(_WriterConfig):
    """The loaded decoder itself, its experts off; the fields are arguments of `ResidentLLM`."""

    kind: Literal["resident"]


class LocalConfig(_WriterConfig):
    """A causal language model in this process; the fields are arguments of `LocalLLM`."""

    kind: Literal["local"]
    model: str
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"


class VllmConfig(_WriterConfig):
    """vLLM in this process; the fields are arguments of `VllmEngine`."""

    kind: Literal["vllm"]
    model: str
    revision: str | None = None
    sampling: dict[str, Any] | None = None
    engine: dict[str, Any] | None = None


GenerateConfig = Annotated[
    ReaderConfig | ServerConfig | ResidentConfig | LocalConfig | VllmConfig,
    Field(discriminator="kind"),
]
"""One of them, told by its `kind`."""

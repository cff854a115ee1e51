"""Who answers, as values: one class for each kind of generator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from unimoer_rag.generation import THRESHOLD
from unimoer_rag.pipelines.section import Section, Url

__all__ = [
    "GenerateConfig",
    "LocalConfig",
    "ReaderConfig",
    "ResidentConfig",
    "ServerConfig",
    "VllmConfig",
]


class ReaderConfig(Section):
    """The model's own reader, which quotes."""

    kind: Literal["reader"] = "reader"
    threshold: float = Field(default=THRESHOLD, ge=0, le=1)


class ServerConfig(Section):
    """A chat server; the fields are arguments of `ChatServer`."""

    kind: Literal["chat-server"]
    url: Url
    model: str | None = None
    prompt: str = "cited"
    max_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    options: dict[str, Any] = Field(default_factory=dict)
    timeout: float = Field(default=60.0, gt=0)
    retries: int = Field(default=3, ge=0)
    max_concurrency: int = Field(default=16, ge=1)


class _WriterConfig(Section):
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


# Options of vLLM's engine that say how much and how precisely, and that run, load and open nothing.
# A file may come from elsewhere: what is not known here is for Python code alone.
_ENGINE = {
    "block_size", "cpu_offload_gb", "disable_log_stats", "dtype", "enable_chunked_prefill",
    "enable_prefix_caching", "enforce_eager", "gpu_memory_utilization", "kv_cache_dtype",
    "max_logprobs", "max_model_len", "max_num_batched_tokens", "max_num_seqs",
    "pipeline_parallel_size", "quantization", "seed", "swap_space", "tensor_parallel_size",
}  # fmt: skip


class VllmConfig(_WriterConfig):
    """vLLM in this process; the fields are arguments of `VllmEngine`."""

    kind: Literal["vllm"]
    model: str
    revision: str | None = None
    sampling: dict[str, Any] | None = None
    engine: dict[str, Any] | None = None

    @field_validator("engine")
    @classmethod
    def _only_known(cls, engine: dict[str, Any] | None) -> dict[str, Any] | None:
        unknown = sorted((engine or {}).keys() - _ENGINE)
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is for VllmEngine in Python alone, a file may set "
                f"{', '.join(sorted(_ENGINE))}"
            )
        return engine


GenerateConfig = Annotated[
    ReaderConfig | ServerConfig | ResidentConfig | LocalConfig | VllmConfig,
    Field(discriminator="kind"),
]
"""One of them, told by its `kind`."""

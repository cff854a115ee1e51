"""A reranker that asks a language model, as a value: its method, and who is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from unimoer_rag.errors import InputError
from unimoer_rag.pipelines.generators import LocalConfig, ServerConfig
from unimoer_rag.pipelines.section import Section
from unimoer_rag.ranking import METHODS, Method, RankingModel, method_named
from unimoer_rag.retrieval import Ranks
from unimoer_rag.yaml_files import read_yaml

__all__ = ["RerankerConfig"]


class RerankerConfig(Section):
    """A method of `ranking`, and a chat server or a local model for it.

    Keys beside those here are settings of the method, such as `window` of "listwise".
    """

    model_config = ConfigDict(extra="allow")

    kind: str
    llm: Annotated[ServerConfig | LocalConfig, Field(discriminator="kind")]
    max_words: int = Field(default=300, ge=1)
    max_prompts: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=0)

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in METHODS:
            raise ValueError(f"expected one of {', '.join(METHODS)}")
        return kind

    @model_validator(mode="after")
    def _settings_of_the_method(self) -> Self:
        if self.method.needs_likelihoods and isinstance(self.llm, ServerConfig):
            raise ValueError(f"{self.kind} needs likelihoods, which a chat server does not tell")
        return self

    @classmethod
    def load(cls, file: str | Path) -> RerankerConfig:
        """The reranker of a YAML file.

        Raises:
            InputError: there is none, or it is malformed; names the line and the key.
        """
        return read_yaml(Path(file), cls, whole="reranker", error=InputError)

    @property
    def method(self) -> Method:
        """The method with its settings."""
        return method_named(self.kind, **(self.model_extra or {}))

    @property
    def url(self) -> str | None:
        """Of the chat server that is asked; None where none is."""
        return self.llm.url if isinstance(self.llm, ServerConfig) else None

    def open(self, *, key: str | None = None) -> Ranks:
        """The reranker; within a budget where one is set.

        Args:
            key: of the chat server.

        Raises:
            UnimoerError: its model cannot be had.
        """
        from unimoer_rag.ranking import Cascade, LLMReranker

        reranker = LLMReranker(self.method, self._model(key), max_words=self.max_words)
        if self.max_prompts is None and self.max_tokens is None:
            return reranker
        # A search shows it as many as it reranks.
        return Cascade(
            None, reranker, n=None, max_prompts=self.max_prompts, max_tokens=self.max_tokens
        )

    def _model(self, key: str | None) -> RankingModel:
        settings: dict[str, Any] = self.llm.model_dump(exclude={"kind", "prompt"})
        if isinstance(self.llm, ServerConfig):
            from unimoer_rag.generation import ChatServer
            from unimoer_rag.ranking import ServerModel

            server = ChatServer(**settings, api_key=key)
            return ServerModel(server, concurrency=self.llm.max_concurrency)
        from unimoer_rag.generation import LocalLLM
        from unimoer_rag.ranking import LocalModel

        return LocalModel(LocalLLM(**settings))

"""A language model that judges answers, and what it is given to judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.generation import ChatServer
from unimoer_rag.urls import shown_url, url_secrets

__all__ = ["Embed", "Judge", "Sample"]

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors, float32 `[n, dimensions]`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is to judge of one question.

    Attributes:
        question: what was asked.
        answer: what was answered, "" for an abstention.
        references: accepted answers.
        contexts: texts of the passages that the answer was made from, best first.
        reference_contexts: texts of the passages that are relevant.
    """

    question: str
    answer: str
    references: Sequence[str] = ()
    contexts: Sequence[str] = ()
    reference_contexts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """A language model that judges, behind an OpenAI-compatible URL.

    Attributes:
        url: of the interface, such as "http://localhost:8000/v1".
        model: its name there; None for the first one that is served.
        key: sent as a bearer token.
        timeout: seconds that a request may take.
        max_concurrency: requests at a time.
        max_tokens: of one reply.

    Raises:
        InputError: a number is too small.
    """

    url: str
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    max_concurrency: int = 8
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        for name in ("timeout", "max_concurrency", "max_tokens"):
            if (value := getattr(self, name)) <= 0:
                raise InputError(f"{name} of the judge is {value}: expected a positive number")

    def __repr__(self) -> str:
        return f"Judge({shown_url(self.url)!r}, model={self.model!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Judge holds a key: make it where it is used")

    @property
    def secrets(self) -> list[str]:
        """What no message may quote: the key, and what the URL holds beside the place."""
        return [*filter(None, [self.key]), *url_secrets(self.url)]

    def served(self) -> str:
        """The model's name, once its server has answered.

        Raises:
            GeneratorUnavailableError: no server answers, or it stays overloaded.
            GeneratorRefusedError: it refuses the key.
        """
        server = ChatServer(self.url, api_key=self.key, timeout=self.timeout, retries=1)
        try:
            first = server.model
        finally:
            server.close()
        return self.model or first

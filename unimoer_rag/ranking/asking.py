"""What a ranking method asks of a language model, what comes back, and the port of who answers.

A method is a generator: it yields a batch of requests that may be answered in any order or at the
same time, gets their answers, and comes to its result. Who answers, and how many at a time, is not
its business.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

__all__ = [
    "Answer",
    "Asking",
    "Choose",
    "Continue",
    "Prompt",
    "RankingModel",
    "Request",
    "Source",
    "Write",
]

T = TypeVar("T")

Source = Literal["logits", "logprobs", "words"]
"""Where probabilities come from: a local model's logits; the log-probabilities that a server tells
of its first token; or nothing but the word that was said, whose probability is then 1."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation of two messages that a model is to continue."""

    system: str
    user: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """As chat models take it."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user},
        ]


@dataclass(frozen=True, slots=True)
class Write:
    """Asks for words, `max_tokens` at most."""

    prompt: Prompt
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Choose:
    """Asks how probable each label is as what comes next."""

    prompt: Prompt
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """Asks how probable a text is as what comes next."""

    prompt: Prompt
    continuation: str


Request: TypeAlias = Write | Choose | Continue


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back on a request.

    Attributes:
        text: the words, thoughts included; "" where none were written.
        probabilities: of the labels of a `Choose`, which sum to 1; None where the reply names none
            of them, or more than one.
        source: where the probabilities come from.
        log_likelihood: of a `Continue`, the sum over its tokens.
        n_continued: tokens of the continuation.
        complete: the words ended by themselves.
        prompt_tokens: tokens of the prompt; estimated where a server does not tell.
        reply_tokens: tokens that were written.
    """

    text: str = ""
    probabilities: tuple[float, ...] | None = None
    source: Source = "words"
    log_likelihood: float = 0.0
    n_continued: int = 0
    complete: bool = True
    prompt_tokens: int = 0
    reply_tokens: int = 0


Asking: TypeAlias = Generator[Sequence[Request], Sequence[Answer], T]
"""What comes to a `T` by batches of requests."""


class RankingModel(Protocol):
    """A language model as far as ranking needs it; may be asked from any thread."""

    @property
    def identity(self) -> str:
        """Differs between models and settings that answer differently; answers are kept by it."""

    @property
    def has_logits(self) -> bool:
        """Whether `Choose` is answered by logits, so that its probabilities are the model's own."""

    @property
    def has_likelihoods(self) -> bool:
        """Whether `Continue` can be asked."""

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """The answers, in the order of the requests.

        Raises:
            GenerationError: the model cannot be asked, or not this.
        """

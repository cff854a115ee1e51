"""What ranking took, and what it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unimoer_rag.ranking.asking import Answer
from unimoer_rag.ranking.method import at_least

__all__ = ["Budget", "Cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one or more rankings took; costs are added by `+`.

    Attributes:
        queries: that were ranked for.
        prompts: that a model answered.
        cached: prompts whose answers were known.
        prompt_tokens: tokens that the model read.
        reply_tokens: tokens that it wrote.
        seconds: that were waited for it.
        broken: answers, known ones too, that were not as asked.

    >>> (Cost(prompts=2, broken=1) + Cost(prompts=3)).prompts
    5
    """

    queries: int = 0
    prompts: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    broken: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.reply_tokens

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            queries=self.queries + other.queries,
            prompts=self.prompts + other.prompts,
            cached=self.cached + other.cached,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            reply_tokens=self.reply_tokens + other.reply_tokens,
            seconds=self.seconds + other.seconds,
            broken=self.broken + other.broken,
        )

    @classmethod
    def of(cls, answers: Sequence[Answer], seconds: float) -> Cost:
        """The cost of a batch that a model has answered."""
        return cls(
            prompts=len(answers),
            prompt_tokens=sum(answer.prompt_tokens for answer in answers),
            reply_tokens=sum(answer.reply_tokens for answer in answers),
            seconds=seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the ranking for one query may take.

    Args:
        prompts: that a model answers; None for any number. No batch begins that would exceed it.
        tokens: None for any number. No batch begins once so many were read and written.

    Raises:
        InputError: a value cannot be used.
    """

    prompts: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        at_least(0, **{k: v for k, v in self._set() if v is not None})

    def _set(self) -> list[tuple[str, int | None]]:
        return [("prompts", self.prompts), ("tokens", self.tokens)]

    def allows(self, spent: Cost, n_prompts: int) -> bool:
        """Whether so many further prompts may be asked."""
        few = self.prompts is None or spent.prompts + n_prompts <= self.prompts
        return few and (n_prompts == 0 or self.tokens is None or spent.tokens < self.tokens)

"""What an evaluation measures, and how."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.retriever import Mode

__all__ = ["PARTS", "EvalOptions"]

PARTS = ("retrieval", "rerank", "answers")


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to measure and how.

    Attributes:
        parts: some of `PARTS`.
        depth: how many of the first stage's results are reranked; a given run is rescored whole.
        mode: the first stage, see `UnifiedRetriever`.
        index: folder that keeps the index for the next time; a temporary one by default.
        n_timed: single calls timed for each latency; 0 times none.
        seed: of the resampling behind the intervals.

    Raises:
        InputError: a part is unknown, there is none, or a number is too small.
    """

    parts: Collection[str] = PARTS
    depth: int = 50
    mode: Mode = "dense"
    index: Path | None = None
    n_timed: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        parts = [self.parts] if isinstance(self.parts, str) else self.parts
        unknown = sorted(set(parts) - set(PARTS))
        if unknown or not parts or isinstance(self.parts, str):
            raise InputError(
                f"cannot measure the parts {self.parts!r}: expected a list of some of "
                f"{', '.join(PARTS)}"
            )
        if self.depth < 1:
            raise InputError(f"depth is {self.depth}: expected at least 1 result to rerank")
        if self.n_timed < 0:
            raise InputError(f"n_timed is {self.n_timed}: expected a number of calls, or 0")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: expected 0 or a positive number")

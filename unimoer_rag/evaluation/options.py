"""What an evaluation measures, and how."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.judged import Judge
from unimoer_rag.generation import THRESHOLD, check_threshold
from unimoer_rag.retrieval import AutoRerank, Mode

__all__ = ["PARTS", "EvalOptions"]

PARTS = ("retrieval", "rerank", "answers")


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to measure and how.

    Attributes:
        parts: some of `PARTS`.
        depth: how many of the first stage's results are reranked, 0 for none; a given run is
            rescored whole.
        mode: the first stage, see `UnifiedRetriever`.
        auto: rerank only where the first stage is uncertain, as this says: "auto", the file of a
            calibration, or an `AutoRerank`, whose depth takes the place of `depth`.
        index: folder that keeps the index for the next time; a temporary one by default.
        n_timed: single calls timed for each latency; 0 times none.
        threshold: of the pipeline: an answer of less confidence counts as an abstention.
        seed: of the resampling behind the intervals.
        n_worst: of how many of the worst questions the result tells everything, texts included.
        ragas: judge the answers with ragas too.
        judge: the language model that ragas asks; without it only what needs none is computed.

    Raises:
        InputError: a part is unknown, there is none, or a number is too small.
    """

    parts: Collection[str] = PARTS
    depth: int = 50
    mode: Mode = "dense"
    auto: str | AutoRerank | None = None
    index: Path | None = None
    n_timed: int = 30
    threshold: float = THRESHOLD
    seed: int = 0
    n_worst: int = 0
    ragas: bool = False
    judge: Judge | None = None

    def __post_init__(self) -> None:
        parts = [self.parts] if isinstance(self.parts, str) else self.parts
        unknown = sorted(set(parts) - set(PARTS))
        if unknown or not parts or isinstance(self.parts, str):
            raise InputError(
                f"cannot measure the parts {self.parts!r}: expected a list of some of "
                f"{', '.join(PARTS)}"
            )
        if self.judge is not None and not self.ragas:
            raise InputError("a judge is given, which only ragas asks: set ragas too")
        if self.depth < 0:
            raise InputError(f"depth is {self.depth}: expected a number of results to rerank, or 0")
        if self.n_timed < 0:
            raise InputError(f"n_timed is {self.n_timed}: expected a number of calls, or 0")
        check_threshold(self.threshold)
        for name in ("seed", "n_worst"):
            if (value := getattr(self, name)) < 0:
                raise InputError(f"{name} is {value}: expected 0 or a positive number")

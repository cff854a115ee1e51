"""Results of `evaluate`, read back from the files that `unimoer-rag eval --json` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from unimoer_rag.errors import DataError

__all__ = [
    "Details",
    "Ends",
    "Histogram",
    "Judgement",
    "Passage",
    "Result",
    "Worst",
    "load_result",
]


class Ends(BaseModel):
    """The ends of the interval around a mean.

    Attributes:
        low: lower end.
        high: upper end.
        n: questions behind the mean.
    """

    low: float
    high: float
    n: int


class Judgement(BaseModel):
    """A ragas metric over the questions that it could judge.

    Attributes:
        mean: over those; None where there are none.
        low: lower end of the mean's interval, or None.
        high: upper end, or None.
        n: questions judged.
        failed: questions whose judgement failed or was no number.
        skipped: questions that lack what the metric needs, such as an answer.
        reasons: why judgements failed -> how often.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    failed: int
    skipped: int
    reasons: dict[str, int] = Field(default_factory=dict)


class Histogram(BaseModel):
    """How the scores of one stage lie.

    Attributes:
        edges: of the bins, one more than there are bins.
        relevant: how many scores of relevant passages fall into each bin.
        other: how many of the others.
    """

    edges: list[float]
    relevant: list[int]
    other: list[int]


class Passage(BaseModel):
    """A passage found for a question, or one that should have been.

    Attributes:
        id: of the document.
        title: its title, or "".
        text: its beginning.
        before: rank in the first stage, or None where it was not found.
        after: rank after reranking, or None.
        first_score: score of the first stage.
        second_score: of the reranker.
        relevance: its grade, or None where nobody judged it.
        relevant: whether that grade counts as relevant.
        cited: whether the answer cites it.
    """

    id: str
    title: str
    text: str
    before: int | None
    after: int | None
    first_score: float | None
    second_score: float | None
    relevance: int | None
    relevant: bool
    cited: bool


class Worst(BaseModel):
    """A question that went badly.

    Attributes:
        id: of the question.
        question: its text.
        measure: what it is judged by, "f1" or "nDCG@10".
        score: its value.
        answer: the one that is scored (the best guess where every question has an answer), "" for
            an abstention, None where nothing was to be answered.
        accepted: accepted answers, or None where nobody recorded any.
        passages: the best passages found, and the relevant ones.
    """

    id: str
    question: str
    measure: str
    score: float
    answer: str | None
    accepted: list[str] | None
    passages: list[Passage]


class Details(BaseModel):
    """What stands behind the means.

    Attributes:
        ranks: question id -> rank of the first relevant passage before and after reranking.
        scores: stage -> how its scores lie.
        worst: the questions that went worst, where they were asked for.
    """

    ranks: dict[str, tuple[int | None, int | None]] = Field(default_factory=dict)
    scores: dict[str, Histogram] = Field(default_factory=dict)
    worst: list[Worst] = Field(default_factory=list)


class Result(BaseModel):
    """What one system scored on one data set; the names are those of `evaluate`.

    `warm_latency_percentiles_ms` is None where an older version measured, whose times of answers
    were warm.
    """

    dataset: str
    split: str
    corpus_sha256: str
    questions_sha256: str
    first_stage: str
    rerank_depth: int | str
    per_question: dict[str, dict[str, dict[str, float]]]
    system: str | None = None
    checkpoint: str | None = None
    checkpoint_digest: str | None = None
    n: int = 0
    passages: int = 0
    retrieval: dict[str, float] = Field(default_factory=dict)
    rerank: dict[str, float] = Field(default_factory=dict)
    answers: dict[str, float | int | str | list[str] | None] = Field(default_factory=dict)
    ragas: dict[str, Judgement] = Field(default_factory=dict)
    ragas_judge: str | None = None
    ragas_error: str | None = None
    intervals: dict[str, dict[str, Ends]] = Field(default_factory=dict)
    threshold: float | None = None
    auto_rerank: dict[str, float | None] | None = None
    limit: dict[str, int] | None = None
    pipeline: dict[str, Any] | None = None
    embedder: dict[str, Any] | None = None
    reranker: dict[str, Any] | None = None
    reader: dict[str, Any] | None = None
    seed: int = 0
    latency_percentiles_ms: dict[str, dict[str, float]] = Field(default_factory=dict)
    warm_latency_percentiles_ms: dict[str, dict[str, float]] | None = None
    questions_per_second: dict[str, float] = Field(default_factory=dict)
    memory_mb: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    details: Details = Field(default_factory=Details)
    command: str | None = None

    @property
    def name(self) -> str:
        """What was measured, in a word."""
        return self.system or self.checkpoint or "unnamed"


def load_result(path: str | Path) -> Result:
    """Read a result that `unimoer-rag eval --json` wrote.

    Raises:
        DataError: the file is missing or no such result, or an older version wrote it.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"could not read the result {path} ({error.strerror}): name a file that "
            "'unimoer-rag eval --json' wrote"
        ) from error
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        if problem["type"] == "missing":
            raise DataError(
                f"{path} lacks {where!r}, without which nothing can be compared question by "
                "question: an older version wrote it, so measure again with 'unimoer-rag eval "
                "--json'"
            ) from error
        at = f" at {where!r}" if where else ""
        raise DataError(
            f"{path} is no result of 'unimoer-rag eval --json'{at}: {problem['msg']}"
        ) from error

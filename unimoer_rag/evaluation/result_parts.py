"""What a `Result` is made of; the names are those of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "Bootstrap",
    "Details",
    "Ends",
    "Figure",
    "Histogram",
    "Judgement",
    "Limit",
    "Passage",
    "Ranks",
    "Skipping",
    "Worst",
]

Figure = float | int | str | Sequence[str] | None
"""Of what is told of answers: a mean, a number, a name or names."""

Ranks = tuple[int | None, int | None]
"""Of a passage before and after reranking, from 1; None where it was not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The ends of the interval around a mean.

    Attributes:
        low: lower end.
        high: upper end.
        n: questions behind the mean.
    """

    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
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
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How the scores of one stage lie.

    Attributes:
        edges: of the bins, one more than there are bins.
        relevant: how many scores of relevant passages fall into each bin.
        other: how many of the others.
    """

    edges: Sequence[float]
    relevant: Sequence[int]
    other: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
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
    accepted: Sequence[str] | None
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What stands behind the means.

    Attributes:
        ranks: question id -> rank of the first relevant passage before and after reranking.
        scores: stage -> how its scores lie.
        worst: the questions that went worst, where they were asked for.
    """

    ranks: Mapping[str, Ranks] = field(default_factory=dict)
    scores: Mapping[str, Histogram] = field(default_factory=dict)
    worst: Sequence[Worst] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """How intervals were made.

    Attributes:
        level: share of the resampled means that an interval covers.
        resamples: how many there were.
    """

    level: float
    resamples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipping:
    """Questions whose results `AutoRerank` left as they were found.

    Attributes:
        threshold: certainty from which it does.
        skipped: questions.
        share_skipped: of all that were asked; None where there were none.
    """

    threshold: float | None
    skipped: int
    share_skipped: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Questions drawn from a data set.

    Attributes:
        questions: at most.
        seed: of the draw.
    """

    questions: int
    seed: int = 0

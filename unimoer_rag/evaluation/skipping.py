"""What skipping reranking costs, and the threshold of `AutoRerank` that costs no more than stated.

On a development set every question is searched twice: with its results reranked, and with them as
the first stage leaves them. A threshold then says for which questions the second would have been
given, and the loss is what nDCG@10 is lower by, as a share of that with reranking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.data import BeirDataset, Question, Run
from unimoer_rag.engine import Engine
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.indexing import caching
from unimoer_rag.evaluation.measure_ranking import asked, others_than_own
from unimoer_rag.evaluation.ranking import per_query
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Hit, Mode, UnifiedRetriever, certainty

__all__ = [
    "LOSS",
    "MEASURE",
    "Outcomes",
    "Statistic",
    "check_loss",
    "choose_threshold",
    "cross_validate",
    "measure_outcomes",
]

LOSS = 0.005
"""Share of nDCG@10 that skipping may cost, where nothing else is said."""

MEASURE = "nDCG@10"

# Questions searched for between two reports of progress.
_BLOCK = 64

Floats = NDArray[np.float64]
Statistic = Callable[[Sequence[Hit], Mode], float]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of each question with reranking and without.

    Attributes:
        certainty: of the first stage, [questions].
        always: nDCG@10 with its results reranked, [questions].
        never: nDCG@10 with them as they were found, [questions].
    """

    certainty: Floats
    always: Floats
    never: Floats

    def __len__(self) -> int:
        return len(self.certainty)

    def __getitem__(self, which: NDArray[Any]) -> Outcomes:
        """Those of some questions, by their positions or by a mask."""
        return Outcomes(self.certainty[which], self.always[which], self.never[which])

    def loss(self, skips: NDArray[np.bool_]) -> float:
        """The share of the mean nDCG@10 with reranking that is lost; below 0 where it is gained.

        Args:
            skips: the questions that are not reranked, bool [questions].
        """
        lost = (self.always - self.never)[skips].sum()
        return float(lost / max(self.always.sum(), 1e-12))

    def describe(self, skips: NDArray[np.bool_], *, seed: int = 0) -> dict[str, Any]:
        """JSON-ready: the means, the loss with its 95% interval, the share skipped.

        Args:
            skips: the questions that are not reranked, bool [questions].
            seed: of the resampling.
        """
        auto = np.where(skips, self.never, self.always)
        found = compare(list(auto), list(self.always), seed=seed)
        whole = max(found.second, 1e-12)
        return {
            "questions": found.n,
            "share_skipped": round(float(skips.mean()), 4),
            "always": round(found.second, 4),
            "never": round(float(self.never.mean()), 4),
            "auto": round(found.first, 4),
            "loss": round(found.difference / whole, 5),
            "loss_low": round(found.low / whole, 5),
            "loss_high": round(found.high / whole, 5),
            "p_value": round(found.p_value, 4),
        }


def check_loss(loss: float) -> None:
    """Refuse what is no share.

    Raises:
        InputError: it is below 0, or 1 and above.
    """
    if not 0 <= loss < 1:
        raise InputError(f"loss is {loss!r}: expected a share of nDCG@10, such as {LOSS}")


def choose_threshold(sets: Sequence[Outcomes], loss: float = LOSS) -> float | None:
    """The lowest threshold that keeps the loss on every set, it and all above it.

    Args:
        sets: outcomes on each development set.
        loss: share of nDCG@10 that may be lost.

    Returns:
        The threshold, one of the certainties that were seen; None where none of them keeps it.

    Raises:
        InputError: the loss is no share.
    """
    check_loss(loss)
    seen = np.unique(np.concatenate([outcomes.certainty for outcomes in sets]))
    seen = seen[np.isfinite(seen)]
    chosen: float | None = None
    for threshold in seen[::-1]:
        if any(o.loss(o.certainty >= threshold) > loss for o in sets):
            break
        chosen = float(threshold)
    return chosen


def cross_validate(
    sets: Mapping[str, Outcomes], loss: float = LOSS, *, folds: int = 5, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """What thresholds do to questions that they were not chosen on.

    Every set is dealt into folds; a fold of all sets is decided by the threshold that the other
    folds choose.

    Args:
        sets: outcomes on each development set.
        loss: share of nDCG@10 that may be lost where a threshold is chosen.
        folds: parts that the questions are dealt into.
        seed: of the dealing and of the resampling.

    Returns:
        `Outcomes.describe` of each set.

    Raises:
        DataError: a set has fewer questions than there are folds.
    """
    dealt: dict[str, NDArray[np.int64]] = {}
    for name, outcomes in sets.items():
        if len(outcomes) < folds:
            raise DataError(
                f"{name!r} has {len(outcomes)} judged questions: expected {folds} or more, to "
                "calibrate on some and to try the thresholds on others"
            )
        dealt[name] = np.random.default_rng(seed).permutation(len(outcomes)) % folds
    skips = {name: np.zeros(len(outcomes), dtype=bool) for name, outcomes in sets.items()}
    for fold in range(folds):
        rest = [outcomes[dealt[name] != fold] for name, outcomes in sets.items()]
        threshold = choose_threshold(rest, loss)
        for name, outcomes in sets.items():
            if threshold is not None:
                skips[name] |= (dealt[name] == fold) & (outcomes.certainty >= threshold)
    return {name: outcomes.describe(skips[name], seed=seed) for name, outcomes in sets.items()}


def measure_outcomes(
    retriever: UnifiedRetriever,
    dataset: BeirDataset,
    *,
    mode: Mode,
    depth: int = 50,
    statistics: Sequence[Statistic] = (certainty,),
    on_progress: Progress = silent,
) -> list[Outcomes]:
    """Search a data set's judged questions with reranking and without.

    Args:
        retriever: over the data set's corpus, each document whole.
        dataset: with judgements.
        mode: first stage.
        depth: first-stage results that are reranked.
        statistics: what may say how certain a first stage is.
        on_progress: called with what is done, how much of it and its size.

    Returns:
        Outcomes for each of the statistics.

    Raises:
        DataError: nothing is judged.
    """
    questions = [q for q in asked(dataset) if q.id in dataset.qrels]
    if not questions:
        raise DataError(f"{dataset.name!r} {dataset.split} has no judgements to calibrate on")
    never: Run = {}
    always: Run = {}
    certain: dict[str, list[float]] = {}
    with caching(Engine.of(retriever.model)):
        for at in range(0, len(questions), _BLOCK):
            block = questions[at : at + _BLOCK]
            found, ranked = _both(retriever, dataset, block, mode=mode, depth=depth)
            for question, first, second in zip(block, found, ranked, strict=True):
                never[question.id], always[question.id] = _by_rank(first), _by_rank(second)
                certain[question.id] = [of(first, mode) if first else np.inf for of in statistics]
            on_progress(f"{dataset.name}, {mode}", at + len(block), len(questions))
    values = [_measured(dataset, run) for run in (always, never)]
    return [
        Outcomes(np.array([certain[q.id][at] for q in questions]), values[0], values[1])
        for at in range(len(statistics))
    ]


def _both(
    retriever: UnifiedRetriever,
    dataset: BeirDataset,
    questions: Sequence[Question],
    *,
    mode: Mode,
    depth: int,
) -> tuple[list[list[Hit]], list[list[Hit]]]:
    """What each question finds, and the same reranked; what is left out takes no place in it."""
    texts = [q.text for q in questions]
    if not dataset.most_left_out:
        found = retriever.search_batch(texts, k=depth, rerank=0, mode=mode)
        return found, retriever.search_batch(texts, k=depth, rerank=depth, mode=mode)
    deeper = retriever.search_batch(texts, k=depth + dataset.most_left_out, rerank=0, mode=mode)
    found = [
        others_than_own(dataset, question, hits)[:depth]
        for question, hits in zip(questions, deeper, strict=True)
    ]
    return found, [retriever.rank_hits(text, hits) for text, hits in zip(texts, found, strict=True)]


def _measured(dataset: BeirDataset, run: Run) -> Floats:
    rows = per_query({qid: dataset.qrels[qid] for qid in run}, run)
    return np.array([rows[qid][MEASURE] for qid in run])


def _by_rank(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.source: -float(rank) for rank, hit in enumerate(hits)}

"""Two results of `evaluate` on the same questions, compared measure by measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.citations import CITATION_MEASURES
from unimoer_rag.evaluation.options import PARTS
from unimoer_rag.evaluation.results import Result, load_result
from unimoer_rag.evaluation.statistics import LEVEL, PERMUTATIONS, RESAMPLES, compare
from unimoer_rag.evaluation.summary import columns
from unimoer_rag.wording import counted

__all__ = ["Result", "check_same_data", "compare_results", "load_result"]

_DIGITS = 5

# What has values of each question: ragas may judge beside the parts.
_PARTS = (*PARTS, "ragas")

# What two results must have in common, and what it is called.
_SHARED = {
    "dataset": "data set",
    "split": "split",
    "questions_sha256": "questions",
    "corpus_sha256": "corpus",
}


def compare_results(
    first: Result,
    second: Result,
    *,
    seed: int = 0,
    names: Sequence[str] = ("the first", "the second"),
) -> dict[str, Any]:
    """The second result minus the first, for every measure that both have.

    Measures that not every question has (citations, ragas) are compared over the questions that
    have a value in both: `n` tells how many. The p-values are those of single comparisons: of
    twenty measures alike, one falls below 0.05.

    Args:
        first: what is compared to.
        second: measured on the same questions over the same corpus.
        seed: of the resampling.
        names: what messages call the two, such as their files.

    Returns:
        JSON-ready: `dataset`, `split`, `questions_sha256`, `first` and `second` (what was
        measured), how it was compared, and `differences`: part -> measure -> the fields of
        `statistics.Difference`.

    Raises:
        DataError: the results belong to different data sets, or no measure is in both.
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}: expected 0 or a positive number")
    check_same_data(first, second, names=names)
    differences = {part: _differences(first, second, part, seed) for part in _PARTS}
    if not any(differences.values()):
        raise DataError(
            f"the results have no measure in common: the first has {_measured(first)}, the second "
            f"{_measured(second)}; measure the same --parts"
        )
    return {
        "dataset": first.dataset,
        "split": first.split,
        "questions_sha256": first.questions_sha256,
        "first": _system(first),
        "second": _system(second),
        "level": LEVEL,
        "resamples": RESAMPLES,
        "permutations": PERMUTATIONS,
        "seed": seed,
        "differences": differences,
    }


def check_same_data(
    first: Result, second: Result, *, names: Sequence[str] = ("the first", "the second")
) -> None:
    """Raise unless two results were measured on the same questions over the same corpus.

    Args:
        first: one.
        second: the other.
        names: what messages call them, such as their files.

    Raises:
        DataError: they were not; names what differs.
    """
    for name, words in _SHARED.items():
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            one, other = (_data(name, result) for result in (first, second))
            if one == other:
                other = "as many of that name, but others"
            raise DataError(
                f"the results differ in their {words}: {names[0]} has {one}, {names[1]} has "
                f"{other}; compare two that were measured on the same questions"
            )
    rules = {r.answers.get("rules", "squad") for r in (first, second) if r.answers}
    if len(rules) > 1:
        raise DataError(
            f"the answers were scored by the rules of {' and of '.join(sorted(map(str, rules)))}: "
            "measure both again on the same data set by name"
        )


def _data(name: str, result: Result) -> str:
    """What a result was measured on, for people, to whom digests say nothing."""
    if name == "questions_sha256":
        return f"{counted(result.n, 'question')} of {result.dataset} {result.split}"
    if name == "corpus_sha256":
        return f"{counted(result.passages, 'passage')} of {result.dataset}"
    return repr(getattr(result, name))


def _differences(first: Result, second: Result, part: str, seed: int) -> dict[str, Any]:
    before, after = (columns(r.per_question.get(part, {})) for r in (first, second))
    found: dict[str, Any] = {}
    for measure in (name for name in before if name in after):
        ours, theirs = before[measure], after[measure]
        if part == "ragas" or measure in CITATION_MEASURES:
            ours = {qid: value for qid, value in ours.items() if qid in theirs}
            if not ours:
                continue
        elif ours.keys() != theirs.keys():
            raise DataError(
                f"{part} {measure} is there for {len(ours)} and {len(theirs)} questions that are "
                "not the same: measure both again"
            )
        difference = compare(list(ours.values()), [theirs[qid] for qid in ours], seed=seed)
        found[measure] = {
            name: round(value, _DIGITS) if isinstance(value, float) else value
            for name, value in asdict(difference).items()
        }
    return found


def _measured(result: Result) -> str:
    return ", ".join(part for part in _PARTS if result.per_question.get(part)) or "none"


def _system(result: Result) -> dict[str, Any]:
    names = ("first_stage", "rerank_depth", "system", "checkpoint", "checkpoint_digest")
    return {name: getattr(result, name) for name in names}

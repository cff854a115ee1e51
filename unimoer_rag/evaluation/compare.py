"""Two results of `evaluate` on the same questions, compared measure by measure."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation.options import PARTS
from unimoer_rag.evaluation.statistics import LEVEL, PERMUTATIONS, RESAMPLES, compare
from unimoer_rag.evaluation.summary import columns

__all__ = ["Result", "compare_results", "load_result"]

_DIGITS = 5

# What two results must have in common, and what it is called.
_SHARED = {
    "dataset": "data set",
    "split": "split",
    "questions_sha256": "questions (questions_sha256)",
    "corpus_sha256": "corpus (corpus_sha256)",
}


class Result(BaseModel):
    """What a comparison needs of a result; the names are those of `evaluate`."""

    dataset: str
    split: str
    corpus_sha256: str
    questions_sha256: str
    checkpoint: str
    checkpoint_digest: str | None
    first_stage: str
    rerank_depth: int | str
    per_question: dict[str, dict[str, dict[str, float]]]


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


def compare_results(first: Result, second: Result, *, seed: int = 0) -> dict[str, Any]:
    """The second result minus the first, for every measure that both have.

    The p-values are those of single comparisons: of twenty measures alike, one falls below 0.05.

    Args:
        first: what is compared to.
        second: measured on the same questions over the same corpus.
        seed: of the resampling.

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
    for name, words in _SHARED.items():
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            raise DataError(
                f"the results differ in their {words}: {ours!r} and {theirs!r}; compare two that "
                "were measured on the same questions"
            )
    differences = {part: _differences(first, second, part, seed) for part in PARTS}
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


def _differences(first: Result, second: Result, part: str, seed: int) -> dict[str, Any]:
    before, after = (columns(r.per_question.get(part, {})) for r in (first, second))
    found: dict[str, Any] = {}
    for measure in (name for name in before if name in after):
        ours, theirs = before[measure], after[measure]
        if ours.keys() != theirs.keys():
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
    return ", ".join(part for part in PARTS if result.per_question.get(part)) or "none"


def _system(result: Result) -> dict[str, Any]:
    names = {"checkpoint", "checkpoint_digest", "first_stage", "rerank_depth"}
    return result.model_dump(include=names)

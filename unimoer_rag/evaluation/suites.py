"""A system measured on a benchmark of several data sets, beside what others are published to score.

Each set's result is kept in a folder, so that a run which was stopped goes on with the next set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unimoer_rag.data import BeirDataset, Published, Suite, published
from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.evaluate import evaluate
from unimoer_rag.evaluation.options import EvalOptions
from unimoer_rag.evaluation.plain import plain
from unimoer_rag.evaluation.results import Result, load_result
from unimoer_rag.evaluation.systems import System
from unimoer_rag.files import write_file
from unimoer_rag.progress import Progress, silent

__all__ = ["SUITE_MEASURE", "SuiteResult", "evaluate_suite", "mean_of"]

SUITE_MEASURE = "nDCG@10"
"""What benchmarks are compared by."""

_SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What one system scored on a benchmark.

    Attributes:
        suite: the benchmark.
        results: data set -> what was measured on it.
        published: what other systems score.
    """

    suite: Suite
    results: Mapping[str, Result]
    published: tuple[Published, ...] = ()

    def figures(self, part: str) -> dict[str, float]:
        """Member of the benchmark -> its figure in percent; of one in several sets, their mean.

        Args:
            part: "retrieval" or "rerank"; nothing where that was not measured.
        """
        values = {
            name: result.means(part).get(SUITE_MEASURE) for name, result in self.results.items()
        }
        found = {}
        for member, names in self.suite.members.items():
            of_member = [value for name in names if (value := values.get(name)) is not None]
            if len(of_member) == len(names):
                found[member] = 100 * sum(of_member) / len(names)
        return found

    def mean(self, part: str) -> float | None:
        """The mean of all members' figures; None where one lacks."""
        return mean_of(self.figures(part), self.suite)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: means and figures in percent, and every set's whole result."""
        parts = {part: self.figures(part) for part in ("retrieval", "rerank")}
        others = ((each, mean_of(each.figures, self.suite)) for each in self.published)
        return {
            "suite": self.suite.name,
            "measure": SUITE_MEASURE,
            "mean": {part: self.mean(part) for part in parts},
            "figures": parts,
            "published": [{**plain(each), "mean": mean} for each, mean in others],
            "results": {name: result.to_dict() for name, result in self.results.items()},
        }


def mean_of(figures: Mapping[str, float], suite: Suite) -> float | None:
    """The mean of the figures of a benchmark's members; None where one lacks."""
    if figures.keys() != suite.members.keys():
        return None
    return sum(figures.values()) / len(figures)


def evaluate_suite(
    suite: Suite,
    system: System,
    open_set: Callable[[str], BeirDataset],
    *,
    folder: Path,
    options: EvalOptions,
    limit: int | None = None,
    on_progress: Progress = silent,
    on_result: Callable[[str, Result], None] = lambda name, result: None,
) -> SuiteResult:
    """Measure a system on every set of a benchmark that the folder has no result of.

    Args:
        suite: the benchmark.
        system: what is measured.
        open_set: opens a data set by its name, one after the other.
        folder: keeps results, one `NAME.json` a set.
        options: how; an index is kept in one folder a set below `options.index`.
        limit: only so many questions of each set.
        on_progress: called with the set and the part, what is done of it and its size.
        on_result: called with each set's name and result, kept ones too.

    Raises:
        InputError: the folder has results of something else.
        DataError: see `evaluate`.
    """
    _check_settings(folder, suite, system, options, limit)
    results: dict[str, Result] = {}
    for name in suite.names:
        kept = folder / f"{name}.json"
        if kept.is_file():
            results[name] = load_result(kept)
        else:
            dataset = open_set(name)
            if limit is not None:
                dataset = dataset.limit(limit, options.seed)
            index = None if options.index is None else options.index / name
            results[name] = evaluate(
                system,
                dataset,
                options=replace(options, index=index),
                on_progress=_of_set(name, on_progress),
            )
            write_file(kept, json.dumps(results[name].to_dict(), indent=1).encode())
        on_result(name, results[name])
    return SuiteResult(suite, results, published(suite.name))


def _of_set(name: str, on_progress: Progress) -> Progress:
    return lambda what, done, total: on_progress(f"{name}: {what}", done, total)


def _check_settings(
    folder: Path, suite: Suite, system: System, options: EvalOptions, limit: int | None
) -> None:
    """Note what a folder's results are of; refuse to go on with those of something else.

    Raises:
        InputError: they are of something else.
    """
    asked = plain(
        {
            "suite": suite.name,
            "system": system.name,
            "made_of": system.describe(),
            "parts": sorted(options.parts),
            "mode": options.mode,
            "depth": options.depth,
            "auto": None if options.auto is None else repr(options.auto),
            "limit": limit,
            "seed": options.seed,
        }
    )
    path = folder / _SETTINGS
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asked, indent=1).encode())
        return
    known = json.loads(path.read_text("utf-8"))
    other = [key for key in asked if known.get(key) != asked[key]]
    if other:
        raise InputError(
            f"{folder} keeps results of another {' and '.join(other)} (see {path}): name another "
            "folder with --results, or delete this one"
        )

"""Everything about a run that can be wrong before its first step, told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from unimoer_rag.data import Sources
from unimoer_rag.errors import UnimoerError
from unimoer_rag.model import resolve_backbone
from unimoer_rag.training.loop.fit import check_fit
from unimoer_rag.training.objectives.kinds import ObjectiveConfig
from unimoer_rag.training.recipe import Recipe, skeleton_of

__all__ = ["Check", "check_recipe"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        problems: what has to be put right, each in its own words.
        counts: what each data set gives, as `sets[name][what]`.
        mined: files of mined negatives in the run's folder, by data set.
    """

    problems: list[str] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    mined: dict[str, int] = field(default_factory=dict)


def check_recipe(recipe: Recipe, data: Path | None, *, output: Path | None = None) -> Check:
    """Try each part of a run by itself; nothing is trained or mined.

    Args:
        recipe: validated already.
        data: folder of its data sets; without, they are not looked at.
        output: the run's folder, whose mined negatives are counted.
    """
    found = Check()
    # The backbone's weights may have to be downloaded: a run would do that too.
    _attempt(found, "backbone", lambda: resolve_backbone(recipe.backbone))
    _attempt(found, "model", lambda: check_fit(skeleton_of(recipe), recipe))
    if recipe.start is not None:
        _attempt(found, "start", lambda: _check_start(recipe))
    if data is not None:
        sources = Sources(data, recipe.data)
        for source in recipe.sources:
            _check_set(found, recipe, sources, source)
    if output is not None:
        for file in sorted((output / "mined").glob("*.json")):
            name = file.stem.rpartition("-")[0]
            found.mined[name] = found.mined.get(name, 0) + 1
    return found


_KINDS = get_args(ObjectiveConfig)


def _attempt(found: Check, what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except UnimoerError as error:
        problem = f"{what}: {error}"
        if problem not in found.problems:
            found.problems.append(problem)


def _check_start(recipe: Recipe) -> None:
    from unimoer_rag.training.run import make_model, start_tensors

    start_tensors(make_model(recipe), recipe.start or "")


def _check_set(found: Check, recipe: Recipe, sources: Sources, source: str) -> None:
    """Read a data set as its objectives would, count what it gives, and see whether it fits."""
    what, counts = f"data set {source}", found.counts.setdefault(source, {})
    drawing = {name: o for name, o in recipe.objectives.items() if source in o.sources}

    def count(objective: ObjectiveConfig) -> None:
        counts.update(objective.counts(sources, source))

    for objective in sorted(drawing.values(), key=lambda one: _KINDS.index(type(one))):
        _attempt(found, what, partial(count, objective))
    if counts:
        tasks = {task.name: task for task in recipe.tasks}
        for name, objective in drawing.items():
            check = partial(objective.check, name, tasks[objective.task], sources, source)
            _attempt(found, what, partial(check, taught=bool(recipe.mining.teacher)))

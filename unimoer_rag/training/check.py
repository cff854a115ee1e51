"""Everything about a run that can be wrong before its first step, told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from unimoer_rag.data import Sources
from unimoer_rag.errors import DataError, UnimoerError
from unimoer_rag.model import resolve_backbone
from unimoer_rag.training.loop.fit import check_fit
from unimoer_rag.training.objectives import config
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.skeleton import skeleton

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
    _attempt(found, "model", lambda: check_fit(skeleton(recipe), recipe))
    if recipe.start is not None:
        _attempt(found, "start", lambda: _check_start(recipe))
    if data is not None:
        sources = Sources(data, recipe.data)
        for name in recipe.sources:
            kinds = {o.kind for o in recipe.objectives.values() if name in o.sources}
            for kind in sorted(kinds, key=_ORDER.index):
                _attempt(found, f"data set {name}", partial(_count, found, sources, name, kind))
            if found.counts[name]:
                for objective in (n for n, o in recipe.objectives.items() if name in o.sources):
                    fits = partial(_check_fit, recipe, sources, name, objective)
                    _attempt(found, f"data set {name}", fits)
    if output is not None:
        for file in sorted((output / "mined").glob("*.json")):
            name = file.stem.rpartition("-")[0]
            found.mined[name] = found.mined.get(name, 0) + 1
    return found


_ORDER = ["contrastive", "ranking", "reading", "classification"]


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


def _count(found: Check, sources: Sources, name: str, kind: str) -> None:
    """Read a data set as an objective of that kind would, and count what it gives."""
    counts = found.counts.setdefault(name, {})
    if kind in ("contrastive", "ranking"):
        groups = sources.groups(name)
        counts |= {"passages": len(groups.texts), "questions": len(groups.groups)}
    elif kind == "reading":
        from unimoer_rag.data import ReadSource

        settings = config.Reading(task="read", sources=(name,), size=1)
        source = ReadSource(
            sources.beir(name),
            unanswerable=settings.unanswerable,
            crop=settings.crop,
            crop_words=settings.crop_words,
        )
        counts |= {"answered": len(source)}
    else:
        counts |= {"labelled": len(sources.labelled(name))}


def _check_fit(recipe: Recipe, sources: Sources, name: str, objective: str) -> None:
    """What an objective would refuse of a data set before its first draw."""
    from unimoer_rag.training.objectives.terms import check_negatives, check_teacher

    settings = recipe.objectives[objective]
    if isinstance(settings, config.Classification):
        task = next(task for task in recipe.tasks if task.name == settings.task)
        unknown = [label for label in sources.labelled(name).labels if label not in task.labels]
        if unknown:
            raise DataError(
                f"the label {unknown[0]!r} is none of the task {task.name}'s, expected one of "
                f"{', '.join(task.labels)}"
            )
    elif isinstance(settings, config.Contrastive | config.Ranking):
        groups, mined = sources.groups(name), sources.is_mined(name)
        if isinstance(settings, config.Ranking) and not mined:
            check_negatives(objective, [groups])
        if not (mined and recipe.mining.teacher):
            check_teacher(objective, settings.losses, [groups])

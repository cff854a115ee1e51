"""Pilot texts of a recipe: what the similarity router knows experts by are data sets' own texts."""

from __future__ import annotations

from unimoer_rag.data import Sources
from unimoer_rag.model import UniMoER, fit_pilots
from unimoer_rag.training.objectives.groups import GroupSettings
from unimoer_rag.training.recipe import Recipe

__all__ = ["fit_source_pilots"]

_QUERIES = 50  # of each data set, and as many passages


def fit_source_pilots(model: UniMoER, recipe: Recipe, sources: Sources) -> None:
    """Set every expert's pilots from the recipe's data sets of queries and passages.

    An expert with the name of a data set is for its texts (RouterRetriever has one expert a
    domain); any other is for those of every data set that a task which names it learns from.

    Args:
        model: with the router "similarity".
        recipe: of the model.
        sources: opens the data sets.

    Raises:
        DataError: a data set is missing or malformed.
    """
    tasks = {task.name: task.experts for task in recipe.tasks}
    names: dict[str, list[str]] = {expert: [] for expert in recipe.experts}
    for objective in recipe.objectives.values():
        if isinstance(objective, GroupSettings):
            for expert in tasks[objective.task]:
                alone = expert in objective.sources
                names[expert] += [expert] if alone else objective.sources
    texts = {
        expert: [text for name in dict.fromkeys(own) for text in _some(sources, name)]
        for expert, own in names.items()
        if own
    }
    fit_pilots(model, texts, n=max(map(len, texts.values()), default=1))


def _some(sources: Sources, name: str) -> list[str]:
    """Some queries of a data set, and the passages that answer them."""
    found = sources.groups(name)
    groups = [found.groups[at] for at in range(min(_QUERIES, len(found.groups)))]
    return [text for group in groups for text in (group.query, found.texts[group.positive])]

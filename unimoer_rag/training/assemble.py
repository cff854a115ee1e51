"""From a recipe and its data to what the trainer asks: the objectives."""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.data import ReadSource, Sources, TrainingSet
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import BM25Searcher, ModelSearcher, Searcher
from unimoer_rag.training.mining.teachers import ModelTeacher, score_groups
from unimoer_rag.training.objectives import config
from unimoer_rag.training.objectives.classification import ClassificationObjective
from unimoer_rag.training.objectives.contrastive import ContrastiveObjective
from unimoer_rag.training.objectives.ranking import RankingObjective
from unimoer_rag.training.objectives.reading import ReadingObjective
from unimoer_rag.training.objectives.types import Objective
from unimoer_rag.training.recipe import Recipe

__all__ = ["Material", "make_objectives"]


class Material:
    """A recipe's data sets, each made into what an objective draws from when it is asked for.

    Args:
        recipe: says how negatives are mined, and who scores them.
        model: mines them, as it is at that moment, where the recipe does not say "bm25".
        sources: the data sets.
        cache: folder of mined negatives, by content.
        on_progress: told of mining.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: UniMoER,
        sources: Sources,
        *,
        cache: Path,
        on_progress: Progress = silent,
    ) -> None:
        self._recipe, self._model, self.sources = recipe, model, sources
        self._cache, self._on_progress = cache, on_progress
        self._groups: dict[str, TrainingSet] = {}

    def groups(self, names: tuple[str, ...]) -> dict[str, TrainingSet]:
        """Queries with passages; two objectives that draw from a data set share its mining."""
        for name in names:
            if name not in self._groups:
                self._groups[name] = self._mined(name)
        return {name: self._groups[name] for name in names}

    def _mined(self, name: str) -> TrainingSet:
        mining, groups = self._recipe.mining, self.sources.groups(name)
        if self.sources.is_mined(name):
            groups = mine(
                groups,
                self._searcher(),
                mining,
                seed=mining.seed,
                cache=self._cache,
                progress=lambda done, total: self._on_progress(f"mining {name}", done, total),
            )
        elif len(groups.groups) and groups.groups[0].scores:
            return groups  # scored by people or a teacher already
        if mining.teacher:
            groups = score_groups(
                groups,
                ModelTeacher(UniMoER.from_pretrained(mining.teacher)),
                cache=self._cache,
                progress=lambda done, total: self._on_progress(f"scoring {name}", done, total),
            )
        return groups

    def _searcher(self) -> Searcher:
        return (
            BM25Searcher() if self._recipe.mining.searcher == "bm25" else ModelSearcher(self._model)
        )

    def reading(self, settings: config.Reading) -> dict[str, ReadSource]:
        """Questions with answers in their passages."""
        return {
            name: ReadSource(
                self.sources.beir(name),
                unanswerable=settings.unanswerable,
                crop=settings.crop,
                crop_words=settings.crop_words,
            )
            for name in settings.sources
        }


def make_objectives(recipe: Recipe, model: UniMoER, material: Material) -> list[Objective]:
    """The objectives of a recipe, in its order.

    Raises:
        DataError: a data set is missing or malformed, or lacks what an objective needs of it.
    """
    made: list[Objective] = []
    for name, settings in recipe.objectives.items():
        if isinstance(settings, config.Reading):
            sources = material.reading(settings)
            made.append(ReadingObjective(name, model, sources, settings, seed=recipe.seed))
        elif isinstance(settings, config.Ranking):
            groups = material.groups(settings.sources)
            made.append(RankingObjective(name, model, groups, settings, seed=recipe.seed))
        elif isinstance(settings, config.Contrastive):
            groups = material.groups(settings.sources)
            made.append(ContrastiveObjective(name, model, groups, settings, seed=recipe.seed))
        else:
            labelled = {source: material.sources.labelled(source) for source in settings.sources}
            made.append(ClassificationObjective(name, model, labelled, settings, seed=recipe.seed))
    return made

"""The data sets of a run as its objectives draw from them: mined, scored by a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from unimoer_rag.data import Sources, TrainingSet
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import BM25Searcher, Floats, ModelSearcher
from unimoer_rag.training.mining.teachers import ModelTeacher, score_groups
from unimoer_rag.training.objectives.kept import KeptDocuments, KeptOutputs

__all__ = ["Material"]


class Material:
    """Data sets, each made into what an objective draws from when it is asked for.

    Args:
        mining: how negatives are mined, and who scores them.
        model: mines them, as it is at that moment, where the recipe does not say "bm25".
        sources: the data sets.
        cache: folder of mined negatives, by content.
        on_progress: told of mining.
        outputs: of documents that no expert reads, where some are known; takes what is run.

    Attributes:
        kept: documents run once, where the experts of a task do not read them.
    """

    def __init__(
        self,
        mining: Mining,
        model: UniMoER,
        sources: Sources,
        *,
        cache: Path,
        on_progress: Progress = silent,
        outputs: KeptOutputs | None = None,
    ) -> None:
        self.kept = KeptDocuments(model, outputs)
        self._mining, self._model, self.sources = mining, model, sources
        self._cache, self._on_progress = cache, on_progress
        self._groups: dict[str, TrainingSet] = {}

    def groups(self, names: tuple[str, ...]) -> dict[str, TrainingSet]:
        """Queries with passages; two objectives that draw from a data set share its mining."""
        for name in names:
            if name not in self._groups:
                self._groups[name] = self._mined(name)
        return {name: self._groups[name] for name in names}

    def _searcher(self) -> ModelSearcher:
        embed = self._model.task("embed")
        if not embed.queries_only:
            return ModelSearcher(self._model)

        def kept(texts: Sequence[str]) -> Floats:
            return torch.stack(self.kept.of(embed, texts)).float().cpu().numpy()

        return ModelSearcher(self._model, documents=kept)

    def _mined(self, name: str) -> TrainingSet:
        mining, groups = self._mining, self.sources.groups(name)
        if self.sources.is_mined(name):
            groups = mine(
                groups,
                BM25Searcher() if mining.searcher == "bm25" else self._searcher(),
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

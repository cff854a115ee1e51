"""`AutoRerank` calibrated on development sets."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unimoer_rag.data import BeirDataset
from unimoer_rag.evaluation.skipping import (
    LOSS,
    Outcomes,
    Statistic,
    check_loss,
    choose_threshold,
    cross_validate,
    measure_outcomes,
)
from unimoer_rag.evaluation.systems import Unified, corpus_in_index
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import AutoRerank, Mode, certainty, check_settings

__all__ = ["FEW", "Calibration", "calibrate_rerank", "outcomes_on"]

FEW = 200
"""Questions of a development set below which a threshold's loss is hardly known: one that loses all
its nDCG@10 is then more than the 0.5% that are allowed by default."""


@dataclass(frozen=True)
class Calibration:
    """Thresholds, and what was measured of them.

    Attributes:
        auto: the thresholds.
        loss: share of nDCG@10 that they may lose on each development set.
        cross_validated: mode -> data set -> `Outcomes.describe` on questions that the threshold in
            force was not chosen on.
    """

    auto: AutoRerank
    loss: float
    cross_validated: dict[str, dict[str, dict[str, Any]]]

    @property
    def uncalibrated(self) -> list[str]:
        """Modes in which no threshold keeps the loss."""
        return [mode for mode in self.cross_validated if getattr(self.auto, mode) is None]

    @property
    def few(self) -> dict[str, int]:
        """The data sets with fewer questions than `FEW`, and how many they have."""
        rows = next(iter(self.cross_validated.values()), {})
        return {name: row["questions"] for name, row in rows.items() if row["questions"] < FEW}

    def to_dict(self, command: str) -> dict[str, Any]:
        """What `AutoRerank.load` reads, and the rest beside it."""
        return {
            "auto_rerank": asdict(self.auto),
            "loss": self.loss,
            "cross_validated": self.cross_validated,
            "command": command,
        }


def calibrate_rerank(
    model: UniMoER,
    datasets: Sequence[BeirDataset],
    *,
    modes: Sequence[Mode] = ("dense",),
    loss: float = LOSS,
    depth: int = 50,
    index: Path | None = None,
    seed: int = 0,
    on_progress: Progress = silent,
) -> Calibration:
    """Choose the thresholds of `rerank="auto"` on development sets.

    Args:
        model: the checkpoint they are for.
        datasets: with judgements, as like the questions to come as can be had.
        modes: first stages to calibrate.
        loss: share of nDCG@10 that may be lost on each of the data sets.
        depth: results reranked where reranking is not skipped.
        index: folder that keeps an index of each data set.
        seed: of the cross-validation.
        on_progress: called with what is done, how much of it and its size.

    Raises:
        DataError: a data set has no judgements, or fewer judged questions than folds.
        InputError: the loss is no share, or a first stage is unknown.
    """
    chosen: dict[str, float | None] = {}
    validated: dict[str, dict[str, dict[str, Any]]] = {}
    check_loss(loss)
    for mode in modes:
        check_settings(1, depth, mode)
    for mode in modes:
        sets = {
            dataset.name: outcomes_on(
                model, dataset, mode=mode, depth=depth, index=index, on_progress=on_progress
            )[0]
            for dataset in datasets
        }
        chosen[mode] = choose_threshold(list(sets.values()), loss)
        validated[mode] = cross_validate(sets, loss, seed=seed)
    auto = AutoRerank(depth=depth, checkpoint=model.checkpoint_digest, **chosen)
    return Calibration(auto, loss, validated)


def outcomes_on(
    model: UniMoER,
    dataset: BeirDataset,
    *,
    mode: Mode,
    depth: int,
    index: Path | None = None,
    statistics: Sequence[Statistic] = (certainty,),
    on_progress: Progress = silent,
) -> list[Outcomes]:
    """`measure_outcomes` over a data set's corpus, indexed in a folder of `index` or for now."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (Path(scratch) if index is None else index) / f"{dataset.name}.index"
        with corpus_in_index(
            Unified(model),
            dataset.corpus,
            index=folder,
            first_stage=mode,
            depth=depth,
            on_progress=lambda what, done, total: on_progress(
                f"{what} {dataset.name}", done, total
            ),
        ) as retriever:
            return measure_outcomes(
                retriever,
                dataset,
                mode=mode,
                depth=depth,
                statistics=statistics,
                on_progress=on_progress,
            )

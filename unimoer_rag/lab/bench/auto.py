"""What `rerank="auto"` skips and loses on questions that it was not calibrated on.

The threshold is the checkpoint's own, or chosen anew on development sets. In the latter case those
statistics of the literature on query performance prediction that need nothing but the first stage's
scores are tried beside the one that decides (`certainty`), each with a threshold of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from unimoer_rag.cli import (
    CheckpointOption,
    DepthOption,
    IndexesOption,
    LimitOption,
    ModeOption,
    SeedOption,
    SplitOption,
    cells,
)
from unimoer_rag.data import BeirDataset, load_limited
from unimoer_rag.evaluation import (
    LOSS,
    Outcomes,
    Statistic,
    choose_threshold,
    cross_validate,
    outcomes_on,
)
from unimoer_rag.lab.bench.bench import Bench, Facts
from unimoer_rag.lab.bench.report import report
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import AUTO, AutoRerank, Hit, Mode, certainty, resolve, stage_scores

__all__ = ["BENCH", "STATISTICS", "measure_auto"]

# Shares of the questions to skip, for the curve.
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def _margin(hits: Sequence[Hit], mode: Mode) -> float:
    scores = stage_scores(hits, mode)
    return float(scores[0] - scores[1]) if len(scores) > 1 else np.inf


def _best(hits: Sequence[Hit], mode: Mode) -> float:
    return float(stage_scores(hits, mode)[0])


def _nqc(hits: Sequence[Hit], mode: Mode) -> float:
    """Normalised query commitment, without the collection's score, which cosines do not have."""
    scores = stage_scores(hits, mode)
    return float(scores.std() / max(abs(scores.mean()), 1e-9))


def _wig(hits: Sequence[Hit], mode: Mode) -> float:
    """Weighted information gain: the best five against all that were found."""
    scores = stage_scores(hits, mode)
    return float(scores[:5].mean() - scores.mean())


def _ten(hits: Sequence[Hit], mode: Mode) -> float:
    """The best against the nine behind it."""
    scores = stage_scores(hits, mode)
    return float(scores[0] - scores[1:10].mean()) if len(scores) > 1 else np.inf


STATISTICS: Mapping[str, Statistic] = {
    "certainty": certainty,
    "margin": _margin,
    "best score": _best,
    "NQC": _nqc,
    "WIG": _wig,
    "best against nine": _ten,
}
"""What may say how certain a first stage is; "certainty" is the one that decides."""


def measure_auto(
    checkpoint: CheckpointOption = "unimoer-minilm",
    *,
    data: Annotated[
        list[Path], typer.Option("--data", help="BEIR folder to try it on; again for more.")
    ],
    dev: Annotated[
        list[Path] | None,
        typer.Option(
            "--dev",
            help="BEIR folder to choose the threshold on, again for more; the checkpoint's own "
            "threshold if not given.",
        ),
    ] = None,
    mode: ModeOption = "dense",
    loss: Annotated[
        float, typer.Option(help="Share of nDCG@10 that may be lost on each set of --dev.")
    ] = LOSS,
    depth: DepthOption = 50,
    split: SplitOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    index: IndexesOption = None,
    on_progress: Progress = silent,
) -> dict[str, Any]:
    """Measure what `rerank auto` skips, and what it loses, on sets it was not calibrated on.

    Returns:
        See `report`. `ratio` is how many times fewer of the held-out questions are reranked;
        `held_out` tells each set's loss with its 95% interval, and `development` the same,
        cross-validated; `statistics` holds the same in short for every statistic; `curve` the loss
        for thresholds that skip more and more of the questions.

    Raises:
        InputError: there is no development set, and the checkpoint is not calibrated.
    """
    held_out = load_limited(data, split, limit=limit, seed=seed)
    development = load_limited(dev or [], split, limit=limit, seed=seed)
    model = UniMoER.from_pretrained(checkpoint)
    own = None if development else resolve(AUTO, model)
    if isinstance(own, AutoRerank):
        depth = own.depth
    threshold = own.threshold(mode) if isinstance(own, AutoRerank) else None
    names = list(STATISTICS) if development else ["certainty"]

    def outcomes(datasets: Sequence[BeirDataset]) -> dict[str, list[Outcomes]]:
        return {
            dataset.name: outcomes_on(
                model,
                dataset,
                mode=mode,
                depth=depth,
                index=index,
                statistics=[STATISTICS[name] for name in names],
                on_progress=on_progress,
            )
            for dataset in datasets
        }

    chosen_on, tried_on = outcomes(development), outcomes(held_out)
    tried = {
        name: _tried(
            {key: found[at] for key, found in chosen_on.items()},
            {key: found[at] for key, found in tried_on.items()},
            threshold=threshold,
            loss=loss,
            seed=seed,
        )
        for at, name in enumerate(names)
    }
    chosen = tried["certainty"]
    rows = list(chosen["held_out"].values())
    reranked = 1 - _mean(rows, "share_skipped")
    sides = {name: {"nDCG@10": round(_mean(rows, name), 4)} for name in ("auto", "always", "never")}
    return report(
        "auto",
        ratio=round(1 / max(reranked, 1e-4), 2),
        checkpoint=checkpoint,
        mode=mode,
        depth=depth,
        stated_loss=loss,
        **chosen,
        curve=_curve(
            {key: found[0] for key, found in chosen_on.items()},
            {key: found[0] for key, found in tried_on.items()},
        ),
        statistics={
            name: {
                key: {"share_skipped": row["share_skipped"], "loss": row["loss"]}
                for part in ("development", "held_out")
                for key, row in found[part].items()
            }
            for name, found in tried.items()
        },
        ours={**sides.pop("auto"), "share_reranked": round(reranked, 4)},
        others={
            "always": {**sides["always"], "share_reranked": 1.0},
            "never": {**sides["never"], "share_reranked": 0.0},
        },
    )


def _tried(
    development: Mapping[str, Outcomes],
    held_out: Mapping[str, Outcomes],
    *,
    threshold: float | None,
    loss: float,
    seed: int,
) -> dict[str, Any]:
    if development:
        threshold = choose_threshold(list(development.values()), loss)
    least = np.inf if threshold is None else threshold
    return {
        "threshold": threshold,
        "development": cross_validate(development, loss, seed=seed) if development else {},
        "held_out": {
            name: outcomes.describe(outcomes.certainty >= least, seed=seed)
            for name, outcomes in held_out.items()
        },
    }


def _curve(
    development: Mapping[str, Outcomes], held_out: Mapping[str, Outcomes]
) -> list[dict[str, Any]]:
    sets = {**development, **held_out}
    seen = np.concatenate([outcomes.certainty for outcomes in (development or held_out).values()])
    points = []
    for share in _SHARES:
        threshold = float(np.quantile(seen, 1 - share, method="lower"))
        points.append(
            {
                "threshold": threshold,
                "sets": {
                    name: {
                        "share_skipped": round(float((o.certainty >= threshold).mean()), 4),
                        "loss": round(o.loss(o.certainty >= threshold), 5),
                    }
                    for name, o in sets.items()
                },
            }
        )
    return points


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Over all questions of the sets."""
    return float(np.average([row[key] for row in rows], weights=[row["questions"] for row in rows]))


def _table(found: Facts) -> Table:
    return Table(
        "nDCG@10 with reranking always, where it is needed, and never",
        ("", "questions", "skipped", "always", "auto", "never", "loss", "95% interval"),
        [
            (name + told, str(row["questions"]), *cells(row))
            for part, told in (("development", " (cross-validated)"), ("held_out", ""))
            for name, row in found[part].items()
        ],
    )


BENCH = Bench(measure_auto, _table, quick={"depth": 10, "limit": 20})

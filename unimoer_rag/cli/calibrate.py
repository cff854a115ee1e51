"""`unimoer-rag calibrate`: the thresholds of answers and of reranking, on questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.table import Table

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import (
    columns,
    console,
    counting,
    print_json,
    print_note,
    print_text,
    progress_bar,
    quiet,
)
from unimoer_rag.cli.retrieval_options import CheckpointOption, Mode
from unimoer_rag.cli.skipping import (
    DepthOption,
    IndexesOption,
    LimitOption,
    SeedOption,
    SplitOption,
    cells,
)
from unimoer_rag.cli.targets import check_target, save_json
from unimoer_rag.command_line import typed_command
from unimoer_rag.errors import InputError
from unimoer_rag.wording import counted

if TYPE_CHECKING:
    from unimoer_rag.evaluation import AnswerCalibration, Calibration

__all__ = ["calibrate"]


@with_options
def calibrate(
    data: list[Path] | None = option("A folder in the BEIR layout; again for more."),
    own: Path | None = option("Your documents, to be asked the questions of --questions."),
    questions: Path | None = option("JSONL or CSV: question; answer, answers, source or passage."),
    out: Path | None = option(
        "File for the thresholds; given as --rerank FILE. Without it: printed."
    ),
    split: SplitOption = None,
    modes: str = option(
        "First stages to calibrate, comma-separated: dense,sparse,hybrid.", default="dense"
    ),
    loss: float = option("Share of nDCG@10 that may be lost on each data set.", default=0.005),
    answerable: float = option(
        "With --own: share of the questions to come that your documents answer.", default=0.5
    ),
    depth: DepthOption = 50,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = "unimoer-minilm",
    index: IndexesOption = None,
) -> None:
    """Find out where reranking can be skipped (`--rerank auto`), on questions with judgements.

    Every question is searched for with and without reranking. What is chosen is, for each first
    stage, the lowest certainty from which skipping loses no more than `--loss` of nDCG@10 on any of
    the data sets. How that does on questions that it was not chosen on is told by
    cross-validation.

    With --own and --questions, on your documents: from which confidence on to answer
    (`--threshold`) and the least score of a passage to read (`min_score`), too. Each question is
    also asked without its document, where to abstain is right; questions with an empty list of
    answers count as such.
    """
    if (own is None) != (questions is None):
        raise InputError("--own and --questions go together: documents, and questions on them")
    if (own is None) == (not data):
        raise InputError("say what to calibrate on: --data DIR, or --own DIR --questions FILE")
    if own is not None and split is not None:
        raise InputError("--split is of --data: your questions have none, leave it out")
    quiet()
    check_target(out)
    how: dict[str, Any] = {
        "modes": [cast("Mode", mode.strip()) for mode in modes.split(",")],
        "loss": loss,
        "depth": depth,
        "index": index,
        "seed": seed,
    }
    if own is not None and questions is not None:
        _on_own(own, questions, checkpoint, out, limit, answerable, how)
    else:
        _on_sets(data or [], split, checkpoint, out, limit, how)


def _on_sets(
    data: list[Path],
    split: str | None,
    checkpoint: str,
    out: Path | None,
    limit: int | None,
    how: dict[str, Any],
) -> None:
    from unimoer_rag.data import load_limited
    from unimoer_rag.evaluation import calibrate_rerank
    from unimoer_rag.model import UniMoER

    datasets = load_limited(data, split, limit=limit, seed=how["seed"])
    with progress_bar() as bar:
        found = calibrate_rerank(
            UniMoER.from_pretrained(checkpoint), datasets, **how, on_progress=counting(bar)
        )
    thresholds = found.to_dict(typed_command())
    if out is None:
        print_json(thresholds)
    else:
        save_json(thresholds, out)
        console.print(_table(found))
    _tell_rerank(found)


def _on_own(
    own: Path,
    questions: Path,
    checkpoint: str,
    out: Path | None,
    limit: int | None,
    answerable: float,
    how: dict[str, Any],
) -> None:
    from unimoer_rag.cli.evaluate_options import read_own
    from unimoer_rag.data import check_limit
    from unimoer_rag.evaluation import calibrate_own
    from unimoer_rag.model import UniMoER

    if limit is not None:
        check_limit(limit)
    read = read_own(own, questions, checkpoint, limit=limit, seed=how["seed"])
    with progress_bar() as bar:
        found = calibrate_own(
            UniMoER.from_pretrained(checkpoint),
            read,
            **how,
            share=answerable,
            on_progress=counting(bar),
        )
    thresholds = found.to_dict(typed_command())
    if out is None:
        print_json(thresholds)
    else:
        save_json(thresholds, out)
        if found.answers is not None:
            print_text(_told(found.answers))
        if found.rerank is not None:
            console.print(_table(found.rerank))
    if found.answers is not None:
        _tell_answers(found.answers)
    if found.rerank is not None:
        _tell_rerank(found.rerank)
    for reason in found.untold:
        print_note(f"not calibrated: {reason}")


def _told(found: AnswerCalibration) -> str:
    """What is suggested, and what it stands on."""
    f1 = found.f1
    return (
        f"--threshold {found.threshold:g} (95% interval {found.low:g} to {found.high:g}): F1 "
        f"{f1.second:.1f} on questions that it was not chosen on, {f1.first:.1f} with the default; "
        f"difference {f1.difference:+.1f}, 95% interval {f1.low:+.1f} to {f1.high:+.1f}\n"
        f"min_score {found.min_score:g}: leaves out {found.left_out:.0%} of the passages read, and "
        f"all of them for {found.silent:.0%} of the questions without an answer\n"
        f"on {counted(found.answerable, 'question')} with an answer and "
        f"{found.given + found.made} without ({found.given} given, {found.made} asked without "
        f"their document); {found.share:.0%} of those to come are taken to have one"
    )


def _tell_answers(found: AnswerCalibration) -> None:
    from unimoer_rag.evaluation import FEW

    if found.elsewhere:
        print_note(
            f"{counted(found.elsewhere, 'question')} not asked without the document: another "
            "document answers, too"
        )
    n = found.answerable
    if n < FEW:
        print_note(
            f"{counted(n, 'question')} with an answer, which is few: any threshold in the "
            f"interval may be as good; {FEW} and more are better"
        )
    if not found.better:
        print_note(
            "on these questions the suggested threshold is not better than the default by more "
            "than chance: there is no reason yet to change it"
        )


def _tell_rerank(found: Calibration) -> None:
    from unimoer_rag.evaluation import FEW

    for name, n in found.few.items():
        print_note(
            f"{name} has {counted(n, 'judged question')}: elsewhere, what was chosen on so few may "
            f"lose several times the share that is allowed; {FEW} and more are better"
        )
    for name in found.uncalibrated:
        print_note(f"{name}: no threshold keeps that loss, so auto cannot be used with it")


def _table(found: Calibration) -> Table:
    table = Table(title="on questions that the threshold was not chosen on (cross-validated)")
    figures = ("skipped", "nDCG@10 always", "auto", "never", "loss", "95% interval")
    columns(table, "data set, first stage", *figures)
    for mode, rows in found.cross_validated.items():
        for name, row in rows.items():
            table.add_row(f"{name}, {mode}", *cells(row))
    return table

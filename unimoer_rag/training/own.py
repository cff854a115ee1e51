"""Training on a user's own documents and questions, measured before and after."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unimoer_rag.data import BeirDataset, OwnReport, corpus_sha256, own_datasets, questions_sha256
from unimoer_rag.errors import DataError, TrainingError
from unimoer_rag.evaluation import EvalOptions, Result, compare_results, load_result
from unimoer_rag.evaluation.evaluate import evaluate
from unimoer_rag.files import write_file
from unimoer_rag.model import UniMoER
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Chunker
from unimoer_rag.training.loop.folder import RunFolder
from unimoer_rag.training.loop.tracking import Track
from unimoer_rag.training.loop.trainer import StepReport
from unimoer_rag.training.overrides import on_source
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import check_start, train

__all__ = [
    "HELD_OUT",
    "MEASURES",
    "Judgement",
    "OwnRun",
    "differences",
    "judge",
    "measured",
    "own_recipe",
    "train_on_own",
]

NAME = "own"

HELD_OUT = 0.25
"""Share of the questions that is measured on: of forty, a tenth would tell nothing."""

MEASURES = (("retrieval", "nDCG@10"), ("rerank", "nDCG@10"), ("answers", "f1"))
"""What decides, where the questions have it."""

Judgement = Literal["better", "worse", "mixed", "undecided"]


@dataclass(frozen=True, slots=True)
class OwnRun:
    """How such a run ended.

    Attributes:
        finished: the recipe's last step was reached; else nothing was compared.
        data: what was made of the documents and questions.
        differences: the fields of `statistics.Difference` by "part measure", after minus before.
        judgement: of the trained checkpoint.
    """

    finished: bool
    data: OwnReport
    differences: dict[str, dict[str, Any]]
    judgement: Judgement | None


def own_recipe(recipe: Recipe, *, answers: bool) -> Recipe:
    """A recipe turned to the user's data; without answers it has no reading to learn.

    Raises:
        TrainingError: nothing is left of it.
    """
    turned = on_source(recipe, NAME)
    kept = {n: o for n, o in turned.objectives.items() if answers or o.kind != "reading"}
    kept = {n: o for n, o in kept.items() if o.kind != "classification"}
    if not kept:
        raise TrainingError(
            f"the recipe {recipe.name} has no objective that these questions teach: expected "
            "contrastive or ranking, or reading with answers"
        )
    return turned.model_copy(update={"objectives": kept})


def train_on_own(
    recipe: Recipe,
    *,
    documents: Path,
    questions: Path,
    output: Path,
    on_begin: Callable[[], None] = lambda: None,
    on_progress: Progress = silent,
    on_step: Callable[[StepReport], None] = lambda report: None,
    track: Track | None = None,
) -> OwnRun:
    """Train on documents and questions; measure held-out questions before and after.

    Args:
        recipe: what to do; its objectives draw from the documents alone.
        documents: a folder, as for indexing.
        questions: a file; see `data.own_questions`.
        output: the run's folder; the measurements go there as `before.json` and `after.json`.
        on_begin: called once the folder is this run's.
        on_progress: called with a phase, what is done of it and its size.
        on_step: called with each step's report.
        track: where every step's numbers are sent besides the folder.

    Raises:
        ReadError: no document can be read.
        DataError: the questions are malformed or too few.
        TrainingError: the documents or questions are not those that the run began with; or see
            `train`.
    """
    check_start(recipe)
    start = UniMoER.from_pretrained(recipe.start or recipe.backbone)
    chunker = Chunker(start.tokenizer.backend_tokenizer)
    data = own_datasets(
        documents, questions, split=chunker.split, name=NAME, held_out=HELD_OUT, but_not=output
    )
    answered = any(q.context and q.answers for q in data.train.questions)
    turned = own_recipe(recipe, answers=answered)
    RunFolder(output, turned)
    on_begin()
    before = measured(start, data.dev, output / "before.json", on_progress)
    del start
    finished = train(
        turned,
        sets={NAME: data.train},
        output=output,
        on_progress=on_progress,
        on_step=on_step,
        track=track,
    )
    if not finished:
        return OwnRun(False, data.report, {}, None)
    trained = UniMoER.from_pretrained(str(output / "checkpoint"))
    after = measured(trained, data.dev, output / "after.json", on_progress, again=True)
    found = differences(before, after)
    return OwnRun(True, data.report, found, judge(found))


def judge(found: dict[str, dict[str, Any]]) -> Judgement:
    """What 95% intervals of the differences say: a gain, a loss, both or neither."""
    gains = any(d["low"] > 0 for d in found.values())
    losses = any(d["high"] < 0 for d in found.values())
    if gains and losses:
        return "mixed"
    return "better" if gains else "worse" if losses else "undecided"


def measured(
    model: UniMoER, dataset: BeirDataset, path: Path, on_progress: Progress, *, again: bool = False
) -> Result:
    """A model measured, kept in a file: a resumed run does not measure its start anew.

    Raises:
        TrainingError: the file was measured on other questions or documents.
    """
    if path.is_file() and not again:
        try:
            kept = load_result(path)
        except DataError:
            pass  # cut off while it was written
        else:
            now = (questions_sha256(dataset), corpus_sha256(dataset))
            if (kept.questions_sha256, kept.corpus_sha256) != now:
                # What it has learnt from may be held out now: its measures would mean nothing.
                raise TrainingError(
                    f"the documents or questions have changed since the run in {path.parent} "
                    "began: put them back, choose another output folder, or delete it to start "
                    "again"
                )
            return kept
    result = evaluate(model, dataset, options=EvalOptions(n_timed=0), on_progress=on_progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(result.to_dict(), indent=2))
    return result


def differences(before: Result, after: Result) -> dict[str, dict[str, Any]]:
    """The fields of `statistics.Difference` by "part measure", after minus before."""
    found = compare_results(before, after)["differences"]
    return {
        f"{part} {measure}": found[part][measure]
        for part, measure in MEASURES
        if measure in found.get(part, {})
    }

"""Train a cross-encoder expert from the ranking that ships, and measure it on the way.

    python scripts/measure_cross_encoder.py --data DIR --runs DIR --json results/cross-encoder.json

The recipe `minilm-cross` trains two experts side by side; at the steps asked for, nDCG@10 on fixed
candidates of three development sets is set against the shipped ranking's (late interaction with
feedback), question by question. A measured step is kept in the runs' folder, and the run is gone
on with where it ended; the file is written anew after every step that is measured.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import errors, quiet, save_json
from unimoer_rag.data import Run, Sources, ranked
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import caching, per_query
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.lab.bench.report import describe_machine
from unimoer_rag.lab.studies.measuring import Development, prepare
from unimoer_rag.lab.studies.settings import DevSet
from unimoer_rag.model import UniMoER
from unimoer_rag.training import Recipe, find_recipe, make_model, overridden
from unimoer_rag.training.loop.trainer import StepReport, Trainer
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.run import make_objectives

SETS = {
    "nq": DevSet(questions=200, depth=30),
    "trec-dl-2021": DevSet(questions=53, run="run.bm25.trec.gz", depth=100),
    "hotpotqa-hard": DevSet(questions=200, depth=20),
}
STEPS = "100,300,600,900,1200"
MEASURE = "nDCG@10"
SHIPPED = "unimoer-minilm"
WAYS: dict[str, tuple[str, bool]] = {
    "alone": ("alone", False),
    "alone + shipped": ("alone", True),
    "correction + shipped": ("correction", True),
}
"""The task that scores, and whether the shipped ranking's logits are added."""

Scores = dict[str, Run]
"""Logits by data set."""
Scorer = Callable[[str, Sequence[str]], NDArray[np.float32]]


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    runs: Annotated[Path, typer.Option(help="Folder of the run and of what it measured.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    recipe: Annotated[str, typer.Option(help="Name or file.")] = "minilm-cross",
    steps: Annotated[str, typer.Option(help="Steps to measure at, comma-separated.")] = STEPS,
    questions: Annotated[int, typer.Option(help="At most, of a set.")] = 200,
    depth: Annotated[int, typer.Option(help="Candidates of a question, at most.")] = 100,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE.")] = None,
) -> None:
    """Train, measure and write."""
    quiet()
    chosen = overridden(find_recipe(recipe), settings or [])
    points = [int(step) for step in steps.split(",")]
    words = ["python", "scripts/measure_cross_encoder.py", "--data", "DIR", "--runs", "DIR"]
    words += ["--json", "results/cross-encoder.json", "--recipe", Path(recipe).stem]
    words += ["--steps", steps, "--questions", str(questions), "--depth", str(depth)]
    command = shlex.join([*words, *(w for told in settings or [] for w in ("--set", told))])
    sets = prepare(data, smaller(questions, depth))
    errors.print(f"{sum(len(of) for d in sets for of in d.candidates.values())} pairs to measure")
    runs.mkdir(parents=True, exist_ok=True)
    shipped = kept(runs / "shipped.json", lambda: shipped_scores(sets))

    def measured(step: int) -> dict[str, float]:
        if step in points:
            tasks = {task for task, _ in WAYS.values()}
            kept(
                runs / f"step-{step}.json",
                lambda: {task: cross_scores(model, task, sets) for task in sorted(tasks)},
            )
            save_json(report(chosen, sets, shipped, runs, points, command), json_path)
        return {}

    model = make_model(chosen)
    sources = Sources(data, chosen.data, cache=runs / "mined")
    material = Material(chosen.mining, model, sources, cache=runs / "mined", on_progress=told)
    objectives = make_objectives(chosen, model, material)
    trainer = Trainer(model, chosen, folder=runs / "train")
    trainer.run(objectives, on_step=told_step, on_validate=measured)


def told(phase: str, done: int, total: int) -> None:
    """Progress of mining, now and then."""
    if done % 250 == 0:
        errors.print(f"{phase}: {done} of {total}")


def told_step(report: StepReport) -> None:
    """Progress of training, now and then."""
    if report["step"] % 10 == 0:
        errors.print(f"step {report['step']}: {report['losses']}, {report['seconds']} s")


def smaller(questions: int, depth: int) -> dict[str, DevSet]:
    """The development sets with at most so many questions and candidates."""
    return {
        name: settings.model_copy(
            update={
                "questions": min(questions, settings.questions),
                "depth": min(depth, settings.depth),
            }
        )
        for name, settings in SETS.items()
    }


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What a file holds, or what is made now and written."""
    if not path.is_file():
        save_json(make(), path)
    return json.loads(path.read_text(encoding="utf-8"))


def scored(sets: Sequence[Development], score: Scorer) -> Scores:
    """A scorer's logits of every question's candidates."""
    found: Scores = {}
    for development in sets:
        dataset, texts = development.dataset, {q.id: q.text for q in development.dataset.questions}
        found[dataset.name] = {}
        for question, candidates in development.candidates.items():
            names = ranked(candidates)
            logits = score(texts[question], [dataset.content(name) for name in names])
            found[dataset.name][question] = dict(zip(names, map(float, logits), strict=True))
    return found


def shipped_scores(sets: Sequence[Development]) -> Scores:
    """Of the ranking that ships: late interaction with feedback."""
    engine = Engine.of(UniMoER.from_pretrained(SHIPPED))
    with caching(engine):
        return scored(sets, lambda query, texts: engine.rank(query, texts, logits=True))


def cross_scores(model: UniMoER, task: str, sets: Sequence[Development]) -> Scores:
    """Of a task that reads question and passage together."""
    errors.print(f"measuring {task}")
    return scored(sets, lambda query, texts: model.score(query, texts, task=task, logits=True))


def values(sets: Sequence[Development], scores: Mapping[str, Run]) -> dict[str, list[float]]:
    """Each question's value, by data set."""
    return {
        d.dataset.name: [
            row[MEASURE]
            for row in per_query(
                {q: d.dataset.qrels[q] for q in d.candidates},
                scores[d.dataset.name],
                relevance_level=d.dataset.relevance_level,
            ).values()
        ]
        for d in sets
    }


def added(first: Scores, second: Scores) -> Scores:
    """The sums of two scorers' logits."""
    return {
        name: {
            question: {d: logit + second[name][question][d] for d, logit in found.items()}
            for question, found in of_set.items()
        }
        for name, of_set in first.items()
    }


def report(
    recipe: Recipe,
    sets: Sequence[Development],
    shipped: Scores,
    runs: Path,
    points: Sequence[int],
    command: str,
) -> dict[str, Any]:
    """The curves as far as they are measured: each way against the shipped ranking, by step."""
    before = values(sets, shipped)
    curve: dict[str, Any] = {}
    for step in points:
        path = runs / f"step-{step}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        curve[str(step)] = {
            way: compared(
                before, values(sets, added(found[task], shipped) if plus else found[task])
            )
            for way, (task, plus) in WAYS.items()
        }
    return {
        "command": command,
        "measure": MEASURE,
        "shipped": SHIPPED,
        "sets": {
            d.dataset.name: {
                "questions": len(d.candidates),
                "most_candidates": max(map(len, d.candidates.values())),
            }
            for d in sets
        },
        "machine": describe_machine(),
        "recipe": recipe.model_dump(mode="json"),
        "curve": curve,
    }


def compared(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Differences by data set, and over the questions of all."""
    found = {name: asdict(compare(before[name], after[name])) for name in before}
    together = ([v for name in before for v in of[name]] for of in (before, after))
    return found | {"all": asdict(compare(*together))}


if __name__ == "__main__":
    typer.run(main)

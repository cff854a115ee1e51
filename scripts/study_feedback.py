"""Study when to trust feedback, and what else it may know.

    python scripts/study_feedback.py --data DIR --json results/feedback-study.json

For every set, the same candidates reordered by each rule, all other settings the checkpoint's:

- `none`: each pair for itself;
- `pooled trust`: leaders keep their weights, and share the mean of their trust;
- `own trust`: each leader's word counts by its own trust;
- `contrast 0.5` and so on: own trust, and documents lose by likeness to the lower half.

Candidates are a set's run where it has one, else the best by cosine among shrunken passages. Gains
are paired, of questions, against `pooled trust`; the macro gain weighs sets alike. Each set also
tells the contrast that the others would choose (leave one set out), and what that gains on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from unimoer_rag.cli import errors, quiet, save_json
from unimoer_rag.data import BeirDataset, load_beir, load_run, ranked
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation.ranking import per_query
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.model import LateHead, LateState, UniMoER
from unimoer_rag.model.tasks.jobs import Job
from unimoer_rag.training.validate import shrink

SETS = "trec-dl-2021,bioasq,hotpotqa,musique,clapnq"
BEFORE, AFTER = "pooled trust", "own trust"
CONTRASTS = (0.25, 0.5, 0.75, 1.0, 1.25)
DEPTH, RESAMPLES = 50, 10_000
_MEASURE = "nDCG@10"

Floats = NDArray[np.float64]


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    checkpoint: Annotated[str, typer.Option(help="The model.")] = "unimoer-minilm",
    sets: Annotated[str, typer.Option(help="Data sets, comma-separated.")] = SETS,
    questions: Annotated[int, typer.Option(help="Questions of each set at most.")] = 60,
    passages: Annotated[int, typer.Option(help="Passages beside those they need.")] = 400,
) -> None:
    """Measure and write."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    values: dict[str, dict[str, Floats]] = {}
    for name in sets.split(","):
        dataset, run = _load(data / name, questions, passages)
        values[name] = measure(model, dataset, run)
        errors.print(
            f"{name}: " + str({k: round(float(v.mean()), 4) for k, v in values[name].items()})
        )
    task = model.task("rerank")
    save_json(
        {
            "command": f"python scripts/study_feedback.py --data DIR --json {json_path}",
            "checkpoint": checkpoint,
            "dtype": str(model.dtype).removeprefix("torch."),
            "feedback": task.feedback,
            "coverage": list(task.coverage),
            "measure": _MEASURE,
            "against": BEFORE,
            "sets": {name: told(rules) for name, rules in values.items()},
            "macro": {rule: macro(values, rule) for rule in next(iter(values.values()))},
            "left_out": left_out(values),
        },
        json_path,
    )


def _load(
    folder: Path, questions: int, passages: int
) -> tuple[BeirDataset, Mapping[str, Mapping[str, float]] | None]:
    split = "dev" if (folder / "qrels" / "dev.tsv").exists() else "train"
    dataset = load_beir(folder, split)
    runs = sorted(folder.glob("run.*"))
    if runs:
        return dataset.limit(questions), load_run(runs[0])
    return shrink(dataset, questions, passages), None


def measure(
    model: UniMoER, dataset: BeirDataset, run: Mapping[str, Mapping[str, float]] | None
) -> dict[str, Floats]:
    """Each rule's measure for each judged question."""
    judged = [q for q in dataset.questions if any(g > 0 for g in dataset.qrels[q.id].values())]
    documents = (
        list(dataset.corpus)
        if run is None
        else list(dict.fromkeys(d for q in judged for d in ranked(run[q.id])))
    )
    contents = [dataset.content(document) for document in documents]
    kept = dict(zip(documents, _states(model, contents, "document"), strict=True))
    asked = _states(model, [q.text for q in judged], "query")
    pooled = torch.stack([kept[d].pooled for d in documents])
    runs: dict[str, dict[str, dict[str, float]]] = {}
    for question, query in zip(judged, asked, strict=True):
        if run is None:
            best = (pooled @ query.pooled).topk(min(DEPTH, len(documents))).indices.tolist()
            found = [documents[at] for at in best]
        else:
            found = ranked(run[question.id])
        for rule, scores in orders(model, query, [kept[d] for d in found]).items():
            runs.setdefault(rule, {})[question.id] = dict(zip(found, scores.tolist(), strict=True))
    qrels = {q.id: dataset.qrels[q.id] for q in judged}
    measured = {rule: per_query(qrels, ranking) for rule, ranking in runs.items()}
    return {rule: np.array([of[q.id][_MEASURE] for q in judged]) for rule, of in measured.items()}


def _states(model: UniMoER, texts: Sequence[str], side: Any) -> list[LateState]:
    rows = model.rows.single(texts, model.task("rerank"), side)
    states: list[LateState] = Engine.of(model).submit(Job(rows, list)).result()
    return states


def orders(
    model: UniMoER, query: LateState, documents: Sequence[LateState]
) -> dict[str, torch.Tensor]:
    """What each rule orders the documents by."""
    head, task = model.heads["rerank"], model.task("rerank")
    assert isinstance(head, LateHead), "the checkpoint does not rerank by late interaction"
    with torch.inference_mode():
        said = head.consult(query, documents, task.coverage)
        rules = {"none": said.own, BEFORE: said.blended(task.feedback, 0.0)}
        # Weights times trust, and in all as much trust as before.
        words, whole = said.weights * said.trust, said.weights @ said.trust
        each = replace(said, weights=words / whole.clamp_min(1e-9), trust=whole.expand(len(words)))
        for contrast in (0.0, *CONTRASTS):
            rules[_rule(contrast)] = each.blended(task.feedback, contrast)
    return rules


def _rule(contrast: float) -> str:
    return f"contrast {contrast:g}" if contrast else AFTER


# -- figures --------------------------------------------------------------------------------


def told(rules: Mapping[str, Floats]) -> dict[str, Any]:
    """A set's means, and the paired gain of each rule."""
    gains = {rule: compare(rules[BEFORE].tolist(), v.tolist()) for rule, v in rules.items()}
    return {
        rule: {
            "mean": round(float(values.mean()), 5),
            "gain": round(gains[rule].difference, 5),
            "interval": [round(gains[rule].low, 5), round(gains[rule].high, 5)],
            "p_value": round(gains[rule].p_value, 4),
        }
        for rule, values in rules.items()
    } | {"questions": len(rules[BEFORE])}


def macro(values: Mapping[str, Mapping[str, Floats]], rule: str) -> dict[str, Any]:
    """The mean gain of the sets, its questions drawn anew within each."""
    random = np.random.default_rng(0)
    gains = [rules[rule] - rules[BEFORE] for rules in values.values()]
    drawn = np.mean(
        [g[random.integers(0, len(g), (RESAMPLES, len(g)))].mean(1) for g in gains], axis=0
    )
    low, high = np.percentile(drawn, [2.5, 97.5])
    mean = float(np.mean([g.mean() for g in gains]))
    return {"gain": round(mean, 5), "interval": [round(float(low), 5), round(float(high), 5)]}


def left_out(values: Mapping[str, Mapping[str, Floats]]) -> dict[str, Any]:
    """For each set the rule that the others choose, and what it gains there."""
    rules = [_rule(contrast) for contrast in (0.0, *CONTRASTS)]

    def chosen(name: str) -> str:
        others = [each for other, each in values.items() if other != name]
        return max(rules, key=lambda rule: float(np.mean([o[rule].mean() for o in others])))

    told = {}
    for name, each in values.items():
        gain = compare(each[BEFORE].tolist(), each[chosen(name)].tolist())
        told[name] = {
            "chosen": chosen(name),
            "mean": round(float(each[chosen(name)].mean()), 5),
            "gain": round(gain.difference, 5),
            "interval": [round(gain.low, 5), round(gain.high, 5)],
            "p_value": round(gain.p_value, 4),
        }
    return told


if __name__ == "__main__":
    typer.run(main)

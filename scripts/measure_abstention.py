"""Measure whether the reader's confidence tells questions with an answer from those without.

    python scripts/measure_abstention.py --data DIR --json results/abstention.json

Each question is asked of one passage: those of clapnq of what people judged to answer or not; those
of nq of their labelled passage, and again of one that shares their words and holds no answer; those
of squad2-dev, which people wrote to be answered or not by their passage, as far as
`scripts/calibrate_reader.py` did not look at them. The confidence is the reader's alone
(`Reading.confidence()`), so relevance does not speak with it. AUROC and the expected calibration
error, with 95% intervals over questions.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from calibrate_reader import QUESTIONS

from unimoer_rag.cli import quiet, save_json
from unimoer_rag.data import BeirDataset, load_beir
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import read_contexts
from unimoer_rag.evaluation.confidence import confidence_report
from unimoer_rag.model import UniMoER
from unimoer_rag.training.calibrate import with_mined

# How a set's questions are split by kind, where they are.
SPLITS = {"clapnq": ("dev", "unanswerable"), "nq": ("dev",), "squad2-dev": ("dev",)}


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    checkpoint: Annotated[str, typer.Option(help="The model.")] = "unimoer-minilm",
    questions: Annotated[int, typer.Option(help="Of squad2-dev, at most.")] = 1000,
) -> None:
    """Measure and write."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    found: dict[str, Any] = {
        "command": "python scripts/measure_abstention.py --data DIR --json OUT",
        "checkpoint": checkpoint,
        "checkpoint_digest": model.checkpoint_digest,
    }
    for name, splits in SPLITS.items():
        asked = [load_beir(data / name, split) for split in splits]
        if name == "squad2-dev":
            asked = [unseen(dataset, questions) for dataset in asked]
        if name == "nq":
            with tempfile.TemporaryDirectory() as cache:
                asked = [with_mined(labelled(dataset), cache=Path(cache)) for dataset in asked]
        found[name] = measured(Engine.of(model), asked)
    save_json(found, json_path)


def unseen(dataset: BeirDataset, most: int) -> BeirDataset:
    """Questions that the confidence was not fitted on, from the front of a shuffled order."""
    fitted = {question.id for question in dataset.limit(QUESTIONS).questions}
    others = [question for question in dataset.questions if question.id not in fitted]
    others.sort(key=lambda question: hashlib.sha256(question.id.encode()).digest())
    return replace(dataset, questions=others[:most])


def labelled(dataset: BeirDataset) -> BeirDataset:
    """The questions with the first passage that was judged to answer them as their own."""
    questions = [
        replace(question, context=next(iter(dataset.qrels[question.id])))
        for question in dataset.questions
        if dataset.qrels.get(question.id)
    ]
    return replace(dataset, questions=questions)


def measured(engine: Engine, datasets: list[BeirDataset]) -> dict[str, Any]:
    """The report over all questions with a passage and known answers, none at all included."""
    confidences: list[float] = []
    answerable: list[bool] = []
    for dataset in datasets:
        asked = [q for q in dataset.questions if q.answers is not None and q.context]
        for question, best in read_contexts(engine, dataset, asked):
            confidences.append(best.confidence())
            answerable.append(bool(question.answers))
    return confidence_report(confidences, answerable)


if __name__ == "__main__":
    typer.run(main)

"""New tasks for a finished model: what they learn, and that nothing else changes.

Two experts are added one after the other: one says which data set a question is from, one reads
answers. Then the old tasks are asked the same again.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from unimoer_rag.data import Sources
from unimoer_rag.files import write_file
from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.measuring import Values, measure
from unimoer_rag.lab.studies.panels import Findings
from unimoer_rag.model import UniMoER, load_own
from unimoer_rag.training import Addition, Extended, extend

__all__ = ["extension", "write_origins"]

_OF_EACH = 400  # questions of each data set that are labelled
_READING = "squad"


def extension(subject: Subject) -> Findings:
    """Add a classifier and a reader; measure both, and all old tasks before and after."""
    run = subject.run
    steps, sources = run.recipe.optimizer.steps, run.recipe.sources
    labelled = write_origins(run.data, sources, run.folder / "origins.jsonl")
    before = _Outputs(subject, run.checkpoint)
    at = run.checkpoint
    numbers: dict[str, float] = {}
    additions = [
        (Addition("origin", "classification", steps=steps, seed=run.recipe.seed), labelled)
    ]
    if _READING in sources:
        reading = Addition("read", "reading", steps=steps, seed=run.recipe.seed)
        additions.append((reading, run.data / _READING))
    for addition, data in additions:
        output = run.folder / f"with-{addition.name}"
        made = extend(
            addition,
            checkpoint=str(at),
            data=data,
            output=output,
            on_step=lambda report, what=addition.name: subject.on_progress(  # type: ignore[misc]
                f"adding {what}", report["step"], steps
            ),
        )
        if not made.finished:
            raise KeyboardInterrupt
        numbers |= _told(addition.name, made)
        at = output
    after = _Outputs(subject, at)
    return Findings(numbers={**numbers, **before.changes(after)})


def write_origins(data: Path, sources: tuple[str, ...], path: Path) -> Path:
    """Questions labelled with their data set, as many of each, as JSON lines.

    Args:
        data: folder of the data sets.
        sources: their names.
        path: the file to write.
    """
    rows, opened = [], Sources(data)
    for name in sources:
        questions = [question.text for question in opened.beir(name).questions]
        random.Random(name).shuffle(questions)
        rows += [{"text": text, "label": name} for text in questions[:_OF_EACH]]
    write_file(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


class _Outputs:
    """Everything the old tasks give on the development sets."""

    def __init__(self, subject: Subject, checkpoint: Path) -> None:
        model: UniMoER = load_own(str(checkpoint))
        self.values: Values = measure(model, subject.sets())
        self.vectors, self.scores = [], []
        for questions, passages in subject.texts().values():
            self.vectors.append(model.embed([*questions, *passages]))
            self.scores += [model.score(q, passages[:8], logits=True) for q in questions[:8]]

    def changes(self, other: _Outputs) -> dict[str, float]:
        """The largest difference of any number: 0 where all are the same."""
        return {
            "largest change of an embedding's number": _largest(self.vectors, other.vectors),
            "largest change of a reranking logit": _largest(self.scores, other.scores),
            "largest change of a question's nDCG@10": max(
                abs(value - other.values[measured][qid])
                for measured, of_questions in self.values.items()
                for qid, value in of_questions.items()
            ),
        }


def _largest(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def _told(name: str, made: Extended) -> dict[str, float]:
    """The measures of a new task on its held-out examples, beside what is to be beaten."""
    measures = {f"{name}: {what} (%)": value for what, value in (made.measures or {}).items()}
    baseline = {f"{name}: {what} (%), baseline": v for what, v in (made.baseline or {}).items()}
    return {**measures, **baseline}

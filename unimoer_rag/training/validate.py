"""Validation while training: the development sets, cut small enough to measure often."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unimoer_rag.data import BeirDataset, load_beir
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import EvalOptions
from unimoer_rag.evaluation.evaluate import evaluate
from unimoer_rag.model import UniMoER

__all__ = ["Validator", "shrink"]

SPLIT = "dev"


def shrink(
    dataset: BeirDataset, questions: int, distractors: int = 500, *, seed: int = 0
) -> BeirDataset:
    """Fewer questions over fewer passages: all they need, and some that they do not.

    Numbers measured on it compare with each other, not with the whole set's.
    """
    small = dataset.limit(questions, seed)
    needed = {d for docs in small.qrels.values() for d in docs if d in small.corpus}
    needed |= {q.context for q in small.questions if q.context}
    others = sorted(set(small.corpus) - needed)
    random.Random(seed).shuffle(others)
    kept = needed | set(others[:distractors])
    return replace(small, corpus={d: text for d, text in small.corpus.items() if d in kept})


@dataclass(frozen=True)
class Validator:
    """Measures a model on shrunken development sets.

    Attributes:
        datasets: the sets, shrunken.
    """

    datasets: Sequence[BeirDataset]

    @classmethod
    def find(cls, folder: Path, questions: int) -> Validator | None:
        """Every data set under a folder that has a `dev` split; None if there is none."""
        found = sorted(p.parent.parent for p in folder.glob(f"*/qrels/{SPLIT}.tsv*"))
        if not found:
            return None
        return cls([shrink(load_beir(path, SPLIT), questions) for path in found])

    def __call__(self, model: UniMoER) -> dict[str, float]:
        """nDCG@10 of retrieval and reranking, F1 of reading, by data set."""
        # The engine outlives a validation, and its cache would answer with the last weights.
        Engine.of(model).cache.clear()
        measured: dict[str, float] = {}
        for dataset in self.datasets:
            reads = all(q.context and q.answers is not None for q in dataset.questions)
            if not reads and not dataset.qrels:
                continue  # nothing to measure it by
            parts = ("answers",) if reads else ("retrieval", "rerank")
            options = EvalOptions(parts=parts, depth=20, n_timed=0)
            result = evaluate(model, dataset, options=options)
            if reads:
                measured[f"{dataset.name}/f1"] = result.means("answers")["f1"]
            else:
                measured[f"{dataset.name}/retrieval"] = result.retrieval["nDCG@10"]
                measured[f"{dataset.name}/rerank"] = result.rerank["nDCG@10"]
        return measured

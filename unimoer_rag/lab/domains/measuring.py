"""Held-out questions of a domain, searched for and reranked by a model, before and after."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from unimoer_rag.data import BeirDataset, Question, Run
from unimoer_rag.evaluation import per_query
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.lab.bench.report import describe_machine
from unimoer_rag.model import LateState, UniMoER
from unimoer_rag.training.objectives.kept import KeptDocuments

__all__ = ["Passages", "Values", "compared", "encoded", "measured", "processor", "read_by"]

MEASURE = "nDCG@10"
# Passages found for a question, and those of them that are reranked.
_FOUND, _RANKED = 100, 50

_FASTEST_FIRST = {
    "amx_bf16": "AMX-bf16",
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512_f": "AVX-512",
    "avx2": "AVX2",
}

Values = dict[str, list[float]]
"""Of each question, by part."""


@dataclass(frozen=True)
class Passages:
    """A corpus through a model.

    Attributes:
        ids: of the passages.
        vectors: float32 `[passages, width]`.
        states: for late interaction; None where nothing is reranked.
        seconds: of CPU time that encoding one took.
    """

    ids: list[str]
    vectors: Tensor
    states: list[LateState] | None
    seconds: float


def encoded(model: UniMoER, dataset: BeirDataset, path: Path) -> Passages:
    """The passages through the frozen backbone: kept in a file."""
    if not path.is_file():
        ids = list(dataset.corpus)
        task = model.task("rerank").with_strength(0.0)
        started = time.process_time()
        states = KeptDocuments(model).of(task, [dataset.corpus[i].content for i in ids])
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        seconds = (time.process_time() - started) / len(ids)
        tensors = {
            "vectors": torch.stack([state.pooled for state in states]),
            "tokens": torch.cat([state.tokens.half() for state in states]),
            "worded": torch.cat([state.worded for state in states]),
            "lengths": torch.tensor([len(state.tokens) for state in states]),
        }
        save_file(tensors, part, {"ids": json.dumps(ids), "seconds": str(seconds)})
        part.rename(path)
    with safe_open(path, "pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        told = file.metadata()
    sizes = kept["lengths"].tolist()
    texts = zip(
        kept["tokens"].split(sizes), kept["vectors"], kept["worded"].split(sizes), strict=True
    )
    states = [LateState(tokens, vector, worded) for tokens, vector, worded in texts]
    return Passages(json.loads(told["ids"]), kept["vectors"], states, float(told["seconds"]))


def read_by(model: UniMoER, dataset: BeirDataset, frozen: Passages) -> Passages:
    """The passages as a model's tasks have them: anew, where their experts read documents too.

    One pass of a passage serves both tasks where they share an expert.
    """
    kept, found = KeptDocuments(model), frozen
    texts = [dataset.corpus[i].content for i in frozen.ids]
    if not (task := model.task("embed")).queries_only:
        found = replace(found, vectors=torch.stack(kept.of(task, texts)))
    if frozen.states is not None and not (task := model.task("rerank")).queries_only:
        found = replace(found, states=kept.of(task, texts))
    return found


@torch.inference_mode()
def measured(
    model: UniMoER, dataset: BeirDataset, questions: Sequence[Question], passages: Passages
) -> Values:
    """nDCG@10 of each question: of what is found, and of the best of it reranked.

    Args:
        model: asks.
        dataset: judges the questions.
        questions: of the data set.
        passages: its corpus as the model has it; see `read_by`.
    """
    texts = [q.text for q in questions]
    scores = torch.from_numpy(model.embed(texts, "query")) @ passages.vectors.T
    best = scores.topk(min(_FOUND, len(passages.ids)))
    runs: dict[str, Run] = {"retrieval": {}}
    for at, question in enumerate(questions):
        found = zip(best.indices[at].tolist(), best.values[at].tolist(), strict=True)
        runs["retrieval"][question.id] = {passages.ids[i]: score for i, score in found}
    if passages.states is not None:
        runs["rerank"] = _reranked(model, questions, passages, passages.states, best.indices)
    qrels = {q.id: dataset.qrels[q.id] for q in questions}
    return {
        part: [of[MEASURE] for of in per_query(qrels, run).values()] for part, run in runs.items()
    }


def compared(before: Values, after: Values, at: Iterable[int]) -> dict[str, Any]:
    """The fields of `statistics.Difference` of some questions, by part."""
    chosen = list(at)
    return {
        part: asdict(compare([before[part][i] for i in chosen], [after[part][i] for i in chosen]))
        for part in after
    }


def processor() -> str:
    """What it ran on, with the instructions that decide how fast it computes."""
    machine = describe_machine()
    has = machine["instructions"]
    fast = next((told for name, told in _FASTEST_FIRST.items() if name in has), "")
    threads = "one thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    return ", ".join(filter(None, (machine["processor"], fast, threads)))


def _reranked(
    model: UniMoER,
    questions: Sequence[Question],
    passages: Passages,
    states: Sequence[LateState],
    found: Tensor,
) -> Run:
    task = model.task("rerank")
    head: Any = model.heads["rerank"]
    run: Run = {}
    for at, question in enumerate(questions):
        asked = model.run(model.rows.single([question.text], task, "query"))[0]
        places = found[at, :_RANKED].tolist()
        scores = head.rank(
            asked, [states[i] for i in places], task.feedback, task.coverage, task.contrast
        )
        run[question.id] = dict(
            zip([passages.ids[i] for i in places], scores.tolist(), strict=True)
        )
    return run

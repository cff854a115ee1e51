"""Measure what follow-ups find: as they are typed, by the rules, and as a person words them.

    python scripts/measure_conversations.py --json results/conversations.json

Over examples/handbook and examples/handbook_conversations.jsonl, by its two splits: the rules were
made on `dev`, `test` was written after. A third of each stands alone and must stay as it is. Also
measured: the question before in front of the follow-up, and the rules with the passages that the
answer before was read from among those that are reranked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated, Any, cast

import typer

from unimoer_rag.cli import quiet, save_json
from unimoer_rag.evaluation import f1
from unimoer_rag.generation import ExtractiveReader
from unimoer_rag.model import UniMoER
from unimoer_rag.pipelines import Answer, RagPipeline
from unimoer_rag.pipelines.follow_up import stand_alone
from unimoer_rag.pipelines.history import read_history
from unimoer_rag.retrieval import Hit, UnifiedRetriever

EXAMPLES = Path(__file__).parents[1] / "examples"
N_READ, DEPTHS = 5, (50, 10)

Row = dict[str, Any]


def main(
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    checkpoint: Annotated[str, typer.Option(help="The model.")] = "unimoer-minilm",
) -> None:
    """Measure and write."""
    quiet()
    model = UniMoER.from_pretrained(checkpoint)
    file = EXAMPLES / "handbook_conversations.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    measured: dict[str, Any] = {}
    for depth in DEPTHS:
        with UnifiedRetriever(model, rerank=depth) as retriever:
            retriever.add_path(EXAMPLES / "handbook")
            measured[f"{depth} reranked"] = {
                split: measure(retriever, [row for row in rows if row["split"] == split])
                for split in ("dev", "test")
            }
    save_json(
        {
            "command": f"python scripts/measure_conversations.py --json {json_path}",
            "checkpoint": checkpoint,
            "dtype": str(model.dtype).removeprefix("torch."),
            "n_read": N_READ,
            "measured": measured,
        },
        json_path,
    )


def measure(retriever: UnifiedRetriever, rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of every way to ask, of follow-ups and of questions that stand alone."""
    kinds = {
        "follow-ups": [row for row in rows if row["question"] != row["standalone"]],
        "stand alone": [row for row in rows if row["question"] == row["standalone"]],
    }
    return {kind: measure_ways(retriever, some) for kind, some in kinds.items()}


def measure_ways(retriever: UnifiedRetriever, rows: Sequence[Row]) -> dict[str, Any]:
    """hit@1 and answer F1 of every way to ask."""
    pipeline = RagPipeline(retriever, n_read=N_READ, follow_up="rules")
    ways: dict[str, list[tuple[float, float]]] = {}
    changed = 0
    for row in rows:
        question, history = row["question"], row["history"]
        by_rules = pipeline.answer(question, history=history)
        changed += by_rules.standalone is not None
        answers = {
            "as typed": pipeline.answer(question),
            "question before it added": pipeline.answer(f"{history[-1][0]} {question}"),
            "rules": by_rules,
            "rules, passages kept": with_kept(pipeline, row),
            "worded by a person": pipeline.answer(row["standalone"]),
        }
        for way, answer in answers.items():
            ways.setdefault(way, []).append((hit(answer, row), fit(answer, row)))
    means = {
        way: {
            "hit@1": round(mean(first for first, _ in values), 4),
            "f1": round(100 * mean(second for _, second in values), 2),
        }
        for way, values in ways.items()
    }
    return {"conversations": len(rows), "changed by the rules": changed, "ways": means}


def with_kept(pipeline: RagPipeline, row: Row) -> Answer:
    """The answer by the rules, what the answer before was read from reranked beside what is found.

    As `RagPipeline` would give it if it kept them.
    """
    retriever = pipeline.retriever
    turns = read_history(row["history"], row["question"])
    asked = stand_alone(row["question"], turns)
    before = pipeline.answer(stand_alone(turns[-1].question, turns[:-1]))
    found = {one.id: one for one in retriever.search(asked, k=cast(int, retriever.rerank))}
    kept: list[Hit] = [one for one in before.hits if one.id not in found]
    ranked = retriever.rank_hits(asked, kept) if kept else []
    read = sorted([*found.values(), *ranked], key=lambda one: -one.score)[:N_READ]
    made = ExtractiveReader(retriever.engine).generate(asked, read)
    return Answer(row["question"], made.text, made.confidence, hits=read)


def hit(answer: Answer, row: Row) -> float:
    """Whether the best passage is of the document that answers."""
    return float(bool(answer.hits) and answer.hits[0].source == row["source"])


def fit(answer: Answer, row: Row) -> float:
    """The answer's F1 by SQuAD's rules."""
    return f1(answer.text or "", row["answers"], rules="squad")


if __name__ == "__main__":
    typer.run(main)

"""Measure rerankers that ask a real language model, beside BM25 and our own.

    python scripts/measure_llm_rerankers.py --model FOLDER --data DIR/trec-dl-2021 \
        --json results/llm-rerankers.json

The first `--questions` judged questions of a set with a BM25 run; the best `--depth` passages of
the run, reordered by each method in turn. A row has nDCG@10 with the paired difference to BM25 and
its interval, and what a question took: prompts, tokens, seconds, answers that were not as asked.
A method's questions are written as they are done: the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer

from unimoer_rag.cli import errors, print_text, quiet, save_json
from unimoer_rag.data import BeirDataset, Question, load_beir, load_run, ranked
from unimoer_rag.evaluation import per_query
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.generation import LocalLLM
from unimoer_rag.lab.domains import processor
from unimoer_rag.model import UniMoER
from unimoer_rag.ranking import (
    METHODS,
    Cascade,
    Cost,
    FoundHeads,
    InContextRanks,
    LLMReranker,
    LocalModel,
    make,
)
from unimoer_rag.retrieval import Ranks

BEFORE = "BM25"
# What each kind is also run with, beside its own defaults; a row each.
SETTINGS: Mapping[str, tuple[dict[str, Any], ...]] = {
    "pairwise": ({"sort": "heapsort"}, {"sort": "sliding", "k": 3}, {"sort": "all"}),
    "setwise": ({"sort": "heapsort"}, {"sort": "bubblesort"}),
    "listwise": ({}, {"window": 10, "step": 5}),
    "self-consistency": ({"shuffles": 5},),
}

Row = dict[str, Any]
Make = Callable[[], Ranks | None]


def main(
    model: Annotated[str, typer.Option(help="Folder of a decoder, or a known one.")],
    data: Annotated[Path, typer.Option(help="A data set with a run of BM25.")],
    json_path: Annotated[Path, typer.Option("--json", help="Where the figures go.")],
    run: Annotated[str, typer.Option(help="The run's file in it.")] = "run.bm25.trec.gz",
    questions: Annotated[int, typer.Option(help="Questions at most.")] = 20,
    depth: Annotated[int, typer.Option(help="Passages of each that are reordered.")] = 20,
    heads: Annotated[Path | None, typer.Option(help="What `ranking find-heads` wrote.")] = None,
    only: Annotated[str, typer.Option(help="Rows that begin so, comma-separated.")] = "",
    ours: Annotated[str, typer.Option(help="Our own reranker.")] = "unimoer-minilm",
) -> None:
    """Measure what is not measured yet, and write it."""
    quiet()
    dataset, found = load_beir(data), load_run(data / run)
    asked = [q for q in dataset.questions if q.id in dataset.qrels and q.id in found][:questions]
    shown = {q.id: ranked(found[q.id])[:depth] for q in asked}
    kept = json.loads(json_path.read_text("utf-8"))["questions"] if json_path.is_file() else {}
    chosen = tuple(filter(None, only.split(",")))
    for name, ranks in rankers(model, ours, heads).items():
        if chosen and not name.startswith(chosen):
            continue
        rows: dict[str, Row] = kept.setdefault(name, {})
        left = [q for q in asked if q.id not in rows]
        made = ranks() if left else None
        for question in left:
            rows[question.id] = reranked(made, question, dataset, shown[question.id])
            told = {"model": Path(model).name, "data": dataset.name, "depth": depth}
            save_json(summary(kept, asked, told), json_path)
            errors.print(f"{name}: {len(rows)} of {len(asked)} questions")
    for name, row in summary(kept, asked, {})["rows"].items():
        print_text(f"{name}: {json.dumps(row)}")


def rankers(model: str, ours: str, heads: Path | None) -> dict[str, Make]:
    """Every row, and what makes its reranker; None keeps BM25's order."""

    @cache
    def llm() -> LocalLLM:
        return LocalLLM(model)

    def asking(kind: str, settings: Mapping[str, Any]) -> Make:
        return lambda: make(kind, LocalModel(llm()), **settings)

    def cascade() -> Ranks:
        first = UniMoER.from_pretrained(ours)
        return Cascade(first, make("setwise", LocalModel(llm()), k=3), n=10, lead=0.1)

    rows: dict[str, Make] = {BEFORE: lambda: None, ours: lambda: UniMoER.from_pretrained(ours)}
    for kind in METHODS:
        for settings in SETTINGS.get(kind, ({},)):
            told = ", ".join(f"{key} {value}" for key, value in settings.items())
            rows[f"{kind} ({told})" if told else kind] = asking(kind, settings)
    rows[f"{ours}, then setwise on 10"] = cascade
    for of in ("all", "query", "ending"):
        rows[f"in-context ({of})"] = lambda of=of: InContextRanks(llm(), rows=of)  # type: ignore[misc]
    if heads is not None:

        def by_heads() -> Ranks:
            found = FoundHeads.load(heads, llm())
            return InContextRanks(llm(), heads=found.pairs, rows=found.rows)

        rows["CoRe heads"] = by_heads
    return rows


def reranked(
    ranks: Ranks | None, question: Question, dataset: BeirDataset, shown: Sequence[str]
) -> Row:
    """One question's measure, and what it took."""
    before, since = _cost(ranks), time.perf_counter()
    scores = [-float(at) for at in range(len(shown))]
    if ranks is not None:
        texts = [dataset.corpus[i].content for i in shown]
        scores = [float(score) for score in ranks.rank(question.text, texts)]
    seconds = time.perf_counter() - since
    order = sorted(range(len(shown)), key=lambda at: (-scores[at], at))
    run = {question.id: {shown[at]: float(-place) for place, at in enumerate(order)}}
    qrels = {question.id: dataset.qrels[question.id]}
    after = _cost(ranks)
    return {
        "nDCG@10": per_query(qrels, run)[question.id]["nDCG@10"],
        "prompts": after.prompts - before.prompts,
        "tokens": after.tokens - before.tokens,
        "broken": after.broken - before.broken,
        "seconds": round(seconds, 2),
    }


def _cost(ranks: Ranks | None) -> Cost:
    return ranks.cost if isinstance(ranks, LLMReranker | Cascade) else Cost()


def summary(
    kept: Mapping[str, Mapping[str, Row]], asked: Sequence[Question], told: Mapping[str, Any]
) -> dict[str, Any]:
    """The file: a row each method that has all questions, and what each question came to."""
    ids = [q.id for q in asked]
    whole = {name: [rows[i] for i in ids] for name, rows in kept.items() if rows.keys() >= set(ids)}
    rows = {}
    for name, found in whole.items():
        row: Row = {key: round(mean(one[key] for one in found), 4) for key in found[0]}
        if name != BEFORE and BEFORE in whole:
            values = [[one["nDCG@10"] for one in whole[side]] for side in (BEFORE, name)]
            row["against BM25"] = asdict(compare(*values))
        rows[name] = row
    return {**told, "processor": processor(), "asked": len(ids), "rows": rows, "questions": kept}


if __name__ == "__main__":
    typer.run(main)

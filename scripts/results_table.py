#!/usr/bin/env python3
"""Fill the tables of the README, the model card and the pages of results from what was measured.

python scripts/results_table.py
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from unimoer_rag.evaluation import Result, compare_results, load_result
from unimoer_rag.lab.bench.summary import BENCH_ROWS, render_benches
from unimoer_rag.lab.commands.bench import NAMES, open_bench
from unimoer_rag.lab.cross_encoder import cross_encoder_table
from unimoer_rag.lab.domains import domains_table, router_table
from unimoer_rag.lab.systems import quality
from unimoer_rag.lab.systems import tables as system_tables
from unimoer_rag.lab.tables import fill

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
STUDIES, DOMAINS = "studies", "domains"
OTHERS = (STUDIES, DOMAINS, "gpu")
BENCHES = ROOT / "benchmarks"
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    ROOT / "unimoer_rag/checkpoints/unimoer-minilm/README.md",
    *(
        DOCS / f"{name}.md"
        for name in (
            "backbones",
            "baselines",
            "benchmarks",
            "experts",
            "memory",
            "profile",
            "results",
            "studies",
        )
    ),
)

# Files of pipelines beside the default one, and what they are.
VARIANTS = {"-retrieval": "retrieval only", "-hybrid": "hybrid, reranked"}
SHIPPED = "unimoer-minilm"

# Columns: the folders under results/, the frozen backbone first.
_HEADINGS = {"minilm": "all-MiniLM-L6-v2, frozen", "unimoer-minilm": "unimoer-minilm"}

_MARKER = re.compile("<!-- ([a-z-]+):start -->")

Results = Mapping[str, Mapping[str, dict[str, Any]]]
"""Checkpoint -> file name -> what `unimoer-rag eval` wrote."""


def load(folder: Path = RESULTS) -> Results:
    """Every result under a folder."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.parent.name in OTHERS:
            continue  # no results of `eval`: studies are told by scripts/generate_study_docs.py
        if path.stem.endswith(tuple(VARIANTS)):
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(path.parent.name, {})[path.stem] = result
    return found


def render(results: Results) -> str:
    """The table, one row a measure, one column a checkpoint; the best of a row in bold."""
    columns = [c for c in _HEADINGS if c in results] + sorted(results.keys() - _HEADINGS)
    if not columns:
        return "Not measured yet: `python scripts/evaluate.py` does it."
    lines = [
        " | ".join(["| data set", "measure", *(_HEADINGS.get(c, c) for c in columns)]) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for name in sorted({name for of_one in results.values() for name in of_one}):
        measured = {c: results[c][name] for c in columns if name in results[c]}
        example = next(iter(measured.values()))
        shown = f"{example['dataset']} {example['split']}, {example['n']:,} questions"
        rows = {c: _measures(result) for c, result in measured.items()}
        for measure in dict.fromkeys(m for row in rows.values() for m in row):
            values = [rows.get(c, {}).get(measure) for c in columns]
            # Ranking measures lie in [0, 1], answers' in [0, 100].
            cells = _cells(values, digits=4 if measure.startswith("nDCG") else 2)
            lines.append(f"| {shown} | {measure} | {' | '.join(cells)} |")
            shown = ""
    return "\n".join(lines)


def _measures(result: Mapping[str, Any]) -> dict[str, float]:
    """What a reader wants to know of a data set, in words."""
    given = result["first_stage"] == "given run"
    depth = "all of it" if given else f"the first {result['rerank_depth']}"
    rows: dict[str, float] = {}
    if "nDCG@10" in result["retrieval"]:
        first = "the given BM25 run" if given else "retrieved"
        rows[f"nDCG@10, {first}"] = result["retrieval"]["nDCG@10"]
    if "nDCG@10" in result["rerank"]:
        rows[f"nDCG@10, {depth} reranked"] = result["rerank"]["nDCG@10"]
    if result["answers"]:
        rows[f"F1 of answers from {result['answers']['from']}"] = result["answers"]["f1"]
        rows["exact match"] = result["answers"]["em"]
        if result["answers"].get("given_f1", result["answers"]["f1"]) != result["answers"]["f1"]:
            rows["F1, abstentions counted as wrong"] = result["answers"]["given_f1"]
    return rows


def _cells(values: list[float | None], digits: int) -> list[str]:
    shown = ["" if value is None else f"{value:.{digits}f}" for value in values]
    known = [value for value in values if value is not None]
    return [
        f"**{text}**" if len(known) > 1 and value == max(known) > min(known) else text
        for text, value in zip(shown, values, strict=True)
    ]


def render_stages(folder: Path = RESULTS / SHIPPED) -> str:
    """Answers by what finds their passages, and whether each stage helped."""
    lines = [
        "| data set | retrieval only: EM, F1 | reranked: EM, F1 | hybrid, reranked: EM, F1 "
        "| F1 gained by reranking | by hybrid search | the first passage is a bridge |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for path in sorted(folder.glob("*-hybrid.json")):
        stem = path.stem.removesuffix("-hybrid")
        results = [
            load_result(folder / f"{stem}{suffix}.json") for suffix in ("-retrieval", "", "-hybrid")
        ]
        scores = [f"{r.answers['em']:.1f}, {r.answers['f1']:.1f}" for r in results]
        gains = [
            _gain(compare_results(before, after)["differences"]["answers"]["f1"])
            for before, after in pairwise(results)
        ]
        shown = f"{results[0].dataset}, {results[0].n:,} questions"
        lines.append(f"| {' | '.join([shown, *scores, *gains, _bridges(results[1])])} |")
    return "\n".join(lines)


def _bridges(result: Result) -> str:
    """How often what reranking puts first is relevant, and yet holds no accepted answer."""
    rows, ranks = result.per_question["rerank"], result.details.ranks
    bridges = [ranks[q][1] == 1 and not row["answer-in-passage@1"] for q, row in rows.items()]
    return f"{100 * sum(bridges) / len(bridges):.0f}%"


def _gain(difference: Mapping[str, Any]) -> str:
    mean, low, high = (difference[name] for name in ("difference", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def load_benches() -> dict[str, dict[str, Any]]:
    """What `unimoer-rag bench` wrote, by name."""
    paths = sorted(BENCHES.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def render_headline(results: Results, benches: Mapping[str, Mapping[str, Any]]) -> str:
    """The few rows that a reader wants first."""
    lines = ["| what | unimoer-rag | compared to |", "|---|---:|---:|"]
    ours, frozen = (results.get(name, {}) for name in (SHIPPED, "minilm"))
    for name in _HEADLINE_SETS:
        if name not in ours:
            continue
        shown = f"{ours[name]['dataset']}, {ours[name]['n']:,} questions"
        theirs = _measures(frozen[name]) if name in frozen else {}
        for measure, value in _measures(ours[name]).items():
            if measure.startswith(_HEADLINE_MEASURES):
                digits = 4 if measure.startswith("nDCG") else 1
                other = f"{theirs[measure]:.{digits}f}" if measure in theirs else ""
                lines.append(f"| {shown}: {measure} | {value:.{digits}f} | {other} |")
    for name in ("memory", "encode", "rerank", "query", "ingest"):
        if name in benches:
            what, own, other, ratio = next(iter(BENCH_ROWS[name](benches[name])))
            lines.append(f"| {what} | {own} | {other} (ratio {ratio}) |")
    return "\n".join(lines)


def render_systems(file: Path = RESULTS / "systems.json") -> str:
    """All systems on the sets that `scripts/compare_systems.py` measured them on."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return "\n\n".join(table.markdown() for table in system_tables(rows))


def render_quality(file: Path = RESULTS / "systems.json") -> str:
    """What a larger backbone gains."""
    named = {"backbone": "minilm", "backbone --embedder all-mpnet-base-v2": "all-mpnet-base-v2"}
    return quality(json.loads(file.read_text(encoding="utf-8")), named).markdown()


def render_cross_encoder(file: Path = RESULTS / "cross-encoder.json") -> str:
    """The curve of the cross-encoder expert."""
    if not file.is_file():
        return "Not measured yet: `scripts/measure_cross_encoder.py` does it."
    return cross_encoder_table(file).markdown()


_HEADLINE_SETS = ("nq-dev", "triviaqa-distant-dev", "squad-dev")
_HEADLINE_MEASURES = ("nDCG@10, the first", "F1 of answers")


def filled(page: Path) -> str:
    """A page as it should be."""
    text = page.read_text(encoding="utf-8")
    benches = load_benches()
    tables: dict[str, Callable[[], str]] = {
        "results": lambda: render(load()),
        "stages": render_stages,
        "bench": lambda: render_benches(benches),
        "headline": lambda: render_headline(load(), benches),
        "systems": render_systems,
        "quality": render_quality,
        "domains": lambda: domains_table(RESULTS / DOMAINS).markdown(),
        "cross-encoder": render_cross_encoder,
        "domain-router": lambda: router_table(RESULTS / "domain-router.json").markdown(),
    }
    for name in _MARKER.findall(text):
        if name in tables:
            text = fill(text, tables[name](), name)
        elif name in NAMES:
            said = f"Not measured yet: `unimoer-rag bench {name}` does it."
            text = fill(
                text,
                open_bench(name).table(benches[name]).markdown() if name in benches else said,
                name,
            )
    return text


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for file in filter(Path.is_file, PAGES):
        file.write_text(filled(file), encoding="utf-8")
        print(f"wrote {file.relative_to(ROOT)}")

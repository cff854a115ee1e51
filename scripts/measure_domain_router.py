"""Measure one model with the experts of several domains, a question's chosen by its text.

    python scripts/measure_domain_router.py --data DIR --cache DIR --output FILE.json

Experts read questions alone, so that one collection serves all of them. Retrieval by EMBED,
nDCG@10, of

- frozen: the backbone;
- own: each domain's own expert, which is also a switch by known domain;
- routed: all of these in one model, chosen by the question's text among them and none at all;
- one: one LoRA of their ranks together, which learns from all domains at once, as many steps;
- mixed: as many experts and the per-layer router, which learn so too;

on the questions held out of each domain, on a domain that nobody learnt from and on general sets.
What is done lies in the cache; the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from unimoer_rag.cli import quiet, save_json
from unimoer_rag.data import BeirDataset, Question, load_beir
from unimoer_rag.evaluation.statistics import compare
from unimoer_rag.lab.domains import (
    SETS,
    Passages,
    encoded,
    material,
    measured,
    parted,
    processor,
)
from unimoer_rag.lab.domains.together import OTHER, learnt_together, routed_by_text, shares
from unimoer_rag.model import ExpertConfig, UniMoER, load_own
from unimoer_rag.training import find_recipe, overridden

ARMS = "frozen,own,routed,one,mixed"
OTHERS = "policyqa:train,popqa:dev,nq:dev"
PILOTS = 100
# What ordinary questions are like, for the router: none of the sets that it is measured on.
_GENERAL = ("nq-qed", "train")
_PAIRS = (("routed", "own"), ("routed", "one"), ("routed", "mixed"), ("one", "own"))


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")],
    output: Annotated[Path, typer.Option(help="The figures.")],
    cache: Annotated[Path, typer.Option(help="Folder of encoded passages and of runs.")],
    domains: Annotated[str, typer.Option(help="Data sets, comma-separated.")] = (",".join(SETS)),
    others: Annotated[str, typer.Option(help="NAME:SPLIT of sets of no domain.")] = OTHERS,
    arms: Annotated[str, typer.Option(help="Of the comparison.")] = ARMS,
    questions: Annotated[int, typer.Option(help="Of each other set.")] = 400,
    recipe: Annotated[str, typer.Option(help="Name or file.")] = "minilm-domain-queries",
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE.")] = None,
) -> None:
    """Measure what is not measured yet, and write it."""
    quiet()
    chosen = overridden(find_recipe(recipe), settings or [])
    named = {name: load_beir(data / name, "train") for name in domains.split(",")}
    asked = {name: parted(dataset) for name, dataset in named.items()}
    sets = {name: (named[name], held) for name, (held, _) in asked.items()}
    for name, split in (other.split(":") for other in others.split(",") if other):
        dataset = load_beir(data / name, split)
        sets[name] = (dataset, drawn(dataset, questions))
    passages = {
        name: replace(
            encoded(load_own("unimoer-minilm"), dataset, cache / f"enc-{name}.safetensors"),
            states=None,
        )
        for name, (dataset, _) in sets.items()
    }
    train = {name: material(named[name], rest, "all") for name, (_, rest) in asked.items()}
    general = [q.text for q in load_beir(data / _GENERAL[0], _GENERAL[1]).questions]
    pilots = {name: [q.text for q in rest[:PILOTS]] for name, (_, rest) in asked.items()}
    size = chosen.experts["embed"]

    def learnt(experts: Mapping[str, ExpertConfig], of: Iterable[str], run: str) -> UniMoER:
        taken = {name: train[name] for name in of}
        return learnt_together(
            chosen, experts, taken, passages, run=cache / run, cache=cache / "mined"
        )

    def own(name: str) -> UniMoER:
        return learnt({f"{name}-embed": size}, [name], f"own-{name}")

    def model_of(arm: str) -> UniMoER:
        if arm == "frozen":
            return load_own("unimoer-minilm")
        if arm == "routed":
            given = {**pilots, OTHER: general[:PILOTS]}
            return routed_by_text(chosen.backbone, {n: own(n) for n in named}, given, size.spec())
        if arm == "mixed":
            return learnt(dict.fromkeys(named, size), named, "together-mixed")
        wide = {"r": size.r * len(named), "lora_alpha": size.lora_alpha * len(named)}
        return learnt({"one": size.model_copy(update=wide)}, named, "together-one")

    def models(arm: str) -> dict[str, UniMoER]:
        """By set."""
        if arm == "own":
            return {name: own(name) for name in named}
        return dict.fromkeys(sets, model_of(arm))

    values: dict[str, dict[str, list[float]]] = {}
    routes: dict[str, dict[str, dict[str, float]]] = {}
    for arm in arms.split(","):
        kept = cache / f"router-{arm}.json"
        if not kept.is_file():
            save_json(told(models(arm), sets, passages, routed=arm in ("routed", "mixed")), kept)
        found = json.loads(kept.read_text(encoding="utf-8"))
        values[arm], routes[arm] = found["values"], found["routes"]
    save_json(
        {
            "domains": list(named),
            "sets": {
                name: {"questions": len(asked_), "passages": len(dataset.corpus)}
                for name, (dataset, asked_) in sets.items()
            },
            "means": {
                arm: {name: sum(v) / len(v) for name, v in of.items()} for arm, of in values.items()
            },
            "differences": differences(values),
            "routes": {arm: of for arm, of in routes.items() if of},
            "pilots": PILOTS,
            "seeds": [chosen.seed],
            "processor": processor(),
            "recipe": chosen.model_dump(mode="json"),
        },
        output,
    )


def told(
    models: Mapping[str, UniMoER],
    sets: Mapping[str, tuple[BeirDataset, Sequence[Question]]],
    passages: Mapping[str, Passages],
    *,
    routed: bool,
) -> dict[str, Any]:
    """Values of each question by set, and where a router sent them."""
    values: dict[str, list[float]] = {}
    routes: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        dataset, questions = sets[name]
        values[name] = measured(model, dataset, questions, passages[name])["retrieval"]
        if routed:
            routes[name] = shares(model, [q.text for q in questions])
    return {"values": values, "routes": routes}


def differences(values: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """The fields of `statistics.Difference` by "second - first" and set."""
    pairs = [(arm, "frozen") for arm in values if arm != "frozen"]
    pairs += [(one, other) for one, other in _PAIRS if one in values and other in values]
    return {
        f"{one} - {other}": {
            name: asdict(compare(values[other][name], values[one][name]))
            for name in values[one]
            if name in values[other]
        }
        for one, other in pairs
    }


def drawn(dataset: BeirDataset, most: int) -> list[Question]:
    """Some judged questions, by their words."""
    judged = [q for q in dataset.questions if q.id in dataset.qrels]
    return sorted(judged, key=lambda q: hashlib.sha256(q.text.encode()).hexdigest())[:most]


if __name__ == "__main__":
    typer.run(main)

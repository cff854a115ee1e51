"""A toy data set and a recipe that trains on it in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.tiny_models import save_backbone

from unimoer_rag.data import Sources
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Objective
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_objectives

THINGS = ("library", "parcel", "report", "team", "capital", "refunds")
PLACES = ("Paris", "Berlin", "France", "Germany")
HOURS = ("four", "five", "six", "nine")


def write_beir(
    folder: Path,
    split: str,
    corpus: list[dict[str, Any]],
    questions: list[dict[str, Any]],
    qrels: list[tuple[str, str, int]],
) -> Path:
    """Write a folder in the BEIR layout."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, rows in (("corpus", corpus), (f"queries.{split}", questions)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    lines = "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in qrels)
    (folder / "qrels" / f"{split}.tsv").write_text(lines, encoding="utf-8")
    return folder


def write_toy(folder: Path, split: str = "train", *, context: bool = True) -> Path:
    """Twenty-four documents in four articles, one question each, with answers."""
    corpus, questions, qrels = [], [], []
    for at, (place, thing) in enumerate((p, t) for p in PLACES for t in THINGS):
        hour, other = HOURS[at % 4], HOURS[(at // 2 + 1) % 4]
        text = (
            f"The {thing} of {place} opens at {hour} on working days. It closes at {other}, and on "
            f"Sundays it stays shut. Who wrote the {thing} was long a question. In 1987 a team of "
            f"{other} people wrote it after the capital was written."
        )
        corpus.append({"_id": f"d{at}", "title": place, "text": text})
        questions.append(
            {
                "_id": f"q{at}",
                "text": f"When is the {thing} of {place} open on working days?",
                "answers": [hour],
                **({"context": f"d{at}"} if context else {}),
            }
        )
        qrels.append((f"q{at}", f"d{at}", 1))
    return write_beir(folder, split, corpus, questions, qrels)


def toy_recipe(backbone: Path, **changes: Any) -> Recipe:
    """A small recipe with every objective, some sitting out steps; keys can be replaced."""
    recipe: dict[str, Any] = {
        "name": "toy",
        "backbone": str(backbone),
        "experts": {e: {"r": 2, "lora_alpha": 4} for e in ("shared", "embed", "rerank", "read")},
        "tasks": [
            {"name": "embed", "head": "vector", "experts": ["embed", "shared"], "max_tokens": 24},
            {"name": "rerank", "head": "late", "experts": ["rerank", "shared"], "max_tokens": 24},
            {"name": "read", "head": "span", "experts": ["read", "shared"], "max_tokens": 96},
        ],
        "dtype": "float32",
        # A random backbone finds everything alike, so no ceiling.
        "mining": {"passages": 100, "questions": 100, "ceiling": None},
        "objectives": {
            "read": {"kind": "reading", "task": "read", "sources": ["toy"], "size": 2},
            "rerank": {
                "kind": "ranking",
                "task": "rerank",
                "sources": ["toy"],
                "size": 1,
                "every": 2,
                "negatives": 2,
            },
            "embed": {
                "kind": "contrastive",
                "task": "embed",
                "sources": ["toy"],
                "size": 2,
                "every": 3,
            },
        },
        "optimizer": {
            "steps": 6,
            "learning_rate": {"default": 1e-2},
            "token_budget": 256,
        },
        "save_every": 2,
    }
    return Recipe.model_validate(recipe | changes)


def toy_objectives(
    recipe: Recipe, model: UniMoER, toy: BeirDataset, cache: Path
) -> list[Objective]:
    """The recipe's objectives on the toy data set."""
    sources = Sources(cache, given={"toy": toy}, cache=cache)
    return make_objectives(recipe, model, Material(recipe.mining, model, sources, cache=cache))


__all__ = ["save_backbone", "toy_objectives", "toy_recipe", "write_beir", "write_toy"]

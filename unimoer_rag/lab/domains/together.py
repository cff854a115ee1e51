"""Models of several domains: their experts with a router between them, or one expert for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from unimoer_rag.data import BeirDataset, Sources
from unimoer_rag.lab.domains.measuring import Passages
from unimoer_rag.model import (
    ExpertConfig,
    ExpertSpec,
    ModelSpec,
    Task,
    TaskConfig,
    UniMoER,
    fit_pilots,
    parameters_by_name,
)
from unimoer_rag.training import Recipe, make_model
from unimoer_rag.training.loop.trainer import Trainer
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.recipe import Routing
from unimoer_rag.training.run import make_objectives

__all__ = ["OTHER", "learnt_together", "routed_by_text", "shares"]

OTHER = "other"
"""The expert of texts of no domain: it stays silent, which is the frozen backbone."""


def routed_by_text(
    backbone: str,
    learnt: Mapping[str, UniMoER],
    pilots: Mapping[str, Sequence[str]],
    expert: ExpertSpec,
) -> UniMoER:
    """EMBED with the experts of several domains, of which a question gets one.

    RouterRetriever's choice (arXiv 2409.02685): the expert whose pilot questions are most like it.

    Args:
        backbone: of the models.
        learnt: by domain, a model whose expert `DOMAIN-embed` has learnt.
        pilots: by domain, questions of it; by `OTHER`, questions of none.
        expert: size of the experts.
    """
    names = {domain: f"{domain}-embed" for domain in learnt} | {OTHER: OTHER}
    experts = dict.fromkeys(names.values(), expert)
    task = Task("embed", "vector", tuple(experts), queries_only=True)
    spec = ModelSpec(experts=experts, tasks=(task,), router="similarity")
    model = UniMoER.from_backbone(backbone, spec=spec)
    own = parameters_by_name(model)
    with torch.no_grad():
        for domain, other in learnt.items():
            for name, tensor in parameters_by_name(other).items():
                if name.startswith(f"experts.{names[domain]}."):
                    own[name].copy_(tensor)
    fit_pilots(model, {names[domain]: texts for domain, texts in pilots.items()})
    return model.eval()


def shares(model: UniMoER, questions: Sequence[str], *, at_once: int = 64) -> dict[str, float]:
    """Each expert's part of the weights over questions and the layers that have experts."""
    task, total = model.task("embed"), torch.zeros(len(model.experts))
    with torch.inference_mode():
        for start in range(0, len(questions), at_once):
            texts = list(questions[start : start + at_once])
            states = model(model.collate(model.rows.single(texts, task, "query")))
            weights = torch.stack([weight.mean(1) for weight in states.weights]).mean(0)
            total += weights.sum(0).cpu()
    return dict(zip(model.experts, (total / total.sum()).tolist(), strict=True))


def learnt_together(
    recipe: Recipe,
    experts: Mapping[str, ExpertConfig],
    sets: Mapping[str, BeirDataset],
    passages: Mapping[str, Passages],
    *,
    run: Path,
    cache: Path,
) -> UniMoER:
    """EMBED that learns from several domains at once; each has the same share of the draws.

    Args:
        recipe: of one domain; its steps are taken for each.
        experts: what all of them share; of several, a router mixes.
        sets: by domain.
        passages: theirs, through the frozen backbone.
        run: folder of the run, which is resumed.
        cache: of mined negatives.
    """
    told = recipe.model_dump(mode="json")
    task = TaskConfig(name="embed", head="vector", experts=tuple(experts), queries_only=True)
    objective = told["objectives"]["embed"] | {
        "sources": list(sets),
        "proportions": dict.fromkeys(sets, 1 / len(sets)),
    }
    optimizer = told["optimizer"] | {"steps": recipe.optimizer.steps * len(sets)}
    optimizer["learning_rate"] = told["optimizer"]["learning_rate"] | {
        "router": recipe.optimizer.learning_rate["default"] if len(experts) > 1 else 0.0
    }
    chosen = Recipe.model_validate(
        told
        | {
            "name": "domains-together",
            "experts": {name: each.model_dump() for name, each in experts.items()},
            "tasks": [task],
            "objectives": {"embed": objective},
            "routing": Routing(balance=0.0),
            "optimizer": optimizer,
        }
    )
    model = make_model(chosen)
    known = {
        dataset.corpus[key].content: vector
        for name, dataset in sets.items()
        for key, vector in zip(passages[name].ids, passages[name].vectors, strict=True)
    }
    sources = Sources(Path(), given=dict(sets), cache=cache)
    material = Material(chosen.mining, model, sources, cache=cache, outputs={"embed": known})
    objectives = make_objectives(chosen, model, material)
    if not Trainer(model, chosen, folder=run).run(objectives):
        raise SystemExit("interrupted: the same command goes on")
    return model.eval()

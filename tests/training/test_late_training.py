"""Experts learn on a published late-interaction model, by its own MaxSim."""

from __future__ import annotations

from pathlib import Path

import pytest
from model.late_folders import save_pylate
from model.tiny_models import TEXTS
from training.toy import toy_recipe

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training import train


@pytest.mark.slow
def test_experts_learn_on_a_late_interaction_model(toy_data: Path, tmp_path: Path) -> None:
    folder = save_pylate(tmp_path / "late")
    shared = {"sources": ["toy"], "size": 2}
    recipe = toy_recipe(
        folder,
        experts={name: {"r": 2, "lora_alpha": 4} for name in ("embed", "rerank")},
        tasks=[
            {"name": "embed", "head": "token-mean", "experts": ["embed"], "max_tokens": 24},
            {"name": "rerank", "head": "maxsim", "experts": ["rerank"], "max_tokens": 24},
        ],
        objectives={
            "embed": {"kind": "contrastive", "task": "embed", **shared},
            "rerank": {"kind": "ranking", "task": "rerank", "negatives": 2, **shared},
        },
    )
    losses: list[float] = []
    assert train(
        recipe,
        data=toy_data,
        output=tmp_path / "run",
        on_step=lambda report: losses.append(report["losses"]["rerank/lce"]),
    )
    trained = UniMoER.from_pretrained(
        tmp_path / "run" / "checkpoint", device="cpu", dtype="float32"
    )
    frozen = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    query = "who wrote the report?"
    assert abs(trained.score(query, TEXTS) - frozen.score(query, TEXTS)).max() > 1e-4
    assert min(losses[3:]) < losses[0]

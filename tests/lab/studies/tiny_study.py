"""A study of a tiny random backbone on toy data: whole runs in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from model.tiny_models import save_backbone
from training.toy import write_toy

SOURCES = ("squad", "medquad")


def write_study(folder: Path) -> tuple[Path, Path, Path]:
    """Data sets, a base and a study of every analysis but the slow ones.

    Returns:
        The data folder, the base's file and the study's.
    """
    backbone = save_backbone("bert", folder / "bert")
    data = folder / "data"
    for name in SOURCES:
        write_toy(data / name)
    write_toy(data / "dev", "dev", context=False)
    task = {"experts": ["shared"], "max_tokens": 24}
    objective: dict[str, Any] = {"sources": list(SOURCES)}
    base = {
        "recipe": {
            "backbone": str(backbone),
            "dtype": "float32",
            "experts": {e: {"r": 2, "lora_alpha": 8} for e in ("shared", "embed", "rerank")},
            "tasks": [
                {"name": "embed", "head": "vector", **task, "experts": ["embed", "shared"]},
                {"name": "rerank", "head": "late", **task, "experts": ["rerank", "shared"]},
            ],
            "mining": {"passages": 50, "questions": 50, "depth": 6, "ceiling": None},
            "objectives": {
                "embed": {
                    **objective, "kind": "contrastive", "task": "embed", "size": 2,
                    "losses": [{"kind": "info-nce"}],
                },
                "rerank": {
                    **objective, "kind": "ranking", "task": "rerank", "size": 1, "negatives": 3,
                    "losses": [{"kind": "lce"}],
                },
            },
            "optimizer": {
                "steps": 3, "learning_rate": {"default": 1e-2}, "token_budget": 512,
                "cosines_every": 1,
            },
        },
        "seeds": [0, 1],
        "development": {"dev": {"questions": 6, "depth": 4}},
    }  # fmt: skip
    study = {
        "name": "tiny",
        "title": "Tiny",
        "question": "Does it run?",
        "variants": {
            "frozen": {"about": "before training", "trained": False},
            "joint": {"about": "both tasks"},
            "embed-data": {"about": "one task", "changes": {"objectives": {"rerank": None}}},
        },
        "comparisons": [
            {"first": "frozen", "second": "joint"},
            {"first": "joint", "second": "embed-data", "measures": ["embed"]},
        ],
        "analyses": {
            name: ["joint"]
            for name in ("cosines", "routing", "probing", "similarity", "spectra", "subspaces")
        },
    }
    for name, value in (("base", base), ("tiny", study)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(value), encoding="utf-8")
    return data, folder / "base.yaml", folder / "tiny.yaml"

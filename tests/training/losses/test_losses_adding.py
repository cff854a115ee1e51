"""A new loss is one class: its keys, its formula and its needs, known to recipes from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field, ValidationError
from torch import Tensor
from training.toy import toy_recipe

from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import DataError
from unimoer_rag.training.loop.folder import kept_recipe
from unimoer_rag.training.losses import LOSSES, Candidates, GroupLoss
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import train


@pytest.fixture
def hinge() -> Iterator[type[GroupLoss]]:
    """All there is to a new loss."""

    class Hinge(GroupLoss):
        """How far negatives are from a margin below the positive."""

        kind: Literal["hinge"] = "hinge"
        margin: float = Field(default=1.0, gt=0)

        def loss(self, group: Candidates) -> Tensor:
            return (self.margin - group.logits[0] + group.logits[1:]).clamp_min(0).mean()

    yield Hinge
    del LOSSES["hinge"]


def _recipe(backbone: Path, *terms: dict[str, Any]) -> Recipe:
    common = {"sources": ["toy"], "size": 2, "negatives": 2, "losses": terms}
    objectives = {
        "rank": {"kind": "ranking", "task": "rerank", **common},
        "embed": {"kind": "contrastive", "task": "embed", **common},
    }
    optimizer = {"steps": 1, "learning_rate": {"default": 1e-2}, "token_budget": 256}
    return toy_recipe(backbone, objectives=objectives, optimizer=optimizer)


def test_a_new_loss_trains_by_recipe(
    hinge: type[GroupLoss], tiny_bert: Path, toy: BeirDataset, tmp_path: Path
) -> None:
    recipe = _recipe(tiny_bert, {"kind": "hinge", "margin": 3.0, "weight": 0.5})
    assert recipe.objectives["rank"].losses == (hinge(margin=3.0, weight=0.5),)  # type: ignore[union-attr, call-arg]
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    reports: list[dict[str, Any]] = []
    assert train(recipe, sets={"toy": toy}, output=tmp_path / "run", on_step=reports.append)
    losses = reports[0]["losses"]
    assert losses.keys() == {"rank/hinge", "embed/hinge", "routing/balance"}
    assert 0 < losses["rank/hinge"] < 10
    assert 0 < losses["embed/hinge"] < 100
    assert reports[0]["norm"] > 0
    assert kept_recipe(tmp_path / "run") == recipe


def test_its_keys_are_checked_by_name(hinge: type[GroupLoss], tiny_bert: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        _recipe(tiny_bert, {"kind": "lce"}, {"kind": "hinge", "margin": 0.0})
    places = [error["loc"] for error in caught.value.errors()]
    assert places[0] == ("objectives", "rank", "ranking", "losses", 1, "margin")


def test_it_says_that_it_needs_a_teacher(
    hinge: type[GroupLoss], tiny_bert: Path, toy: BeirDataset, tmp_path: Path
) -> None:
    class Taught(hinge):  # type: ignore[valid-type, misc]
        needs_teacher: ClassVar[bool] = True

    recipe = _recipe(tiny_bert, {"kind": "hinge"})
    assert isinstance(recipe.objectives["rank"].losses[0], Taught)  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"objectives\.rank: the loss 'hinge' learns from a teach"):
        train(recipe, sets={"toy": toy}, output=tmp_path / "run")


def test_a_loss_of_whole_batches_is_none_of_a_group(tiny_bert: Path) -> None:
    with pytest.raises(ValidationError, match="the kind 'info-nce', expected one of") as caught:
        _recipe(tiny_bert, {"kind": "info-nce"})
    known = caught.value.errors()[0]["msg"].partition("expected one of ")[2].split(", ")
    assert {"lce", "kl", "anchor"} <= set(known)
    assert "info-nce" not in known
    with pytest.raises(ValidationError, match="the kind 'hinge', expected one of"):
        _recipe(tiny_bert, {"kind": "hinge"})  # forgotten again


def test_what_a_group_tells() -> None:
    logits = torch.tensor([2.0, 1.0, 3.0])
    plain, taught = Candidates(logits), Candidates(logits, (0.5, 4.0, -1.0))
    assert plain.labels.tolist() == taught.labels.tolist() == [1.0, 0.0, 0.0]
    assert plain.teacher.tolist() == [1.0, 0.0, 0.0]
    assert taught.teacher.tolist() == [0.5, 4.0, -1.0]

"""A head is one file and one line in the registry: everything else asks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dot_head import DotHead
from tiny_models import TEXTS, make_model

from unimoer_rag.data.examples import Group, TrainingSet
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.describe import describe
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.tasks import HEADS, READ, RERANK_CROSS, Task
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.losses import Lce
from unimoer_rag.training.objectives.kinds import Ranking
from unimoer_rag.training.objectives.ranking import RankingObjective

QUERY = "how long do refunds take?"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "dot", DotHead)


@pytest.fixture(params=["bert", "qwen3"])
def model(request, backbone_path) -> UniMoER:
    tasks = [
        Task("embed", "dot", ("embed",), dimensions=(8,)),
        Task("rerank", "dot", ("rerank",)),
        RERANK_CROSS,
        READ,
    ]
    return make_model(backbone_path(request.param), tasks=tasks)


def by_hand(model: UniMoER, text: str, task: str) -> np.ndarray:
    row = model.rows.single([text], model.task(task))[0]
    with torch.inference_mode():
        largest = model(model.collate([row])).hidden[0].double().numpy().max(0)
    return largest / np.linalg.norm(largest)


def test_it_embeds(model: UniMoER) -> None:
    expected = np.stack([by_hand(model, text, "embed") for text in TEXTS])
    np.testing.assert_allclose(model.embed(TEXTS), expected, atol=1e-5)
    cut = expected[:, :8] / np.linalg.norm(expected[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(model.embed(TEXTS, dimensions=8), cut, atol=1e-5)


def test_it_scores_and_ranks(model: UniMoER) -> None:
    with torch.no_grad():
        model.heads["rerank"].scale.fill_(2.5)
    documents = np.stack([by_hand(model, text, "rerank") for text in TEXTS])
    expected = 2.5 * documents @ by_hand(model, QUERY, "rerank")
    np.testing.assert_allclose(model.score(QUERY, TEXTS, logits=True), expected, atol=1e-5)
    np.testing.assert_allclose(model.rank(QUERY, TEXTS, logits=True), expected, atol=1e-5)
    with Engine(model, cache_bytes=2**20) as engine:  # states of other heads are not kept
        np.testing.assert_allclose(engine.score(QUERY, TEXTS), model.score(QUERY, TEXTS), atol=1e-5)
        np.testing.assert_allclose(engine.embed(TEXTS), model.embed(TEXTS), atol=1e-5)
        assert len(engine.cache) == 0


def test_a_checkpoint_brings_it_back(model: UniMoER, tmp_path: Path) -> None:
    with torch.no_grad():
        model.heads["rerank"].scale.fill_(2.5)
    assert {name for name in parameters_by_name(model) if name.endswith(".scale")} == {
        "heads.embed.scale",
        "heads.rerank.scale",
    }
    model.save_pretrained(tmp_path)
    again = UniMoER.from_pretrained(tmp_path, device="cpu", dtype="float32")
    assert again.task("embed") == model.task("embed")
    np.testing.assert_allclose(again.score(QUERY, TEXTS), model.score(QUERY, TEXTS), atol=1e-6)


def test_what_it_is_asked_for_and_what_not(model: UniMoER) -> None:
    assert describe(model)["tasks"]["embed"]["dimensions"] == [8]
    with pytest.raises(InputError, match="'rerank' does not read: its head is 'dot', expected 'sp"):
        model.read(QUERY, TEXTS, task="rerank")
    with pytest.raises(
        InputError, match=r"does not score pairs.* 'late' or 'cross' .*or 'cross-encoder' or 'dot'"
    ):
        model.score(QUERY, TEXTS, task="read")
    with pytest.raises(InputError, match=r"'dot' and the labels .* for the head 'class' alone"):
        Task("embed", "dot", (), labels=("a", "b"))
    with pytest.raises(InputError, match="has more than one size"):
        Task("embed", "dot", (), dimensions=(8, 16))


def test_it_learns_to_rank(model: UniMoER) -> None:
    groups = [Group(QUERY, 0, (0,), (1, 2)), Group("who?", 3, (3,), (1, 2))]
    settings = Ranking(
        task="rerank", sources=("s",), size=2, negatives=2, losses=(Lce(kind="lce"),)
    )
    sets = {"s": TrainingSet("s", TEXTS, groups)}
    draw = RankingObjective("rank", model, sets, settings, seed=0).draw(0)
    batch = model.collate(draw.rows)
    (loss,) = draw.loss(model.read_out(batch, model(batch).hidden), []).values()
    loss.backward()
    assert model.heads["rerank"].scale.grad is not None

    def one(group: Group) -> float:
        places = (group.positive, *group.negatives)
        logits = model.score(group.query, [TEXTS[place] for place in places], logits=True)
        return float(np.log(np.exp(logits).sum()) - logits[0])

    assert loss.item() == pytest.approx(np.mean([one(group) for group in groups]), abs=1e-4)

"""Objectives: what they draw, and their losses recomputed by hand from the same outputs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model.tiny_models import randomise
from training.toy import toy_recipe

from unimoer_rag.evaluation.datasets import BeirDataset
from unimoer_rag.model.heads import LateState
from unimoer_rag.model.rows import Row
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.data import ReadSource
from unimoer_rag.training.mining import Mined, mine
from unimoer_rag.training.objectives import (
    ContrastiveObjective,
    Draw,
    Objective,
    RankingObjective,
    ReadingObjective,
    _shuffled,
    _token_spans,
)
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path) -> Recipe:
    return toy_recipe(tiny_bert)


@pytest.fixture(scope="module")
def model(recipe: Recipe) -> UniMoER:
    return randomise(make_model(recipe))


@pytest.fixture(scope="module")
def mined(recipe: Recipe, toy: BeirDataset, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    cache = tmp_path_factory.mktemp("mined")
    return mine(make_model(recipe), toy, recipe.mining, seed=0, cache=cache)


def _source(toy: BeirDataset) -> ReadSource:
    return ReadSource(toy, unanswerable=0.3, crop=0.5, crop_words=20)


def _objectives(
    model: UniMoER, recipe: Recipe, toy: BeirDataset, mined: Mined, seed: int = 0
) -> list[Objective]:
    # Two sources, which take turns.
    both = {"one": mined, "two": Mined(mined.texts, mined.questions[::-1][:5])}
    return [
        ReadingObjective(model, [_source(toy)], recipe.reading, seed),
        RankingObjective(model, both, recipe.ranking, seed),
        ContrastiveObjective(model, both, recipe.embedding, seed),
    ]


def _rows(draw: Draw | None) -> list[Row] | None:
    return None if draw is None else draw.rows


def test_draws_depend_on_the_step_alone(
    model: UniMoER, recipe: Recipe, toy: BeirDataset, mined: Mined
) -> None:
    first = _objectives(model, recipe, toy, mined)
    forward = [[_rows(o.draw(step)) for o in first] for step in range(8)]
    second = _objectives(model, recipe, toy, mined)
    backward = [[_rows(o.draw(step)) for o in second] for step in reversed(range(8))]
    assert forward == backward[::-1]
    other = _objectives(model, recipe, toy, mined, seed=1)
    assert forward != [[_rows(o.draw(step)) for o in other] for step in range(8)]


def test_objectives_sit_steps_out(
    model: UniMoER, recipe: Recipe, toy: BeirDataset, mined: Mined
) -> None:
    drawn = [
        [o.draw(step) is not None for step in range(7)]
        for o in _objectives(model, recipe, toy, mined)
    ]
    assert drawn == [
        [True] * 7,
        [True, False, True, False, True, False, True],
        [True, False, False, True, False, False, True],
    ]


@pytest.mark.parametrize("total", [1, 2, 3, 7, 12, 30])
def test_an_epoch_visits_each_item_once(total: int) -> None:
    epochs = [
        [_shuffled(epoch * total + at, total, seed=5) for at in range(total)] for epoch in range(4)
    ]
    assert all(sorted(epoch) == list(range(total)) for epoch in epochs)
    if total > 7:
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_reading_walks_through_all_questions(
    model: UniMoER, recipe: Recipe, toy: BeirDataset
) -> None:
    class Recorder(ReadSource):
        drawn: list[int] = []  # noqa: RUF012 - one recorder

        def draw(self, index: int, rng: Any) -> Any:
            self.drawn.append(index)
            return super().draw(index, rng)

    source = Recorder(toy, unanswerable=0.3, crop=0.5, crop_words=20)
    objective = ReadingObjective(model, [source], recipe.reading, 0)
    for step in range(len(source) // recipe.reading.examples):
        objective.draw(step)
    assert sorted(source.drawn) == list(range(len(source)))


def _run(model: UniMoER, draw: Draw) -> tuple[list[Any], list[Any]]:
    batch = model.collate(draw.rows)
    with torch.no_grad():
        outputs = model.read_out(batch, model(batch).hidden)
        silent = [
            Row(r.task.with_strength(0.0), r.ids, r.first, r.second, r.offsets) for r in draw.rows
        ]
        batch = model.collate(silent)
        frozen = model.read_out(batch, model(batch).hidden)
    return outputs, frozen


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max())
    return e / e.sum()


def _kl(scores: Any, frozen: Any, temperature: float) -> float:
    p, q = _softmax(frozen / temperature), _softmax(scores / temperature)
    return float((p * np.log(p / q)).sum()) * temperature**2


def _late(head: Any, query: LateState, document: LateState) -> Any:
    """The late head's formula for one pair, in numpy."""
    asked = [
        t
        for t, i in zip(query.tokens.numpy(), query.ids.tolist(), strict=True)
        if i not in head.punctuation.tolist()
    ]
    best = [max(float(d @ q) for d in document.tokens.numpy()) for q in asked]
    matched = np.mean([max(0.0, b) ** 2 for b in best])
    cosine = float(query.pooled.numpy() @ document.pooled.numpy())
    return head.maxsim.item() * matched + head.cosine.item() * cosine + head.bias.item()


def test_ranking_loss_by_hand(model: UniMoER, recipe: Recipe, mined: Mined) -> None:
    objective = RankingObjective(model, {"toy": mined}, recipe.ranking, 0)
    draw = objective.draw(2)
    assert draw is not None
    assert draw.anchored
    assert len(draw.rows) == 1 + 1 + recipe.ranking.negatives
    outputs, frozen = _run(model, draw)
    losses = {name: value.item() for name, value in draw.loss(outputs, frozen).items()}

    head: Any = model.heads["rerank"]
    logits = np.array([_late(head, outputs[0], d) for d in outputs[1:]])
    # The frozen side is judged by the head as it was before training.
    untrained: Any = model.new_head(model.task("rerank"))
    anchor = np.array([_late(untrained, frozen[0], d) for d in frozen[1:]])
    config = recipe.ranking
    softplus = np.log1p(np.exp(logits))
    binary = 0.5 * (softplus[0] - logits[0]) + 0.5 * softplus[1:].mean()
    assert losses == {
        "rerank/rank": pytest.approx(-config.weight * math.log(_softmax(logits)[0]), rel=1e-3),
        "rerank/binary": pytest.approx(config.binary * binary, rel=1e-3),
        "rerank/anchor": pytest.approx(
            config.anchor * _kl(logits, anchor, config.anchor_temperature), rel=1e-2, abs=1e-5
        ),
    }
    assert losses["rerank/anchor"] > 0


def test_contrastive_loss_by_hand(model: UniMoER, recipe: Recipe, mined: Mined) -> None:
    draw = ContrastiveObjective(model, {"toy": mined}, recipe.embedding, 0).draw(3)
    assert draw is not None
    assert draw.anchored
    outputs, frozen = _run(model, draw)
    losses = {name: value.item() for name, value in draw.loss(outputs, frozen).items()}

    config, n = recipe.embedding, recipe.embedding.queries
    text = model.tokenizer.decode
    column = {tuple(row.ids): at for at, row in enumerate(draw.rows[n:])}
    contrast, anchor = [], []
    for at in range(n):
        scores = np.array([float(outputs[at] @ d) for d in outputs[n:]]) / config.temperature
        silent = np.array([float(frozen[at] @ d) for d in frozen[n:]]) / config.temperature
        asked = text(draw.rows[at].ids)
        question = next(
            q
            for q in mined.questions
            if text(model.rows.single([q.query], model.task("embed"))[0].ids) == asked
        )
        positive = model.rows.single([mined.texts[question.positive]], model.task("embed"))[0]
        contrast.append(-math.log(_softmax(scores)[column[tuple(positive.ids)]]))
        anchor.append(_kl(scores, silent, config.anchor_temperature))
    assert losses == {
        "embed/contrast": pytest.approx(config.weight * np.mean(contrast), rel=1e-3),
        "embed/anchor": pytest.approx(config.anchor * np.mean(anchor), rel=1e-2, abs=1e-5),
    }


def test_another_questions_answer_is_no_negative(
    model: UniMoER, recipe: Recipe, mined: Mined
) -> None:
    """With every passage relevant to every question, only the positive is left to choose."""
    everything = tuple(range(len(mined.texts)))
    lenient = Mined(
        mined.texts,
        [type(q)(q.query, q.positive, everything, q.negatives) for q in mined.questions],
    )
    draw = ContrastiveObjective(model, {"toy": lenient}, recipe.embedding, 0).draw(0)
    assert draw is not None
    losses = draw.loss(*_run(model, draw))
    assert losses["embed/contrast"].item() == pytest.approx(0.0, abs=1e-6)


def test_untrained_experts_are_not_pulled(recipe: Recipe, mined: Mined) -> None:
    model = make_model(recipe)
    objectives = (
        RankingObjective(model, {"toy": mined}, recipe.ranking, 0),
        ContrastiveObjective(model, {"toy": mined}, recipe.embedding, 0),
    )
    for objective in objectives:
        draw = objective.draw(0)
        assert draw is not None
        losses = draw.loss(*_run(model, draw))
        (anchor,) = (value for name, value in losses.items() if name.endswith("/anchor"))
        assert anchor.item() == pytest.approx(0.0, abs=1e-5)


def test_reading_loss_is_the_weighted_mean(
    model: UniMoER, recipe: Recipe, toy: BeirDataset
) -> None:
    config = recipe.reading.model_copy(update={"weight": 3.0, "examples": 4, "unanswerable": 1.0})
    source = ReadSource(toy, unanswerable=1.0, crop=0.0, crop_words=20)
    draw = ReadingObjective(model, [source], config, 0).draw(1)
    assert not draw.anchored
    outputs, _ = _run(model, draw)
    joints = [
        np.concatenate(
            [
                [float(o.null)],
                [
                    float(o.start[i] + o.end[j])
                    for i in range(len(o.start))
                    for j in range(i, min(len(o.start), i + 30))
                ],
            ]
        )
        for o in outputs
    ]
    assert all(not row.truncated for row in draw.rows)
    expected = 3.0 * np.mean([-math.log(_softmax(joint)[0]) for joint in joints])
    assert draw.loss(outputs, [])["read/span"].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("span", "tokens"),
    [
        ((0, 3), [(0, 0)]),  # one token
        ((4, 11), [(1, 2)]),
        ((5, 6), [(1, 1)]),  # a part of a token takes it whole
        ((4, 30), []),  # runs past what truncation left
        ((40, 44), []),  # is all cut off
    ],
)
def test_token_spans(model: UniMoER, span: tuple[int, int], tokens: list[tuple[int, int]]) -> None:
    offsets = [(0, 3), (4, 7), (8, 11), (12, 16)]
    row = Row(model.task("read"), [0] * 6, (1, 1), (1, 5), offsets)
    assert _token_spans([span], row) == tokens


def test_long_answers_are_shortened(model: UniMoER) -> None:
    offsets = [(2 * i, 2 * i + 1) for i in range(50)]
    row = Row(model.task("read"), [0] * 52, (1, 1), (1, 51), offsets)
    assert _token_spans([(4, 99)], row) == [(2, 31)]

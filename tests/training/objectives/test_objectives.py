"""Objectives: what they draw, and their losses recomputed by hand from the same outputs."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model.tiny_models import randomise
from training.toy import toy_recipe

from unimoer_rag.data import ReadSource, Sources, beir_set
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.data.examples import Group, Labelled, TrainingSet
from unimoer_rag.errors import DataError
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.late import LateState
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training import losses
from unimoer_rag.training.losses import GroupLoss
from unimoer_rag.training.mining.negatives import mine
from unimoer_rag.training.mining.searchers import ModelSearcher
from unimoer_rag.training.objectives import kinds
from unimoer_rag.training.objectives.classification import ClassificationObjective
from unimoer_rag.training.objectives.contrastive import ContrastiveObjective
from unimoer_rag.training.objectives.material import Material
from unimoer_rag.training.objectives.objective import Draw, Objective
from unimoer_rag.training.objectives.ranking import RankingObjective
from unimoer_rag.training.objectives.reading import (
    ReadingObjective,
    hard_passages,
    token_spans,
)
from unimoer_rag.training.recipe import Recipe
from unimoer_rag.training.run import make_model

READING = kinds.Reading(task="read", sources=("toy",), size=2)
RANKING = kinds.Ranking(task="rerank", sources=("one", "two"), size=1, every=2, negatives=2)
EMBEDDING = kinds.Contrastive(task="embed", sources=("one", "two"), size=2, every=3)


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path) -> Recipe:
    return toy_recipe(tiny_bert)


@pytest.fixture(scope="module")
def model(recipe: Recipe) -> UniMoER:
    return randomise(make_model(recipe))


@pytest.fixture(scope="module")
def mined(
    recipe: Recipe, toy: BeirDataset, tmp_path_factory: pytest.TempPathFactory
) -> TrainingSet:
    cache = tmp_path_factory.mktemp("mined")
    return mine(beir_set(toy), ModelSearcher(make_model(recipe)), recipe.mining, cache=cache)


def _source(toy: BeirDataset, **changes: Any) -> ReadSource:
    return ReadSource(toy, **({"unanswerable": 0.3, "crop": 0.5, "crop_words": 20} | changes))


def _objectives(
    model: UniMoER, toy: BeirDataset, mined: TrainingSet, seed: int = 0
) -> list[Objective]:
    both = {"one": mined, "two": TrainingSet("two", mined.texts, list(mined.groups)[::-1][:5])}
    return [
        ReadingObjective("read", model, {"toy": _source(toy)}, READING, seed=seed),
        RankingObjective("rerank", model, both, RANKING, seed=seed),
        ContrastiveObjective("embed", model, both, EMBEDDING, seed=seed),
    ]


def _only(settings: Any, **changes: Any) -> Any:
    return settings.model_copy(update={"sources": ("toy",), **changes})


def test_draws_depend_on_the_index_alone(
    model: UniMoER, toy: BeirDataset, mined: TrainingSet
) -> None:
    first = _objectives(model, toy, mined)
    forward = [[o.draw(index).rows for o in first] for index in range(8)]
    second = _objectives(model, toy, mined)
    backward = [[o.draw(index).rows for o in second] for index in reversed(range(8))]
    assert forward == backward[::-1]
    other = _objectives(model, toy, mined, seed=1)
    assert forward != [[o.draw(index).rows for o in other] for index in range(8)]


def test_objectives_say_how_often_they_take_part(
    model: UniMoER, toy: BeirDataset, mined: TrainingSet
) -> None:
    assert [(o.name, o.every) for o in _objectives(model, toy, mined)] == [
        ("read", 1),
        ("rerank", 2),
        ("embed", 3),
    ]


class Recorder(ReadSource):
    """Remembers what was drawn."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.drawn: list[int] = []

    def draw(self, index: int, rng: Any) -> Any:
        self.drawn.append(index)
        return super().draw(index, rng)


def test_reading_walks_through_all_questions(model: UniMoER, toy: BeirDataset) -> None:
    source = Recorder(toy, unanswerable=0.3, crop=0.5, crop_words=20)
    objective = ReadingObjective("read", model, {"toy": source}, READING, seed=0)
    for index in range(len(source) // READING.size):
        objective.draw(index)
    assert sorted(source.drawn) == list(range(len(source)))


def test_mined_passages_lose_their_titles_and_hold_no_answer(
    toy: BeirDataset, mined: TrainingSet
) -> None:
    found = hard_passages(toy, mined)
    texts = {document.text for document in toy.corpus.values()}
    answers = {question.text: question.answers or () for question in toy.questions}
    assert any(found.values())
    for question, passages in found.items():
        assert set(passages) <= texts
        assert not any(answer in text for answer in answers[question] for text in passages)


def test_mined_passages_are_asked_for_where_a_recipe_has_them(
    recipe: Recipe, model: UniMoER, toy: BeirDataset, tmp_path: Path
) -> None:
    sources = Sources(tmp_path, given={"toy": toy})
    material = Material(recipe.mining, model, sources, cache=tmp_path)
    settings = READING.model_copy(update={"mined": 1.0, "unanswerable": 1.0, "crop": 0.0})
    drawn = settings.make("read", model, material, seed=0).draw(0)
    assert len(drawn.rows) == READING.size
    assert list(tmp_path.glob("toy-*.json"))  # they were mined


def test_proportions_are_kept(model: UniMoER, toy: BeirDataset) -> None:
    sources = {"one": Recorder(toy, unanswerable=0.0, crop=0.0, crop_words=20)}
    sources["two"] = Recorder(toy, unanswerable=0.0, crop=0.0, crop_words=20)
    settings = READING.model_copy(
        update={"sources": ("one", "two"), "proportions": {"one": 3.0, "two": 1.0}}
    )
    objective = ReadingObjective("read", model, sources, settings, seed=0)
    for index in range(16):
        objective.draw(index)
    assert [len(source.drawn) for source in sources.values()] == [12 * 2, 4 * 2]


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


def _values(draw: Draw, model: UniMoER) -> dict[str, float]:
    return {name: value.item() for name, value in draw.loss(*_run(model, draw)).items()}


def _softmax(x: Any) -> Any:
    e = np.exp(x - x.max())
    return e / e.sum()


def _kl(scores: Any, frozen: Any, temperature: float) -> float:
    p, q = _softmax(frozen / temperature), _softmax(scores / temperature)
    return float((p * np.log(p / q)).sum()) * temperature**2


def _late(head: Any, query: LateState, document: LateState) -> Any:
    """The late head's formula for one pair, in numpy."""
    asked = [
        token
        for token, word in zip(query.tokens.numpy(), query.worded.tolist(), strict=True)
        if word
    ]
    best = [max(float(d @ q) for d in document.tokens.numpy()) for q in asked]
    matched = np.mean([max(0.0, b) ** 2 for b in best])
    cosine = float(query.pooled.numpy() @ document.pooled.numpy())
    return head.maxsim.item() * matched + head.cosine.item() * cosine + head.bias.item()


def test_ranking_losses_by_hand(model: UniMoER, mined: TrainingSet) -> None:
    objective = RankingObjective("rank", model, {"toy": mined}, _only(RANKING), seed=0)
    draw = objective.draw(2)
    assert draw.anchored
    assert len(draw.rows) == 1 + 1 + RANKING.negatives
    outputs, frozen = _run(model, draw)
    losses = {name: value.item() for name, value in draw.loss(outputs, frozen).items()}

    head: Any = model.heads["rerank"]
    logits = np.array([_late(head, outputs[0], d) for d in outputs[1:]])
    # The frozen side is judged by the head as it was before training.
    untrained: Any = model.new_head(model.task("rerank"))
    anchor = np.array([_late(untrained, frozen[0], d) for d in frozen[1:]])
    softplus = np.log1p(np.exp(logits))
    binary = 0.5 * (softplus[0] - logits[0]) + 0.5 * softplus[1:].mean()
    assert losses == {
        "rank/lce": pytest.approx(-0.5 * math.log(_softmax(logits)[0]), rel=1e-3),
        "rank/bce": pytest.approx(0.1 * binary, rel=1e-3),
        "rank/anchor": pytest.approx(2.0 * _kl(logits, anchor, 2.0), rel=1e-2, abs=1e-5),
    }
    assert losses["rank/anchor"] > 0


@pytest.fixture
def scored(mined: TrainingSet) -> TrainingSet:
    """The mined groups with a teacher that prefers earlier texts, its best the positive."""
    groups = [
        Group(
            g.query, g.positive, g.relevant, g.negatives, (9.0, *(-float(n) for n in g.negatives))
        )
        for g in mined.groups
    ]
    return TrainingSet("toy", mined.texts, groups)


def test_each_document_keeps_its_teachers_score(model: UniMoER, scored: TrainingSet) -> None:
    """Negatives are drawn at random; the divergence by hand shows that scores follow them."""
    settings = _only(RANKING, losses=(losses.Kl(weight=0.25, temperature=3.0),), negatives=3)
    draw = RankingObjective("rank", model, {"toy": scored}, settings, seed=3).draw(1)
    assert not draw.anchored
    outputs, _ = _run(model, draw)
    by_ids = {
        tuple(model.rows.single([text], model.task("rerank"), "document")[0].ids): place
        for place, text in enumerate(scored.texts)
    }
    places = [by_ids[tuple(row.ids)] for row in draw.rows[1:]]
    logits = np.array([_late(model.heads["rerank"], outputs[0], d) for d in outputs[1:]])
    wanted = np.array([9.0, *(-float(place) for place in places[1:])])
    expected = 0.25 * _kl(logits, wanted, 3.0)
    assert draw.loss(outputs, [])["rank/kl"].item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "term",
    [losses.Lce(), losses.Bce(), losses.Kl(temperature=3.0)],
    ids=lambda term: term.kind,
)
def test_every_term_of_a_group_teaches(
    model: UniMoER, scored: TrainingSet, term: GroupLoss
) -> None:
    settings = _only(RANKING, losses=(term,), negatives=3)
    draw = RankingObjective("rank", model, {"toy": scored}, settings, seed=0).draw(0)
    batch = model.collate(draw.rows)
    outputs = model.read_out(batch, model(batch).hidden)
    ((name, loss),) = draw.loss(outputs, []).items()
    assert name == f"rank/{term.kind}"
    (gradient,) = torch.autograd.grad(loss, [model.heads["rerank"].maxsim])
    assert loss.item() > 0
    assert gradient.item() != 0


@pytest.mark.parametrize("kind", [RankingObjective, ContrastiveObjective])
def test_a_teachers_loss_wants_a_teacher(model: UniMoER, mined: TrainingSet, kind: Any) -> None:
    settings = _only(RANKING if kind is RankingObjective else EMBEDDING, losses=(losses.Kl(),))
    with pytest.raises(DataError, match=r"objectives.x: the loss 'kl'.*toy has no scores"):
        kind("x", model, {"toy": mined}, settings, seed=0)


def _positives(draw: Draw, model: UniMoER, mined: TrainingSet, task: Task, n: int) -> list[int]:
    """Of each query of a draw, where its positive stands among the documents, by their text."""
    text = model.tokenizer.decode
    column = {tuple(row.ids): at for at, row in enumerate(draw.rows[n:])}
    found = []
    for asked in draw.rows[:n]:
        question = next(
            q
            for q in mined.groups
            if text(model.rows.single([q.query], task, "query")[0].ids) == text(asked.ids)
        )
        positive = model.rows.single([mined.texts[question.positive]], task)[0]
        found.append(column[tuple(positive.ids)])
    return found


def _contrast_by_hand(
    draw: Draw, outputs: list[Any], model: UniMoER, mined: TrainingSet, size: int | None = None
) -> tuple[float, list[Any]]:
    """InfoNCE in numpy, its positives found by their text."""
    n = EMBEDDING.size
    vectors = [o.numpy()[:size] / np.linalg.norm(o.numpy()[:size]) for o in outputs]
    contrast, all_scores = [], []
    for at, place in enumerate(_positives(draw, model, mined, model.task("embed"), n)):
        scores = np.array([float(vectors[at] @ d) for d in vectors[n:]]) / EMBEDDING.temperature
        contrast.append(-math.log(_softmax(scores)[place]))
        all_scores.append(scores)
    return float(np.mean(contrast)), all_scores


def test_contrastive_losses_by_hand(model: UniMoER, mined: TrainingSet) -> None:
    objective = ContrastiveObjective("embed", model, {"toy": mined}, _only(EMBEDDING), seed=0)
    draw = objective.draw(3)
    assert draw.anchored
    outputs, frozen = _run(model, draw)
    losses = {name: value.item() for name, value in draw.loss(outputs, frozen).items()}
    contrast, scores = _contrast_by_hand(draw, outputs, model, mined)
    _, silent = _contrast_by_hand(draw, frozen, model, mined)
    anchor = np.mean([_kl(s, f, 2.0) for s, f in zip(scores, silent, strict=True)])
    assert losses == {
        "embed/info-nce": pytest.approx(0.2 * contrast, rel=1e-3),
        "embed/anchor": pytest.approx(2.0 * anchor, rel=1e-2, abs=1e-5),
    }


def test_one_pass_teaches_vectors_and_token_states(model: UniMoER, mined: TrainingSet) -> None:
    terms = (losses.InfoNce(weight=2.0), losses.LateNce(weight=0.5))
    settings = _only(EMBEDDING, task="rerank", negatives=0, losses=terms)
    draw = ContrastiveObjective("both", model, {"toy": mined}, settings, seed=0).draw(3)
    outputs, _ = _run(model, draw)
    found = {name: value.item() for name, value in draw.loss(outputs, []).items()}
    n = settings.size
    asked, read = outputs[:n], outputs[n:]
    head: Any = model.heads["rerank"]
    places = _positives(draw, model, mined, model.task("rerank"), n)
    vectors, tokens = [], []
    for query, place in zip(asked, places, strict=True):
        cosines = np.array([float(query.pooled @ d.pooled) for d in read]) / settings.temperature
        late = np.array([_late(head, query, d) for d in read])
        vectors.append(-math.log(_softmax(cosines)[place]))
        tokens.append(-math.log(_softmax(late)[place]))
    assert len(read) == n
    assert found == {
        "both/info-nce": pytest.approx(2.0 * np.mean(vectors), rel=1e-3),
        "both/late-nce": pytest.approx(0.5 * np.mean(tokens), rel=1e-2),
    }


def test_losses_of_groups_teach_embeddings(model: UniMoER, scored: TrainingSet) -> None:
    """Of each query's own documents, their cosines over the temperature as logits."""
    terms = (losses.Lce(weight=0.5), losses.Bce(), losses.Kl(temperature=3.0))
    settings = _only(EMBEDDING, losses=terms, negatives=3)
    three = [replace(g, negatives=g.negatives[:3], scores=g.scores[:4]) for g in scored.groups]
    sets = {"toy": TrainingSet("toy", scored.texts, three)}
    draw = ContrastiveObjective("embed", model, sets, settings, seed=0).draw(0)
    assert not draw.anchored
    outputs, _ = _run(model, draw)
    task = model.task("embed")
    vectors = {tuple(row.ids): o.numpy() for row, o in zip(draw.rows, outputs, strict=True)}
    asked = {tuple(model.rows.single([g.query], task, "query")[0].ids): g for g in three}
    expected: dict[str, list[float]] = {"embed/lce": [], "embed/bce": [], "embed/kl": []}
    for row in draw.rows[: EMBEDDING.size]:
        group = asked[tuple(row.ids)]
        texts = [scored.texts[place] for place in (group.positive, *group.negatives)]
        own = [vectors[tuple(r.ids)] for r in model.rows.single(texts, task)]
        logits = np.array([vectors[tuple(row.ids)] @ v for v in own]) / EMBEDDING.temperature
        teacher = np.array(group.scores)
        softplus = np.log1p(np.exp(logits))
        expected["embed/lce"].append(-0.5 * math.log(_softmax(logits)[0]))
        expected["embed/bce"].append(0.5 * (softplus[0] - logits[0] + softplus[1:].mean()))
        expected["embed/kl"].append(_kl(logits, teacher, 3.0))
    assert {name: value.item() for name, value in draw.loss(outputs, []).items()} == {
        name: pytest.approx(np.mean(values), rel=1e-3) for name, values in expected.items()
    }


def test_matryoshka_adds_the_contrast_of_cut_vectors(model: UniMoER, mined: TrainingSet) -> None:
    settings = _only(EMBEDDING, losses=(losses.InfoNce(),), dimensions={8: 0.5})
    draw = ContrastiveObjective("embed", model, {"toy": mined}, settings, seed=0).draw(3)
    outputs, _ = _run(model, draw)
    whole, _ = _contrast_by_hand(draw, outputs, model, mined)
    cut, _ = _contrast_by_hand(draw, outputs, model, mined, size=8)
    loss = draw.loss(outputs, [])["embed/info-nce"].item()
    assert loss == pytest.approx(whole + 0.5 * cut, rel=1e-3)
    assert abs(whole - cut) > 1e-3


def test_any_positive_is_drawn_among_all_that_answer(model: UniMoER, mined: TrainingSet) -> None:
    group = replace(mined.groups[0], relevant=(0, 3, 5), positive=3, negatives=(1, 2))
    places = {group.drawn(1, random.Random(seed), any_positive=True)[0][0] for seed in range(40)}
    assert places == {0, 3, 5}
    assert group.drawn(1, random.Random(0))[0][0] == 3
    taught = replace(group, scores=(3.0, 1.0, 0.5))  # the teacher has judged that one
    assert taught.drawn(1, random.Random(0), any_positive=True)[0][0] == 3
    # The other answers are no negatives, the first of the best among them.
    sets = {"toy": TrainingSet("toy", mined.texts, [group] * 4)}
    settings = _only(EMBEDDING, any_positive=True, negatives=0, losses=(losses.InfoNce(),))
    drawn = ContrastiveObjective("embed", model, sets, settings, seed=0)
    assert {len(drawn.draw(at).rows) for at in range(9)} == {3, 4}
    outputs, _ = _run(model, drawn.draw(0))
    assert drawn.draw(0).loss(outputs, [])["embed/info-nce"].item() == pytest.approx(0, abs=1e-6)


def test_another_questions_answer_is_no_negative(model: UniMoER, mined: TrainingSet) -> None:
    """With every passage relevant to every question, only the positive is left to choose."""
    everything = tuple(range(len(mined.texts)))
    lenient = TrainingSet(
        "toy",
        mined.texts,
        [Group(g.query, g.positive, everything, g.negatives) for g in mined.groups],
    )
    objective = ContrastiveObjective("embed", model, {"toy": lenient}, _only(EMBEDDING), seed=0)
    assert _values(objective.draw(0), model)["embed/info-nce"] == pytest.approx(0.0, abs=1e-6)


def test_untrained_experts_are_not_pulled(recipe: Recipe, mined: TrainingSet) -> None:
    model = make_model(recipe)
    ranking = RankingObjective("rank", model, {"toy": mined}, _only(RANKING), seed=0)
    embedding = ContrastiveObjective("embed", model, {"toy": mined}, _only(EMBEDDING), seed=0)
    for objective in (ranking, embedding):
        losses = _values(objective.draw(0), model)
        assert losses[f"{objective.name}/anchor"] == pytest.approx(0.0, abs=1e-5)


def test_reading_loss_is_the_weighted_mean(model: UniMoER, toy: BeirDataset) -> None:
    settings = READING.model_copy(update={"weight": 3.0, "size": 4})
    source = _source(toy, unanswerable=1.0, crop=0.0)
    draw = ReadingObjective("read", model, {"toy": source}, settings, seed=0).draw(1)
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


@pytest.fixture
def classifier(recipe: Recipe) -> UniMoER:
    model = make_model(recipe)
    model.add_task(Task("topic", "class", ("shared",), labels=("no", "yes", "maybe")))
    return randomise(model)


TOPIC = kinds.Classification(task="topic", sources=("topics",), size=3, weight=2.0)


def test_classification_loss_by_hand(classifier: UniMoER) -> None:
    examples = [
        Labelled("the library opens", None, "yes"),
        Labelled("the parcel", "it was sent", "no"),
        Labelled("a team of five", None, "maybe"),
    ]
    objective = ClassificationObjective("topic", classifier, {"topics": examples}, TOPIC, seed=0)
    draw = objective.draw(0)
    outputs, _ = _run(classifier, draw)
    place = {"no": 0, "yes": 1, "maybe": 2}
    by_ids = {}
    for e in examples:
        task = classifier.task("topic")
        row = (
            classifier.rows.single([e.text], task)[0]
            if e.pair is None
            else classifier.rows.pairs([(e.text, e.pair)], task)[0]
        )
        by_ids[tuple(row.ids)] = place[e.label]
    expected = 2.0 * np.mean(
        [
            -math.log(_softmax(o.numpy().astype(float))[by_ids[tuple(row.ids)]])
            for o, row in zip(outputs, draw.rows, strict=True)
        ]
    )
    assert draw.loss(outputs, [])["topic/label"].item() == pytest.approx(expected, rel=1e-3)


def test_an_unknown_label_is_named(classifier: UniMoER) -> None:
    with pytest.raises(DataError, match=r"topics, example 2: the label 'perhaps'.*no, yes, maybe"):
        ClassificationObjective(
            "topic",
            classifier,
            {"topics": [Labelled("a", None, "no"), Labelled("b", None, "perhaps")]},
            TOPIC,
            seed=0,
        )


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
    assert token_spans([span], row) == tokens


def test_long_answers_are_shortened(model: UniMoER) -> None:
    offsets = [(2 * i, 2 * i + 1) for i in range(50)]
    row = Row(model.task("read"), [0] * 52, (1, 1), (1, 51), offsets)
    assert token_spans([(4, 99)], row) == [(2, 31)]


@pytest.mark.parametrize("kind", [RankingObjective, ContrastiveObjective])
def test_terms_of_one_kind_add_up(model: UniMoER, mined: TrainingSet, kind: Any) -> None:
    """Distilled at two temperatures, for instance."""
    settings, term, name = (
        (RANKING, losses.Lce, "x/lce")
        if kind is RankingObjective
        else (EMBEDDING, losses.InfoNce, "x/info-nce")
    )

    def value(*weights: float) -> float:
        own = _only(settings, losses=tuple(term(weight=weight) for weight in weights))
        return _values(kind("x", model, {"toy": mined}, own, seed=0).draw(0), model)[name]

    assert value(1.0) > 0
    assert value(1.0, 3.0) == pytest.approx(4 * value(1.0), rel=1e-5)

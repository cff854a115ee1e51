"""Hard negatives, mined with the real frozen backbone from a corpus small enough to judge."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unimoer_rag.data import Group, TrainingSet, beir_set
from unimoer_rag.data.datasets import BeirDataset, Question
from unimoer_rag.errors import DataError, TrainingError
from unimoer_rag.evaluation.systems.registry import build_system
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER, load_own
from unimoer_rag.retrieval.sparse import BM25Encoder, tokenize
from unimoer_rag.retrieval.types import Document
from unimoer_rag.training import (
    BM25Searcher,
    Mining,
    ModelSearcher,
    ModelTeacher,
    Searcher,
    SystemSearcher,
    mine,
    score_groups,
)
from unimoer_rag.training.mining import searchers
from unimoer_rag.training.mining.negatives import hard_negatives
from unimoer_rag.training.mining.searchers import weights_digest

TEXTS = {
    "refunds": "Refunds are paid within fourteen days of the return.",
    "returns": "A return is accepted within thirty days if the receipt is kept.",
    "exchange": "Exchanges of returned goods take about a week.",
    "parking": "Parking behind the building is free for visitors.",
    "bicycles": "Bicycles can be locked at the racks next to the entrance.",
    "lunch": "Lunch is served between noon and two in the canteen.",
    "holidays": "Employees have twenty-eight days of holiday a year.",
}
ASKED = {
    "q0": ("How long do refunds take?", ["refunds"]),
    "q1": ("how long do REFUNDS take?", ["exchange"]),  # the same words, another answer
    "q2": ("Where can I park my car?", ["parking"]),
    "q3": ("When is lunch?", ["lunch", "holidays"]),
    "q4": ("How many days of holiday are there?", ["holidays"]),
    "q5": ("May I bring goods back?", ["returns"]),
    "q6": ("Where do bicycles go?", ["bicycles"]),
}
CONFIG = Mining(passages=100, questions=100, depth=4, ceiling=0.95)


@pytest.fixture(scope="module")
def shop() -> BeirDataset:
    return BeirDataset(
        name="shop",
        split="train",
        corpus={name: Document(text, name) for name, text in TEXTS.items()},
        questions=[Question(qid, text) for qid, (text, _) in ASKED.items()],
        qrels={qid: dict.fromkeys(docs, 1) for qid, (_, docs) in ASKED.items()},
    )


Miner = Callable[..., TrainingSet]


@pytest.fixture
def miner(minilm: UniMoER, shop: BeirDataset, tmp_path: Path) -> Miner:
    def run(config: Mining = CONFIG, *, dataset: BeirDataset = shop, seed: int = 0) -> TrainingSet:
        searcher = ModelSearcher(minilm)
        return mine(beir_set(dataset), searcher, config, seed=seed, cache=tmp_path / "mined")

    return run


def test_negatives_are_what_the_backbone_ranks_high_and_no_answer(
    miner: Miner, minilm: UniMoER
) -> None:
    mined = miner()
    assert sorted(mined.texts) == sorted(TEXTS.values())
    assert len(mined.groups) >= 5
    vectors = minilm.embed(mined.texts)
    answers: dict[str, set[str]] = {}
    for text, documents in ASKED.values():
        answers.setdefault(text.lower(), set()).update(TEXTS[d] for d in documents)
    for question in mined.groups:
        cosine = minilm.embed([question.query], "query")[0] @ vectors.T
        relevant = {mined.texts[d] for d in question.relevant}
        assert relevant == answers[question.query.lower()]
        assert question.positive in question.relevant
        assert not relevant & {mined.texts[d] for d in question.negatives}
        ranked = [cosine[d] for d in question.negatives]
        assert ranked == sorted(ranked, reverse=True)
        assert len(ranked) <= CONFIG.depth
        assert max(ranked) < CONFIG.ceiling * cosine[question.positive]
        # Nothing harder was passed over.
        allowed = [
            d
            for d in np.argsort(-cosine)[: CONFIG.depth + len(relevant)]
            if d not in question.relevant and cosine[d] < CONFIG.ceiling * cosine[question.positive]
        ]
        assert list(question.negatives) == allowed[: CONFIG.depth]


def test_the_ceiling_drops_likely_answers(miner: Miner) -> None:
    strict = {q.query: q for q in miner(CONFIG.model_copy(update={"ceiling": 0.3})).groups}
    loose = {q.query: q for q in miner(CONFIG.model_copy(update={"ceiling": 2.0})).groups}
    assert set(strict) <= set(loose) == {text for text, _ in ASKED.values()}
    assert all(set(q.negatives) <= set(range(len(TEXTS))) for q in loose.values())
    assert sum(len(q.negatives) for q in strict.values()) < sum(
        len(q.negatives) for q in loose.values()
    )


def test_a_second_time_comes_from_the_cache(
    miner: Miner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = miner()
    assert [path.suffix for path in (tmp_path / "mined").iterdir()] == [".json"]
    with monkeypatch.context() as patch:
        patch.setattr(UniMoER, "embed", lambda *args: pytest.fail("embedded again"))
        again = miner()
    assert (list(again.texts), again.groups) == (list(first.texts), first.groups)
    assert list(miner(seed=1).texts) != list(first.texts)  # another order: not the same entry
    assert len(list((tmp_path / "mined").iterdir())) == 2


@pytest.mark.slow
def test_a_damaged_cache_is_mined_anew(miner: Miner, tmp_path: Path) -> None:
    first = miner()
    (kept,) = (tmp_path / "mined").iterdir()
    whole = kept.read_text(encoding="utf-8")
    for damage in (whole[: len(whole) // 2], "{}x", json.dumps([{"query": "only"}])):
        kept.write_text(damage, encoding="utf-8")
        assert miner().groups == first.groups
        assert kept.read_text(encoding="utf-8") == whole


def test_a_failure_leaves_no_partial_file(
    miner: Miner, tmp_path: Path, minilm: UniMoER, shop: BeirDataset
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(
            beir_set(shop),
            ModelSearcher(minilm),
            CONFIG,
            cache=tmp_path / "mined",
            progress=stop,
        )
    assert not list(tmp_path.rglob("*.json*"))
    assert not list(tmp_path.rglob("*.part"))
    assert miner().groups


def test_fewer_passages_and_questions_than_there_are(miner: Miner) -> None:
    mined = miner(Mining(passages=3, questions=2, depth=4, ceiling=2.0))
    assert len(mined.texts) == 3
    assert len(mined.groups) == 2
    assert all(max(*q.negatives, q.positive) < 3 for q in mined.groups)


def test_of_answers_only_each_is_some_question_s(miner: Miner) -> None:
    mined = miner(CONFIG.model_copy(update={"answers_only": True, "ceiling": 2.0}))
    positives = {group.positive for group in mined.groups}
    assert positives == set(range(len(mined.texts)))
    assert any(group.negatives for group in mined.groups)


def test_questions_without_negatives_stay_where_the_recipe_says_so(
    miner: Miner, shop: BeirDataset
) -> None:
    one = replace(shop, qrels={"q2": {"parking": 1}})
    kept = CONFIG.model_copy(update={"ceiling": 0.01, "keep_unmined": True})
    (group,) = miner(kept, dataset=one).groups
    assert group.negatives == ()
    assert group.drawn(1, random.Random(0)) == ([group.positive], ())


def test_a_source_without_negatives_is_refused(miner: Miner, shop: BeirDataset) -> None:
    one = replace(shop, qrels={"q2": {"parking": 1}})
    with pytest.raises(DataError, match=r"shop: none of 1 questions has a hard negative.*ceiling"):
        miner(CONFIG.model_copy(update={"ceiling": 0.01}), dataset=one)


def test_passages_that_answer_nothing_fill_the_pool(miner: Miner, shop: BeirDataset) -> None:
    one = replace(shop, qrels={"q2": {"parking": 1}})
    mined = miner(CONFIG.model_copy(update={"ceiling": None}), dataset=one)
    assert sorted(mined.texts) == sorted(TEXTS.values())
    (group,) = mined.groups
    assert mined.texts[group.positive] == TEXTS["parking"]
    assert len(group.negatives) == CONFIG.depth


WORDS = ("rain", "snow", "wind", "sun", "cloud", "hail", "fog")
passage = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    passages=st.lists(passage, min_size=1, max_size=20),
    query=st.lists(st.sampled_from((*WORDS, "frost")), min_size=1, max_size=4).map(" ".join),
    k=st.integers(1, 8),
    data=st.data(),
)
def test_bm25_against_its_formula(
    passages: list[str], query: str, k: int, data: st.DataObject
) -> None:
    positive = data.draw(st.integers(0, len(passages) - 1))
    encoder = BM25Encoder(average_length=5.0)
    found = BM25Searcher(encoder).search([query], passages, positives=[positive], k=k)
    split = [tokenize(text) for text in passages]
    expected = []
    for terms in split:
        total = 0.0
        for term in tokenize(query):
            n = sum(term in other for other in split)
            idf = math.log(1 + (len(passages) - n + 0.5) / (n + 0.5))
            tf = terms.count(term)
            total += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(terms) / 5.0))
        expected.append(total)
    order = [at for at in np.argsort(-np.float32(expected), kind="stable") if expected[at] > 0][:k]
    got = [int(at) for at in found.passages[0] if at >= 0]
    np.testing.assert_allclose(
        [expected[at] for at in got], [expected[at] for at in order], rtol=1e-5
    )
    np.testing.assert_allclose(found.scores[0][: len(got)], [expected[at] for at in got], rtol=1e-5)
    assert found.positives[0] == pytest.approx(expected[positive], rel=1e-5)


@pytest.fixture(scope="module")
def tiny(tiny_bert: Path) -> UniMoER:
    return UniMoER.from_backbone(
        str(tiny_bert),
        device="cpu",
        dtype="float32",
        experts={"one": ExpertSpec(rank=2, alpha=4)},
        tasks=[Task("embed", "vector", ("one",)), Task("rerank", "late", ("one",))],
    )


def test_search_in_blocks_is_search_at_once(tiny: UniMoER, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choices("abcdefghij", k=6)) for _ in range(40)]
    queries, positives = texts[:7], list(range(6, -1, -1))
    cosines = tiny.embed(queries, "query") @ tiny.embed(texts).T
    monkeypatch.setattr(searchers, "_PASSAGES", 7)
    monkeypatch.setattr(searchers, "_QUERIES", 3)
    done: list[int] = []
    found = ModelSearcher(tiny).search(
        queries, texts, positives=positives, k=9, progress=lambda n, total: done.append(n)
    )
    np.testing.assert_allclose(found.scores, -np.sort(-cosines, axis=1)[:, :9], atol=1e-6)
    rows = np.arange(7)[:, None]
    np.testing.assert_allclose(cosines[rows, found.passages], found.scores, atol=1e-6)
    np.testing.assert_allclose(found.positives, cosines[rows[:, 0], positives], atol=1e-6)
    assert done == [*range(0, 40, 7), 40]
    few = ModelSearcher(tiny).search(queries[:1], texts[:3], positives=[0], k=9)
    assert few.passages.shape == (1, 3)


def test_any_system_of_evaluation_searches(shop: BeirDataset) -> None:
    """Our BM25 in the vector database and the one here find the same, with the same scores."""
    queries, texts = [text for text, _ in ASKED.values()], list(TEXTS.values())
    positives = [list(TEXTS).index(docs[0]) for _, docs in ASKED.values()]
    searcher: Searcher = SystemSearcher(build_system("bm25"), mode="sparse")
    stored = searcher.search(queries, texts, positives=positives, k=3)
    own = BM25Searcher().search(queries, texts, positives=positives, k=3)
    np.testing.assert_array_equal(stored.passages >= 0, own.passages >= 0)
    np.testing.assert_allclose(stored.scores, own.scores, rtol=1e-5)
    among = (stored.passages == np.array(positives)[:, None]).any(axis=1)
    np.testing.assert_allclose(stored.positives[among], own.positives[among], rtol=1e-5)
    assert np.isneginf(stored.positives[~among]).all()
    assert searcher.identity != SystemSearcher(build_system("bm25")).identity


scores = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12)


@given(
    scores=scores,
    positive=st.floats(-5, 5, width=32),
    relevant=st.frozensets(st.integers(0, 11), max_size=4),
    depth=st.integers(1, 6),
    skip=st.integers(0, 3),
    ceiling=st.none() | st.floats(0.1, 1.5),
    margin=st.none() | st.floats(-1, 1),
)
def test_filters_against_their_definition(
    scores: list[float],
    positive: float,
    relevant: frozenset[int],
    depth: int,
    skip: int,
    ceiling: float | None,
    margin: float | None,
) -> None:
    scores = sorted(scores, reverse=True)
    config = Mining(depth=depth, skip=skip, ceiling=ceiling, margin=margin)
    kept = hard_negatives(
        [*range(len(scores)), -1],
        [*scores, -np.inf],
        positive=positive,
        relevant=relevant,
        config=config,
    )
    rank = 0
    expected = []
    for at, score in enumerate(scores):
        if at in relevant:
            continue
        rank += 1
        if rank <= skip or rank > skip + depth:
            continue
        if ceiling is not None and score >= positive - (1 - ceiling) * abs(positive):
            continue
        if margin is not None and score >= positive + margin:
            continue
        expected.append(at)
    assert kept == expected


def test_an_unknown_positive_leaves_no_filtered_negatives() -> None:
    def kept(**filters: float | None) -> list[int]:
        config = Mining(**{"ceiling": None, **filters})  # type: ignore[arg-type]
        return hard_negatives(
            [3, 1], [2.0, 1.0], positive=-np.inf, relevant=frozenset(), config=config
        )

    assert kept() == [3, 1]
    assert kept(margin=0.1) == kept(ceiling=0.95) == []
    assert kept(ceiling=1.0) == kept(ceiling=1.2) == []  # no share of infinity is a number


def test_passages_that_hold_an_answer_are_left_out(shop: BeirDataset, tmp_path: Path) -> None:
    asked = [replace(q, answers=("The Days",)) for q in shop.questions]
    source = beir_set(replace(shop, questions=asked))
    config = Mining(ceiling=None, exclude_answers=True)
    mined = mine(source, BM25Searcher(), config, cache=tmp_path)
    loose = mine(
        source, BM25Searcher(), config.model_copy(update={"exclude_answers": False}), cache=tmp_path
    )
    assert any("days" in loose.texts[n] for g in loose.groups for n in g.negatives)
    assert not any("days" in mined.texts[n] for g in mined.groups for n in g.negatives)


def test_what_groups_have_stays(tmp_path: Path) -> None:
    texts = ["rain and snow", "snow and wind", "sun", "rain and sun", "rain and snow"]
    source = TrainingSet(
        "weather",
        texts,
        [
            Group("rain snow", 0, (0,), (2,)),
            Group("sun", 2, (2,), (1,), scores=(3.0, 1.0)),
        ],
    )
    mined = mine(source, BM25Searcher(), Mining(ceiling=None), cache=tmp_path)
    first, second = sorted(mined.groups, key=lambda group: group.query)
    assert len(mined.texts) == 4  # the last is the first again, and no negative of it
    own, *found = [mined.texts[n] for n in first.negatives]
    assert (own, sorted(found)) == ("sun", ["rain and sun", "snow and wind"])
    assert [mined.texts[n] for n in second.negatives] == ["snow and wind"]
    assert second.scores == (3.0, 1.0)


def test_digests_tell_what_outputs_depend_on(tiny: UniMoER, tiny_bert: Path) -> None:
    def other(**task: Any) -> UniMoER:
        return UniMoER.from_backbone(
            str(tiny_bert),
            device="cpu",
            dtype="float32",
            experts={"two": ExpertSpec(rank=3, alpha=4)},
            tasks=[Task("embed", "vector", ("two",), **task)],
        )

    silent = weights_digest(tiny, "embed")
    # Other experts that are silent too, of other random numbers: the same vectors.
    assert weights_digest(other(), "embed") == silent
    assert weights_digest(other(max_tokens=64), "embed") != silent
    trained = other()
    with torch.no_grad():
        for name, parameter in parameters_by_name(trained).items():
            if name.endswith("lora_B.weight"):
                parameter.add_(0.1)
    assert weights_digest(trained, "embed") != silent


def test_a_teacher_scores_each_group(tiny: UniMoER, tmp_path: Path) -> None:
    source = TrainingSet(
        "letters",
        ["a b c", "d e f", "g h i"],
        [Group("a b", 0, (0,), (2, 1), scores=(1.0, 1.0, 1.0))],
    )
    scored = score_groups(source, ModelTeacher(tiny), cache=tmp_path)
    logits = tiny.rank("a b", ["a b c", "g h i", "d e f"], logits=True)
    assert scored.groups[0].scores == pytest.approx(logits.tolist(), abs=1e-4)
    assert replace(scored.groups[0], scores=source.groups[0].scores) == source.groups[0]
    assert len(list(tmp_path.iterdir())) == 1

    class Broken:
        def describe(self) -> dict[str, str]:
            return {"model": "broken"}

        def rank(self, query: str, documents: Sequence[str]) -> np.ndarray:
            return np.full(len(documents), np.nan, np.float32)

    with pytest.raises(TrainingError, match=r"letters: the teacher scores 'a b' with \[nan"):
        score_groups(source, Broken(), cache=tmp_path)
    again = score_groups(source, ModelTeacher(tiny), cache=tmp_path)
    assert again.groups == scored.groups
    assert len(list(tmp_path.iterdir())) == 1  # the failure left nothing


def test_a_teacher_ranks_as_it_would_rerank(shop: BeirDataset) -> None:
    model = load_own("minilm", device="cpu", dtype="float32")
    model.change_task(replace(model.task("rerank"), feedback=0.7))
    documents = [d.content for d in shop.corpus.values()]
    query = shop.questions[3].text
    found = ModelTeacher(model).rank(query, documents)
    assert found.tolist() == pytest.approx(
        model.rank(query, documents, logits=True).tolist(), abs=1e-3
    )
    alone = model.score(query, documents, logits=True)
    assert sorted(found.tolist()) == pytest.approx(sorted(alone.tolist()), abs=1e-3)
    told = ModelTeacher(model).describe()
    model.change_task(replace(model.task("rerank"), feedback=0.0))
    assert ModelTeacher(model).describe() != told


def test_halves_of_utf16_pairs_are_scored_like_any_text(tmp_path: Path) -> None:
    class Lengths:
        def describe(self) -> dict[str, Any]:
            return {}

        def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
            return np.array([len(d) for d in documents], np.float32)

    source = TrainingSet("odd", ["a\ud800", "b"], [Group("q\udc00", 0, (0,), (1,))])
    for _ in range(2):  # the second time from the cache
        assert score_groups(source, Lengths(), cache=tmp_path).groups[0].scores == (2.0, 1.0)

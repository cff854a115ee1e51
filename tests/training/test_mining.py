"""Hard negatives, mined with the real frozen backbone from a corpus small enough to judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.datasets import BeirDataset, Question
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.types import Document
from unimoer_rag.training.mining import Mined, mine
from unimoer_rag.training.recipe import Mining

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
CONFIG = Mining(sources=("shop",), passages=100, questions=100, depth=4, ceiling=0.95)


@pytest.fixture(scope="module")
def frozen(minilm_path: Path) -> UniMoER:
    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def shop() -> BeirDataset:
    return BeirDataset(
        name="shop",
        split="train",
        corpus={name: Document(text, name) for name, text in TEXTS.items()},
        questions=[Question(qid, text) for qid, (text, _) in ASKED.items()],
        qrels={qid: dict.fromkeys(docs, 1) for qid, (_, docs) in ASKED.items()},
    )


Miner = Callable[..., Mined]


@pytest.fixture
def miner(frozen: UniMoER, shop: BeirDataset, tmp_path: Path) -> Miner:
    def run(config: Mining = CONFIG, *, dataset: BeirDataset = shop, seed: int = 0) -> Mined:
        return mine(frozen, dataset, config, seed=seed, cache=tmp_path / "mined")

    return run


def test_negatives_are_what_the_backbone_ranks_high_and_no_answer(
    miner: Miner, frozen: UniMoER
) -> None:
    mined = miner()
    assert sorted(mined.texts) == sorted(TEXTS.values())
    assert len(mined.questions) >= 5
    vectors = frozen.embed(mined.texts)
    answers: dict[str, set[str]] = {}
    for text, documents in ASKED.values():
        answers.setdefault(text.lower(), set()).update(TEXTS[d] for d in documents)
    for question in mined.questions:
        cosine = frozen.embed([question.query], "query")[0] @ vectors.T
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
    strict = {q.query: q for q in miner(CONFIG.model_copy(update={"ceiling": 0.3})).questions}
    loose = {q.query: q for q in miner(CONFIG.model_copy(update={"ceiling": 2.0})).questions}
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
        assert miner() == first
    assert miner(seed=1) != first  # another seed draws another order: not the same entry
    assert len(list((tmp_path / "mined").iterdir())) == 2


def test_a_damaged_cache_is_mined_anew(miner: Miner, tmp_path: Path) -> None:
    first = miner()
    (kept,) = (tmp_path / "mined").iterdir()
    whole = kept.read_text(encoding="utf-8")
    for damage in (whole[: len(whole) // 2], "{}x", json.dumps([{"query": "only"}])):
        kept.write_text(damage, encoding="utf-8")
        assert miner() == first
        assert kept.read_text(encoding="utf-8") == whole


def test_a_failure_leaves_no_partial_file(
    miner: Miner, tmp_path: Path, frozen: UniMoER, shop: BeirDataset
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine(frozen, shop, CONFIG, seed=0, cache=tmp_path / "mined", progress=stop)
    assert not list(tmp_path.rglob("*.json*"))
    assert not list(tmp_path.rglob("*.part"))
    assert miner().questions


def test_fewer_passages_and_questions_than_there_are(miner: Miner) -> None:
    # `model_construct` passes over the lower bounds, which are for real runs.
    small = Mining.model_construct(**{**CONFIG.model_dump(), "passages": 3, "questions": 2})
    mined = miner(small.model_copy(update={"ceiling": 2.0}))
    assert len(mined.texts) == 3
    assert len(mined.questions) == 2
    assert all(max(*q.negatives, q.positive) < 3 for q in mined.questions)


def test_a_source_without_negatives_is_refused(miner: Miner, shop: BeirDataset) -> None:
    one = replace(shop, qrels={"q2": {"parking": 1}})
    with pytest.raises(DataError, match=r"shop: none of 1 questions has a hard negative.*ceiling"):
        miner(dataset=one)

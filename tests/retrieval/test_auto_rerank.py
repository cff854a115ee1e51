"""`rerank="auto"`: what is reranked, what is not, and where the thresholds come from."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.model.io.places import shipped_checkpoints
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.auto_rerank import CALIBRATION, AutoRerank, certainty, resolve
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Document, Hit, Mode, Passage

DOCUMENTS = [
    Document("Refunds take five working days.", "refunds.md"),
    Document("The library opens at nine and closes at six.", "library.md"),
    Document("A kayak for two weighs thirty kilograms.", "kayak.md"),
    Document("Money goes back to the card that paid.", "card.md"),
    Document("The shop opens at ten and counts its money.", "shop.md"),
]
QUERIES = ["how long do refunds take?", "when does the library open?", "money back to a card"]
MODES: tuple[Mode, ...] = ("dense", "sparse", "hybrid")


@pytest.fixture(scope="module")
def filled(minilm: UniMoER) -> Iterator[UnifiedRetriever]:
    with UnifiedRetriever(minilm) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def every(threshold: float) -> AutoRerank:
    return AutoRerank(dense=threshold, sparse=threshold, hybrid=threshold)


def hits(*scores: float) -> list[Hit]:
    return [
        Hit(Passage(str(n), str(n)), dense=score, sparse=score, fused=1 / (60 + n))
        for n, score in enumerate(scores)
    ]


def shown(found: list[Hit]) -> list[tuple[str, bool]]:
    return [(hit.source, hit.rerank is not None) for hit in found]


# -- searching --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_thresholds_that_nothing_or_everything_reaches(
    filled: UnifiedRetriever, mode: Mode
) -> None:
    never, always = every(-math.inf), every(math.inf)
    for k in (1, 3):
        assert filled.search_batch(QUERIES, k=k, mode=mode, rerank=never) == filled.search_batch(
            QUERIES, k=k, mode=mode, rerank=0
        )
        assert filled.search_batch(QUERIES, k=k, mode=mode, rerank=always) == filled.search_batch(
            QUERIES, k=k, mode=mode, rerank=50
        )


@pytest.mark.parametrize("mode", MODES)
def test_some_are_reranked_and_hits_and_counts_say_which(
    filled: UnifiedRetriever, minilm: UniMoER, mode: Mode
) -> None:
    found = filled.search_batch(QUERIES, k=4, rerank=0, mode=mode)
    certain = [certainty(of_query, mode) for of_query in found]
    low, middle, _ = sorted(certain)
    assert low < middle
    threshold = (low + middle) / 2
    expected = [
        shown(filled.search(query, k=4, mode=mode, rerank=0 if value >= threshold else 50))
        for query, value in zip(QUERIES, certain, strict=True)
    ]
    with UnifiedRetriever(minilm, rerank=every(threshold), mode=mode) as retriever:
        retriever.add(DOCUMENTS)
        assert [shown(of_query) for of_query in retriever.search_batch(QUERIES, k=4)] == expected
        awaited = [asyncio.run(retriever.asearch(query, k=4)) for query in QUERIES]
        assert [shown(of_query) for of_query in awaited] == expected
        stats = retriever.stats
        assert (stats.searches, stats.skipped, stats.reranked) == (6, 4, 2)
        assert stats.share_skipped == pytest.approx(2 / 3)


def test_a_search_that_finds_nothing(filled: UnifiedRetriever) -> None:
    for rerank in (every(-math.inf), every(math.inf)):
        assert filled.search("x", rerank=rerank, filters={"source": "nowhere"}) == []


# -- certainty --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@given(scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60))
def test_certainty_is_a_number_that_more_doubt_lowers(mode: Mode, scores: list[float]) -> None:
    ordered = sorted(scores, reverse=True)
    value = certainty(hits(*ordered), mode)
    assert not math.isnan(value)
    rival = certainty(hits(ordered[0], *ordered), mode)  # one more that is as good as the best
    assert rival <= value + 1e-6


# -- thresholds -------------------------------------------------------------------------------


@pytest.mark.slow
def test_auto_takes_the_calibration_beside_the_checkpoint(minilm: UniMoER, tmp_path: Path) -> None:
    folder = minilm.save_pretrained(tmp_path / "mine")
    model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    with pytest.raises(InputError, match=r"not calibrated for .*mine.*unimoer-rag calibrate"):
        UnifiedRetriever(model, rerank="auto")
    calibration = AutoRerank(dense=0.2, checkpoint=model.checkpoint_digest)
    (folder / CALIBRATION).write_text(json.dumps({"auto_rerank": asdict(calibration)}))
    with UnifiedRetriever(model, rerank="auto") as retriever:
        assert retriever.rerank == calibration
        retriever.search("x", rerank=str(folder / CALIBRATION))
        with pytest.raises(InputError, match="not calibrated for the mode 'hybrid'"):
            retriever.search("x", mode="hybrid")


def test_a_bare_backbone_is_not_calibrated(filled: UnifiedRetriever) -> None:
    with pytest.raises(InputError, match="unimoer-rag calibrate --checkpoint"):
        filled.search("x", rerank="auto")


def test_a_calibration_of_another_checkpoint(filled: UnifiedRetriever) -> None:
    with pytest.raises(InputError, match="calibrated for another checkpoint"):
        filled.search("x", rerank=AutoRerank(dense=0.1, checkpoint="0" * 64))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"auto_rerank": {"dence": 1}}', "nonsense"])
def test_files_that_hold_no_calibration(
    filled: UnifiedRetriever, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "thresholds.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"thresholds\.json is no file of unimoer-rag calibrate"):
        filled.search("x", rerank=str(file))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dense": "high"}, "dense is 'high'"),
        ({"hybrid": math.nan}, "hybrid is nan"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": True}, "depth is True"),
    ],
)
def test_values_that_cannot_be_used(values: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        AutoRerank(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("rerank", ["nowhere.json", 0.5, -1, True])
def test_what_says_nothing_about_reranking(filled: UnifiedRetriever, rerank: object) -> None:
    with pytest.raises(InputError, match="expected a number of results to rerank"):
        filled.search("x", rerank=rerank)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_shipped_checkpoints_are_calibrated(name: str, minilm_path: Path) -> None:
    model = UniMoER.from_pretrained(name, device="cpu", dtype="float32")
    auto = resolve("auto", model)
    assert isinstance(auto, AutoRerank)
    assert auto.checkpoint == model.checkpoint_digest
    assert auto.dense is not None

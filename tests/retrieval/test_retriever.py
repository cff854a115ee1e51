"""UnifiedRetriever over real stores with the real MiniLM."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.errors import (
    IndexLockedError,
    IndexMismatchError,
    InputError,
    StoreError,
    StoreUnavailableError,
    UnimoerError,
)
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.types import Document, Hit

DOCUMENTS = [
    Document(
        "Refunds take five working days. The money goes back to the card that paid.",
        "refunds.md",
        "Refunds",
        {"year": 2023, "tag": ["money", "shop"]},
    ),
    Document("The library opens at nine and closes at six.", "library.md", "", {"year": 2019}),
    Document("A kayak for two weighs thirty kilograms.", "kayak.md", "", {"year": 2024}),
    Document("Paris is the capital of France.", "paris.md"),
]
QUERY = "how long do refunds take?"


@pytest.fixture(scope="module")
def filled(minilm: UniMoER) -> Iterator[UnifiedRetriever]:
    """An index in memory with DOCUMENTS; tests leave it as it is."""
    with UnifiedRetriever(minilm) as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


@pytest.fixture(params=["memory", "folder"])
def retriever(
    request: pytest.FixtureRequest, minilm: UniMoER, tmp_path: Path
) -> Iterator[UnifiedRetriever]:
    folder = tmp_path / "index" if request.param == "folder" else None
    with UnifiedRetriever(minilm, index=folder) as retriever:
        yield retriever


def given(hit: Hit) -> set[str]:
    return {n for n in ("dense", "sparse", "fused", "rerank") if getattr(hit, n) is not None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "rerank", "scores"),
    [
        ("dense", 0, {"dense"}),
        ("sparse", 0, {"sparse"}),
        ("hybrid", 0, {"dense", "sparse", "fused"}),
        ("dense", 10, {"dense", "rerank"}),
        ("sparse", 10, {"sparse", "rerank"}),
        ("hybrid", 10, {"dense", "sparse", "fused", "rerank"}),
    ],
)
def test_every_mode_finds_and_tells_its_scores(
    filled: UnifiedRetriever, mode: str, rerank: int, scores: set[str]
) -> None:
    hits = filled.search(QUERY, mode=mode, rerank=rerank)  # type: ignore[arg-type]
    assert hits[0].source == "refunds.md"
    assert given(hits[0]) == scores
    last = "rerank" if rerank else "fused" if mode == "hybrid" else mode
    assert [hit.score for hit in hits] == [getattr(hit, last) for hit in hits]
    assert hits == sorted(hits, key=lambda hit: -hit.score)


def test_scores_are_the_models(filled: UnifiedRetriever, minilm: UniMoER) -> None:
    hits = filled.search(QUERY, k=4, rerank=4)
    contents = [hit.passage.content for hit in hits]
    cosines = minilm.embed(contents) @ minilm.embed([QUERY], "query")[0]
    np.testing.assert_allclose([hit.dense for hit in hits], cosines, atol=1e-4)
    np.testing.assert_allclose(
        [hit.rerank for hit in hits], minilm.score(QUERY, contents), atol=1e-5
    )


def test_feedback_orders_the_hits(minilm: UniMoER, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        "How long does it take to paddle a kayak?",
        "The money goes back to the card that paid.",
    ]
    with UnifiedRetriever(minilm) as retriever:
        retriever.add([DOCUMENTS[0], *(Document(text, f"{text[:3]}.md") for text in said)])
        plain = retriever.search(QUERY, k=3, rerank=3)
        task = replace(minilm.task("rerank"), feedback=0.4)
        monkeypatch.setattr(minilm, "spec", minilm.spec.changed(task))
        hits = retriever.search(QUERY, k=3, rerank=3)
        assert asyncio.run(retriever.asearch(QUERY, k=3, rerank=3)) == hits
    # What stands in the best passage word for word passes what shares words with the query.
    assert [hit.passage.text for hit in plain[1:]] == said
    assert [hit.passage.text for hit in hits[1:]] == said[::-1]
    # The scores are those of the pairs, in another order.
    contents = [hit.passage.content for hit in hits]
    scores = [hit.rerank for hit in hits]
    np.testing.assert_allclose(scores, minilm.rank(QUERY, contents), atol=1e-5)
    np.testing.assert_allclose(scores, [hit.rerank for hit in plain], atol=1e-5)


@pytest.mark.slow
def test_on_disk_is_as_in_memory(filled: UnifiedRetriever, minilm: UniMoER, tmp_path: Path) -> None:
    with UnifiedRetriever(minilm, index=tmp_path / "index") as first:
        first.add(DOCUMENTS)
    with UnifiedRetriever(minilm, index=tmp_path / "index") as second:
        assert second.count() == 4
        for mode in ("dense", "sparse", "hybrid"):
            found, expected = (r.search(QUERY, mode=mode) for r in (second, filled))
            assert [hit.id for hit in found] == [hit.id for hit in expected]
            np.testing.assert_allclose(
                [h.score for h in found], [h.score for h in expected], atol=1e-4
            )


def test_a_call_overrides_k_rerank_and_filters(filled: UnifiedRetriever) -> None:
    assert len(filled.search(QUERY)) == 4  # fewer than k and rerank, which is fine
    assert len(filled.search(QUERY, k=1)) == 1
    # All k hits are reranked, however few rerank asks for.
    assert all(hit.rerank is not None for hit in filled.search(QUERY, k=3, rerank=1))
    recent = filled.search(QUERY, filters={"year": {"gte": 2020}})
    assert {hit.source for hit in recent} == {"refunds.md", "kayak.md"}
    assert [h.source for h in filled.search(QUERY, filters={"tag": "shop"})] == ["refunds.md"]
    assert filled.search(QUERY, filters={"source": "nowhere.md"}) == []


def test_hybrid_where_one_side_finds_nothing(filled: UnifiedRetriever) -> None:
    hits = filled.search("zzyzx", mode="hybrid")
    assert filled.search("zzyzx", mode="sparse") == []
    assert len(hits) == 4
    assert all(given(hit) == {"dense", "fused", "rerank"} for hit in hits)


@pytest.mark.slow
def test_a_batch_is_its_single_searches(filled: UnifiedRetriever) -> None:
    queries = [QUERY, "zzyzx", "opening hours", "capital of France"] * 20  # several blocks
    for mode in ("sparse", "hybrid"):
        together = filled.search_batch(queries, k=2, mode=mode)
        for query, hits in zip(queries[:4], together, strict=False):
            alone = filled.search(query, k=2, mode=mode)
            assert [hit.id for hit in hits] == [hit.id for hit in alone]
        assert [[h.id for h in hits] for hits in together[:4] * 20] == [
            [h.id for h in hits] for hits in together
        ]
    assert filled.search_batch([]) == []


async def test_async_searches_are_the_sync_ones(filled: UnifiedRetriever) -> None:
    queries = [document.text for document in DOCUMENTS] * 8
    found = await asyncio.gather(*(filled.asearch(query, mode="hybrid") for query in queries))
    expected = filled.search_batch(queries, mode="hybrid")
    assert [[h.id for h in hits] for hits in found] == [[h.id for h in hits] for hits in expected]
    assert (await filled.asearch("zzyzx", mode="sparse")) == []
    with pytest.raises(InputError, match="the query is empty"):
        await filled.asearch(" ")


def test_an_empty_index_finds_nothing(retriever: UnifiedRetriever) -> None:
    for mode in ("dense", "sparse", "hybrid"):
        assert retriever.search(QUERY, mode=mode) == []
    report = retriever.add([])
    assert (report.documents, report.passages, retriever.count()) == (0, 0, 0)
    assert retriever.search_batch([QUERY, "other"]) == [[], []]


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_is_a_number_of_hits(filled: UnifiedRetriever, k: int) -> None:
    with pytest.raises(InputError, match=f"k is {k!r}: expected a whole number"):
        filled.search(QUERY, k=k)


def test_bad_searches_are_refused(filled: UnifiedRetriever) -> None:
    with pytest.raises(InputError, match="rerank is -1"):
        filled.search(QUERY, rerank=-1)
    with pytest.raises(InputError, match="unknown mode 'fuzzy': expected one of dense, sparse"):
        filled.search(QUERY, mode="fuzzy")  # type: ignore[arg-type]
    for mode in ("dense", "sparse", "hybrid"):
        with pytest.raises(InputError, match="query 1 is empty"):
            filled.search_batch(["fine", " \n"], mode=mode)
    with pytest.raises(InputError, match="list of queries"):
        filled.search_batch(QUERY)
    with pytest.raises(InputError, match="text must be a str, got int"):
        filled.search(7)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown operator"):
        filled.search(QUERY, filters={"year": {"above": 1}})
    assert filled.search("lone \ud800 surrogate refunds", mode="hybrid")


def test_bad_arguments_are_refused(minilm: UniMoER, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not both"):
        UnifiedRetriever(minilm, index=tmp_path / "index", url="http://localhost:6333")
    with pytest.raises(InputError, match="chunking is 'none'"):
        UnifiedRetriever(minilm, chunking="none")
    with pytest.raises(InputError, match="k is 0"):
        UnifiedRetriever(minilm, k=0)
    assert not (tmp_path / "index").exists()


def test_a_server_that_is_down(minilm: UniMoER) -> None:
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:9"):
        UnifiedRetriever(minilm, url="http://127.0.0.1:9")


def test_a_model_by_name_is_shared(minilm: UniMoER) -> None:
    options = {"device": "cpu", "dtype": "float32"}
    with UnifiedRetriever("minilm", **options) as a, UnifiedRetriever(minilm) as b:  # type: ignore[arg-type]
        assert a.model is minilm
        assert a.engine is b.engine


def test_a_closed_retriever_says_so(minilm: UniMoER, tmp_path: Path) -> None:
    retriever = UnifiedRetriever(minilm, index=tmp_path / "index")
    retriever.close()
    retriever.close()
    with pytest.raises(StoreError, match="closed"):
        retriever.search(QUERY)
    with pytest.raises(StoreError, match="closed"):
        retriever.add(DOCUMENTS)
    with UnifiedRetriever(minilm, index=tmp_path / "index") as again:  # the lock was freed
        assert again.count() == 0


@pytest.mark.slow
def test_a_held_index_is_refused(minilm: UniMoER, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    code = (
        "import sys; from unimoer_rag.retrieval.store import EdgeStore; "
        "store = EdgeStore(sys.argv[1], dimension=384); print('open', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(IndexLockedError, match="in use by another process"):
            UnifiedRetriever(minilm, index=folder)
        other.communicate("")
    UnifiedRetriever(minilm, index=folder).close()


@pytest.mark.slow
def test_an_index_of_other_chunking_or_model(minilm: UniMoER, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with UnifiedRetriever(minilm, index=folder, chunking=Chunking(40, 8)) as retriever:
        retriever.add(DOCUMENTS)
    with UnifiedRetriever(minilm, index=folder) as retriever:
        assert retriever.chunking == Chunking(40, 8)  # the index's own
    for other in (Chunking(), "whole"):
        with pytest.raises(IndexMismatchError, match="leave chunking out"):
            UnifiedRetriever(minilm, index=folder, chunking=other)
    stranger = UniMoER.from_backbone(
        "minilm", device="cpu", dtype="float32", query_instruction="search: "
    )
    with pytest.raises(IndexMismatchError, match=r"minilm.*open it with that model, or index"):
        UnifiedRetriever(stranger, index=folder)
    with UnifiedRetriever(minilm, index=folder) as retriever:  # no refusal kept the lock
        assert retriever.count() == 4


@pytest.mark.slow
def test_searching_while_another_thread_adds(retriever: UnifiedRetriever) -> None:
    retriever.add(DOCUMENTS)
    texts = [f"Note {n} is about number {n}." for n in range(60)]
    adding = threading.Thread(target=retriever.add, args=(texts,))
    adding.start()
    while adding.is_alive():
        assert retriever.search(QUERY, k=1, mode="hybrid")[0].source == "refunds.md"
    adding.join()
    assert retriever.count() == 64


def test_documents_that_are_cut_already(minilm: UniMoER) -> None:
    text = "A kayak weighs thirty kilograms. " * 8
    with UnifiedRetriever(minilm, chunking=Chunking(size=16, overlap=4)) as retriever:
        whole = retriever.add([Document(text, "a.md")], whole=True)
        assert (whole.added, retriever.count()) == (1, 1)
        cut = retriever.add([Document(text, "a.md")])
        assert cut.added == retriever.count() > 1
        assert cut.removed == 1


def test_deleting(retriever: UnifiedRetriever) -> None:
    retriever.add(DOCUMENTS)
    assert retriever.delete(filters={"source": "refunds.md"}) == 1
    assert retriever.delete(filters={"source": "refunds.md"}) == 0
    assert all(hit.source != "refunds.md" for hit in retriever.search(QUERY, mode="hybrid"))
    best = retriever.search("kayak", k=1)[0]
    assert retriever.delete([best.id]) == 1
    assert retriever.count() == 2
    with pytest.raises(InputError, match="exactly one"):
        retriever.delete()


def test_an_open_index_does_not_travel(retriever: UnifiedRetriever) -> None:
    for send in (pickle.dumps, copy.deepcopy):
        with pytest.raises(UnimoerError, match="holds an open index and cannot be pickled"):
            send(retriever)

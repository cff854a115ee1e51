"""The retriever: the hits of a `UnifiedRetriever`, and its index by settings that a file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.retrievers import MultiQueryTextRetriever
from haystack.utils import Secret
from haystack_helpers import EXACT, QUERY, close
from haystack_integrations.components.retrievers.unimoer import UniMoERRetriever

from unimoer_rag import Document, UnifiedRetriever
from unimoer_rag.errors import InputError, StoredIndexError
from unimoer_rag.retrieval import Hit, QueryCache
from unimoer_rag.retrieval.types import Passage


def by(field: str, operator: str, value: object) -> dict[str, Any]:
    return {"field": f"meta.{field}", "operator": operator, "value": value}


@pytest.mark.parametrize(
    "settings", [{}, {"top_k": 2, "mode": "sparse", "rerank": 0}, {"top_k": 4, "rerank": 0}]
)
def test_documents_are_the_retrievers_hits(
    handbook: UnifiedRetriever, settings: dict[str, Any]
) -> None:
    found = UniMoERRetriever(handbook, **settings).run(QUERY)["documents"]
    hits = handbook.search(QUERY, **{("k" if n == "top_k" else n): v for n, v in settings.items()})
    assert [d.id for d in found] == [hit.id for hit in hits]
    assert [d.content for d in found] == [hit.text for hit in hits]
    close([d.score for d in found], [hit.score for hit in hits])
    for document, hit in zip(found, hits, strict=True):
        assert document.meta.items() >= dict(hit.metadata).items()
        assert document.meta["source"] == hit.source
        assert document.meta["title"] == hit.title
        assert document.meta["split_idx_start"] == hit.start
        assert ("retrieval_score" in document.meta) == (hit.rerank is not None)


def test_what_a_passage_knows_of_its_place_is_told() -> None:
    from haystack_integrations.components.retrievers.unimoer.documents import to_document

    passage = Passage("text", "a.pdf", start=7, end=11, page=3, document_id="x", metadata={"n": 1})
    document = to_document(Hit(passage, dense=0.25, rerank=0.5))
    assert document.meta == {
        **{"source": "a.pdf", "document_id": "x", "page_number": 3, "split_idx_start": 7},
        **{"n": 1, "retrieval_score": 0.25},
    }
    assert (document.id, document.score) == (passage.id, 0.5)


def test_a_calls_settings_go_before_the_components(handbook: UnifiedRetriever) -> None:
    retriever = UniMoERRetriever(handbook, top_k=1)
    assert len(retriever.run(QUERY)["documents"]) == 1
    found = retriever.run(QUERY, top_k=3)["documents"]
    assert len(found) == 3
    least = found[1].score
    kept = retriever.run(QUERY, top_k=3, score_threshold=least)["documents"]
    assert [d.id for d in kept] == [d.id for d in found[:2]]
    strict = UniMoERRetriever(handbook, score_threshold=2.0)
    assert strict.run(QUERY)["documents"] == []


def test_filters_of_a_call_replace_or_join_the_components(handbook: UnifiedRetriever) -> None:
    here = by("source", "==", "returns-and-refunds.md")
    others = by("words", "<", 0)  # which none has
    for policy, expected in (("replace", {"store-hours.md"}), ("merge", set())):
        retriever = UniMoERRetriever(handbook, filters=others, filter_policy=policy)
        assert retriever.run(QUERY)["documents"] == []
        found = retriever.run(QUERY, filters=by("source", "==", "store-hours.md"))["documents"]
        assert {d.meta["source"] for d in found} == expected
    found = UniMoERRetriever(handbook, filters=here).run(QUERY)["documents"]
    assert {d.meta["source"] for d in found} == {"returns-and-refunds.md"}


@pytest.mark.slow
async def test_awaited_it_does_the_same_and_blocks_nothing(
    handbook: UnifiedRetriever, while_held: Callable[..., Any]
) -> None:
    retriever = UniMoERRetriever(handbook, top_k=2)
    [found] = await while_held(retriever.run_async(QUERY))
    assert found == retriever.run(QUERY)


@pytest.mark.slow
def test_an_index_by_its_settings_is_opened_when_warm_and_read_beside_its_writer(
    tmp_path: Path, tiny_bert: Path
) -> None:
    settings = {"index": str(tmp_path / "index"), "mode": "sparse", "rerank": 0}
    retriever = UniMoERRetriever(settings, top_k=1)
    with pytest.raises(StoredIndexError, match="there is no index at"):
        retriever.warm_up()
    assert not (tmp_path / "index").exists()
    with UnifiedRetriever(str(tiny_bert), index=tmp_path / "index") as writer:
        writer.add([Document("Refunds take 14 days.", "a"), Document("A kayak.", "b")])
        found = retriever.run("refunds")["documents"]
        assert [d.meta["source"] for d in found] == ["a"]
        retriever.close()
        writer.add([Document("Refunds and refunds.", "c")])
        assert len(retriever.run("refunds", top_k=5)["documents"]) == 2  # opened again
        retriever.close()


def test_a_written_component_searches_as_the_one_it_was_written_from(
    handbook: UnifiedRetriever,
) -> None:
    rerank, filters = 5, by("words", ">", 0)
    retriever = UniMoERRetriever(handbook, rerank=rerank, filters=filters, score_threshold=0.01)
    data = retriever.to_dict()
    given = data["init_parameters"]
    index = str(handbook.settings.index)
    assert given["retriever"] == {"index": index, "rerank": 10, **EXACT}
    assert (given["top_k"], given["filter_policy"]) == (3, "replace")
    again = UniMoERRetriever.from_dict(data)
    assert again.to_dict() == data
    try:
        assert again.run(QUERY) == retriever.run(QUERY)
    finally:
        again.close()
    assert handbook.count()  # closing one leaves the other open


def test_a_key_is_written_as_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "very-secret")
    settings = {"url": "http://127.0.0.1:9", "model": "minilm"}
    retriever = UniMoERRetriever(settings, api_key=Secret.from_env_var("SHOP_KEY"))
    pipeline = Pipeline()
    pipeline.add_component("retriever", retriever)
    text = pipeline.dumps()
    assert "SHOP_KEY" in text
    assert "very-secret" not in text
    again = Pipeline.loads(text).get_component("retriever")
    assert again.to_dict() == retriever.to_dict()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "index is in memory"),
        ({"index": "here", "query_cache": QueryCache(3)}, "query_cache is a QueryCache"),
    ],
)
def test_what_no_file_can_hold_is_not_written(
    settings: dict[str, Any],
    said: str,
    tiny_bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    unified = UnifiedRetriever(str(tiny_bert), **settings)
    with unified, pytest.raises(InputError, match=said):
        UniMoERRetriever(unified).to_dict()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retriever": "handbook.index"}, "retriever is a str: expected a UnifiedRetriever"),
        ({"retriever": {}}, "expected where the index is"),
        ({"retriever": {"index": "a", "url": "http://b"}}, "expected where the index is"),
        ({"retriever": {"index": "a", "modes": "dense"}}, "retriever: modes: "),
        ({"retriever": {"index": "a", "mode": "fuzzy"}}, "retriever: mode: "),
        ({"top_k": 0}, "top_k is 0"),
        ({"mode": "fuzzy"}, "unknown mode 'fuzzy'"),
        ({"rerank": -1}, "rerank is -1"),
        ({"filters": {"year": 3}}, "has no 'operator'"),
        ({"filter_policy": "append"}, "expected 'replace' or 'merge'"),
        ({"filter_policy": None}, "expected 'replace' or 'merge'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    handbook: UnifiedRetriever, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        UniMoERRetriever(**{"retriever": handbook, **settings})


def test_several_queries_are_asked_by_the_frameworks_own_component(
    handbook: UnifiedRetriever,
) -> None:
    retriever = UniMoERRetriever(handbook, top_k=2)
    many = MultiQueryTextRetriever(retriever=retriever)
    queries = ["refund time", "money back", "opening hours"]
    found = many.run(queries, retriever_kwargs={"filters": by("words", ">", 0)})["documents"]
    single = {d.id for query in queries for d in retriever.run(query)["documents"]}
    assert {d.id for d in found} == single
    assert len(found) == len(single)

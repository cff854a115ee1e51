"""UniMoERRetriever: LangChain's standard tests, what documents hold, settings, and indexing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_helpers import EXACT, QUERY, assert_same, plain, scores, sources
from langchain_tests.integration_tests import RetrieversIntegrationTests
from langchain_text_splitters import RecursiveCharacterTextSplitter
from langchain_unimoer import UniMoERCompressor, UniMoERRetriever
from langchain_unimoer.documents import to_langchain
from pydantic import ValidationError

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import types
from unimoer_rag.retrieval.retriever import UnifiedRetriever

REFUNDS = Document(
    "Refunds take five working days.",
    id="mine",
    metadata={"source": "refunds.md", "title": "Refunds", "page": 3, "tag": ["money"]},
)
KAYAK = Document("A kayak for two weighs thirty kilograms.", metadata={"source": "kayak.md"})


class TestStandard(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, filled: UnifiedRetriever) -> None:
        self.filled = filled

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return UniMoERRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.filled}

    @property
    def retriever_query_example(self) -> str:
        return QUERY


@pytest.fixture
def retriever(filled: UnifiedRetriever) -> UniMoERRetriever:
    return UniMoERRetriever(retriever=filled)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[UniMoERRetriever]:
    with UnifiedRetriever(**EXACT, chunking="whole") as unified:
        yield unified.as_langchain()


# -- documents out ----------------------------------------------------------------------------


def test_a_document_tells_all_of_its_hit(filled: UnifiedRetriever) -> None:
    hit = filled.search(QUERY, k=1)[0]
    (document,) = UniMoERRetriever(retriever=filled, k=1).invoke(QUERY)
    assert document.id == hit.id
    assert document.page_content == hit.text
    assert plain(document).metadata == {
        "year": 2023,
        "tag": ["money", "shop"],
        "source": "refunds.md",
        "title": "Refunds",
        "start_index": 0,
        "end_index": len(hit.text),
    }
    assert hit.rerank is not None
    assert hit.rerank > 0.5
    assert scores(document) == pytest.approx(
        {"relevance_score": hit.rerank, "retrieval_score": hit.dense}, abs=1e-5
    )
    assert {type(score) for score in scores(document).values()} == {float}


@pytest.mark.parametrize(
    ("mode", "score"), [("dense", "dense"), ("sparse", "sparse"), ("hybrid", "fused")]
)
async def test_the_retrieval_score_is_the_first_stages(
    filled: UnifiedRetriever, mode: Any, score: str
) -> None:
    hits = filled.search(QUERY, rerank=0, mode=mode)
    retriever = UniMoERRetriever(retriever=filled, rerank=0, mode=mode)
    for documents in (retriever.invoke(QUERY), await retriever.ainvoke(QUERY)):
        assert [document.id for document in documents] == [hit.id for hit in hits]
        for document, hit in zip(documents, hits, strict=True):
            assert scores(document) == pytest.approx({"retrieval_score": getattr(hit, score)})
            assert ("title" in document.metadata) == bool(hit.passage.title)


@pytest.mark.slow
def test_offsets_are_those_of_the_text_it_was_cut_from() -> None:
    text = " ".join(f"Boat {n} weighs {n * 7} kilograms and carries {n} people." for n in range(60))
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=1200, chunk_overlap=0, add_start_index=True
    )
    splits = splitter.split_documents([Document(text, metadata={"source": "boats.md"})])
    assert len(splits) > 1
    retriever = UniMoERRetriever.from_documents(splits, **EXACT, k=20)  # cuts them further
    documents = retriever.invoke("how heavy is boat 50?")
    assert len(documents) > len(splits)
    for document in documents:
        start, end = document.metadata["start_index"], document.metadata["end_index"]
        assert text[start:end] == document.page_content
    assert retriever.add_documents(documents).documents == len(documents)  # also comes in again


def test_a_page_is_told_where_there_is_one() -> None:
    passage = types.Passage("Text.", "a.pdf", page=7)
    assert to_langchain(types.Hit(passage, dense=0.5)).metadata["page"] == 7
    own = replace(passage, metadata={"page": "vii"})
    assert to_langchain(types.Hit(own, dense=0.5)).metadata["page"] == "vii"
    assert "page" not in to_langchain(types.Hit(replace(passage, page=None), dense=0.5)).metadata


def test_what_is_found_is_the_callers_own(filled: UnifiedRetriever) -> None:
    (document,) = filled.as_langchain(k=1, rerank=0).invoke(QUERY)
    document.metadata["tag"].append("changed")
    document.metadata["year"] = 1
    (again,) = filled.as_langchain(k=1, rerank=0).invoke(QUERY)
    assert (again.metadata["tag"], again.metadata["year"]) == (["money", "shop"], 2023)


# -- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"k": 2},
        {"rerank": 0},
        {"mode": "sparse"},
        {"mode": "hybrid", "rerank": 3, "k": 3},
        {"filters": {"year": {"gte": 2020}}},
        {"filters": {"tag": ["shop"]}, "mode": "hybrid"},
    ],
)
async def test_settings_of_the_retriever_and_of_a_call(
    filled: UnifiedRetriever, settings: dict[str, Any]
) -> None:
    hits = filled.search(QUERY, **settings)
    assert hits != filled.search(QUERY)
    own, call = UniMoERRetriever(retriever=filled, **settings), filled.as_langchain()
    for documents in (
        own.invoke(QUERY),
        await own.ainvoke(QUERY),
        call.invoke(QUERY, **settings),
        await call.ainvoke(QUERY, **settings),
        call.bind(**settings).invoke(QUERY),
        await call.bind(**settings).ainvoke(QUERY),
    ):
        assert [document.id for document in documents] == [hit.id for hit in hits]
        reranked = ["relevance_score" in document.metadata for document in documents]
        assert reranked == [hit.rerank is not None for hit in hits]


async def test_a_calls_settings_go_before_the_retrievers(filled: UnifiedRetriever) -> None:
    own = filled.as_langchain(k=1, filters={"source": "paris.md"}, mode="sparse", rerank=0)
    assert own.invoke("capital") != []
    for documents in (
        own.invoke(QUERY, k=3, filters={}, mode="dense", rerank=5),
        await own.ainvoke(QUERY, k=3, filters={}, mode="dense", rerank=5),
    ):
        assert_same(documents, UniMoERRetriever(retriever=filled, k=3).invoke(QUERY))


def test_the_unified_retrievers_settings_hold_where_none_are_given() -> None:
    with UnifiedRetriever(**EXACT, k=1, rerank=0, mode="sparse") as unified:
        unified.add(["a kayak", "a canoe and a kayak"])
        (document,) = unified.as_langchain().invoke("kayak")
    assert list(scores(document)) == ["retrieval_score"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k is 0: expected a whole number of hits"),
        ({"rerank": -1}, "rerank is -1"),
        ({"mode": "fuzzy"}, "unknown mode 'fuzzy'"),
        ({"filters": {"year": {"above": 1}}}, "filter 'year' has unknown operator 'above'"),
        ({"top_k": 3}, "takes no 'top_k': write k="),
        ({"filter": {"year": 2023}}, "takes no 'filter': write filters="),
        ({"search_kwargs": {"k": 3}}, "takes no 'search_kwargs': give what is in it by itself"),
        ({"search_type": "mmr"}, "takes no 'search_type': write mode="),
        ({"revision": "main"}, r"takes no 'revision': load it by model=UniMoER.from_pretrained\("),
        ({"colour": "red"}, "takes no 'colour': expected name, .* mode, filters"),
        ({"score_threshold": 80}, "score_threshold is 80: expected a number from 0 to 1"),
        ({"retriever": "handbook.index"}, "expected a UnifiedRetriever, got a str"),
    ],
)
def test_bad_settings_are_refused(
    filled: UnifiedRetriever, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        UniMoERRetriever(**{"retriever": filled, **settings})


async def test_bad_settings_of_a_call_are_refused(retriever: UniMoERRetriever) -> None:
    with pytest.raises(InputError, match="k is 0"):
        retriever.invoke(QUERY, k=0)
    with pytest.raises(InputError, match="unknown mode 'fuzzy'"):
        await retriever.ainvoke(QUERY, mode="fuzzy")
    with pytest.raises(InputError, match="takes no 'top_k': write k="):
        retriever.invoke(QUERY, top_k=3)
    with pytest.raises(InputError, match="takes no 'filter': write filters="):
        await retriever.ainvoke(QUERY, filter={"source": "a.md"})
    with pytest.raises(InputError, match="score_threshold is 2: expected a number from 0 to 1"):
        retriever.invoke(QUERY, score_threshold=2)
    with pytest.raises(InputError, match="the query is empty"):
        retriever.invoke(" ")


async def test_what_is_less_relevant_than_the_threshold_is_left_out(
    filled: UnifiedRetriever,
) -> None:
    every = filled.as_langchain(k=4).invoke(QUERY)
    scored = [document.metadata["relevance_score"] for document in every]
    between = (scored[0] + scored[1]) / 2
    some = filled.as_langchain(k=4, score_threshold=between)
    for found in (
        some.invoke(QUERY),
        await filled.as_langchain(k=4).ainvoke(QUERY, score_threshold=between),
    ):
        assert [document.id for document in found] == [every[0].id]
    assert len(some.invoke(QUERY, score_threshold=0.0)) == 4
    assert some.invoke(QUERY, score_threshold=1) == []


def test_as_langchain_passes_every_setting(filled: UnifiedRetriever) -> None:
    retriever = filled.as_langchain(k=2, tags=["handbook"], metadata={"team": "shop"}, name="hb")
    assert retriever.retriever is filled
    assert (retriever.k, retriever.tags, retriever.metadata) == (2, ["handbook"], {"team": "shop"})
    assert retriever.get_name() == "hb"
    assert len(retriever.invoke(QUERY)) == 2


# -- documents in -----------------------------------------------------------------------------


async def test_documents_are_indexed_and_found_again(empty: UniMoERRetriever) -> None:
    report = empty.add_documents([REFUNDS])
    assert (report.documents, report.added) == (1, 1)
    assert (await empty.aadd_documents([KAYAK, REFUNDS])).added == 1
    (document,) = empty.invoke(QUERY, k=1)
    assert plain(document).metadata == {
        **REFUNDS.metadata,
        "document_id": "mine",
        "start_index": 0,
        "end_index": 31,
    }
    assert document.page_content == REFUNDS.page_content
    assert document.id != "mine"
    assert sources(empty.invoke(QUERY, filters={"tag": "money", "page": 3})) == ["refunds.md"]


def test_chunks_of_a_source_may_come_in_many_calls(empty: UniMoERRetriever) -> None:
    chunks = [Document(f"Boat {n} is blue.", metadata={"source": "boats.md"}) for n in range(9)]
    assert empty.add_documents(chunks[:4]).added == 4
    report = empty.add_documents(chunks[3:])
    assert (report.added, report.unchanged, report.removed) == (5, 1, 0)
    assert len(empty.invoke("boats", k=20)) == 9
    twice = empty.add_documents([chunks[0], chunks[1], chunks[0]])
    assert (twice.documents, twice.passages, twice.removed) == (3, 2, 0)


def test_a_source_is_replaced_where_that_is_asked_for(empty: UniMoERRetriever) -> None:
    chunks = [Document(f"Boat {n} is blue.", metadata={"source": "boats.md"}) for n in range(9)]
    empty.add_documents([*chunks, KAYAK])
    report = empty.add_documents(chunks[:3], replace=True)
    assert (report.unchanged, report.removed) == (3, 6)
    assert empty.retriever.count() == 4


async def test_an_id_names_a_document_of_its_source(empty: UniMoERRetriever) -> None:
    def boats(*said: str) -> list[Document]:
        return [
            Document(text, id=f"boat-{n}", metadata={"source": "boats.md"})
            for n, text in enumerate(said)
        ]

    other = Document("Boats are for hire.", metadata={"source": "boats.md"})
    assert empty.add_documents([*boats("Boat 0 is blue.", "Boat 1 is red."), other]).added == 3
    report = await empty.aadd_documents([*boats("Boat 0 is green.", "Boat 1 is red."), other])
    assert (report.documents, report.added, report.unchanged, report.removed) == (3, 1, 2, 1)
    found = empty.invoke("boats", k=9)
    assert {
        (document.page_content, document.metadata.get("document_id")) for document in found
    } == {
        ("Boat 0 is green.", "boat-0"),
        ("Boat 1 is red.", "boat-1"),
        ("Boats are for hire.", None),
    }


def test_an_id_names_a_document_without_a_source(empty: UniMoERRetriever) -> None:
    empty.add_documents([Document("Boat 1 is red.", id="boat-1")])
    assert empty.add_documents([Document("Boat 1 is blue.", id="boat-1")]).removed == 1
    (document,) = empty.invoke("boats")
    assert (document.page_content, document.metadata["source"]) == ("Boat 1 is blue.", "boat-1")


def test_one_text_under_two_ids_is_two_documents(empty: UniMoERRetriever) -> None:
    empty.add_documents(
        [Document("Closed.", id=day, metadata={"source": "hours.md"}) for day in ("sat", "sun")]
    )
    assert empty.retriever.count() == 2


def test_documents_without_a_source_are_named_by_their_text(empty: UniMoERRetriever) -> None:
    empty.add_documents([Document("A canoe."), Document("A raft.", metadata={"source": ""})])
    assert empty.add_documents([Document("A kayak."), Document("A raft.")]).added == 1
    found = empty.invoke("boats")
    assert len(found) == len(set(sources(found))) == 3
    # The name that `UnifiedRetriever.add` gives them too.
    assert empty.retriever.add(["A canoe.", "A raft."]).unchanged == 2


def test_scores_of_an_earlier_search_do_not_come_back(empty: UniMoERRetriever) -> None:
    empty.add_documents([KAYAK])
    empty.add_documents(empty.invoke("boat"))
    (document,) = empty.invoke("boat", rerank=0)
    assert list(scores(document)) == ["retrieval_score"]


async def test_metadata_of_any_kind_are_coerced(empty: UniMoERRetriever) -> None:
    document = Document(
        "A kayak.",
        metadata={
            "source": Path("docs/boats.md"),
            "title": None,
            "day": date(2024, 2, 29),
            "price": Decimal("19.5"),
            "pages": [1, 2],
            "size": np.float32(0.5),
            "key": UUID(int=1),
            "author": None,
            "loc": {"lines": (1, 2)},
            7: "seven",
        },
    )
    empty.add_documents([document])
    await empty.aadd_documents([document])
    (found,) = empty.invoke("boat", filters={"day": "2024-02-29", "pages": 2, "price": {"gt": 19}})
    assert plain(found).metadata == {
        "source": "docs/boats.md",
        "day": "2024-02-29",
        "price": 19.5,
        "pages": [1, 2],
        "author": None,
        "loc": {"lines": [1, 2]},
        "size": 0.5,
        "key": "00000000-0000-0000-0000-000000000001",
        "7": "seven",
        "start_index": 0,
        "end_index": 8,
    }


def test_filters_take_the_values_that_metadata_took(empty: UniMoERRetriever) -> None:
    metadata = {
        "source": Path("docs/boats.md"),
        "day": date(2024, 2, 29),
        "price": Decimal("19.5"),
        "key": UUID(int=1),
        "tags": {"a", "b"},
    }
    empty.add_documents([Document("A kayak.", metadata=metadata), KAYAK])
    for key, value in metadata.items():
        (found,) = empty.invoke("boat", filters={key: value})
        assert plain(found).metadata["source"] == "docs/boats.md"
    bound = empty.model_copy(update={"filters": {"not": {"day": [date(2024, 2, 29)]}}})
    assert [document.metadata["source"] for document in bound.invoke("boat")] == ["kayak.md"]
    assert len(empty.invoke("boat", filters={"price": {"gte": Decimal("19.5")}})) == 1
    with pytest.raises(InputError, match="filter 'raw' has a bytes as its value"):
        empty.invoke("boat", filters={"day": date(2024, 2, 29), "raw": b""})
    with pytest.raises(ValueError, match="filter 'raw' has a bytes"):
        UniMoERRetriever(retriever=empty.retriever, filters={"raw": b""})


def test_the_retriever_itself_takes_documents_of_langchain(empty: UniMoERRetriever) -> None:
    assert empty.add_documents([KAYAK]).added == 1
    empty.retriever.add([KAYAK])
    assert empty.retriever.count() == 1  # it is the same document, by an id of its text
    assert empty.retriever.add([KAYAK]).unchanged == 1
    with pytest.raises(InputError, match=r"not a Document: wrap a single one as \[document\]"):
        empty.retriever.add(KAYAK)  # type: ignore[arg-type]


def test_metadata_that_cannot_be_kept_are_told_once(empty: UniMoERRetriever) -> None:
    documents = [
        Document(f"Boat {n}.", metadata={"loc": {"raw": b""}, "z": 1j, "n": n}) for n in range(3)
    ]
    with pytest.warns(UserWarning, match=r"left out: 'loc.raw' \(bytes\), 'z' \(complex\)") as told:
        assert empty.add_documents(documents).added == 3
    assert [warning.filename for warning in told] == [__file__]
    assert all(document.metadata["loc"] == {} for document in empty.invoke("boats"))
    assert len(empty.invoke("boats", filters={"n": 2})) == 1


def test_metadata_that_can_be_stored_comes_back(empty: UniMoERRetriever) -> None:
    metadata = {"s": "é", "i": -(2**63), "f": 1e300, "b": True, "l": ["x"], "none": [], "a.b": 1}
    empty.add_documents([Document("text", metadata=metadata)])
    (document,) = empty.invoke("text")
    assert metadata.items() <= document.metadata.items()


def test_what_is_no_document_is_refused(empty: UniMoERRetriever) -> None:
    with pytest.raises(InputError, match="document 0 is a str: expected a LangChain Document"):
        empty.add_documents(["text"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="document 0 is a tuple"):
        empty.add_documents(KAYAK)  # type: ignore[arg-type]


def test_documents_without_words_are_reported(empty: UniMoERRetriever) -> None:
    report = empty.add_documents([Document(" \n", metadata={"source": "blank.md"}), KAYAK])
    assert [problem.path for problem in report.problems] == ["blank.md"]
    assert sources(empty.invoke("boat")) == ["kayak.md"]


def test_from_documents_opens_and_fills_an_index(tmp_path: Path) -> None:
    index = {**EXACT, "index": tmp_path / "index", "chunking": "whole"}
    with pytest.raises(InputError, match="document 1 is a str"):
        UniMoERRetriever.from_documents([KAYAK, "text"], **index)  # type: ignore[list-item]
    assert not (tmp_path / "index").exists()
    # Its traceback keeps what failed alive, which must have let go of the folder all the same.
    with pytest.raises(ValidationError, match="k is 0") as kept:
        UniMoERRetriever.from_documents([KAYAK], **index, k=0)
    documents = iter([KAYAK, REFUNDS])
    retriever = UniMoERRetriever.from_documents(documents, **index, k=1, tags=["boats"])
    assert kept.tb is not None
    assert retriever.tags == ["boats"]
    assert sources(retriever.invoke("boat")) == ["kayak.md"]
    retriever.retriever.close()
    with UnifiedRetriever(**EXACT, index=tmp_path / "index") as unified:
        assert unified.count() == 2
        assert unified.chunking == "whole"


def test_from_documents_adds_to_what_is_there(tmp_path: Path) -> None:
    index = {**EXACT, "index": tmp_path / "index"}
    UniMoERRetriever.from_documents([KAYAK], **index).retriever.close()
    raft = Document("A raft for six.", metadata=KAYAK.metadata)
    with UniMoERRetriever.from_documents([raft], **index).retriever as unified:
        assert unified.count() == 2


def test_from_documents_tells_of_passages_that_are_cut() -> None:
    long = Document("A kayak for two is red. " * 200)
    with pytest.warns(UserWarning, match="1 of 2 passages are longer than the model reads"):
        UniMoERRetriever.from_documents([long, KAYAK], **EXACT, chunking="whole")


# -- in the framework -------------------------------------------------------------------------


async def test_contextual_compression(filled: UnifiedRetriever) -> None:
    wide = filled.as_langchain(k=4, rerank=0)
    retriever = ContextualCompressionRetriever(
        base_retriever=wide, base_compressor=UniMoERCompressor(**EXACT, top_n=2)
    )
    # Reranking apart is reranking inside, but for the titles, which only the index knows.
    found = retriever.invoke("capital of France")
    assert sources(found)[0] == "paris.md"
    assert len(found) == 2
    assert all(
        set(scores(document)) == {"relevance_score", "retrieval_score"} for document in found
    )
    assert_same(await retriever.ainvoke("capital of France"), found)
    assert sources(retriever.invoke(QUERY, filters={"year": 2024})) == ["kayak.md"]
    assert retriever.invoke(QUERY, filters={"year": 1900}) == []


async def test_waiting_takes_no_thread(
    retriever: UniMoERRetriever, while_held: Callable[..., Any]
) -> None:
    questions = [QUERY, "capital of France", "boat"]
    found = await while_held(*(retriever.ainvoke(question, k=1) for question in questions))
    assert [sources(documents) for documents in found] == [
        ["refunds.md"],
        ["paris.md"],
        ["kayak.md"],
    ]


async def test_many_at_once_are_as_one_by_one(retriever: UniMoERRetriever) -> None:
    queries = [QUERY, "opening hours", "capital of France", "boat"] * 5
    together = await asyncio.gather(*map(retriever.ainvoke, queries))
    for query, documents in zip(queries, together, strict=True):
        assert_same(documents, retriever.invoke(query))

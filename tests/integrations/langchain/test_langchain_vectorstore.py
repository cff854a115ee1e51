"""UniMoERVectorStore: LangChain's standard tests, ids, searches, and LangChain's indexing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import VectorStore
from langchain_helpers import EXACT, HANDBOOK, QUERY
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_unimoer import UniMoEREmbeddings, UniMoERVectorStore
from langchain_unimoer.relevance import relevance

from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval import types
from unimoer_rag.retrieval.retriever import UnifiedRetriever

BOATS = [
    Document("A kayak for two weighs thirty kilograms.", metadata={"kind": "kayak", "year": 2024}),
    Document("The kayak for two weighs 30 kg.", metadata={"kind": "kayak", "year": 2019}),
    Document("A canoe carries three people.", metadata={"kind": "canoe", "year": 2023}),
    Document("Refunds take five working days.", metadata={"kind": "money", "year": 2023}),
]
IDS = ["one", "two", "three", "four"]
HEAVY = "how heavy is a kayak?"


class TestStandard(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:
        with UnifiedRetriever(**EXACT, chunking="whole") as retriever:
            yield UniMoERVectorStore(retriever)


@pytest.fixture
def store() -> Iterator[UniMoERVectorStore]:
    with UnifiedRetriever(**EXACT, chunking="whole") as retriever:
        yield retriever.as_langchain_store()


@pytest.fixture(scope="module")
def boats(live: UniMoER) -> Iterator[UniMoERVectorStore]:
    """A store of BOATS; tests leave it as it is."""
    with UnifiedRetriever(**EXACT, chunking="whole") as retriever:
        made = UniMoERVectorStore(retriever)
        made.add_documents(BOATS, ids=IDS)
        yield made


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


# -- ids and metadata -------------------------------------------------------------------------


def test_an_id_is_one_document_of_whatever_source(store: UniMoERVectorStore) -> None:
    store.add_documents([Document("Old.", id="a", metadata={"source": "x.md", "title": "T"})])
    assert store.add_documents([Document("New.", id="a", metadata={"source": "y.md"})]) == ["a"]
    assert store.get_by_ids(["a"]) == [Document("New.", id="a", metadata={"source": "y.md"})]
    # The last of a call counts, and an id given beside a document goes before its own.
    assert store.add_texts(["1", "2"], [{}, {}], ids=["b", "b"]) == ["b", "b"]
    assert store.add_documents([Document("3", id="own")], ids=["c"]) == ["c"]
    assert store.get_by_ids(["c", "none", "b"]) == [Document("3", id="c"), Document("2", id="b")]
    assert store.retriever.count() == 3


def test_without_an_id_it_is_that_of_the_content(store: UniMoERVectorStore) -> None:
    same = store.add_texts(["foo", "foo", "foo"], [{"n": 1}, {"n": 2}, {"n": 1}])
    assert same[0] == same[2] != same[1]
    assert store.add_texts(["foo"], [{"n": 1}]) == same[:1]
    assert store.retriever.count() == 2


def test_metadata_come_back_as_they_were_given(store: UniMoERVectorStore) -> None:
    given = {"source": "1", "title": "Boats", "loc": {"line": 3}, "tags": ["a"], "start_index": 7}
    store.add_texts([" A kayak.\n", "A raft."], [given, {"source": 7}], ids=["1", "2"])
    first, second = store.get_by_ids(["1", "2"])
    assert (first.page_content, first.metadata) == ("A kayak.", given)
    assert second.metadata == {"source": 7}
    assert ids(store.similarity_search("boat", filter={"source": "7"})) == ["2"]
    assert ids(store.similarity_search("boat", filter={"title": "Boats"})) == ["1"]
    found = store.retriever.search("boat")[0]
    assert found.passage.content == "Boats. A kayak."  # the title is embedded with it


def test_scores_of_an_earlier_search_are_not_kept(store: UniMoERVectorStore) -> None:
    store.add_documents([Document("A kayak.", metadata={"source": "a.md", "end_index": 3})])
    [found] = store.retriever.as_langchain().invoke("boat")
    store.add_documents([found], ids=["again"])
    [again] = store.get_by_ids(["again"])
    assert not {"relevance_score", "retrieval_score"} & again.metadata.keys()


def test_documents_without_words_are_told_of_and_take_away_the_earlier(
    store: UniMoERVectorStore,
) -> None:
    store.add_texts(["A kayak.", "A raft."], ids=["1", "2"])
    with pytest.warns(UserWarning, match="1 of 2 documents hold no words"):
        store.add_texts([" \n", "A canoe."], ids=["1", "2"])
    assert store.get_by_ids(["1", "2"]) == [Document("A canoe.", id="2")]


def test_what_is_longer_than_the_model_reads_is_told(store: UniMoERVectorStore) -> None:
    with pytest.warns(UserWarning, match="1 of 1 passages are longer than the model reads"):
        store.add_texts(["A kayak for two. " * 100])


def test_documents_go_by_id_and_by_filter(store: UniMoERVectorStore) -> None:
    store.add_documents(BOATS, ids=IDS)
    assert store.delete(["one", "absent"]) is True
    assert store.delete(filter={"year": 2023}) is True
    assert ids(store.similarity_search("boat")) == ["two"]
    for wrong in ({}, {"ids": ["two"], "filter": {"year": 2019}}):
        with pytest.raises(InputError, match="delete needs ids or a filter: exactly one"):
            store.delete(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ids is 'two': expected a list of ids"):
        store.delete("two")


def test_what_is_no_document_is_refused_and_nothing_is_kept(store: UniMoERVectorStore) -> None:
    with pytest.raises(InputError, match="document 1 is a str: expected a LangChain Document"):
        store.add_documents([BOATS[0], "text"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="1 ids for 2 documents"):
        store.add_documents(BOATS[:2], ids=["1"])
    with pytest.raises(InputError, match="1 ids for 2 documents"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(InputError, match="1 metadatas for 2 texts"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(InputError, match="the id of document 0 is 7: expected a text"):
        store.add_documents(BOATS[:1], ids=[7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="add_documents takes no 'upsert'"):
        store.add_documents(BOATS, upsert=True)
    with pytest.raises(InputError, match="is of a UnifiedRetriever, not a str"):
        UniMoERVectorStore("handbook.index")  # type: ignore[arg-type]
    assert store.retriever.count() == 0


# -- an index that other doors filled ---------------------------------------------------------


@pytest.mark.slow
def test_an_index_that_cuts_documents_finds_passages_of_them(tmp_path: Path) -> None:
    text = " ".join(f"Boat {n} weighs {n * 7} kilograms and is blue." for n in range(40))
    (tmp_path / "boats.jsonl").write_text('{"_id": "long", "text": "A row of a file."}\n')
    with UnifiedRetriever(**EXACT, rerank=0) as retriever:
        retriever.add_path(tmp_path / "boats.jsonl")
        store = UniMoERVectorStore(retriever)
        assert store.add_texts([text, "A canoe."], ids=["long", "short"]) == ["long", "short"]
        passages = store.get_by_ids(["long"])
        assert len(passages) > 1
        for passage in passages:
            start, end = passage.metadata["start_index"], passage.metadata["end_index"]
            assert text[start:end] == passage.page_content
        found = store.similarity_search("boat 39", k=99, filter={"not": {"source": "short"}})
        assert {document.id for document in passages} == {"long"} < {one.id for one in found}
        # The file's row of that name is another document, and has an id of its own.
        [row] = [one for one in found if one.id != "long"]
        assert row.page_content == "A row of a file."
        assert store.get_by_ids([str(row.id)]) == [row]
        store.delete(["long"])
        assert retriever.count() == 2
        store.delete([str(row.id)])
        assert ids(store.similarity_search("boat")) == ["short"]


def test_documents_of_the_retriever_itself_have_their_sources() -> None:
    with UnifiedRetriever(**EXACT, chunking="whole") as retriever:
        retriever.add(HANDBOOK)
        [found] = retriever.as_langchain_store().similarity_search(QUERY, k=1)
        metadata = {"source": "refunds.md", "title": "Refunds", "year": 2023}
        assert found.metadata == {**metadata, "tag": ["money", "shop"]}
        assert found.id == retriever.search(QUERY, k=1)[0].id


# -- searches ---------------------------------------------------------------------------------


async def test_searches_are_the_retrievers(boats: UniMoERVectorStore) -> None:
    for settings in (
        {},
        {"rerank": 0},
        {"mode": "sparse", "rerank": 0},
        {"mode": "hybrid"},
        {"filter": {"year": {"gte": 2023}}},
    ):
        ours = {"filters" if name == "filter" else name: v for name, v in settings.items()}
        hits = boats.retriever.search(HEAVY, k=3, **ours)  # type: ignore[arg-type]
        expected = [(hit.passage.document_id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]
        scored = boats.similarity_search_with_score(HEAVY, k=3, **settings)
        again = await boats.asimilarity_search_with_score(HEAVY, 3, **settings)
        for pairs in (scored, again):
            assert [(document.id, score) for document, score in pairs] == expected
        plain = boats.similarity_search(HEAVY, 3, **settings)
        assert plain == await boats.asimilarity_search(HEAVY, 3, **settings)
        assert plain == [document for document, _ in scored]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"rerank": 0.7, "dense": 0.1}, 0.7),
        ({"dense": 0.5}, 0.75),
        ({"dense": -1.0000001}, 0.0),
        ({"dense": 0.5, "sparse": 2.0, "fused": 2 / 61}, 1.0),
        ({"dense": 0.5, "fused": 1 / 61}, 0.5),
        ({"sparse": 3.0}, 0.75),
        ({}, 0.0),
    ],
)
def test_relevance_is_on_one_scale(scores: dict[str, float], expected: float) -> None:
    assert relevance(types.Hit(types.Passage("t", "s"), **scores)) == pytest.approx(expected)


async def test_relevance_scores_and_their_threshold(boats: UniMoERVectorStore) -> None:
    for settings in ({}, {"rerank": 0}, {"mode": "hybrid", "rerank": 0}):
        scored = boats.similarity_search_with_relevance_scores(HEAVY, **settings)
        values = [score for _, score in scored]
        assert values == sorted(values, reverse=True)
        assert 0 <= values[-1] <= values[0] <= 1
        assert values == pytest.approx(
            [s for _, s in await boats.asimilarity_search_with_relevance_scores(HEAVY, **settings)],
            abs=1e-5,
        )
        between = (values[1] + values[2]) / 2
        retriever = boats.as_retriever(
            search_type="similarity_score_threshold",
            search_kwargs={"score_threshold": between, **settings},
        )
        kept = [document for document, _ in scored[:2]]
        assert retriever.invoke(HEAVY) == await retriever.ainvoke(HEAVY) == kept


def test_retrievers_take_what_langchain_calls_it(boats: UniMoERVectorStore) -> None:
    retriever = boats.as_retriever(
        search_kwargs={"k": 2, "filter": {"kind": "kayak", "year": 2019}, "mode": "hybrid"}
    )
    assert ids(retriever.invoke(HEAVY)) == ["two"]
    assert ids(retriever.invoke(HEAVY, filter={"kind": "canoe"})) == ["three"]
    assert retriever.tags == ["UniMoERVectorStore", "IndexEmbeddings"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"search_kwargs": {"filters": {"a": 1}}},
            "'similarity' takes no 'filters': write filter=",
        ),
        ({"search_kwargs": {"score_threshold": 0.5}}, "no 'score_threshold': as_retriever"),
        ({"search_type": "mmr", "search_kwargs": {"top_k": 3}}, "'mmr' takes no 'top_k'"),
        ({"search_kwargs": {"k": 0}}, "k is 0"),
        ({"search_kwargs": {"mode": "fuzzy"}}, "unknown mode 'fuzzy'"),
        ({"search_kwargs": {"filter": {"year": {"above": 1}}}}, "unknown operator 'above'"),
        ({"search_type": "mmr", "search_kwargs": {"lambda_mult": 3}}, "lambda_mult is 3"),
        (
            {
                "search_type": "similarity_score_threshold",
                "search_kwargs": {"score_threshold": 80.0},
            },
            "score_threshold is 80.0: expected a number from 0 to 1",
        ),
        ({"search_type": "fuzzy"}, "search_type of fuzzy not allowed"),
    ],
)
def test_retrievers_refuse_the_rest_at_once(
    boats: UniMoERVectorStore, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        boats.as_retriever(**settings)


async def test_searches_refuse_what_they_do_not_know(boats: UniMoERVectorStore) -> None:
    with pytest.raises(InputError, match="a search takes no 'filters': write filter="):
        boats.similarity_search(HEAVY, filters={"year": 2019})
    with pytest.raises(InputError, match="a search takes no 'score_threshold'"):
        await boats.asimilarity_search(HEAVY, score_threshold=0.5)
    with pytest.raises(InputError, match="filter 'year' has unknown operator 'above'"):
        boats.similarity_search(HEAVY, filter={"year": {"above": 1}})
    with pytest.raises(InputError, match="the query is empty"):
        boats.max_marginal_relevance_search(" ")
    with pytest.raises(InputError, match="fetch_k is 0"):
        boats.max_marginal_relevance_search(HEAVY, fetch_k=0)
    with pytest.raises(InputError, match="lambda_mult is 2"):
        await boats.amax_marginal_relevance_search(HEAVY, lambda_mult=2)


async def test_a_search_by_vector_is_that_of_the_query(boats: UniMoERVectorStore) -> None:
    embeddings = boats.embeddings
    vector = embeddings.embed_query(HEAVY)
    np.testing.assert_allclose(vector, await embeddings.aembed_query(HEAVY), atol=1e-6)
    expected = boats.similarity_search(HEAVY, k=3, rerank=0)
    assert boats.similarity_search_by_vector(vector, k=3) == expected
    only = await boats.asimilarity_search_by_vector(vector, k=3, filter={"year": 2023})
    assert ids(only) == ["three", "four"]


def chosen(asked: np.ndarray, vectors: np.ndarray, k: int, weight: float) -> list[int]:
    """Maximal marginal relevance by its formula."""
    picked: list[int] = []
    while len(picked) < k:
        gains = {
            at: weight * float(vectors[at] @ asked)
            - (1 - weight) * max((float(vectors[at] @ vectors[p]) for p in picked), default=0.0)
            for at in range(len(vectors))
            if at not in picked
        }
        picked.append(max(gains, key=lambda at: gains[at]))
    return picked


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
async def test_marginal_relevance_is_by_the_models_vectors(
    boats: UniMoERVectorStore, live: UniMoER, weight: float
) -> None:
    engine = Engine.of(live)
    vectors = engine.embed([document.page_content for document in BOATS])
    order = chosen(engine.embed([HEAVY], "query")[0], vectors, 3, weight)
    expected = [IDS[at] for at in order]
    assert ({*expected[:2]} == {"one", "two"}) == (weight == 1)  # which say the same
    given = {"k": 3, "lambda_mult": weight}
    retriever = boats.as_retriever(search_type="mmr", search_kwargs=given)
    vector = boats.embeddings.embed_query(HEAVY)
    for found in (
        boats.max_marginal_relevance_search(HEAVY, **given),  # type: ignore[arg-type]
        await boats.amax_marginal_relevance_search(HEAVY, **given),  # type: ignore[arg-type]
        retriever.invoke(HEAVY),
        await retriever.ainvoke(HEAVY),
        boats.max_marginal_relevance_search_by_vector(vector, **given),  # type: ignore[arg-type]
    ):
        assert ids(found) == expected


def test_marginal_relevance_of_few_candidates(boats: UniMoERVectorStore) -> None:
    near = boats.max_marginal_relevance_search(HEAVY, k=2, fetch_k=2, lambda_mult=0.0)
    assert sorted(map(str, ids(near))) == ["one", "two"]  # of two there is no choice
    assert ids(boats.max_marginal_relevance_search(HEAVY, filter={"kind": "money"})) == ["four"]
    assert boats.max_marginal_relevance_search(HEAVY, filter={"kind": "money", "year": 1}) == []
    by_words = boats.max_marginal_relevance_search("canoe", k=3, mode="sparse")
    assert ids(by_words) == ["three"]


# -- making one -------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_texts_and_documents_make_an_index(live: UniMoER, tmp_path: Path) -> None:
    embeddings = UniMoEREmbeddings(**EXACT)
    place = {"index": tmp_path / "index", "mode": "hybrid"}
    store = UniMoERVectorStore.from_texts(
        ["A kayak.", "A raft."], embeddings, ids=["1", "2"], **place
    )
    assert store.retriever.embeds is live
    assert store.retriever.mode == "hybrid"
    store.retriever.close()
    more = [Document("A canoe.", id="3", metadata={"day": date(2024, 2, 29)}), Document("Paris.")]
    again = UniMoERVectorStore.from_documents(more, embeddings, **place)
    assert again.retriever.count() == 4
    assert again.get_by_ids(["3"])[0].metadata == {"day": "2024-02-29"}
    again.add_texts(["A punt."], [{"source": "boats.md"}], ids=["3"])
    again.delete(["1"])
    again.retriever.close()
    again = UniMoERVectorStore.from_texts([], embeddings, **place)
    punt = Document("A punt.", id="3", metadata={"source": "boats.md"})
    assert again.get_by_ids(["1", "3"]) == [punt]
    assert again.retriever.count() == 3
    again.retriever.close()


def test_what_cannot_be_made_leaves_no_index(tmp_path: Path) -> None:
    place = {**EXACT, "index": tmp_path / "index"}
    with pytest.raises(InputError, match="1 metadatas for 2 texts"):
        UniMoERVectorStore.from_texts(["a", "b"], None, [{}], **place)
    with pytest.raises(InputError, match=r"takes no 'revision': load it by model=UniMoER.from_pre"):
        UniMoERVectorStore.from_texts(["a"], revision="main", **place)
    with pytest.raises(InputError, match=r"embedding is a Determ.*: expected a UniMoEREmbeddings"):
        UniMoERVectorStore.from_texts(["a"], DeterministicFakeEmbedding(size=3), **place)
    with pytest.raises(InputError, match="the embedding has instructions of its own"):
        UniMoERVectorStore.from_texts(["a"], UniMoEREmbeddings(**EXACT, query_instruction="?"))
    with pytest.raises(InputError, match="document 0 is a str"):
        UniMoERVectorStore.from_documents(["a"], **place)  # type: ignore[list-item]
    assert not (tmp_path / "index").exists()


# -- LangChain's indexing ---------------------------------------------------------------------


async def test_langchains_indexing_keeps_it_in_step(store: UniMoERVectorStore) -> None:
    manager = InMemoryRecordManager("boats")
    manager.create_schema()

    def counts(result: Any) -> tuple[int, int, int]:
        return result["num_added"], result["num_skipped"], result["num_deleted"]

    def said(*texts: str, source: str = "boats.md") -> list[Document]:
        return [Document(text, metadata={"source": source}) for text in texts]

    how: dict[str, Any] = {"source_id_key": "source", "key_encoder": "sha256"}
    first = [*said("A kayak.", "A raft."), *said("Paris.", source="paris.md")]
    assert counts(index(first, manager, store, cleanup="incremental", **how)) == (3, 0, 0)
    assert counts(index(first, manager, store, cleanup="incremental", **how)) == (0, 3, 0)
    changed = said("A kayak.", "A canoe.")
    result = await aindex(changed, manager, store, cleanup="incremental", **how)
    assert counts(result) == (1, 1, 1)
    assert {d.page_content for d in store.similarity_search("boat")} == {
        "A kayak.",
        "A canoe.",
        "Paris.",
    }
    assert counts(index(changed, manager, store, cleanup="full", **how)) == (0, 2, 1)
    assert counts(index([], manager, store, cleanup="full", **how)) == (0, 0, 2)
    assert store.retriever.count() == 0

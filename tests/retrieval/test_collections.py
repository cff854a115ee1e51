"""Collections that LangChain, LlamaIndex and Haystack wrote: searched, reranked, never written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from collections_of_others import (
    IDS,
    METADATA,
    NAME,
    QUERY,
    TEXTS,
    Written,
    haystack,
    langchain,
    llama_index,
)
from qdrant_client import QdrantClient, models
from test_store_server import KEY, Front, serving

from unimoer_rag import RagPipeline, UniMoER
from unimoer_rag.errors import IndexLockedError, IndexMismatchError, InputError, StoreError
from unimoer_rag.retrieval import (
    BM25Encoder,
    CrossEncoderRanks,
    Document,
    LangChainEmbeds,
    Mode,
    PayloadMapping,
    QueryCache,
    UnifiedRetriever,
)

Write = Callable[..., Written]
WRITERS: tuple[Write, ...] = (langchain, llama_index, haystack)
every_writer = pytest.mark.parametrize("write", WRITERS)
pytestmark = pytest.mark.slow


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    made = QdrantClient(":memory:")
    yield made
    made.close()


def opened(client: QdrantClient, model: Any, **settings: Any) -> UnifiedRetriever:
    return UnifiedRetriever.open_collection(client, NAME, model=model, **settings)


def texts(retriever: UnifiedRetriever, filters: dict[str, Any]) -> set[str]:
    """What meets some filters, by every way of asking."""
    store = retriever.store
    vector = np.ones((1, store.dimension), np.float32)
    [found] = store.search_dense(vector, limit=9, filters=filters)
    assert store.count(filters) == len(found)
    assert {one.id for one in store.scroll(filters)} == {one.passage.id for one in found}
    return {one.passage.text for one in found}


# What it finds


@every_writer
async def test_hits_are_those_of_the_framework(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    written = write(minilm, client)
    with opened(client, minilm, rerank=0, k=9) as retriever:
        hits = retriever.search(QUERY)
        assert [hit.text for hit in hits] == [text for text, _ in written.found]
        assert [hit.score for hit in hits] == pytest.approx(
            [score for _, score in written.found], abs=1e-5
        )
        assert [hit.passage.document_id for hit in hits] == written.ids
        assert await retriever.asearch(QUERY) == hits
        assert retriever.search_batch([QUERY, "boats"])[0][0].text == hits[0].text


@every_writer
def test_hits_have_what_the_payloads_say(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    write(minilm, client)
    with opened(client, minilm) as retriever:
        said = {p.text: p for p in retriever.store.scroll()}
        assert said.keys() == set(TEXTS)
        first, *_, paris, tent = (said[text] for text in TEXTS)
        assert (first.source, first.title) == ("refunds.md", "Refunds")
        assert first.metadata == {"year": 2023, "final": True, "tag": ["money"]}
        assert paris.source == (paris.document_id if write is langchain else "paris.md")
        assert paris.metadata == METADATA[3]
        assert tent.source == tent.document_id
        assert retriever.store.sources()["kayak.md"] == 1
        assert [one.id for one in retriever.store.labels(sources=["refunds.md"])] == [first.id]
        assert retriever.store.get([tent.id, first.id]) == [tent, first]
        assert retriever.store.existing([first.id, IDS[0]]) == {first.id}


@every_writer
async def test_what_is_found_is_reranked(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    write(minilm, client)
    with opened(client, minilm, k=9) as retriever, UnifiedRetriever(minilm, k=9) as ours:
        first = retriever.search(QUERY, rerank=0)
        hits = retriever.search(QUERY)
        expected = minilm.rank(QUERY, [hit.passage.content for hit in first])
        by_text = {hit.text: hit.rerank for hit in hits}
        assert [by_text[hit.text] for hit in first] == pytest.approx(list(expected), abs=1e-4)
        assert [hit.rerank for hit in hits] == pytest.approx(sorted(expected)[::-1], abs=1e-4)
        found = await retriever.asearch(QUERY)
        assert [hit.id for hit in found] == [hit.id for hit in hits]
        # As an index of ours with the same texts.
        ours.add([Document(hit.text, hit.source, hit.title) for hit in first])
        assert [hit.text for hit in ours.search(QUERY)] == [hit.text for hit in hits]


@every_writer
def test_filters_are_those_of_an_index_of_ours(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    write(minilm, client)
    named = [
        Document(text, said.pop("source", "none"), said.pop("title", ""), said)
        for text, said in zip(TEXTS, map(dict, METADATA), strict=True)
    ]
    filters: list[dict[str, Any]] = [
        {"year": 2023},
        {"year": {"gte": 2023}},
        {"year": [2019, 2024]},
        {"final": True},
        {"final": False},
        {"tag": "money"},
        {"tag": ["a b"]},
        {"a b": "x"},
        {"source": ["refunds.md", "kayak.md"]},
        {"title": "Refunds"},
        {"not": {"source": "refunds.md", "title": "None"}},
        {"not": {"year": 2023, "tag": "money"}},
        {"year": {"empty": True}},
        {"any": [{"source": "kayak.md"}, {"all": [{"year": {"lt": 2020}}, {"tag": "money"}]}]},
        {"file_name": "paris.md"},
    ]
    with opened(client, minilm) as retriever, UnifiedRetriever(minilm, chunking="whole") as ours:
        ours.add(named)
        for each in filters:
            expected = {passage.text for passage in ours.store.scroll(each)}
            assert texts(retriever, each) == expected, each
        with pytest.raises(InputError, match="quotation marks"):
            texts(retriever, {'"': 1})
        with pytest.warns(UserWarning, match=r"no passage has the field 'yaer'.*year"):
            assert retriever.search(QUERY, filters={"yaer": 1}) == []


def test_names_of_files_are_sources_where_nothing_else_is(
    minilm: UniMoER, client: QdrantClient
) -> None:
    haystack(minilm, client)
    with opened(client, minilm) as retriever:
        assert texts(retriever, {"source": "paris.md"}) == {TEXTS[3]}


@every_writer
def test_a_pipeline_answers_with_citations(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    write(minilm, client)
    with UnifiedRetriever.open_collection(client, NAME, device="cpu") as retriever:
        assert retriever.model.checkpoint == "unimoer-minilm"
        answer = RagPipeline(retriever).answer(QUERY)
        assert answer.text is not None
        assert "five working days" in answer.text
        assert answer.citations[0].hit.source == "refunds.md"
        frameworks = (retriever.as_langchain(k=1), retriever.as_llama_index(k=1))
        assert frameworks[0].invoke(QUERY)[0].metadata["year"] == 2023
        assert frameworks[1].retrieve(QUERY)[0].metadata["year"] == 2023


# Distances


@pytest.mark.parametrize(("distance", "scale"), [("Dot", 1.0), ("Dot", 2.0), ("Cosine", 2.0)])
def test_vectors_of_any_length(
    minilm: UniMoER, client: QdrantClient, distance: str, scale: float
) -> None:
    written = langchain(minilm, client, distance=models.Distance(distance), scale=scale)
    with opened(client, minilm, rerank=0, k=9) as retriever:
        hits = retriever.search(QUERY)
        assert [hit.text for hit in hits] == [text for text, _ in written.found]
        assert [hit.score for hit in hits] == pytest.approx([s for _, s in written.found], abs=1e-5)


def test_distances_become_cosines(minilm: UniMoER, client: QdrantClient) -> None:
    written = langchain(minilm, client, distance=models.Distance.EUCLID)
    [query], vectors = minilm.embed([QUERY], "query"), minilm.embed(list(TEXTS), "document")
    cosines = dict(zip(TEXTS, (vectors @ query).tolist(), strict=True))
    with opened(client, minilm, rerank=0, k=9) as retriever:
        hits = retriever.search(QUERY)
        assert [hit.text for hit in hits] == [text for text, _ in written.found]
        assert {hit.text: hit.score for hit in hits} == pytest.approx(cosines, abs=1e-5)


def test_distances_of_vectors_of_any_length_are_refused(
    minilm: UniMoER, client: QdrantClient
) -> None:
    langchain(minilm, client, distance=models.Distance.EUCLID, scale=2.0)
    with pytest.raises(IndexMismatchError, match=r"lengths 1 to 9 by their distance"):
        opened(client, minilm)


def test_another_distance_is_refused(minilm: UniMoER, client: QdrantClient) -> None:
    langchain(minilm, client, distance=models.Distance.MANHATTAN)
    with pytest.raises(IndexMismatchError, match=r"Manhattan: expected .* Cosine, Dot, Euclid"):
        opened(client, minilm)


# Which model wrote it


class Turned:
    """The model, with another sign at some dimensions: another model of the same length."""

    tokenizer = None
    checkpoint, checkpoint_digest = "turned", "turned"

    def __init__(self, model: UniMoER) -> None:
        self.model, self.dimension = model, model.dimension

    def embed(self, texts: Any, side: Any) -> Any:
        signs = np.where(np.arange(self.dimension) % 4, 1, -1)
        return (self.model.embed(texts, side) * signs).astype(np.float32)


@every_writer
def test_another_model_is_refused_with_the_cosine(
    write: Write, minilm: UniMoER, client: QdrantClient
) -> None:
    write(minilm, client)
    said = r"not written with the model 'turned': between 5 of .* cosine is 0\.[3-7]\d\d, and"
    with pytest.raises(IndexMismatchError, match=said):
        opened(client, Turned(minilm))


def test_vectors_of_another_length_are_refused(
    minilm: UniMoER, tiny_bert: Path, client: QdrantClient
) -> None:
    langchain(minilm, client)
    with pytest.raises(IndexMismatchError, match="holds vectors of 384, the model gives 32"):
        opened(client, tiny_bert)


def test_models_of_other_libraries_search_what_they_wrote(
    minilm: UniMoER, client: QdrantClient
) -> None:
    written = langchain(minilm, client)

    class Embeddings:
        def embed_query(self, text: str) -> list[float]:
            return [3 * float(value) for value in minilm.embed([text], "query")[0]]

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[*map(float, vector)] for vector in minilm.embed(texts, "document")]

    embeds = LangChainEmbeds(Embeddings(), name="theirs")
    with opened(client, embeds, k=9) as retriever:
        assert [hit.text for hit in retriever.search(QUERY)] == [t for t, _ in written.found]

    class Shortest:
        def predict(self, pairs: list[tuple[str, str]], **_: Any) -> np.ndarray:
            return np.array([-len(document) for _, document in pairs], np.float32)

    with opened(client, embeds, reranker=CrossEncoderRanks(Shortest()), k=1) as retriever:
        assert retriever.search(QUERY)[0].text == min(TEXTS, key=len)


# Words


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_our_sparse_vectors_are_searched(minilm: UniMoER, client: QdrantClient, mode: Mode) -> None:
    langchain(minilm, client, encoder=BM25Encoder())
    with (
        opened(client, minilm, mode=mode, rerank=0, k=9) as retriever,
        UnifiedRetriever(minilm, mode=mode, rerank=0, k=9, chunking="whole") as ours,
    ):
        ours.add(list(TEXTS))
        expected = [(hit.text, hit.score) for hit in ours.search(QUERY)]
        hits = retriever.search(QUERY)
        assert [hit.text for hit in hits] == [text for text, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([s for _, s in expected], abs=1e-5)


def test_those_of_haystack_too(minilm: UniMoER, client: QdrantClient) -> None:
    haystack(minilm, client, sparse=True)
    with opened(client, minilm, mode="sparse", rerank=0) as retriever:
        assert retriever.search("kayak")[0].text == TEXTS[2]
    with pytest.raises(InputError, match=r"not those of BM25Encoder\(language='german'"):
        opened(client, minilm, mode="hybrid", language="german")


def test_other_sparse_vectors_are_refused_with_the_reason(
    minilm: UniMoER, client: QdrantClient
) -> None:
    langchain(minilm, client, encoder=BM25Encoder(k1=2.0))
    said = r"only be searched by 'dense', for its sparse vectors 'langchain-sparse' are not those"
    with pytest.raises(InputError, match=said):
        opened(client, minilm, mode="hybrid")
    with opened(client, minilm) as retriever:
        assert len(retriever.search(QUERY)) == 5
        with pytest.raises(InputError, match="by the mode 'dense': its sparse vectors"):
            retriever.search(QUERY, mode="sparse")


def test_without_idf_there_is_no_bm25(minilm: UniMoER, client: QdrantClient) -> None:
    langchain(minilm, client, encoder=BM25Encoder(), modifier=None)
    with pytest.raises(InputError, match=r"made without Modifier\.IDF"):
        opened(client, minilm, mode="sparse")


# It is not written


def test_nothing_is_written(minilm: UniMoER, client: QdrantClient, tmp_path: Path) -> None:
    langchain(minilm, client)
    with opened(client, minilm) as retriever:
        with pytest.raises(StoreError, match="open for reading only: another library wrote it"):
            retriever.add(["a"])
        with pytest.raises(StoreError, match="open for reading only"):
            retriever.add_path(tmp_path)
        with pytest.raises(StoreError, match="'things' at the given client is open for reading"):
            retriever.delete(filters={"source": "refunds.md"})
        with pytest.raises(StoreError, match="open for reading only"):
            retriever.store.set_identity({})
    assert client.count(NAME).count == 5
    with pytest.raises(StoreError, match="is closed; open it again"):
        retriever.search(QUERY)


def test_a_fork_has_none_of_its_connections(
    minilm: UniMoER, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    langchain(minilm, client)
    with opened(client, minilm) as retriever:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(StoreError, match="of which this one is a fork"):
                retriever.count()
            retriever.close()
        assert retriever.count() == 5


def test_what_only_an_index_of_ours_has_is_refused(client: QdrantClient, minilm: UniMoER) -> None:
    langchain(minilm, client)
    for settings in (
        {"quantization": "int8"},
        {"oversampling": 2.0},
        {"token_states": "int8"},
    ):
        with pytest.raises(InputError, match=r"library wrote \(mapping\) is searched as it"):
            opened(client, minilm, **settings)


def test_a_query_cache_serves(minilm: UniMoER, client: QdrantClient) -> None:
    langchain(minilm, client)
    with opened(client, minilm, query_cache=QueryCache()) as retriever:
        assert retriever.search(QUERY) == retriever.search(QUERY)
        assert retriever.stats.exact == 1


# Where it is


# A client that finds the folder locked leaves the lock's file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder(minilm: UniMoER, tmp_path: Path) -> None:
    folder = tmp_path / "qdrant"
    client = QdrantClient(path=str(folder))
    found = langchain(minilm, client).found
    with pytest.raises(IndexLockedError, match="close the client that has it open"):
        UnifiedRetriever.open_collection(folder, NAME, model=minilm)
    client.close()
    with UnifiedRetriever.open_collection(str(folder), NAME, model=minilm, rerank=0) as retriever:
        thread_found: list[str] = []
        thread = threading.Thread(
            target=lambda: thread_found.extend(hit.text for hit in retriever.search(QUERY))
        )
        thread.start()
        thread.join()
        assert thread_found == [text for text, _ in found]
    # It is free again. The settings of every door open it, too.
    with UnifiedRetriever(minilm, index=folder, collection=NAME, mapping="langchain") as retriever:
        assert retriever.count() == 5


def test_a_server(minilm: UniMoER, client: QdrantClient) -> None:
    found = langchain(minilm, client).found
    with serving(Front, client=client, lock=threading.Lock(), keeps_metadata=True) as url:
        with UnifiedRetriever.open_collection(
            url, NAME, model=minilm, api_key=KEY, rerank=0
        ) as retriever:
            assert [hit.text for hit in retriever.search(QUERY)] == [text for text, _ in found]
            assert texts(retriever, {"year": 2019}) == {TEXTS[1]}
        with pytest.raises(IndexMismatchError, match=r"search what is there by .*open_collection"):
            UnifiedRetriever(minilm, url=url, api_key=KEY, collection=NAME)


def test_places_that_hold_none(minilm: UniMoER, client: QdrantClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no collection 'things' at the given client: there is"):
        opened(client, minilm)
    langchain(minilm, client)
    with pytest.raises(InputError, match=r"no collection 'thing' .*: there are 'things'"):
        UnifiedRetriever.open_collection(client, "thing", model=minilm)
    client.create_collection("empty", {})
    with pytest.raises(InputError, match="is empty: there is nothing to search"):
        UnifiedRetriever.open_collection(client, "empty", model=minilm)
    with pytest.raises(InputError, match="no folder of a QdrantClient"):
        UnifiedRetriever.open_collection(tmp_path / "nowhere", NAME, model=minilm)
    assert not (tmp_path / "nowhere").exists()
    with UnifiedRetriever(minilm, index=tmp_path / "ours") as ours:
        assert ours.count() == 0
    with pytest.raises(InputError, match="is an index of unimoer-rag"):
        UnifiedRetriever.open_collection(tmp_path / "ours", NAME, model=minilm)
    with pytest.raises(InputError, match="in a QdrantClient; this is of the type int"):
        UnifiedRetriever.open_collection(7, NAME, model=minilm)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="say where it is, by url or index"):
        UnifiedRetriever(minilm, mapping="auto")


# Names of its own


def test_names_of_ones_own(minilm: UniMoER, client: QdrantClient) -> None:
    params = models.VectorParams(size=minilm.dimension, distance=models.Distance.COSINE)
    client.create_collection(NAME, {"words": params, "looks": params})
    vectors = minilm.embed(list(TEXTS), "document")
    client.upsert(
        NAME,
        [
            models.PointStruct(
                id=at,
                vector={"words": vector.tolist(), "looks": vector[::-1].tolist()},
                payload={"body": {"text": text}, "link": f"page {at}", "about": {"n": at}},
            )
            for at, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
        ],
    )
    with pytest.raises(InputError, match=r"no library that is known .* have 'about', 'body', 'lin"):
        opened(client, minilm)
    with pytest.raises(InputError, match=r"no text at 'page_content': its payloads have 'about'"):
        opened(client, minilm, mapping="langchain")
    mapping = PayloadMapping(text="body.text", source="link", metadata="about")
    with pytest.raises(InputError, match="has the vectors 'words', 'looks': name one of them"):
        opened(client, minilm, mapping=mapping)
    named = PayloadMapping(text="body.text", source="link", metadata="about", vector="words")
    with opened(client, minilm, mapping=named, rerank=0) as retriever:
        [hit] = retriever.search(QUERY, filters={"n": 0, "source": "page 0"})
        assert (hit.text, hit.source, hit.passage.metadata) == (TEXTS[0], "page 0", {"n": 0})
        assert hit.passage.document_id == "0"
        with pytest.raises(InputError, match="filter 'title': the payload mapping says of no"):
            retriever.search(QUERY, filters={"title": "a"})
    other = PayloadMapping(text="body.text", vector="looks")
    with pytest.raises(IndexMismatchError, match="not written with the model"):
        opened(client, minilm, mapping=other)


def test_a_vector_with_a_name_is_found(minilm: UniMoER, client: QdrantClient) -> None:
    langchain(minilm, client, vector_name="dense")
    with opened(client, minilm) as retriever:
        assert retriever.search(QUERY)[0].text == TEXTS[0]
    with pytest.raises(InputError, match=r"has the vectors 'dense', and not 'other'"):
        opened(client, minilm, mapping=PayloadMapping.preset("langchain", vector="other"))


def test_an_index_of_ours_is_told(minilm: UniMoER, client: QdrantClient) -> None:
    with serving(Front, client=client, lock=threading.Lock(), keeps_metadata=True) as url:
        with UnifiedRetriever(minilm, url=url, api_key=KEY, collection=NAME) as ours:
            ours.add(list(TEXTS))
        with pytest.raises(InputError, match=r"is an index of unimoer-rag: open it by"):
            opened(client, minilm)


def test_points_without_text_are_left_out(minilm: UniMoER, client: QdrantClient) -> None:
    langchain(minilm, client)
    vector = minilm.embed([QUERY], "query")[0].tolist()
    blank = [
        models.PointStruct(id=at, vector=vector, payload={"page_content": text, "metadata": None})
        for at, text in enumerate(("", "\u200b", None))
    ]
    client.upsert(NAME, blank)
    with opened(client, minilm, k=8) as retriever:
        assert sorted(hit.text for hit in retriever.search(QUERY)) == sorted(TEXTS)

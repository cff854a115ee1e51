"""Embedders: the model's own vectors, in Haystack's documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from haystack import Document
from haystack_helpers import EXACT, QUERY, close, passages
from haystack_integrations.components.embedders.unimoer import (
    UniMoERDocumentEmbedder,
    UniMoERTextEmbedder,
)
from haystack_integrations.components.rankers.unimoer import UniMoERRanker
from haystack_integrations.components.readers.unimoer import UniMoERReader

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.model import embedding
from unimoer_rag.model.unimoer import UniMoER

KINDS = (UniMoERTextEmbedder, UniMoERDocumentEmbedder, UniMoERRanker, UniMoERReader)


def test_a_query_gets_the_models_vector(live: UniMoER) -> None:
    found = UniMoERTextEmbedder(**EXACT).run(QUERY)["embedding"]
    assert type(found) is list
    assert type(found[0]) is float
    close(found, live.embed([QUERY], "query")[0])


def test_documents_are_copied_with_their_vectors(live: UniMoER) -> None:
    documents = passages()
    found = UniMoERDocumentEmbedder(**EXACT).run(documents)["documents"]
    close([d.embedding for d in found], live.embed([d.content for d in documents], "document"))
    assert [(d.id, d.content, d.meta) for d in found] == [
        (d.id, d.content, d.meta) for d in documents
    ]
    assert all(d.embedding is None for d in documents)


def test_metadata_that_are_named_stand_before_the_text(live: UniMoER) -> None:
    embedder = UniMoERDocumentEmbedder(
        **EXACT,
        prefix="about: ",
        meta_fields_to_embed=["title", "absent", "year"],
        embedding_separator=" | ",
    )
    [found, bare] = embedder.run([passages()[2], Document(content="x", meta={"year": None})])[
        "documents"
    ]
    texts = ["about: Returns | 2023 | Refunds take 14 days.", "about: x"]
    close([found.embedding, bare.embedding], live.embed(texts, "document", instruction=""))


def test_a_prefix_goes_before_a_query(live: UniMoER) -> None:
    found = UniMoERTextEmbedder(**EXACT, prefix="query: ").run("x")["embedding"]
    close(found, live.embed(["query: x"], "query", instruction="")[0])


async def test_awaited_they_do_the_same_and_block_nothing(while_held: Callable[..., Any]) -> None:
    text, documents = UniMoERTextEmbedder(**EXACT), UniMoERDocumentEmbedder(**EXACT)
    text.warm_up()
    documents.warm_up()
    query, embedded = await while_held(text.run_async(QUERY), documents.run_async(passages()))
    close(query["embedding"], text.run(QUERY)["embedding"])
    again = documents.run(passages())["documents"]
    close([d.embedding for d in embedded["documents"]], [d.embedding for d in again])


def test_documents_without_words_do_not_stop_the_others(live: UniMoER) -> None:
    embedder = UniMoERDocumentEmbedder(**EXACT)
    found = embedder.run([Document(content=None), Document(content=" ")])["documents"]
    [empty] = live.execute(embedding(live, [""], "document", blank=True))
    close([document.embedding for document in found], [empty, empty])
    assert embedder.run([]) == {"documents": []}


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ("text", "documents are a str: expected a list"),
        ([Document(content="x"), "y"], "document 1 is a str: expected a Haystack Document"),
    ],
)
def test_what_is_no_document_is_named(documents: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        UniMoERDocumentEmbedder(**EXACT).run(documents)


def test_an_empty_query_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        UniMoERTextEmbedder(**EXACT).run(" ")


@pytest.mark.parametrize("kind", KINDS)
def test_components_are_their_settings(kind: type) -> None:
    settings = {"model": "minilm", "revision": "abc", **EXACT}
    data = kind(**settings).to_dict()
    assert data["type"] == f"{kind.__module__}.{kind.__name__}"
    assert data["init_parameters"].items() >= settings.items()
    assert kind.from_dict(data).to_dict() == data


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_loaded_when_a_component_is_warmed_up(kind: type) -> None:
    component = kind("no-such-model")
    with pytest.raises(UnimoerError, match="no-such-model"):
        component.warm_up()
    with pytest.raises(InputError, match="device is a int: expected a text"):
        kind(device=0)


def test_all_hold_one_live_model(live: UniMoER) -> None:
    components = [kind(**EXACT) for kind in KINDS]
    for component in components:
        component.warm_up()
    assert all(component.unimoer is live for component in components)


def test_a_size_that_the_model_does_not_give_is_refused() -> None:
    with pytest.raises(InputError, match="100"):
        UniMoERTextEmbedder(**EXACT, dimensions=100).warm_up()


@pytest.mark.slow
def test_long_texts_are_told_of_once() -> None:
    embedder, long = UniMoERDocumentEmbedder(**EXACT), [Document(content="word " * 400)]
    with pytest.warns(UserWarning, match="RecursiveDocumentSplitter"):
        embedder.run(long)
    embedder.run(long)

"""One live model for everything that names it; copies and pickles name it too."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_helpers import EXACT, QUERY
from langchain_unimoer import (
    UniMoERCompressor,
    UniMoERCrossEncoder,
    UniMoEREmbeddings,
    UniMoERRetriever,
)
from pydantic import ValidationError

from unimoer_rag.engine import Engine
from unimoer_rag.errors import CheckpointError, UnimoerError
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

ADAPTERS = [UniMoEREmbeddings, UniMoERCompressor, UniMoERCrossEncoder]


@pytest.mark.slow
def test_all_hold_the_very_same_module(live: UniMoER, filled: UnifiedRetriever) -> None:
    for adapter in ADAPTERS:
        held = adapter(**EXACT)
        assert held._shared.model is live
        assert held._engine is Engine.of(live)
    assert filled.model is live
    assert filled.as_langchain().retriever.engine is Engine.of(live)
    assert UniMoERRetriever.from_documents([], **EXACT).retriever.model is live
    # By their defaults too, which is another module where "auto" is not what EXACT says.
    held = [adapter()._shared.model for adapter in ADAPTERS]
    assert len({id(model) for model in [*held, UnifiedRetriever().model]}) == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_copies_and_pickles_are_small_and_hold_the_same(live: UniMoER, adapter: Any) -> None:
    original = adapter(**EXACT)
    pickled = pickle.dumps(original)
    assert len(pickled) < 1000
    for again in (
        pickle.loads(pickled),
        original.model_copy(),
        original.model_copy(deep=True),
        copy.copy(original),
        copy.deepcopy(original),
        adapter(**original.model_dump()),
        adapter.model_validate_json(original.model_dump_json()),
    ):
        assert again._shared.model is live
        assert again.model_dump() == original.model_dump()
    assert len(repr(original)) < 300
    assert "unimoer-minilm" in repr(original)
    assert set(original.model_dump()) == set(adapter.model_fields)


def test_a_copy_with_other_settings_is_made_of_them(live: UniMoER) -> None:
    other = UniMoEREmbeddings(**EXACT).model_copy(update={"model": "minilm"})
    assert other._shared.model is UniMoER.from_pretrained("minilm", **EXACT)
    assert other._shared.model is not live
    with pytest.raises(ValidationError, match="top_n is 0"):
        UniMoERCompressor(**EXACT).model_copy(update={"top_n": 0})


def test_a_retriever_holds_an_index_and_is_not_pickled(filled: UnifiedRetriever) -> None:
    retriever = filled.as_langchain(k=2)
    for use in (pickle.dumps, copy.deepcopy, lambda kept: kept.model_copy(deep=True)):
        with pytest.raises(UnimoerError, match="open index and cannot be pickled or copied"):
            use(retriever)
    wider = retriever.model_copy(update={"k": 3})
    assert wider.retriever is filled
    assert len(wider.invoke(QUERY)) == 3
    assert retriever.model_dump(exclude_none=True) == {"k": 2}
    assert json.loads(retriever.model_dump_json(exclude_none=True)) == {"k": 2}
    assert len(repr(retriever)) < 300


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_unknown_checkpoint_is_told_when_the_adapter_is_made(adapter: Any) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'unimoer-maxi'"):
        adapter(model="unimoer-maxi")
    with pytest.raises(CheckpointError, match="no checkpoint 'unimoer-maxi'"):
        UniMoERRetriever.from_documents([], model="unimoer-maxi")


async def test_waiting_for_embeddings_takes_no_thread(while_held: Callable[..., Any]) -> None:
    embeddings = UniMoEREmbeddings(**EXACT)
    query, *documents = await while_held(
        embeddings.aembed_query("a query"),
        embeddings.aembed_documents(["one", "two"]),
        embeddings.aembed_documents(["three"]),
    )
    np.testing.assert_allclose(query, embeddings.embed_query("a query"), atol=1e-6)
    vectors = [vector for some in documents for vector in some]
    expected = embeddings.embed_documents(["one", "two", "three"])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)

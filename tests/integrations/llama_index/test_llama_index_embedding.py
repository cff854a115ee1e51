"""UniMoEREmbedding gives what the engine gives, and is copied, pickled and stored as its name."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingStartEvent
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index_helpers import EXACT, Events, close, instruct
from pydantic import ValidationError

from unimoer_rag import UnifiedRetriever, UniMoER
from unimoer_rag.engine import Engine
from unimoer_rag.errors import CheckpointError, DigestMismatchError, InputError
from unimoer_rag.model.tasks import EMBED

TEXTS = ["Refunds take five days.", "The library opens at nine.", "A kayak weighs thirty kilos."]
QUERY = "how long do refunds take?"


# What it gives


@pytest.mark.slow
def test_everything_made_by_one_name_holds_one_module(minilm_path: Path) -> None:
    embedding, rerank = UniMoEREmbedding("unimoer-minilm"), UniMoERRerank("unimoer-minilm")
    with UnifiedRetriever("unimoer-minilm") as retriever:
        assert embedding._shared.model is rerank._shared.model is retriever.model
        assert embedding._shared.engine is rerank._shared.engine is retriever.engine


def test_vectors_are_the_engines(embedding: UniMoEREmbedding) -> None:
    engine = Engine.of(embedding._shared.model)
    close(embedding.get_query_embedding(QUERY), engine.embed([QUERY], "query")[0])
    close(embedding.get_text_embedding(TEXTS[0]), engine.embed(TEXTS)[0])
    vectors = embedding.get_text_embedding_batch(TEXTS)
    close(vectors, engine.embed(TEXTS))
    assert {type(number) for vector in vectors for number in vector} == {float}


async def test_async_vectors_are_the_same(embedding: UniMoEREmbedding) -> None:
    close(await embedding.aget_query_embedding(QUERY), embedding.get_query_embedding(QUERY))
    close(await embedding.aget_text_embedding(TEXTS[1]), embedding.get_text_embedding(TEXTS[1]))
    batch = await embedding.aget_text_embedding_batch(TEXTS)
    close(batch, embedding.get_text_embedding_batch(TEXTS))


def test_texts_are_run_in_batches(embedding: UniMoEREmbedding) -> None:
    stats = embedding._shared.engine.stats
    jobs, batches = stats.jobs, stats.batches
    assert len(embedding.get_text_embedding_batch(TEXTS * 20)) == 60
    assert stats.jobs - jobs == 1
    assert stats.batches - batches < 10


async def test_a_blank_text_does_not_stop_the_others(embedding: UniMoEREmbedding) -> None:
    texts = [TEXTS[0], "", " \n", TEXTS[1]]
    vectors = embedding.get_text_embedding_batch(texts)
    close(await embedding.aget_text_embedding_batch(texts), vectors)
    close(np.linalg.norm(vectors, axis=1), [1] * 4)
    close([vectors[0], vectors[3]], embedding.get_text_embedding_batch(TEXTS[:2]))
    close(vectors[2], vectors[1])
    close(embedding.get_text_embedding(""), vectors[1])
    close(await embedding.aget_text_embedding(" "), vectors[1])


@pytest.mark.parametrize("side", ["query_instruction", "text_instruction"])
def test_an_instruction_goes_before_its_own_side_only(
    embedding: UniMoEREmbedding, side: str
) -> None:
    asked = UniMoEREmbedding(**EXACT, **{side: "Represent this: "})
    engine = Engine.of(embedding._shared.model)
    with_it = engine.embed([QUERY], instruction="Represent this: ")[0]
    without = engine.embed([QUERY], instruction="")[0]
    assert np.abs(with_it - without).max() > 0.01
    on_query = side == "query_instruction"
    close(asked.get_query_embedding(QUERY), with_it if on_query else without)
    close(asked.get_text_embedding(QUERY), without if on_query else with_it)


@pytest.mark.slow
def test_an_empty_instruction_takes_the_models_own_away(own_checkpoint: Path) -> None:
    instruct(own_checkpoint, "query: ")
    own, none = (
        UniMoEREmbedding(str(own_checkpoint), **EXACT, query_instruction=instruction)
        for instruction in (None, "")
    )
    plain = none.get_text_embedding(QUERY)
    close(none.get_query_embedding(QUERY), plain)
    assert np.abs(np.subtract(own.get_query_embedding(QUERY), plain)).max() > 0.01


@pytest.mark.slow
def test_a_checkpoint_that_was_trained_for_it_is_cut(minilm_path: Path, tmp_path: Path) -> None:
    model = UniMoER.from_backbone("minilm", tasks=[replace(EMBED, dimensions=(64,))])
    model.save_pretrained(tmp_path)
    whole, cut = (UniMoEREmbedding(str(tmp_path), **EXACT, dimensions=size) for size in (None, 64))
    head = np.asarray(whole.get_text_embedding(QUERY))[:64]
    close(cut.get_text_embedding(QUERY), head / np.linalg.norm(head))
    assert cut.to_payload()["dimension"] == 64
    assert whole.to_payload()["dimension"] == 384


# Many at once


@pytest.mark.slow
async def test_many_calls_at_once_give_what_they_give_alone(embedding: UniMoEREmbedding) -> None:
    texts = [f"{text} Number {n}." for n in range(10) for text in TEXTS]
    queries, documents = await asyncio.gather(
        asyncio.gather(*(embedding.aget_query_embedding(text) for text in texts)),
        asyncio.gather(*(embedding.aget_text_embedding(text) for text in texts)),
    )
    alone = [embedding.get_text_embedding(text) for text in texts]
    close(queries, alone)
    close(documents, alone)


async def test_waiting_takes_no_thread(
    embedding: UniMoEREmbedding, while_held: Callable[..., Any]
) -> None:
    query, vectors, vector = await while_held(
        embedding.aget_query_embedding(QUERY),
        embedding.aget_text_embedding_batch(TEXTS),
        embedding.aget_text_embedding(TEXTS[0]),
    )
    close(query, embedding.get_query_embedding(QUERY))
    close(vectors, embedding.get_text_embedding_batch(TEXTS))
    close(vector, vectors[0])


# Copies


def test_a_pickle_is_its_name(embedding: UniMoEREmbedding) -> None:
    data = pickle.dumps(embedding)
    assert len(data) < 10_000
    loaded = pickle.loads(data)
    assert loaded._shared.model is embedding._shared.model
    assert loaded.to_dict() == embedding.to_dict()
    close(loaded.get_query_embedding(QUERY), embedding.get_query_embedding(QUERY))


@pytest.mark.slow
def test_every_setting_survives_a_pickle(own_checkpoint: Path) -> None:
    made = UniMoEREmbedding(
        str(own_checkpoint),
        **EXACT,
        query_instruction="a",
        text_instruction="b",
        dimensions=384,
        embed_batch_size=7,
        num_workers=2,
    )
    loaded = pickle.loads(pickle.dumps(made))
    assert loaded.to_dict() == made.to_dict()
    assert UniMoEREmbedding.from_dict(made.to_dict()).to_dict() == made.to_dict()


@pytest.mark.slow
def test_a_pickle_of_what_is_no_longer_there_is_refused(own_checkpoint: Path) -> None:
    """The framework's own __setstate__ would go on with the new weights under the old name."""
    data = pickle.dumps(UniMoEREmbedding(str(own_checkpoint), **EXACT))
    instruct(own_checkpoint, "query: ")
    with pytest.raises(DigestMismatchError, match="embed the texts again"):
        pickle.loads(data)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda made: made.model_copy()])
def test_a_copy_holds_the_same_module(embedding: UniMoEREmbedding, copied) -> None:
    made = copied(embedding)
    assert made is not embedding
    assert made._shared.model is embedding._shared.model
    close(made.get_query_embedding(QUERY), embedding.get_query_embedding(QUERY))


def test_a_dictionary_tells_the_weights_and_comes_back(embedding: UniMoEREmbedding) -> None:
    told = embedding.to_dict()
    assert told["class_name"] == UniMoEREmbedding.class_name() == "UniMoEREmbedding"
    assert told["model_name"] == "unimoer-minilm"
    assert told["checkpoint_digest"] == embedding._shared.model.checkpoint_digest != ""
    assert UniMoEREmbedding.from_dict(told).to_dict() == told
    assert UniMoEREmbedding.from_json(embedding.to_json()).to_dict() == told
    assert json.loads(embedding.to_json()) == told


@pytest.mark.slow
def test_a_dictionary_of_another_checkpoint_is_refused(embedding: UniMoEREmbedding) -> None:
    told = {**embedding.to_dict(), "checkpoint_digest": "0" * 64}
    with pytest.raises(CheckpointError, match="'0000"):
        UniMoEREmbedding.from_dict(told)
    with pytest.raises(CheckpointError, match="minilm has the digest"):
        UniMoEREmbedding.from_dict(embedding.to_dict(), model_name="minilm")


# What it refuses


@pytest.mark.slow
def test_what_cannot_be_used_is_refused_when_it_is_made(minilm_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'unimoer-maxilm'"):
        UniMoEREmbedding("unimoer-maxilm")
    with pytest.raises(InputError, match="dimensions is 128: unimoer-minilm gives embeddings of"):
        UniMoEREmbedding(dimensions=128)
    with pytest.raises(InputError, match="embeddings_cache is a dict: expected a key-value store"):
        UniMoEREmbedding(embeddings_cache={})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="normalize"):
        UniMoEREmbedding(normalize=True)
    with pytest.raises(ValidationError, match="embed_batch_size"):
        UniMoEREmbedding(embed_batch_size=0)


@pytest.mark.parametrize(
    "setting", ["model_name", "revision", "device", "dtype", "checkpoint_digest"]
)
def test_what_names_the_model_is_fixed(embedding: UniMoEREmbedding, setting: str) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(embedding, setting, "minilm")


def test_an_empty_query_is_named(embedding: UniMoEREmbedding) -> None:
    with pytest.raises(InputError, match="the query is empty"):
        embedding.get_query_embedding("")


# What it tells


def test_events_tell_the_weights(
    embedding: UniMoEREmbedding,
    events: Events,
    manager: CallbackManager,
    debug: LlamaDebugHandler,
) -> None:
    told = UniMoEREmbedding(**EXACT, callback_manager=manager)
    told.get_text_embedding_batch(TEXTS)
    [event] = events.of(EmbeddingStartEvent)
    assert event.model_dict["checkpoint_digest"] == embedding.checkpoint_digest
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 1


def test_it_is_the_frameworks(embedding: UniMoEREmbedding) -> None:
    assert isinstance(embedding, BaseEmbedding)
    assert embedding.similarity(
        *embedding.get_text_embedding_batch(TEXTS[:1] * 2)
    ) == pytest.approx(1)

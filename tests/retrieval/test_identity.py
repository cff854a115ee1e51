"""An index remembers what it was built with, and is opened with nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unimoer_rag.errors import IndexMismatchError
from unimoer_rag.model.tasks.state_format import StateFormat
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.identity import WHOLE, ChunkingChoice, agree, identity_of
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import EdgeStore, Record, ServerStore, Store
from unimoer_rag.retrieval.types import Passage

ENCODER = BM25Encoder()


@pytest.fixture
def store(minilm: UniMoER) -> Iterator[Store]:
    with ServerStore.memory(dimension=minilm.dimension) as store:
        yield store


def opened(store: Store, model: UniMoER, chunking: ChunkingChoice = None) -> Chunking | str:
    return agree(store, model, chunking, ENCODER, where="here").chunking


def test_a_new_index_records_its_identity(store: Store, minilm: UniMoER) -> None:
    assert opened(store, minilm) == Chunking()
    kept = store.identity()
    assert kept == identity_of(minilm, 384, Chunking(), ENCODER)
    assert kept is not None
    assert kept["checkpoint"] == minilm.checkpoint_digest != ""
    assert kept["dimension"] == 384
    assert opened(store, minilm) == opened(store, minilm, Chunking()) == Chunking()


@pytest.mark.parametrize("chosen", [WHOLE, Chunking(64, 8)])
def test_chunking_comes_back(store: Store, minilm: UniMoER, chosen: ChunkingChoice) -> None:
    assert opened(store, minilm, chosen) == chosen
    assert opened(store, minilm) == chosen
    with pytest.raises(IndexMismatchError, match="leave chunking out to use the index's"):
        opened(store, minilm, Chunking())


def test_token_states_come_back(store: Store, minilm: UniMoER) -> None:
    def states(chosen: StateFormat | None) -> StateFormat | None:
        agreed = agree(store, minilm, None, ENCODER, token_states=chosen, where="here")
        return agreed.token_states

    form = StateFormat("int8", 2)
    assert states(form) == form
    assert states(None) == states(form) == form
    for other in (StateFormat("binary", 2), StateFormat("int8")):
        with pytest.raises(
            IndexMismatchError,
            match=f"as int8, pooled by 2, not token states as {other.precision}, pooled by",
        ):
            states(other)


def test_what_a_new_index_keeps_unasked(store: Store, minilm: UniMoER) -> None:
    def states(**asked: StateFormat | None) -> StateFormat | None:
        return agree(store, minilm, None, ENCODER, **asked, where="here").token_states

    form, other = StateFormat("float16"), StateFormat("int8")
    assert states(token_states=other, states_of_new=form) == other
    assert states(states_of_new=form) == other  # the index is not new any more


def test_an_index_without_token_states_stays_without(store: Store, minilm: UniMoER) -> None:
    identity = identity_of(minilm, 384, Chunking(), ENCODER)
    del identity["token_states"]  # as releases before this one wrote it
    store.set_identity(identity)
    assert agree(store, minilm, None, ENCODER, where="here").token_states is None
    with pytest.raises(IndexMismatchError, match="keeps no token states, not token states as int8"):
        agree(store, minilm, None, ENCODER, token_states=StateFormat("int8"), where="here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "f00"}, "open it with that model"),
        ({"checkpoint": None}, "open it with that model"),
        ({"chunking": {"size": 64, "overlap": 8, "by": "page"}}, "does not know"),
        ({"chunking": {"size": 2, "overlap": 8}}, "does not know"),
        ({"chunking": None}, "does not know"),
        ({"bm25": {"k1": 9.0}}, "BM25 settings"),
        ({"token_states": {"precision": "int4", "pooling": 1}}, "does not know"),
        ({"token_states": {"bits": 1}}, "does not know"),
    ],
)
def test_another_identity_is_refused(
    store: Store, minilm: UniMoER, change: dict[str, Any], message: str
) -> None:
    store.set_identity({**identity_of(minilm, 384, Chunking(), ENCODER), **change})
    with pytest.raises(IndexMismatchError, match=rf"the index at here .*{message}"):
        opened(store, minilm)


def test_passages_of_unknown_origin_are_refused(store: Store, minilm: UniMoER) -> None:
    passage = Passage("text", "source", "", 0, 4)
    store.upsert([Record(passage, np.ones(384, np.float32), ENCODER.document("text"))])
    with pytest.raises(IndexMismatchError, match="no record of the model"):
        opened(store, minilm)


def test_another_dimension_is_refused(minilm: UniMoER, tmp_path: Path) -> None:
    EdgeStore(tmp_path / "index", dimension=8).close()
    with pytest.raises(IndexMismatchError, match="vectors of 8, the model gives 384"):
        UnifiedRetriever(minilm, index=tmp_path / "index")


def test_the_digest_is_the_weights_not_the_precision(minilm: UniMoER) -> None:
    short = UniMoER.from_pretrained("minilm", device="cpu", dtype="bfloat16")
    assert short is not minilm
    assert short.checkpoint_digest == minilm.checkpoint_digest

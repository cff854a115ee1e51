"""What is sent to a server: collections that fit, requests that it takes, no secrets told."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from store_contract import DIMENSION, RECORDS, make_record
from test_store_server import KEY, Front, serving

from unimoer_rag.errors import IndexMismatchError, InputError, StoreError, UnimoerError
from unimoer_rag.retrieval.store import ServerStore

DENSE = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
SPARSE = models.SparseVectorParams(modifier=models.Modifier.IDF)


def open_over(client: QdrantClient, url: str = "http://x", **options: Any) -> ServerStore:
    settings = {"dimension": DIMENSION, "quantization": None, "oversampling": None} | options
    return ServerStore(client, collection="docs", where=url, in_memory=False, **settings)


# Collections that others made


def dense(**changes: Any) -> dict[str, Any]:
    return {"vectors_config": {"dense": DENSE.model_copy(update=changes)}}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (dense(distance=models.Distance.EUCLID), "the distance 'Euclid'.*'Cosine'"),
        (dense(distance=models.Distance.DOT), "the distance 'Dot'"),
        (dense(distance=models.Distance.MANHATTAN), "the distance 'Manhattan'"),
        (dense(size=9), "vectors of 9, the model gives 8"),
        (dense(datatype=models.Datatype.UINT8), "the datatype 'uint8'.*'float32'"),
        (dense(datatype=models.Datatype.FLOAT16), "the datatype 'float16'"),
        (
            dense(
                multivector_config=models.MultiVectorConfig(
                    comparator=models.MultiVectorComparator.MAX_SIM
                )
            ),
            "the multivector comparator 'max_sim'.*none is expected",
        ),
        (
            dense(
                quantization_config=models.ProductQuantization(
                    product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X4)
                )
            ),
            "has a ProductQuantization.*int8, binary or none",
        ),
        (
            {"sparse_vectors_config": {"sparse": models.SparseVectorParams()}},
            "the sparse modifier none.*'idf'",
        ),
        (
            {
                "sparse_vectors_config": {
                    "sparse": models.SparseVectorParams(
                        modifier=models.Modifier.IDF,
                        index=models.SparseIndexParams(datatype=models.Datatype.UINT8),
                    )
                }
            },
            "the sparse datatype 'uint8'",
        ),
        ({"sparse_vectors_config": {}}, "has the vectors 'dense' where 'dense' and the sparse"),
        ({"sparse_vectors_config": {"words": SPARSE}}, "'dense', 'words'"),
        ({"vectors_config": {"dense": DENSE, "image": DENSE}}, "'dense', 'image', 'sparse'"),
        ({"vectors_config": {"vector": DENSE}}, "'sparse', 'vector'"),
        ({"vectors_config": DENSE, "sparse_vectors_config": {}}, "one vector without a name"),
    ],
)
def test_collections_that_compare_otherwise(settings: dict[str, Any], found: str) -> None:
    whole = {"vectors_config": {"dense": DENSE}, "sparse_vectors_config": {"sparse": SPARSE}}
    client = QdrantClient(":memory:")
    client.create_collection("docs", **(whole | settings))
    with pytest.raises(IndexMismatchError, match=rf"'docs' at http://x .*{found}"):
        open_over(client)
    client.close()


def test_a_collection_made_beforehand_as_it_should_be() -> None:
    client = QdrantClient(":memory:")
    explicit = DENSE.model_copy(update={"datatype": models.Datatype.FLOAT32, "on_disk": True})
    client.create_collection("docs", {"dense": explicit}, {"sparse": SPARSE})
    with open_over(client) as store:
        store.upsert(RECORDS)
        assert store.count() == len(RECORDS)


# Sizes of requests


@pytest.fixture
def sizes() -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """A server, and the sizes of the requests that it got."""
    got: list[tuple[str, int]] = []

    class Weighing(Front):
        def do_any(self) -> None:
            got.append((self.path.rsplit("?")[0], int(self.headers.get("Content-Length") or 0)))
            super().do_any()

        do_GET = do_PUT = do_POST = do_PATCH = do_any  # noqa: N815

    client = QdrantClient(":memory:")
    with serving(Weighing, client=client, lock=threading.Lock(), keeps_metadata=True) as url:
        yield url, got
    client.close()


def connect(url: str, **options: Any) -> ServerStore:
    return ServerStore.connect(url, api_key=KEY, dimension=DIMENSION, prefer_grpc=False, **options)


@pytest.mark.slow
def test_long_texts_metadata_and_states_are_spread_over_requests(
    sizes: tuple[str, list[tuple[str, int]]],
) -> None:
    url, got = sizes
    long = "é\x01" * 250_000  # which JSON writes as 2 and 6 bytes
    heavy = [
        make_record(1, text=long),
        make_record(2, text="b", notes="x" * 1_500_000),
        replace(make_record(3, text="c"), states=bytes(1_500_000)),
        *(make_record(n, text=f"{n}" + "word " * 50_000) for n in range(4, 40)),
    ]
    with connect(url) as store:
        store.upsert(heavy)
        assert store.count() == len(heavy)
        assert len(list(store.scroll())) == len(heavy)
        assert len(store.get([record.passage.id for record in heavy])) == len(heavy)
    upserts = [n for path, n in got if path.endswith("/points") and n > 1000]
    assert max(upserts) < 6_000_000
    assert len(upserts) < 15


@pytest.mark.slow
def test_what_no_request_can_hold_is_refused_before_the_first(
    sizes: tuple[str, list[tuple[str, int]]],
) -> None:
    url, got = sizes
    large = make_record(2, text="b", notes="x" * (33 << 20))
    with connect(url) as store:
        with pytest.raises(InputError, match=r"'doc1\.md' takes 33.* MiB.*32 MiB; nothing was"):
            store.upsert([RECORDS[0], large])
        with pytest.raises(InputError, match=r"these filters takes 3.* MiB"):
            store.count({"tag": ["x" * (33 << 20)]})
        assert store.count() == 0
    assert max(n for _, n in got) < 10_000


@pytest.mark.slow
def test_many_ids_queries_and_filters_are_spread(
    sizes: tuple[str, list[tuple[str, int]]],
) -> None:
    url, got = sizes
    with connect(url) as store:
        store.upsert(RECORDS)
        wanted = {"source": [f"{n}" * 5000 for n in range(100, 140)] + ["doc0.md"]}
        queries = np.tile(RECORDS[0].dense, (60, 1))
        found = store.search_dense(queries, limit=9, filters=wanted)
        assert [len(one) for one in found] == [2] * 60
        store._client.retrieve = lambda name, ids, **_: [  # type: ignore[method-assign]
            models.Record(id=key, payload=None) for key in ids
        ]
        ids = [f"00000000-0000-0000-0000-{n:012}" for n in range(25_000)]
        assert store.delete(ids) == 25_000
    deletes = [n for path, n in got if path.endswith("/delete")]
    assert len(deletes) == 3
    assert max(n for _, n in got) < 6_000_000


# Secrets


@pytest.mark.parametrize(
    "open_it",
    [
        lambda port: connect(f"http://user:s3cr3t-pw@127.0.0.1:{port}"),
        lambda port: ServerStore.connect(
            f"http://user:s3cr3t-pw@127.0.0.1:{port}?key=s3cr3t-pw", api_key="s3cr3t-pw"
        ),
        lambda _: connect("ftp://user:s3cr3t-pw@host"),
        lambda _: connect("http://user:s3cr3t-pw@host:port"),
        lambda _: connect("http://user:s3cr3t-pw@["),
    ],
)
def test_no_error_names_a_password(open_it: Callable[[int], Any]) -> None:
    with serving(Front) as url:
        port = int(url.rpartition(":")[2])
    with pytest.raises(UnimoerError) as caught:
        open_it(port)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t-pw" not in f"{error} {error!r}"
        error = error.__cause__


def test_a_store_keeps_its_key_to_itself(sizes: tuple[str, list[tuple[str, int]]]) -> None:
    url, _ = sizes
    with connect(url) as store:
        assert KEY not in repr(store)
        assert KEY not in str(store)
        with pytest.raises(StoreError, match="cannot be pickled") as caught:
            pickle.dumps(store)
        assert KEY not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_does_not_share_connections() -> None:
    client = QdrantClient(":memory:")
    client.create_collection("docs", {"dense": DENSE}, {"sparse": SPARSE})
    store = open_over(client)
    child = os.fork()
    if child == 0:
        try:
            store.count()
        except StoreError as error:
            os._exit(7 if "fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert store.count() == 0
    store.close()

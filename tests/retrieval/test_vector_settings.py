"""A retriever's index with shorter or quantized vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unimoer_rag.errors import IndexMismatchError, InputError
from unimoer_rag.model.tasks import DEFAULT_TASKS, EMBED
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever

TEXTS = [
    "Refunds are paid within ten working days.",
    "The shop opens at nine and closes at six.",
    "A tent costs twenty pounds for a weekend.",
]
QUERY = "when are refunds paid?"


@pytest.fixture(scope="module")
def whole(minilm_path: Path) -> UniMoER:
    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def cut(minilm_path: Path) -> UniMoER:
    """A model said to be trained for embeddings of 64 numbers."""
    tasks = [replace(EMBED, dimensions=(64,)), *DEFAULT_TASKS[1:]]
    return UniMoER.from_backbone("minilm", device="cpu", dtype="float32", tasks=tasks)


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [True, False])
async def test_shorter_vectors(cut: UniMoER, tmp_path: Path, on_disk: bool) -> None:
    index = tmp_path / "index" if on_disk else None
    with UnifiedRetriever(cut, index=index, dimensions=64, rerank=0) as retriever:
        retriever.add(TEXTS)
        hits = retriever.search(QUERY, k=3)
        assert retriever.dimensions == retriever.store.dimension == 64
        assert (retriever.store.identity() or {})["dimension"] == 64
        assert await retriever.asearch(QUERY, k=3) == hits
        assert retriever.search_batch([QUERY], k=3) == [hits]
    query = cut.embed([QUERY], "query", dimensions=64)[0]
    cosines = cut.embed(TEXTS, dimensions=64) @ query
    assert [hit.text for hit in hits] == [TEXTS[at] for at in np.argsort(-cosines)]
    assert [hit.score for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)


@pytest.mark.slow
def test_an_index_knows_its_length(cut: UniMoER, whole: UniMoER, tmp_path: Path) -> None:
    with UnifiedRetriever(cut, index=tmp_path / "64", dimensions=64) as retriever:
        retriever.add(TEXTS)
        hits = retriever.search(QUERY)
    with UnifiedRetriever(cut, index=tmp_path / "64") as retriever:
        assert retriever.dimensions == 64
        assert retriever.search(QUERY) == hits
    with pytest.raises(
        IndexMismatchError, match=r"vectors of 64, the model gives 384: .*new index"
    ):
        UnifiedRetriever(cut, index=tmp_path / "64", dimensions=384)
    with pytest.raises(IndexMismatchError, match="vectors of 64, the model gives 384"):
        UnifiedRetriever(whole, index=tmp_path / "64")
    with UnifiedRetriever(cut, index=tmp_path / "all") as retriever:
        assert retriever.dimensions == 384
    with pytest.raises(IndexMismatchError, match="vectors of 384, the model gives 64"):
        UnifiedRetriever(cut, index=tmp_path / "all", dimensions=64)


def test_a_checkpoint_that_was_not_trained_for_it(whole: UniMoER, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dimensions is 64: .* gives embeddings of 384 "):
        UnifiedRetriever(whole, index=tmp_path / "index", dimensions=64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("on_disk", [True, False])
def test_quantized_vectors(whole: UniMoER, tmp_path: Path, on_disk: bool) -> None:
    with UnifiedRetriever(whole) as plain:
        plain.add(TEXTS)
        expected = [(hit.id, pytest.approx(hit.dense, abs=1e-5)) for hit in plain.search(QUERY)]
    index = tmp_path / "index" if on_disk else None
    with UnifiedRetriever(whole, index=index, quantization="binary") as retriever:
        assert retriever.store.quantization == "binary"
        retriever.add(TEXTS)
        assert [(hit.id, hit.dense) for hit in retriever.search(QUERY)] == expected
    if not on_disk:
        return
    with UnifiedRetriever(whole, index=index, oversampling=3) as retriever:
        assert retriever.store.quantization == "binary"
        assert [(hit.id, hit.dense) for hit in retriever.search(QUERY)] == expected
    with pytest.raises(IndexMismatchError, match="quantization binary, not int8: leave"):
        UnifiedRetriever(whole, index=index, quantization="int8")


def test_bad_settings(whole: UniMoER, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown quantization 'bits'"):
        UnifiedRetriever(whole, index=tmp_path / "index", quantization="bits")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="oversampling is 0"):
        UnifiedRetriever(whole, index=tmp_path / "index", oversampling=0)
    assert list(tmp_path.iterdir()) == []

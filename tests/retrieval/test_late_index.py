"""An index of a published late-interaction model: its token states are kept, MaxSim ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model.cross_folders import save_cross
from model.late_folders import save_pylate
from model.tiny_models import TEXTS, save_backbone

from unimoer_rag import UnifiedRetriever, UniMoER
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError
from unimoer_rag.model import StateFormat

QUERIES = ["how long do refunds take?", "who wrote the report?", "when does the library open?"]
WORDS = sorted({word.strip(".,;?") for text in TEXTS for word in text.lower().split()})
DOCUMENTS = [
    " ".join(WORDS[(at * step) % len(WORDS)] for at in range(1, 4 + step % 9)) + "."
    for step in range(1, 41)
]
WHERE = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pylate(tmp_path_factory.mktemp("late") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> UniMoER:
    return UniMoER.from_pretrained(folder, **WHERE)


def exhaustive(model: UniMoER, query: str) -> list[str]:
    """All documents by MaxSim, best first."""
    scores = model.score(query, DOCUMENTS, logits=True)
    return [DOCUMENTS[at] for at in np.argsort(-scores, kind="stable")]


@pytest.mark.slow
def test_what_is_ranked_whole_is_ranked_by_maxsim(folder: Path, model: UniMoER) -> None:
    with UnifiedRetriever(folder, k=5, rerank=len(DOCUMENTS), chunking="whole", **WHERE) as found:
        found.add(DOCUMENTS)
        assert found.token_states == StateFormat("float16")
        assert found.dimensions == model.dimension == 16
        for query in QUERIES:
            hits = found.search(query)
            assert [hit.text for hit in hits] == exhaustive(model, query)[:5]
            scores = model.score(query, [hit.text for hit in hits])
            # Kept as float16: the last bits differ.
            assert [hit.score for hit in hits] == pytest.approx(scores.tolist(), abs=1e-3)


@pytest.mark.slow
def test_an_index_on_disk_encodes_the_query_alone(
    folder: Path, model: UniMoER, tmp_path: Path
) -> None:
    place = tmp_path / "late.index"
    with UnifiedRetriever(folder, index=place, chunking="whole", **WHERE) as retriever:
        retriever.add(DOCUMENTS)
    Engine.of(model).cache.clear()
    expected = [exhaustive(model, query)[:5] for query in QUERIES]
    # Without a name: the index says which model it is of, and how it keeps states.
    with UnifiedRetriever(index=place, rerank=len(DOCUMENTS), **WHERE) as again:
        assert again.model is model
        assert again.token_states == StateFormat("float16")
        for query, best in zip(QUERIES, expected, strict=True):
            before = again.engine.stats.rows
            assert [hit.text for hit in again.search(query)] == best
            assert again.engine.stats.rows - before == 1


@pytest.mark.slow
def test_states_in_fewer_bits_are_asked_for(folder: Path, model: UniMoER) -> None:
    settings = {"chunking": "whole", "rerank": len(DOCUMENTS), "k": 5, **WHERE}
    with UnifiedRetriever(folder, token_states="int8", **settings) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.token_states == StateFormat("int8")
        hits = retriever.search(QUERIES[0])
    scores = model.score(QUERIES[0], [hit.text for hit in hits])
    assert [hit.score for hit in hits] == pytest.approx(scores.tolist(), abs=1e-2)


@pytest.mark.slow
def test_a_reranker_is_named(tmp_path: Path) -> None:
    cross = save_cross(tmp_path / "cross")
    ranks = UniMoER.from_pretrained(cross, **WHERE)
    finds = save_backbone("xlm-roberta", tmp_path / "finds")
    settings = {"k": 5, "rerank": len(DOCUMENTS), "chunking": "whole", **WHERE}
    with UnifiedRetriever(finds, reranker=cross, **settings) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.ranks is ranks
        assert retriever.token_states is None
        hits = retriever.search(QUERIES[0])
    scores = ranks.score(QUERIES[0], DOCUMENTS)
    order = np.argsort(-scores, kind="stable")[:5]
    assert [hit.text for hit in hits] == [DOCUMENTS[at] for at in order]
    assert [hit.rerank for hit in hits] == pytest.approx(scores[order].tolist(), abs=1e-5)


@pytest.mark.slow
def test_states_are_of_the_model_that_embeds(folder: Path, tmp_path: Path) -> None:
    """An index keeps them, and another model ranks by the texts."""
    place = tmp_path / "late.index"
    with UnifiedRetriever(folder, index=place, chunking="whole", **WHERE) as retriever:
        retriever.add(DOCUMENTS)
    other = save_pylate(tmp_path / "other", kind="modernbert")
    ranks = UniMoER.from_pretrained(other, **WHERE)
    with UnifiedRetriever(
        folder, index=place, reranker=other, k=5, rerank=len(DOCUMENTS), **WHERE
    ) as retriever:
        hits = retriever.search(QUERIES[0])
    assert [hit.text for hit in hits] == exhaustive(ranks, QUERIES[0])[:5]


@pytest.mark.slow
def test_what_embeds_nothing_finds_nothing(tmp_path: Path) -> None:
    cross = save_cross(tmp_path / "cross")
    with pytest.raises(InputError, match=r"embeds nothing, .* its tasks are rerank; name a"):
        UnifiedRetriever(cross, **WHERE)
    # A model without its task 'rerank' ranks nothing.
    model = UniMoER.from_backbone(str(save_backbone("bert", tmp_path / "bert")), **WHERE)
    model.remove_task("rerank")
    bare = model.save_pretrained(tmp_path / "bare")
    with pytest.raises(InputError, match="does not rerank: its tasks are embed, rerank-cross"):
        UnifiedRetriever(tmp_path / "bert", reranker=bare, **WHERE)

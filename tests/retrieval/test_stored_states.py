"""Reranking from token states that the index keeps, over real stores with the real MiniLM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model.tiny_models import TEXTS, save_backbone

from unimoer_rag.errors import IndexCorruptError, IndexMismatchError, InputError
from unimoer_rag.model.tasks import EMBED, RERANK, RERANK_CROSS
from unimoer_rag.model.tasks.state_format import Precision, StateFormat
from unimoer_rag.model.tasks.state_jobs import asking
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval.retriever import UnifiedRetriever
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Record
from unimoer_rag.retrieval.types import Document, Hit

DOCUMENTS = [
    Document("Refunds take five working days, and go to the card that paid.", "refunds.md"),
    Document("A refund of shipping costs takes longer: ten days.", "shipping.md"),
    Document("Money is paid back once the parcel is here.", "parcel.md", "Refunds"),
    Document("The library opens at nine and closes at six.", "library.md"),
    Document("A kayak for two weighs thirty kilograms.", "kayak.md"),
    Document("Paris is the capital of France.", "paris.md"),
]
QUERY = "how long do refunds take?"


@pytest.fixture(scope="module")
def feedback(minilm_path: Path) -> UniMoER:
    """The backbone, silent, with the feedback that ships."""
    return UniMoER.from_backbone(
        "minilm",
        device="cpu",
        dtype="float32",
        tasks=[
            EMBED.with_strength(0),
            replace(RERANK, strength=0.0, feedback=0.7, coverage=(0.35, 0.65)),
        ],
    )


@pytest.fixture(params=["memory", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "index" if request.param == "folder" else None


def ranked(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.source, round(hit.rerank or 0, 3)) for hit in hits]


@pytest.fixture(scope="module")
def plain(feedback: UniMoER) -> Iterator[list[tuple[str, float]]]:
    """The hits of an index without states."""
    with UnifiedRetriever(feedback, k=6) as retriever:
        retriever.add(DOCUMENTS)
        assert retriever.token_states is None
        yield ranked(retriever.search(QUERY))


def rows_run(retriever: UnifiedRetriever) -> int:
    """Texts that a search encodes."""
    retriever.engine.cache.clear()
    before = retriever.engine.stats.rows
    retriever.search(QUERY)
    return retriever.engine.stats.rows - before


@pytest.mark.slow
def test_float16_states_rank_as_encoding_does(
    feedback: UniMoER, place: Path | None, plain: list[tuple[str, float]]
) -> None:
    with UnifiedRetriever(feedback, index=place, k=6, token_states="float16") as retriever:
        retriever.add(DOCUMENTS)
        assert ranked(retriever.search(QUERY)) == plain
        assert ranked(retriever.search_batch([QUERY, "paris"])[0]) == plain
        assert rows_run(retriever) == 1  # the query, to find and to rank


async def test_an_awaited_search_ranks_from_states_too(
    feedback: UniMoER, plain: list[tuple[str, float]]
) -> None:
    with UnifiedRetriever(feedback, k=6, token_states="float16") as retriever:
        retriever.add(DOCUMENTS)
        retriever.engine.cache.clear()
        before = retriever.engine.stats.rows
        assert ranked(await retriever.asearch(QUERY)) == plain
        assert retriever.engine.stats.rows - before == 1


@pytest.mark.slow
def test_a_query_is_embedded_as_ever_and_encoded_once_where_the_tasks_are_alike(
    feedback: UniMoER, minilm_path: Path
) -> None:
    loud = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    asked = UniMoER.from_backbone(
        "minilm",
        device="cpu",
        dtype="float32",
        tasks=[EMBED.with_strength(0), RERANK.with_strength(0)],
        query_instruction="a question: ",
    )
    for model, task in ((feedback, "rerank"), (loud, "embed"), (asked, "embed")):
        job = asking(model, [QUERY, "paris"])
        assert {row.task.name for row in job.rows} == {task}
        np.testing.assert_allclose(
            model.execute(job), model.embed([QUERY, "paris"], "query"), atol=1e-6
        )
    assert asking(feedback, []).rows == []


@pytest.mark.parametrize("precision", ["int8", "binary"])
@pytest.mark.parametrize("pooling", [1, 2])
def test_fewer_bytes_find_the_same_best(
    feedback: UniMoER, precision: Precision, pooling: int, plain: list[tuple[str, float]]
) -> None:
    with UnifiedRetriever(
        feedback, k=6, token_states=precision, token_pooling=pooling
    ) as retriever:
        retriever.add(DOCUMENTS)
        hits = retriever.search(QUERY)
        assert hits[0].source == plain[0][0]
        assert {hit.source for hit in hits[:3]} == {source for source, _ in plain[:3]}
        if precision == "int8" and pooling == 1:
            scores = dict(plain)
            assert all(hit.score == pytest.approx(scores[hit.source], abs=0.02) for hit in hits)


def test_one_forward_fills_an_index_with_silent_experts(feedback: UniMoER) -> None:
    with UnifiedRetriever(feedback, token_states="int8") as retriever:
        retriever.engine.cache.clear()
        before = retriever.engine.stats.rows
        retriever.add(DOCUMENTS)
        assert retriever.engine.stats.rows - before == len(DOCUMENTS)


@pytest.mark.slow
def test_experts_keep_their_own_states(minilm_path: Path) -> None:
    model = UniMoER.from_backbone("minilm", device="cpu", dtype="float32")
    with (
        UnifiedRetriever(model, k=6) as without,
        UnifiedRetriever(model, k=6, token_states="float16") as kept,
    ):
        without.add(DOCUMENTS)
        kept.add(DOCUMENTS)
        assert ranked(kept.search(QUERY)) == ranked(without.search(QUERY))


@pytest.mark.slow
def test_a_reopened_index_finds_its_states(
    feedback: UniMoER, tmp_path: Path, plain: list[tuple[str, float]]
) -> None:
    folder = tmp_path / "index"
    with UnifiedRetriever(feedback, index=folder, token_states="float16") as retriever:
        retriever.add(DOCUMENTS)
    with UnifiedRetriever(feedback, index=folder, k=6) as retriever:
        assert retriever.token_states == StateFormat("float16")
        assert ranked(retriever.search(QUERY)) == plain
        assert rows_run(retriever) == 1
        retriever.add(["Exchanges take as long as refunds."])  # gets states too
        assert rows_run(retriever) == 1
    with pytest.raises(IndexMismatchError, match="keeps token states as float16, pooled by 1"):
        UnifiedRetriever(feedback, index=folder, token_states="int8")
    with pytest.raises(IndexMismatchError, match="pooled by 1, not token states as float16"):
        UnifiedRetriever(feedback, index=folder, token_states="float16", token_pooling=2)


def test_changed_and_deleted_passages_leave_no_states(
    feedback: UniMoER, place: Path | None
) -> None:
    with UnifiedRetriever(feedback, index=place, k=6, token_states="int8") as retriever:
        retriever.add(DOCUMENTS)
        old = {hit.source: hit.id for hit in retriever.search(QUERY)}
        changed = Document("Refunds are a matter of minutes.", "refunds.md")
        retriever.add([changed])
        retriever.delete(filters={"source": "kayak.md"})
        assert retriever.store.states([old["refunds.md"], old["kayak.md"]]) == {}
        hits = retriever.search(QUERY)
        assert {hit.source for hit in hits} == old.keys() - {"kayak.md"}
        assert hits[0].text == changed.text
        assert rows_run(retriever) == 1


def test_a_passage_without_states_is_encoded(
    feedback: UniMoER, plain: list[tuple[str, float]]
) -> None:
    with UnifiedRetriever(feedback, k=6, token_states="float16") as retriever:
        retriever.add(DOCUMENTS)
        [passage] = retriever.store.scroll({"source": "paris.md"})
        vector = feedback.embed([passage.content])[0]
        sparse = BM25Encoder().document(passage.content)
        retriever.store.upsert([Record(passage, vector, sparse)])  # as an older release would
        assert ranked(retriever.search(QUERY)) == plain
        assert rows_run(retriever) == 1 + len(DOCUMENTS)


def test_damaged_states_are_named(feedback: UniMoER) -> None:
    with UnifiedRetriever(feedback, token_states="int8") as retriever:
        retriever.add(DOCUMENTS[:1])
        [passage] = retriever.store.scroll()
        vector = np.ones(feedback.dimension, np.float32)
        sparse = BM25Encoder().document(passage.content)
        retriever.store.upsert([Record(passage, vector, sparse, b"not states")])
        with pytest.raises(IndexCorruptError, match="10 bytes of token states are damaged"):
            retriever.search(QUERY)


@pytest.mark.slow
def test_what_cannot_be_kept_is_refused(feedback: UniMoER, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(InputError, match="expected one of float16, int8, binary"):
        UnifiedRetriever(feedback, index=folder, token_states="float32")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="token_pooling is 2 without token_states"):
        UnifiedRetriever(feedback, index=folder, token_pooling=2)
    cross = UniMoER.from_backbone(
        "minilm", device="cpu", tasks=[EMBED, replace(RERANK_CROSS, name="rerank")]
    )
    with pytest.raises(InputError, match="has the head 'cross', expected 'late'"):
        UnifiedRetriever(cross, index=folder, token_states="int8")
    assert not folder.exists()


_ENDLESS = """
    import sys
    from unimoer_rag.retrieval.retriever import UnifiedRetriever

    with UnifiedRetriever("minilm", index=sys.argv[1], token_states="int8") as retriever:
        print("open", flush=True)
        retriever.add(
            (f"Passage {n} is about refunds." for n in range(100_000)),
            on_progress=lambda report: print(report.added, flush=True),
        )
"""


@pytest.mark.slow
def test_a_killed_add_leaves_every_passage_with_its_states(
    minilm_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_ENDLESS), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert int(process.stdout.readline()) > 0
        time.sleep(0.2)  # into a later batch
        os.kill(process.pid, signal.SIGKILL)
    with UnifiedRetriever("minilm", index=folder) as retriever:
        ids = [passage.id for passage in retriever.store.scroll()]
        assert ids
        assert retriever.store.states(ids).keys() == set(ids)
        assert rows_run(retriever) == 2


@pytest.mark.slow
def test_a_text_vector_may_be_shorter_than_a_tokens_state(tmp_path: Path) -> None:
    """That of a published embedder, which a Dense projects."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    body = Transformer(str(save_backbone("bert", tmp_path / "bare")))
    modules = [body, Pooling(32, "mean"), Dense(32, 12)]
    library = SentenceTransformer(modules=modules, device="cpu")
    library.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    model = UniMoER.from_pretrained(tmp_path / "model", device="cpu", dtype="float32")
    assert (model.width, model.dimension) == (32, 12)
    with UnifiedRetriever(model, token_states="float16", chunking="whole", k=4) as retriever:
        retriever.add(TEXTS)
        hits = retriever.search("who wrote the report?")
    scores = model.score("who wrote the report?", [hit.text for hit in hits])
    assert [hit.score for hit in hits] == pytest.approx(scores.tolist(), abs=1e-2)

"""Our models measured by mteb, beside its own figures for the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from repository import ROOT

from unimoer_rag import UniMoER
from unimoer_rag.errors import DataError, InputError

mteb = pytest.importorskip("mteb", reason="needs mteb: pip install 'unimoer-rag[mteb]'")

from datasets import Dataset  # noqa: E402
from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.models import (  # noqa: E402
    CrossEncoderProtocol,
    EncoderProtocol,
    SearchProtocol,
)

from unimoer_rag.evaluation.mteb_models import MtebEncoder, MtebReranker, MtebSearch  # noqa: E402
from unimoer_rag.evaluation.mteb_run import find_tasks, run_tasks  # noqa: E402

pytestmark = pytest.mark.slow


def _metadata(name: str, kind: str, measure: str) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description="The handbook's questions over its sections.",
        dataset={"path": "local/handbook", "revision": "1"},
        type=kind,
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=measure,
        reference=None, date=None, domains=None, task_subtypes=None, license=None,
        annotations_creators=None, dialect=None, sample_creation=None, bibtex_citation=None,
    )  # fmt: skip


def _sections() -> list[dict[str, str]]:
    """Paragraphs of the handbook, each a document with its file's name as its title."""
    rows = []
    for path in sorted((ROOT / "examples" / "handbook").glob("*.md"))[::3]:
        parts = [p.strip() for p in path.read_text(encoding="utf-8").split("\n\n")]
        rows += [
            {"id": f"{path.stem}-{at}", "title": path.stem.replace("-", " "), "text": part}
            for at, part in enumerate(parts)
            if len(part) > 40
        ]
    return rows


class Handbook(AbsTaskRetrieval):
    """Which of the handbook's sections answers a question."""

    metadata = _metadata("HandbookRetrieval", "Retrieval", "ndcg_at_10")

    def load_data(self, **options: Any) -> None:
        corpus = _sections()
        lines = (ROOT / "examples" / "handbook_questions.jsonl").read_text(encoding="utf-8")
        queries, qrels = [], {}
        for at, line in enumerate(map(json.loads, lines.splitlines())):
            if not line.get("answers"):
                continue
            right = {
                row["id"]: 1
                for row in corpus
                if row["id"].startswith(Path(line["source"]).stem)
                and any(answer in row["text"] for answer in line["answers"])
            }
            if right:
                queries.append({"id": f"q{at}", "text": line["question"]})
                qrels[f"q{at}"] = right
        split = {
            "corpus": Dataset.from_list(corpus),
            "queries": Dataset.from_list(queries),
            "relevant_docs": qrels,
            "top_ranked": self.top_ranked(corpus, queries),
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True

    def top_ranked(self, corpus: list[Any], queries: list[Any]) -> dict[str, list[str]] | None:
        return None


class HandbookReranking(Handbook):
    """The same, of a third of the sections each."""

    metadata = _metadata("HandbookReranking", "Reranking", "ndcg_at_10")

    def top_ranked(self, corpus: list[Any], queries: list[Any]) -> dict[str, list[str]] | None:
        names = [row["id"] for row in corpus]
        return {row["id"]: names[at % 3 :: 3] for at, row in enumerate(queries)}


class Pairs(AbsTaskSTS):
    """A task without sides."""

    metadata = _metadata("HandbookPairs", "STS", "cosine_spearman")
    min_score, max_score = 0, 5

    def load_data(self, **options: Any) -> None:
        texts = [row["text"] for row in _sections()]
        rows = [
            {"sentence1": texts[at], "sentence2": texts[(at * 7 + 3) % len(texts)], "score": at % 6}
            for at in range(30)
        ]
        self.dataset = {"test": Dataset.from_list(rows)}
        self.data_loaded = True


def own_figure(path: Path, task: Any) -> float:
    """mteb's figure for the published weights, run by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(path), device="cpu")
    done = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return float(done.task_results[0].get_score())


# mteb asks sentence-transformers by a name that it gave up.
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning")
@pytest.mark.parametrize("task", [Handbook, HandbookReranking, Pairs])
def test_the_frozen_backbone_has_the_figure_of_sentence_transformers(
    task: type[Any], minilm: UniMoER, minilm_path: Path
) -> None:
    (found,) = run_tasks(minilm, [task()])
    assert found.score == pytest.approx(own_figure(minilm_path, task()), abs=0.001)
    assert 0.1 < abs(found.score) < 1 or task is Pairs
    assert found.measure in found.splits["test"][0]


def test_a_search_without_reranking_is_the_encoders(minilm: UniMoER) -> None:
    (encoder,) = run_tasks(minilm, [Handbook()])
    search = MtebSearch(minilm, rerank=0)
    try:
        done = mteb.evaluate(search, Handbook(), cache=None, co2_tracker=False)
    finally:
        search.close()
    assert float(done.task_results[0].get_score()) == pytest.approx(encoder.score, abs=0.001)


def test_reranker_and_search_order_by_the_models_ranking(minilm: UniMoER) -> None:
    (pairs,) = run_tasks(minilm, [HandbookReranking()], "reranker")
    (whole,) = run_tasks(minilm, [HandbookReranking()], "search")
    assert pairs.score == pytest.approx(whole.score, abs=1e-6)
    # What it computes are the model's own logits, query by query.
    query, documents = "How long do refunds take?", [row["text"] for row in _sections()[:5]]
    logits = MtebReranker(minilm).predict(
        [{"text": [query] * 3}, {"text": [query] * 2}],
        [{"text": documents[:3]}, {"text": documents[3:]}],
    )
    np.testing.assert_allclose(logits, minilm.rank(query, documents, logits=True), atol=1e-5)


def test_mteb_sees_each_as_what_it_is(minilm: UniMoER) -> None:
    kinds = (EncoderProtocol, CrossEncoderProtocol, SearchProtocol)
    for made, kind in zip((MtebEncoder, MtebReranker, MtebSearch), kinds, strict=True):
        model = made(minilm)
        assert [isinstance(model, each) for each in kinds] == [each is kind for each in kinds]
        meta = model.mteb_model_meta
        assert meta.embed_dim == 384
        assert meta.name is not None
        assert meta.name.startswith("unimoer-rag/")


def test_an_interrupted_run_goes_on(minilm: UniMoER, tmp_path: Path) -> None:
    first = run_tasks(minilm, [Handbook()], cache=tmp_path)

    class Refusing(Handbook):
        def evaluate(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("it was measured before")

    again = run_tasks(minilm, [Refusing()], cache=tmp_path)
    assert [(each.task, each.score) for each in again] == [
        (each.task, each.score) for each in first
    ]


def test_names_and_roles_are_checked(minilm: UniMoER) -> None:
    names = [task.metadata.name for task in find_tasks(["NanoNQRetrieval", "NanoBEIR"])]
    assert names[0] == "NanoNQRetrieval"
    assert len(names) == len(set(names)) == 13
    with pytest.raises(InputError, match="mteb has no task or benchmark 'NanoNQRetrieva': Did you"):
        find_tasks(["NanoNQRetrieva"])
    with pytest.raises(InputError, match="no role 'judge' for mteb: expected one of encoder, rer"):
        run_tasks(minilm, [Handbook()], "judge")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="asks a model for what a reranker does not do"):
        run_tasks(minilm, [Pairs()], "reranker")
    with pytest.raises(InputError, match="call index with the corpus before search"):
        MtebSearch(minilm).search([{"id": "q", "text": "?"}], top_k=3)


def test_data_that_cannot_be_had_is_named(minilm: UniMoER) -> None:
    (task,) = find_tasks(["NanoNQRetrieval"])
    with pytest.raises(DataError, match=r"mteb/NanoNQRetrieval on the Hub at [0-9a-f]{40}"):
        run_tasks(minilm, [task])

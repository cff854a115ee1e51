"""What runs are measured by: the candidates, and nDCG@10 by hand."""

from __future__ import annotations

from math import log2
from pathlib import Path

import numpy as np
import pytest
from model.tiny_models import make_model, randomise
from training.toy import write_beir, write_toy

from unimoer_rag.errors import DataError
from unimoer_rag.lab.studies.measuring import measure, pooled, prepare
from unimoer_rag.lab.studies.settings import DevSet
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

TASKS = (
    Task("embed", "vector", ("shared",), max_tokens=24),
    Task("rerank", "late", ("shared",), max_tokens=24),
)


@pytest.fixture
def model(tiny_bert: Path) -> UniMoER:
    return make_model(tiny_bert, experts={"shared": ExpertSpec(3, 6)}, tasks=TASKS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("development")
    write_toy(folder / "dev", "dev", context=False)
    return folder


def _gain(order: list[str], answer: str) -> float:
    """nDCG@10 where one passage alone answers."""
    rank = order.index(answer) + 1
    return 1 / log2(rank + 1) if rank <= 10 else 0.0


def test_embeddings_order_the_candidates_of_all(folder: Path, model: UniMoER) -> None:
    (found,) = prepare(folder, {"dev": DevSet(questions=8, depth=5)})
    values = measure(model, [found])
    names = list(found.dataset.corpus)
    documents = model.embed([found.dataset.content(name) for name in names])
    for question in found.dataset.questions:
        cosines = (model.embed([question.text], "query") @ documents.T)[0]
        order = [names[at] for at in np.argsort(-cosines)]
        (answer,) = found.dataset.qrels[question.id]
        assert values["dev/embed"][question.id] == pytest.approx(_gain(order, answer), abs=1e-4)


def test_reranking_orders_the_own_candidates(folder: Path, model: UniMoER) -> None:
    (found,) = prepare(folder, {"dev": DevSet(questions=8, depth=5)})
    values = measure(model, [found], ("rerank",))
    assert values.keys() == {"dev/rerank"}
    for question in found.dataset.questions:
        names = list(found.candidates[question.id])
        scores = model.score(question.text, [found.dataset.content(name) for name in names])
        order = [names[at] for at in np.argsort(-scores)]
        (answer,) = found.dataset.qrels[question.id]
        assert values["dev/rerank"][question.id] == pytest.approx(_gain(order, answer), abs=1e-4)


def test_candidates_hold_the_answer_and_the_best_of_bm25(folder: Path) -> None:
    (found,) = prepare(folder, {"dev": DevSet(questions=24, depth=2)})
    for question in found.dataset.questions:
        candidates = found.candidates[question.id]
        (answer,) = found.dataset.qrels[question.id]
        assert answer in candidates
        assert len(candidates) in (2, 3)
        # Its words name one passage, and BM25 puts it first.
        assert max(candidates, key=lambda d: candidates[d]) == answer
    assert set(found.dataset.corpus) == {d for c in found.candidates.values() for d in c}


def test_an_answer_that_words_do_not_find_is_there_all_the_same(tmp_path: Path) -> None:
    corpus = [{"_id": f"d{n}", "title": "", "text": f"refunds {n}"} for n in range(3)]
    corpus.append({"_id": "answer", "title": "", "text": "five working days"})
    questions = [{"_id": "q", "text": "how long do refunds take"}]
    write_beir(tmp_path / "dev", "dev", corpus, questions, [("q", "answer", 1)])
    (found,) = prepare(tmp_path, {"dev": DevSet(depth=2)})
    scores = found.candidates["q"]
    assert len(scores) == 3
    assert min(scores, key=lambda d: scores[d]) == "answer"


def test_a_given_run_closes_the_candidates(folder: Path, model: UniMoER) -> None:
    run = [f"q{q} Q0 d{d} {d + 1} {30 - d} x" for q in range(4) for d in range(12)]
    (folder / "dev" / "given.trec").write_text("\n".join(run), encoding="utf-8")
    (found,) = prepare(folder, {"dev": DevSet(questions=24, run="given.trec", depth=6)})
    assert found.closed
    assert {qid: sorted(d) for qid, d in found.candidates.items()} == {
        f"q{q}": [f"d{d}" for d in range(6)] for q in range(4)
    }
    values = measure(model, [found])["dev/embed"]
    assert values["q0"] > 0
    assert values["q20"] == 0  # the run has nothing for it


@pytest.mark.slow
def test_other_weights_are_other_values(folder: Path, model: UniMoER) -> None:
    sets = prepare(folder, {"dev": DevSet(questions=24, depth=8)})
    first = measure(model, sets)
    randomise(model, seed=9)
    second = measure(model, sets)
    assert first != second
    assert measure(model, sets) == second  # nothing of before is kept


def test_pooled_questions_all_count_the_same() -> None:
    values = {"a/embed": {"1": 1.0, "2": 0.0}, "b/embed": {"1": 0.5}, "b/rerank": {"1": 0.25}}
    assert pooled(values) == {
        "embed": {"a/1": 1.0, "a/2": 0.0, "b/1": 0.5},
        "rerank": {"b/1": 0.25},
    }


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        prepare(tmp_path, {"nowhere": DevSet()})


def test_a_limit_keeps_the_answers_and_what_words_rank_first(folder: Path) -> None:
    (whole,) = prepare(folder, {"dev": DevSet(questions=6, depth=100)})
    (few,) = prepare(folder, {"dev": DevSet(questions=6, depth=100, passages=9)})
    assert len(few.dataset.corpus) <= 9
    for question in few.dataset.questions:
        (answer,) = few.dataset.qrels[question.id]
        assert answer in few.candidates[question.id]
        best = max(whole.candidates[question.id], key=whole.candidates[question.id].__getitem__)
        assert best in few.dataset.corpus


def test_sets_that_were_trained_on_are_pooled_apart() -> None:
    values = {"a/embed": {"q": 0.5}, "b/embed": {"q": 1.0}}
    assert pooled(values) == {"embed": {"a/q": 0.5, "b/q": 1.0}}
    assert pooled(values, ["a"]) == {
        "embed": {"a/q": 0.5, "b/q": 1.0},
        "own/embed": {"a/q": 0.5},
        "other/embed": {"b/q": 1.0},
    }

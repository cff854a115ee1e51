"""The conventions of benchmarks, held against trec_eval's own code and BEIR's procedure.

BEIR's evaluation takes documents with the question's own id out of a run, judged or not, and hands
the rest to trec_eval. That is written here once more, over pytrec_eval, which is trec_eval itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest
import pytrec_eval

from unimoer_rag.data.catalogue.known import KNOWN, SUITES
from unimoer_rag.data.catalogue.published import published
from unimoer_rag.data.datasets import BeirDataset, Qrels, Question
from unimoer_rag.evaluation import per_query
from unimoer_rag.retrieval import Document

_IDS = [f"{kind}{at}" for kind in ("d", "É", "q") for at in range(12)]


def dataset(seed: int, *, excluded: Mapping[str, frozenset[str]] = {}) -> BeirDataset:
    """Questions whose ids are documents' too, judged among others, with grades 0 to 2."""
    draw = random.Random(seed)
    qrels: Qrels = {
        f"q{at}": {doc_id: draw.randrange(3) for doc_id in draw.sample(_IDS, 9)} for at in range(12)
    }
    return BeirDataset(
        name="toy",
        split="test",
        corpus={doc_id: Document(text=doc_id, source=doc_id) for doc_id in _IDS},
        questions=[Question(qid, qid) for qid in qrels],
        qrels=qrels,
        ignore_identical_ids=True,
        excluded=excluded,
    )


def run_with_ties(seed: int) -> dict[str, dict[str, float]]:
    """Scores of a few values, so that most are equal, and all fit into 32 bits."""
    draw = random.Random(seed)
    return {
        f"q{at}": {doc_id: draw.randrange(5) / 4 for doc_id in draw.sample(_IDS, 20)}
        for at in range(12)
    }


def beir(qrels: Qrels, run: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """BEIR's procedure."""
    left = {
        qid: {doc_id: score for doc_id, score in found.items() if doc_id != qid}
        for qid, found in run.items()
    }
    wanted = {"ndcg_cut.10", "recall.5,20", "map"}
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(
        left
    )
    return found


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_beir(seed: int) -> None:
    data, run = dataset(seed), run_with_ties(seed + 100)
    ours = per_query(data.qrels, {qid: data.without_own(qid, found) for qid, found in run.items()})
    theirs = beir(data.qrels, run)
    assert any(data.qrels[qid].get(qid, 0) > 0 for qid in run)  # a judged own document goes too
    for qid in run:
        assert ours[qid]["nDCG@10"] == pytest.approx(theirs[qid]["ndcg_cut_10"])
        assert ours[qid]["R@5"] == pytest.approx(theirs[qid]["recall_5"])
        assert ours[qid]["R@20"] == pytest.approx(theirs[qid]["recall_20"])
        assert ours[qid]["AP"] == pytest.approx(theirs[qid]["map"])


def test_excluded_documents_are_as_if_they_had_not_been_found() -> None:
    excluded = {f"q{at}": frozenset({f"d{at}", f"É{at}"}) for at in range(6)}
    data, run = dataset(3, excluded=excluded), run_with_ties(4)
    left = {qid: data.without_own(qid, found) for qid, found in run.items()}
    assert all(not set(left[qid]) & (excluded.get(qid, frozenset()) | {qid}) for qid in run)
    theirs = beir(data.qrels, left)
    ours = per_query(data.qrels, left)
    for qid in run:
        assert ours[qid]["nDCG@10"] == pytest.approx(theirs[qid]["ndcg_cut_10"])
    assert data.most_left_out == 3


def test_mrr_of_msmarco_is_that_of_its_script() -> None:
    """MRR@10 over the questions that are judged, one without a result counting 0."""
    data, run = dataset(1), run_with_ties(9)
    ours = np.mean([row["RR@10"] for row in per_query(data.qrels, run).values()])
    total = 0.0
    for qid, found in run.items():
        order = sorted(found, key=lambda d: (found[d], d), reverse=True)[:10]
        ranks = [at for at, d in enumerate(order, 1) if data.qrels[qid].get(d, 0) > 0]
        total += 1 / ranks[0] if ranks else 0.0
    assert ours == pytest.approx(total / len(run))


def test_which_sets_leave_a_documents_own_question_out() -> None:
    beir_sets = {name for name, known in KNOWN.items() if known.ignore_identical_ids}
    assert beir_sets == {"nq-small", *SUITES["beir"].names} - {"msmarco"}


def test_published_figures_are_of_members_and_their_means_the_published_ones() -> None:
    for name, suite in SUITES.items():
        rows = published(name)
        assert rows
        for row in rows:
            assert row.figures.keys() <= suite.members.keys()
            assert row.source
            assert all(0 < figure < 100 for figure in row.figures.values())
    means = {row.system: np.mean(list(row.figures.values())) for row in published("beir")}
    # As the leaderboard's own tables have them, over all fifteen.
    assert means["all-MiniLM-L6-v2"] == pytest.approx(41.95, abs=0.01)
    assert means["mdbr-leaf-ir"] == pytest.approx(53.55, abs=0.01)
    assert means["LateOn"] == pytest.approx(57.22, abs=0.01)
    assert published("nowhere") == ()

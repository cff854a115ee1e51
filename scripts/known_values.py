#!/usr/bin/env python3
"""Check the evaluation against values known from elsewhere; exits 1 if one is missed.

python scripts/known_values.py --data DIR

DIR holds trec-dl-2021, the passage task of the TREC 2021 Deep Learning track as a reranking pool:
53 judged questions and the first 100 passages that BM25 finds for each. The order of BM25, and that
of all-MiniLM-L6-v2's cosine, have nDCG@10 known to four digits. Minutes on two cores.

Of the 5,299 passages 795 repeat the text of another, and have the same cosine. The known value has
them in BM25's order. By their ids, as trec_eval orders equal scores, it would be 0.5785.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from unimoer_rag import UniMoER
from unimoer_rag.data import BeirDataset, Run, load_beir, load_run
from unimoer_rag.engine import Engine
from unimoer_rag.evaluation import evaluate_run

KNOWN = {"BM25's own order": 0.4458, "all-MiniLM-L6-v2, cosine": 0.5774}
TOLERANCE = 0.0001
# Cosines of equal texts differ in the digits behind these, by how batches were cut.
DIGITS = 5


def cosine_run(dataset: BeirDataset, run: Run, *, model: str = "minilm") -> Run:
    """The passages of a run by the cosine of their embedding with the question's, as ranks."""
    engine = Engine.of(UniMoER.from_pretrained(model, dtype="float32"))
    names = sorted({doc_id for found in run.values() for doc_id in found})
    at = {doc_id: row for row, doc_id in enumerate(names)}
    documents = engine.embed([dataset.content(doc_id) for doc_id in names])
    questions = engine.embed([q.text for q in dataset.questions], "query")
    reranked: Run = {}
    for question, vector in zip(dataset.questions, questions, strict=True):
        found = run.get(question.id, {})
        first = sorted(found, key=lambda doc_id: -found[doc_id])
        cosines = np.round(documents[[at[doc_id] for doc_id in first]] @ vector, DIGITS)
        # Stable: equal ones stay in the run's order.
        order = np.argsort(-cosines, kind="stable")
        reranked[question.id] = {first[row]: -float(rank) for rank, row in enumerate(order)}
    return reranked


def main() -> int:
    """Measure both orders and compare them with what is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    folder = parser.parse_args().data / "trec-dl-2021"
    dataset = load_beir(folder, "dev")
    bm25 = load_run(folder / "run.bm25.trec.gz")
    missed = 0
    for (name, known), run in zip(KNOWN.items(), (bm25, cosine_run(dataset, bm25)), strict=True):
        measures = evaluate_run(dataset.qrels, run, relevance_level=dataset.relevance_level)
        found = measures["nDCG@10"]
        right = abs(found - known) <= TOLERANCE
        missed += not right
        print(f"{name}: nDCG@10 {found:.5f}, known {known}: {'the same' if right else 'DIFFERS'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

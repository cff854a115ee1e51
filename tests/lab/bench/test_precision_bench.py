"""The benchmark of precisions, run for real on little work."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from unimoer_rag.lab.bench.precision import PRECISIONS, measure_precision

PASSAGES = [
    "Refunds are paid within fourteen days of the returned item reaching the warehouse.",
    "The shop opens at nine in the morning and closes at six, except on Sundays.",
    "A tent costs twenty pounds for a weekend, and its deposit is fifty pounds.",
    "Asthma makes the airways swell; wheezing and a tight chest are its symptoms.",
]


def save_set(folder: Path) -> None:
    """Two questions over four passages, in the BEIR layout, with a run that has the order wrong."""
    (folder / "qrels").mkdir(parents=True)
    asked = [
        ("q1", "when are refunds paid?", "p0", "fourteen days"),
        ("q2", "tent price?", "p2", ""),
    ]
    corpus = [{"_id": f"p{i}", "title": "", "text": text} for i, text in enumerate(PASSAGES)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    queries = [
        {"_id": q, "text": text, "answers": [answer] if answer else [], "context": doc}
        for q, text, doc, answer in asked
    ]
    (folder / "queries.dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    judged = "".join(f"{q}\t{doc}\t1\n" for q, _, doc, _ in asked)
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    with gzip.open(folder / "run.bm25.trec.gz", "wt") as run:
        for q, *_ in asked:
            run.writelines(f"{q} Q0 p{i} {4 - i} {i + 1}.0 bm25\n" for i in range(4))


@pytest.mark.slow
def test_every_precision_is_measured(minilm_path: Path, tmp_path: Path) -> None:
    for name in ("trec-dl-2021", "nq", "squad-dev"):
        save_set(tmp_path / name)
    found = measure_precision(tmp_path, questions=2, passages=1, timed=2)
    assert tuple(found["ours"]) == tuple(found["others"]) == PRECISIONS
    assert found["passages"] == 3
    sizes = [found["ours"][name]["bytes"] for name in ("float32", "bfloat16", "int8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    for name, facts in found["ours"].items():
        assert facts["rerank_ndcg_10"] == facts["retrieval_ndcg_10"] == 1
        assert found["ratios"][name] == pytest.approx(
            facts["bytes"] / found["others"][name]["bytes"], abs=1e-4
        )
        assert 0.8 < facts["cosine"] <= 1.0001
    assert found["ours"]["float32"]["cosine"] > 0.99999
    assert found["ratio"] == found["ratios"]["bfloat16"] < 1

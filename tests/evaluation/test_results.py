"""A result and its JSON: what was written is read, and written the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.evaluation.results import (
    Ends,
    Judgement,
    Limit,
    Result,
    Skipping,
    load_result,
)

KEPT = Path(__file__).parents[2] / "results"
FILES = [
    path
    for path in sorted(KEPT.glob("*/*.json"))
    # Of an older version, which does not open: nothing in them can be compared.
    if path.parent.name not in ("studies", "domains", "gpu") and not path.name.startswith("squad")
]

SMALL: dict[str, Any] = {
    "dataset": "nq",
    "split": "dev",
    "corpus_sha256": "c0",
    "questions_sha256": "a0",
    "first_stage": "dense",
    "rerank_depth": 50,
    "per_question": {},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_results_that_were_kept_are_written_as_they_were(path: Path) -> None:
    """Every key, its place and its number: an older file loses and gains nothing."""
    written = json.loads(path.read_text(encoding="utf-8"))
    assert json.dumps(load_result(path).to_dict()) == json.dumps(written)


def test_there_are_results_to_read() -> None:
    assert len(FILES) >= 14


def test_what_a_system_says_of_itself_stands_beside_the_others() -> None:
    bm25 = {"checkpoint": None, "embedder": None, "reranker": None, "reader": {"checkpoint": "r"}}
    ours = {"checkpoint": "unimoer-minilm", "checkpoint_digest": "d0"}
    for made_of in (bm25, ours, {"of my own": [1, {"a": 2}]}):
        read = Result.from_dict({**SMALL, "system": "s", **made_of})
        assert read.made_of == made_of
        written = read.to_dict()
        assert {name: written[name] for name in made_of} == made_of
        assert "made_of" not in written
        names = list(written)
        assert names[names.index("system") + 1 :][: len(made_of)] == list(made_of)
        assert read == Result.from_dict(written)
    assert (read.checkpoint, read.checkpoint_digest) == (None, None)


@pytest.mark.parametrize("path", FILES[:3], ids=lambda path: path.stem)
def test_a_result_is_read_by_the_keys_of_its_json(path: Path) -> None:
    result = load_result(path)
    written = result.to_dict()
    assert dict(result) == written
    assert list(result) == list(written)
    assert result["retrieval"] == written["retrieval"]
    assert "no such key" not in result
    with pytest.raises(KeyError, match="no such key"):
        result["no such key"]


def test_only_what_there_is_is_written() -> None:
    bare = Result.from_dict(SMALL)
    absent = {"ragas", "ragas_judge", "ragas_error", "auto_rerank", "pipeline", "limit", "command",
              "n_judged", "bootstrap", "warm_latency_percentiles_ms"}  # fmt: skip
    assert not absent & bare.to_dict().keys()
    # A threshold of none, and a judge of none where something was judged, are told.
    assert bare.to_dict()["threshold"] is None
    judged = Result.from_dict({**SMALL, "ragas": {}}).to_dict()
    assert (judged["ragas"], judged["ragas_judge"]) == ({}, None)


def test_parts_are_values_of_their_own() -> None:
    counts = {"mean": 0.5, "low": None, "high": None, "n": 1, "failed": 2, "skipped": 0}
    written = {
        **SMALL,
        "auto_rerank": {"threshold": 0.25, "skipped": 3, "share_skipped": 0.5},
        "answers": {"from": "gold", "f1": 50.0, "n": 4, "prompt": None, "empty_golds": ["q1"]},
        "ragas": {"faithfulness": {**counts, "reasons": {"no number": 2}}},
        "intervals": {"answers": {"f1": {"low": 40.0, "high": 60.0, "n": 4}}},
        "limit": {"questions": 4, "seed": 1},
    }
    read = Result.from_dict(written)
    assert read.auto_rerank == Skipping(threshold=0.25, skipped=3, share_skipped=0.5)
    assert read.ragas == {"faithfulness": Judgement(**counts, reasons={"no number": 2})}
    assert read.intervals == {"answers": {"f1": Ends(low=40.0, high=60.0, n=4)}}
    assert read.limit == Limit(questions=4, seed=1)
    assert read.means("answers") == {"f1": 50.0, "n": 4}
    assert read.means("rerank") == {}
    again = read.to_dict()
    assert {name: again[name] for name in written} == written

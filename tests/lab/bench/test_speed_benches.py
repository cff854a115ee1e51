"""The speed benchmarks, run for real on little work: what they measure and what they report."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.errors import MissingExtraError
from unimoer_rag.lab.bench.frameworks import check_frameworks
from unimoer_rag.lab.bench.rivals import SETTINGS, open_rivals
from unimoer_rag.lab.bench.texts import make_passages, make_queries
from unimoer_rag.model.unimoer import UniMoER

REPORTED = {"bench", "ours", "others", "ratio", "machine", "command"}


def run(out: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["bench", *words, "--json", str(out)])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert set(found) >= REPORTED
    assert found["bench"] == words[0]
    assert found["machine"]["versions"]["torch"]
    return found


def ratio(found: dict[str, Any], above: str, below: str) -> float:
    seconds = found["seconds"]
    return median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))


@pytest.mark.slow
def test_encoding_is_measured_at_equal_accuracy(minilm_path: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "o.json", "encode", "--passages", "6", "--rival", "bfloat16")
    assert list(found["others"]) == ["default", "bfloat16"]
    for side in (found["ours"], *found["others"].values()):
        assert side["cosine"]["mean"] >= 0.999
        assert side["tokens_a_second"] == pytest.approx(found["tokens"] / side["seconds"], rel=0.1)
    # Milliseconds are kept of each round, which is rough for so little work.
    assert found["ratio"] == pytest.approx(ratio(found, "default", "ours"), rel=0.1)
    assert found["best"] in found["others"]


@pytest.mark.slow
def test_reranking_counts_new_and_known_passages(minilm_path: Path, tmp_path: Path) -> None:
    words = ("rerank", "--queries", "2", "--depth", "5", "--rival", "default")
    found = run(tmp_path / "o.json", *words)
    assert list(found["others"]) == ["default"]
    assert found["others"]["default"]["furthest_score"] == 0
    assert found["ours"]["rows"] >= 10 > found["ours_seen"]["rows"]
    assert found["ratio"] == pytest.approx(ratio(found, "default", "ours"), rel=0.1)


@pytest.mark.slow
def test_overhead_is_that_of_the_task_which_costs_most(minilm_path: Path, tmp_path: Path) -> None:
    found = run(tmp_path / "o.json", "overhead", "--passages", "4")
    assert set(found["by_task"]) == {"embed", "rerank", "read"}
    assert found["ratio"] == max(found["by_task"].values())
    assert set(found["merged"]) == {"read"}  # the only one with experts at work


def test_ingestion_is_measured_against_the_frameworks(minilm_path: Path, tmp_path: Path) -> None:
    need_frameworks()
    found = run(tmp_path / "o.json", "ingest", "--passages", "8")
    assert list(found["others"]) == ["llama-index", "langchain"]
    assert found["ratio"] == pytest.approx(ratio(found, "llama-index", "ours"), rel=0.05)


def test_a_query_is_measured_against_llama_index(minilm_path: Path, tmp_path: Path) -> None:
    need_frameworks()
    words = ("query", "--passages", "60", "--queries", "5", "--depth", "10")
    found = run(tmp_path / "o.json", *words)
    ours, other = found["ours"]["milliseconds"], found["others"]["llama-index"]["milliseconds"]
    assert found["passages"] == 60
    assert found["ratio"] == pytest.approx(other["p50"] / ours["p50"], rel=0.01)
    assert ours["p50"] <= ours["p95"]


def need_frameworks() -> None:
    try:
        check_frameworks("this test")
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_a_table_is_printed_where_no_json_is_asked_for(minilm_path: Path) -> None:
    words = ["bench", "encode", "--passages", "4", "--rival", "default"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "encoding: medians of 5 rounds" in done.stdout


def test_an_unknown_rival_is_refused() -> None:
    done = CliRunner().invoke(app, ["bench", "encode", "--rival", "onyx"])
    assert done.exit_code == 1
    assert "unknown rival 'onyx'" in " ".join(done.output.split())


@pytest.mark.slow
def test_texts_are_the_same_ones_and_of_mixed_length(minilm_path: Path) -> None:
    model = UniMoER.from_pretrained("unimoer-minilm")
    texts = make_passages(model.tokenizer, 300)
    assert texts == make_passages(model.tokenizer, 300)
    assert len(set(texts)) == 300
    lengths = [model.rows.count(text) for text in texts]
    assert 8 <= min(lengths) < 40
    assert 200 < max(lengths) <= 254
    assert all(4 <= len(query.split()) <= 14 for query in make_queries(model.tokenizer, 50))


@pytest.mark.slow
@pytest.mark.parametrize("setting", list(SETTINGS))
def test_a_rival_answers_as_its_default_does(
    setting: str, minilm_path: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["refunds take 14 days", "we open at nine on every day of the week but sunday"]

    def load(**options: Any) -> Any:
        return SentenceTransformer(str(minilm_path), device="cpu", **options)

    rivals, refused = open_rivals(load, ("default", setting), tmp_path)
    if setting in refused:
        assert "unimoer-rag[rivals]" in refused[setting]
        pytest.skip(refused[setting])
    vectors = {
        name: rival.encode(texts, normalize_embeddings=True).astype(np.float32)
        for name, rival in rivals.items()
    }
    lengths = np.linalg.norm(vectors[setting], axis=-1)
    least = ((vectors[setting] * vectors["default"]).sum(-1) / lengths).min()
    assert least > (0.9 if setting == "onnx-int8" else 0.999)

"""The benchmarks of vectors and of growth, run for real on little work."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app

N = 150


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Passages that number things, and a question for some of them."""
    folder = tmp_path / "things"
    (folder / "qrels").mkdir(parents=True)
    passages = [
        {"_id": f"p{n}", "title": "", "text": f"Thing {n} costs {n * 3} pounds."} for n in range(N)
    ]
    questions = [{"_id": f"q{n}", "text": f"What does thing {n} cost?"} for n in range(0, N, 10)]
    for name, rows in (("corpus", passages), ("queries", questions)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "".join(f"q{n}\tp{n}\t1\n" for n in range(0, N, 10))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.mark.slow
def test_vectors(minilm_path: Path, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ir_measures")
    out = tmp_path / "o.json"
    run("vectors", "--data", data, "--passages", 120, "--queries", 10, "--json", out)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert (found["bench"], found["passages"], found["queries"]) == ("vectors", 120, 10)
    exact, quantized = found["others"]["float32"], found["ours"]
    assert list(quantized) == [
        "int8",
        "int8, no oversampling",
        "binary",
        "binary, no oversampling",
    ]
    assert exact["recall@10"] >= 0.99
    for side in (exact, *quantized.values()):
        assert side["recall@10"] <= 1
        assert 0 < side["nDCG@10"] <= 1
        assert side["milliseconds"]["p50"] <= side["milliseconds"]["p95"]
    # The codes of 384 numbers and the graph are less than the vectors; on disk they come besides.
    for side in quantized.values():
        assert side["memory_bytes_a_million"] < exact["memory_bytes_a_million"]
        assert side["disk_bytes_a_million"] > exact["disk_bytes_a_million"]
    assert quantized["binary, no oversampling"]["recall@10"] < quantized["binary"]["recall@10"]
    binary = quantized["binary"]["memory_bytes_a_million"] / exact["memory_bytes_a_million"]
    assert found["ratio"] == pytest.approx(binary, abs=1e-3)


def test_too_few_passages(minilm_path: Path, data: Path) -> None:
    assert "expected at least 100" in run("vectors", "--data", data, "--passages", 99, code=1)


@pytest.mark.slow
def test_growth(tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    words = ("--dimension", 8, "--queries", 5, "--folder", tmp_path, "--quantization", "binary")
    run("growth", 300, 900, *words, "--json", out)
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    assert list(found["ours"]) == ["300", "900"]
    assert [path.name for path in tmp_path.iterdir()] == ["o.json"]
    small, large = found["ours"].values()
    for side in (small, large):
        assert not side["graph"]
        assert min(v for k, v in side.items() if "seconds" in k and k != "block_seconds") >= 0
        assert min(side["index_memory_bytes"], side["index_resident_bytes"]) > 0
        assert side["search_resident_bytes"] > 0
    [step] = found["exponents"].values()
    assert "optimize_seconds" not in step  # no graph was built
    disk = math.log(large["disk_bytes"] / small["disk_bytes"]) / math.log(3)
    assert step["disk_bytes"] == pytest.approx(disk, abs=1e-3)
    assert found["ratio"] == max(step.values())
    assert found["faster_than_input"] == sorted(name for name, e in step.items() if e > 1.1)


@pytest.mark.parametrize("sizes", [(100,), (100, 100), (200, 100), (0, 100)])
def test_sizes_rise(sizes: tuple[int, ...]) -> None:
    assert "expected two or more, rising" in run("growth", *sizes, code=1)

"""`unimoer-rag eval` of a benchmark, its rankings as files, and sets of ir_datasets."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import cast

import pytest
import pytrec_eval
from cli_helpers import Command
from data.repositories import holding, nano_folder
from huggingface_hub import constants
from training.toy import write_beir

from unimoer_rag.data import SUITES, Suite, load_beir, load_run

BM25 = ("--system", "bm25", "--parts", "retrieval")


@pytest.fixture
def two_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of two of NanoBEIR's sets, as the error of missing files says to make it."""
    names = ("nano-nq", "nano-scifact")
    small = Suite("nanobeir", "two of it", {name: (name,) for name in names})
    monkeypatch.setitem(cast("dict[str, Suite]", SUITES), "nanobeir", small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    for name in names:
        holding(monkeypatch, name, 3, 2, 2)
        nano_folder(tmp_path / "nanobeir" / name)
    return tmp_path / "nanobeir"


@pytest.mark.slow
def test_a_benchmark_is_one_table_beside_published_figures(run: Command, two_sets: Path) -> None:
    first = run("eval", "nanobeir", "--data", two_sets, *BM25)
    assert first.exit_code == 0, first.stderr
    assert "nano-nq: nDCG@10" in first.stderr
    assert "embeddings-benchmark/results" in first.stderr
    kept = Path("nanobeir-results") / "nano-nq.json"
    before = kept.read_bytes()
    (kept.parent / "nano-scifact.json").unlink()  # as if it had been stopped there

    again = run("eval", "nanobeir", "--data", two_sets, *BM25, "--json", "all.json")
    assert again.exit_code == 0, again.stderr
    assert kept.read_bytes() == before
    written = json.loads(Path("all.json").read_text("utf-8"))
    of_sets = [
        json.loads((kept.parent / f"{name}.json").read_text("utf-8"))["retrieval"]["nDCG@10"]
        for name in ("nano-nq", "nano-scifact")
    ]
    assert written["mean"]["retrieval"] == pytest.approx(50 * sum(of_sets))
    weighed = written["results"]["nano-nq"]["bm25"]
    assert weighed.items() >= {"k1": 1.2, "b": 0.75, "language": "english"}.items()
    named = {row["system"]: row for row in written["published"]}
    assert named["multilingual-e5-small"]["figures"]["nano-nq"] == 68.62

    other = run("eval", "nanobeir", "--data", two_sets, *BM25, "--limit", 1)
    assert other.exit_code == 1
    assert "keeps results of another limit" in other.stderr


def test_without_a_network_a_benchmark_says_what_to_download(run: Command, tmp_path: Path) -> None:
    result = run("eval", "nanobeir", *BM25, "--results", tmp_path)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "13 of 13 data sets of nanobeir are not on this machine" in said
    assert "/NanoSciFact/resolve/309f1d1ae3ae2e092444a8a0c25bed59b82318bc/corpus/train" in said
    assert "unimoer-rag eval nanobeir --data nanobeir" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--run-out", "run.trec"), "--run-out"),
        (("--split", "test"), "--split"),
        (("--ragas",), "--ragas"),
    ],
)
def test_options_of_one_set_are_refused(run: Command, options: tuple[str, ...], named: str) -> None:
    result = run("eval", "nanobeir", *options)
    assert result.exit_code == 1
    assert f"{named} is of one data set, and nanobeir is several" in " ".join(result.stderr.split())


@pytest.mark.slow
def test_a_ranking_is_written_as_it_was_measured(run: Command, tmp_path: Path) -> None:
    towns = ["Paris has bridges", "Rome has bridges", "Oslo has bridges", "Bern has a bridge"]
    corpus = [{"_id": f"d{at}", "text": text} for at, text in enumerate(towns)]
    questions = [
        {"_id": f"q{at}", "text": f"bridges of {t.split()[0]}"} for at, t in enumerate(towns)
    ]
    qrels = [(f"q{at}", f"d{(at + at // 2) % 4}", 1) for at in range(4)]
    folder = write_beir(tmp_path / "towns", "test", corpus, questions, qrels)
    trec, tsv, out = tmp_path / "new" / "run.trec", tmp_path / "run.tsv", tmp_path / "out.json"
    for path in (trec, tsv):
        result = run("eval", "--data", folder, *BM25, "--run-out", path, "--json", out)
        assert result.exit_code == 0, result.stderr
    measured = json.loads(out.read_text("utf-8"))["per_question"]["retrieval"]
    judged = load_beir(folder, "test").qrels
    found = load_run(trec)
    # trec_eval, given the file that was written, says the same.
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10"}).evaluate(found)
    for qid, row in measured.items():
        assert theirs[qid]["ndcg_cut_10"] == pytest.approx(row["nDCG@10"], abs=1e-4)
    lines = tsv.read_text("utf-8").splitlines()
    assert all(len(line.split("\t")) == 3 for line in lines)
    assert {q: sorted(f, key=f.__getitem__) for q, f in load_run(tsv).items()} == {
        q: sorted(f, key=lambda d, f=f: (f[d], d))
        for q, f in found.items()  # type: ignore[misc]
    }
    other = run("eval", "--data", folder, "--system", "bm25-beir", *BM25[2:], "--json", out)
    assert other.exit_code == 0, other.stderr
    weighed = json.loads(out.read_text("utf-8"))["bm25"]
    assert (weighed["k1"], weighed["b"]) == (0.9, 0.4)
    # And it can be taken as a first stage again.
    again = run("eval", "--data", folder, *BM25, "--run", trec, "--json", out)
    assert again.exit_code == 0, again.stderr
    rescored = json.loads(out.read_text("utf-8"))
    assert rescored["per_question"]["retrieval"] == measured
    assert "bm25" not in rescored


def test_ir_datasets_takes_the_place_of_a_name(run: Command) -> None:
    result = run("eval", "nq", "--ir-dataset", "msmarco-passage/dev/small")
    assert result.exit_code == 1
    assert "--ir-dataset takes the place of a data set" in " ".join(result.stderr.split())


@pytest.mark.skipif(
    importlib.util.find_spec("ir_datasets") is not None, reason="ir_datasets is installed"
)
def test_the_extra_of_ir_datasets_is_named(run: Command) -> None:
    result = run("eval", "--ir-dataset", "msmarco-passage/dev/small", *BM25)
    assert result.exit_code == 1
    assert "unimoer-rag[ir-datasets]" in result.stderr

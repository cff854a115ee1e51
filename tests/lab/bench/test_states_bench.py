"""The benchmark of kept token states, run for real on little work."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from unimoer_rag.cli.main import app

TEXTS = {
    "refunds": "Refunds take five working days, and go to the card that paid.",
    "shipping": "A refund of shipping costs takes longer: ten days.",
    "parcel": "Money is paid back once the parcel is here.",
    "library": "The library opens at nine and closes at six.",
    "kayak": "A kayak for two weighs thirty kilograms.",
    "paris": "Paris is the capital of France.",
}
QUESTIONS = {"q1": "how long do refunds take?", "q2": "when does the library close?"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pytest.importorskip("ir_measures", reason="needs the extra eval")
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": key, "title": "", "text": text} for key, text in TEXTS.items()]
    queries = [{"_id": key, "text": text} for key, text in QUESTIONS.items()]
    for name, rows in (("corpus", corpus), ("queries.dev", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "q1\trefunds\t2\nq1\tshipping\t1\nq2\tlibrary\t1\n"
    (folder / "qrels" / "dev.tsv").write_text(judged, encoding="utf-8")
    return folder


def write_run(path: Path, *documents: str) -> Path:
    rows = [
        f"{question} Q0 {document} {rank} {-rank} toy\n"
        for question in QUESTIONS
        for rank, document in enumerate(documents, start=1)
    ]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def bench(*words: object) -> Result:
    return CliRunner().invoke(app, ["bench", "states", *map(str, words)])


def found_by(*words: object, out: Path) -> dict[str, Any]:
    done = bench(*words, "--json", out)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_every_format_is_measured_against_encoding(
    minilm_path: Path, data: Path, tmp_path: Path
) -> None:
    found = found_by("--data", data, "--depth", 5, "--timed", 1, out=tmp_path / "o.json")
    assert (found["data"], found["split"], found["questions"]) == ("toy", "dev", 2)
    [(name, encoded)] = found["others"].items()
    assert name == "encoded at query time"
    assert encoded["ndcg_at_10"] == pytest.approx(1.0, abs=0.05)
    ours = found["ours"]
    assert len(ours) == 9
    full = ours["float16, pooled by 1"]
    assert full["ndcg_at_10"] == encoded["ndcg_at_10"]
    assert full["score_change"] == pytest.approx(0, abs=1e-3)
    # A header, the text's vector, and the tokens: 2 bytes a number against 1 and a factor.
    n_tokens = (full["bytes_a_passage"] - 8 - 768) / 768
    assert ours["int8, pooled by 1"]["bytes_a_passage"] == pytest.approx(
        776 + n_tokens * 386, abs=1
    )
    assert ours["binary, pooled by 1"]["bytes_a_passage"] == pytest.approx(
        776 + n_tokens * 50, abs=1
    )
    for precision in ("float16", "int8", "binary"):
        sizes = [ours[f"{precision}, pooled by {n}"]["bytes_a_passage"] for n in (1, 2, 4)]
        assert sizes == sorted(sizes, reverse=True)
    assert set(found["maxsim_milliseconds"]) == {"50", "200", "1000"}
    seconds = found["seconds"]
    pairs = zip(seconds[name], seconds["int8, pooled by 1"], strict=True)
    assert found["ratio"] == pytest.approx(median(a / b for a, b in pairs), rel=0.3)


@pytest.mark.slow
def test_a_run_can_be_the_first_stage(minilm_path: Path, data: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "toy.run", "paris", "library", "refunds")
    words = ("--data", data, "--run", run, "--depth", 3, "--timed", 1)
    shown = bench(*words)
    assert shown.exit_code == 0
    assert "toy dev, 2 questions; 3 candidates" in shown.stdout
    assert "MaxSim alone" in shown.stdout
    assert "with 1,000" in shown.stdout
    # Only one of the three judged passages is among the candidates.
    [row] = [line for line in shown.stdout.splitlines() if "float16, pooled by 1" in line]
    assert 0.5 < float(row.split()[-3]) < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--depth", "100"), "no question of 'toy' dev has 100 candidates"),
        (("--depth", "3", "--timed", "0"), "timed is 0"),
        (("--depth", "3", "--rounds", "2"), "rounds is 2"),
        (("--depth", "3", "--run", "{run}"), "ranks the document 'elsewhere'"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    minilm_path: Path, data: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    run = write_run(tmp_path / "toy.run", "paris", "elsewhere")
    done = bench("--data", data, *(word.replace("{run}", str(run)) for word in words))
    assert done.exit_code == 1
    assert said in done.stderr

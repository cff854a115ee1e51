"""`scripts/measure_llm_rerankers.py`: rows of methods on a tiny decoder, and going on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generation.tiny_llm import save_llm
from repository import script
from training.toy import write_toy

from unimoer_rag.data import load_beir, write_run

measure = script("measure_llm_rerankers")
ONLY = "BM25,pointwise,pairwise (sort all),in-context (all)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_llm(tmp_path_factory.mktemp("llm") / "tiny", max_position_embeddings=4096))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with a run that has what answers behind four other passages."""
    folder = write_toy(tmp_path_factory.mktemp("sets") / "toy")
    dataset = load_beir(folder)
    run = {}
    for question in dataset.questions:
        answers = list(dataset.qrels.get(question.id, {}))
        others = [i for i in dataset.corpus if i not in answers][:4]
        run[question.id] = {i: 9.0 - at for at, i in enumerate([*others, *answers])}
    write_run(run, folder / "run.trec")
    return folder


@pytest.mark.slow
def test_rows_are_measured_and_gone_on_with(model: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    options = {"run": "run.trec", "depth": 5, "heads": None, "ours": "unimoer-minilm"}
    measure.main(model, data, out, questions=1, only=ONLY, **options)
    first = json.loads(out.read_text())
    measure.main(model, data, out, questions=2, only=ONLY, **options)
    found = json.loads(out.read_text())
    assert found["asked"] == 2
    assert found["model"] == "tiny"
    assert str(tmp_path) not in out.read_text()
    for name, rows in first["questions"].items():  # what was measured stays, seconds and all
        assert rows.items() <= found["questions"][name].items()
    rows = found["rows"]
    assert list(rows) == ONLY.split(",")
    assert rows["BM25"]["prompts"] == 0
    assert "against BM25" not in rows["BM25"]
    assert rows["pointwise"]["prompts"] == 5
    assert rows["pairwise (sort all)"]["prompts"] == 20
    assert rows["in-context (all)"]["tokens"] == 0
    told = rows["pointwise"]["against BM25"]
    assert told["first"] == pytest.approx(rows["BM25"]["nDCG@10"], abs=1e-4)
    assert told["second"] == pytest.approx(rows["pointwise"]["nDCG@10"], abs=1e-4)
    # The one passage that answers stands fifth: 1 / log2(6).
    assert rows["BM25"]["nDCG@10"] == pytest.approx(0.3869, abs=1e-3)

"""Systems that ask a language model, of a folder or behind a URL: the reranker, and its cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from generation.faulty_server import faulty_server, whole
from generation.tiny_llm import save_llm
from ranking.oracle import DOCUMENTS, QUERY

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.evaluation import build_system
from unimoer_rag.generation import LocalLLM
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.ranking import METHODS, LocalModel, make

WHERE = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("llm"), max_position_embeddings=4096)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pointwise", "setwise", "query-generation"])
def test_a_decoder_ranks_as_its_reranker_does(folder: Path, kind: str) -> None:
    system = build_system(f"llm-{kind}", reranker=str(folder), **WHERE)
    assert (system.name, system.reranks) == (f"llm-{kind}", True)
    found = system.rank([QUERY, "another"], [DOCUMENTS[:5], DOCUMENTS[5:8]])
    reranker = make(kind, LocalModel(LocalLLM(str(folder), **WHERE)))
    for scores, query, texts in zip(
        found, (QUERY, "another"), (DOCUMENTS[:5], DOCUMENTS[5:8]), strict=True
    ):
        assert scores == pytest.approx(reranker.rank(query, texts), abs=1e-6)
    made_of = json.loads(json.dumps(system.describe()))["reranker"]
    assert made_of["model"] == str(folder)
    assert made_of["method"] == repr(METHODS[kind]())
    assert made_of["dtype"] == "float32"
    assert "model.safetensors" in made_of["sha256"]
    assert made_of["cost"]["prompts"] == reranker.cost.prompts
    assert made_of["cost"]["queries"] == 2
    [model] = system.modules
    assert sum(p.numel() for p in model.parameters()) > 0


def test_every_question_is_asked_anew(folder: Path) -> None:
    system = build_system("llm-pointwise", reranker=str(folder), **WHERE)
    system.rank([QUERY, QUERY], [DOCUMENTS[:4], DOCUMENTS[:4]])
    assert system.describe()["reranker"]["cost"]["prompts"] == 8


@pytest.mark.slow
def test_a_server_is_named_by_its_url() -> None:
    with faulty_server() as server:
        server.answers = [whole("[2] > [1]")]
        system = build_system("llm-listwise", reranker=server.url, **WHERE)
        [scores] = system.rank([QUERY], [DOCUMENTS[:2]])
        assert isinstance(system, TwoStage)
        assert scores.tolist() == [0.5, 1]
        made_of = system.describe()["reranker"]
    assert (made_of["model"], made_of["url"]) == ("tiny", server.url)
    assert made_of["cost"]["prompts"] == 1
    assert system.modules == []


@pytest.mark.slow
def test_what_cannot_be_asked(tmp_path: Path) -> None:
    with faulty_server() as server, pytest.raises(InputError, match="needs likelihoods"):
        build_system("llm-query-generation", reranker=server.url, **WHERE)
    with pytest.raises(BackboneError):
        build_system("llm-listwise", reranker=str(tmp_path), **WHERE)
    with pytest.raises(InputError, match=r"no embedder to choose .* takes reranker"):
        build_system("llm-listwise", embedder="minilm", **WHERE)

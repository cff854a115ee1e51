"""Pipelines from YAML: every preset is built, every mistake is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from generation.faulty_server import faulty_server, whole

from unimoer_rag import RagPipeline
from unimoer_rag.errors import InputError, StoreUnavailableError
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.pipelines.config import PipelineConfig, ReaderConfig, ServerConfig

ROOT = Path(__file__).resolve().parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "pipelines").glob("*.yaml"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_says_how_it_is_used(name: str) -> None:
    config = PipelineConfig.load(name)
    text = (ROOT / "pipelines" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f'RagPipeline.from_yaml("{name}"' in text
    assert isinstance(config.generate, ServerConfig if name == "server" else ReaderConfig)


@pytest.mark.parametrize("name", ["local", "hybrid"])
def test_a_preset_answers(name: str, minilm_path: Path, tmp_path: Path) -> None:
    pipeline = RagPipeline.from_yaml(name, index=tmp_path / "handbook.index")
    with pipeline.retriever as retriever:
        assert isinstance(pipeline.generator, ExtractiveReader)
        assert retriever.mode == {"local": "dense", "hybrid": "hybrid"}[name]
        retriever.add_path(ROOT / "examples" / "handbook")
        answer = pipeline.answer("How long do refunds take?")
    assert answer.text == "14 days"


def test_the_server_preset_asks_the_servers_it_names(minilm_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="no Qdrant server answers at http://127"):
        RagPipeline.from_yaml("server", url="http://127.0.0.1:9")


def test_a_file_names_its_chat_server(minilm_path: Path, tmp_path: Path) -> None:
    with faulty_server() as server:
        server.answers = [whole("In 14 days [1].")]
        text = f"generate:\n  kind: chat-server\n  url: {server.url}\n  max_tokens: 9\n"
        pipeline = RagPipeline.from_yaml(write(tmp_path / "mine.yaml", text), chat_key="secret")
        with pipeline.retriever as retriever:
            retriever.add(["Refunds take 14 days."])
            assert pipeline.answer("How long do refunds take?").text == "In 14 days [1]."
    assert isinstance(pipeline.generator, ChatServer)
    assert server.requests[0]["max_tokens"] == 9
    assert server.headers["Authorization"] == "Bearer secret"


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert PipelineConfig.load(write(tmp_path / "empty.yaml", "")) == PipelineConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retrieve:\n  rerank: many\n", r":2: retrieve\.rerank: .*integer"),
        ("select:\n  n_read: 5\n  top: 3\n", r":3: select\.top: Extra inputs"),
        ("\nretrieve:\n  mode: fuzzy\n", r":3: retrieve\.mode: .*'dense', 'sparse' or 'hybrid'"),
        ("generate:\n  kind: chat-server\n", r":1: generate\.url: Field required"),
        ("generate:\n  kind: oracle\n", r":1: generate: .*'oracle'"),
        ("generate:\n  kind: reader\n  threshold: 2\n", r":3: generate\.threshold: .*less than"),
        ("[]", r":1: pipeline: .*valid dictionary"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"bad\.yaml.*{message}"):
        PipelineConfig.load(write(tmp_path / "bad.yaml", text))


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(InputError, match=r"no pipeline 'mine': .* hybrid, local, server"):
        PipelineConfig.load("mine")

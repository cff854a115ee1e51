"""Pipelines from YAML: every preset is built, every mistake is named with its line."""

from __future__ import annotations

from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path

import pytest
from generation.faulty_server import faulty_server, whole
from generation.tiny_llm import save_llm
from model.cross_folders import save_cross
from model.tiny_models import save_backbone
from pydantic import BaseModel

from unimoer_rag import RagPipeline, UnifiedRetriever, UniMoER
from unimoer_rag.errors import (
    BackboneError,
    InputError,
    MissingExtraError,
    StoreUnavailableError,
)
from unimoer_rag.generation.chat_server import ChatServer
from unimoer_rag.generation.extractive import ExtractiveReader
from unimoer_rag.generation.local_llm import LocalLLM
from unimoer_rag.generation.resident import ResidentLLM
from unimoer_rag.generation.types import THRESHOLD
from unimoer_rag.generation.vllm_engine import VllmEngine
from unimoer_rag.generation.writer import Writer
from unimoer_rag.pipelines.build import build
from unimoer_rag.pipelines.config import (
    PipelineConfig,
    QueryCacheConfig,
    RetrieveConfig,
    SelectConfig,
)
from unimoer_rag.pipelines.generators import (
    LocalConfig,
    ReaderConfig,
    ResidentConfig,
    ServerConfig,
    VllmConfig,
)
from unimoer_rag.pipelines.rerankers import RerankerConfig
from unimoer_rag.ranking import Cascade
from unimoer_rag.retrieval import Chunking, Document, QueryCache, best_first

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


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "server"])
def test_a_preset_answers(
    name: str, few_documents: Path, minilm_path: Path, tmp_path: Path
) -> None:
    pipeline = RagPipeline.from_yaml(name, index=tmp_path / "handbook.index")
    with pipeline.retriever as retriever:
        assert isinstance(pipeline.generator, ExtractiveReader)
        config = PipelineConfig.load(name)
        assert (retriever.mode, pipeline.hops) == (config.retrieve.mode, config.hops)
        retriever.add_path(few_documents)
        answer = pipeline.answer("How long do refunds take?")
    assert answer.text == "14 days"


def test_the_server_preset_asks_the_servers_it_names(minilm_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="no Qdrant server answers at http://127"):
        RagPipeline.from_yaml("server", url="http://127.0.0.1:9")


@pytest.mark.slow
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


def test_presets_differ_in_what_they_are_named_for() -> None:
    assert PipelineConfig.load("local") == PipelineConfig()
    assert PipelineConfig.load("hybrid").retrieve.mode == "hybrid"
    assert PipelineConfig.load("multihop").hops == 2


def test_a_place_that_is_given_takes_the_place_of_the_files(tmp_path: Path) -> None:
    named = PipelineConfig.load("server")
    assert named.retrieve.url == "http://localhost:6333"
    moved = named.at(index=tmp_path, url=None)
    assert (moved.retrieve.index, moved.retrieve.url) == (str(tmp_path), None)
    assert moved.generate == named.generate
    assert named.at(index=None, url=None) is named


def test_values_that_are_given_take_the_place_of_the_files() -> None:
    named = PipelineConfig.load("hybrid")
    updated = named.updated(retrieve={"rerank": 0, "mode": None}, select={"n_read": 2})
    assert (updated.retrieve.rerank, updated.retrieve.mode) == (0, "hybrid")
    assert (updated.select.n_read, updated.generate) == (2, named.generate)
    assert named.select.n_read == 5


def test_an_index_is_let_go_where_the_pipeline_cannot_be_built(
    minilm_path: Path, tmp_path: Path
) -> None:
    config = PipelineConfig.load("local").at(index=tmp_path / "index", url=None)
    with pytest.raises(InputError, match="n_read is 0"):
        build(config.updated(select={"n_read": 0}))
    with build(config).retriever as retriever:  # would be locked
        assert retriever.count() == 0


def test_a_file_says_how_documents_are_cut_and_what_is_remembered(
    minilm_path: Path, tmp_path: Path
) -> None:
    text = "retrieve:\n  model: minilm\n  query_cache: {entries: 7, ttl: 60}\n  chunking: "
    for written, meant in (
        ("whole", "whole"),
        ("{size: 40, overlap: 4}", Chunking(40, 4)),
        ("{size: 80}", Chunking(80)),
    ):
        config = PipelineConfig.load(write(tmp_path / "cut.yaml", text + written))
        with config.retrieve.open() as retriever:
            assert retriever.chunking == meant
            assert (retriever.query_cache.entries, retriever.query_cache.ttl) == (7, 60)
        with config.retrieve.open(read_only=False):  # each has a cache of its own
            pass


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert PipelineConfig.load(write(tmp_path / "empty.yaml", "")) == PipelineConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retrieve:\n  rerank: many\n", r":2: retrieve\.rerank: .*integer"),
        (
            "select:\n  n_read: 5\n  top: 3\n",
            r":3: select\.top: unknown key, .*n_read",
        ),
        (
            "\nretrieve:\n  mode: fuzzy\n",
            r":3: retrieve\.mode: .*'sparse' or 'hybrid', not 'fuzzy'",
        ),
        ("generate:\n  kind: chat-server\n", r":1: generate\.url: missing: add it, as in `url: "),
        ("generate:\n  kind: oracle\n", r":2: generate\.kind: expected .*'vllm', not 'oracle'"),
        (
            "generate:\n  url: http://x\n",
            r":2: generate\.url: unknown key, .* kind, threshold",
        ),
        (
            "generate:\n  kind: reader\n  threshold: 2\n",
            r":3: generate\.threshold: .*most 1, not 2",
        ),
        ("select: {}\nhops: 0\n", r":2: hops: .*at least 1, not 0: .* leave it out for 1"),
        ("retrieve:\n  chunking: hole\n", r":2: retrieve\.chunking: expected whole, or size"),
        ("retrieve:\n  chunking: {size: 3}\n", r":2: retrieve\.chunking.*: chunking size must be"),
        ("retrieve:\n  query_cache: {semantic: 2}\n", r":2: retrieve\.query_cache\.semantic: "),
        (
            "hops: 2\nreranker: x\n",
            r":2: reranker: unknown key, expected one of hops, follow_up",
        ),
        ("retrieve:\n  modes: dense\n", r":2: retrieve\.modes: unknown key, .*: write mode, or"),
        ("retrieve:\n  chunking: {sise: 9}\n", r":2: retrieve\.chunking\.sise: .*: write size"),
        ("hops: a b\n", r":1: hops: expected a whole number, not a text"),
        ("retrieve:\n  index: true\n", r":2: retrieve\.index: expected a text, not true"),
        ("[]", r":1: pipeline: expected keys with values, as in `key: value`, not a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"bad\.yaml.*{message}"):
        PipelineConfig.load(write(tmp_path / "bad.yaml", text))


@pytest.mark.parametrize("text", ["hops: 2024-13-45", "hops: !!int many", "hops: \udcff"])
def test_what_yaml_cannot_read_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"bad\.yaml is not YAML: "):
        PipelineConfig.load(path)


def test_a_file_need_not_name_the_reader(tmp_path: Path) -> None:
    config = PipelineConfig.load(write(tmp_path / "mine.yaml", "generate: {threshold: 0.2}"))
    assert config.generate == ReaderConfig(threshold=0.2)


@pytest.mark.parametrize(
    ("kind", "made", "elsewhere"),
    [
        # `elsewhere`: arguments that no file may hold, or that another section does.
        (
            RetrieveConfig,
            UnifiedRetriever,
            {"api_key", "k", "read_only"},
        ),
        (QueryCacheConfig, QueryCache, {"clock"}),
        (SelectConfig, RagPipeline, {"retriever", "generator", "hops", "follow_up", "threshold"}),
        (ServerConfig, ChatServer, {"api_key"}),
        (ResidentConfig, ResidentLLM, {"engine"}),
        (LocalConfig, LocalLLM, set()),
        (VllmConfig, VllmEngine, set()),
    ],
)
def test_keys_are_the_arguments_with_their_defaults(
    kind: type[BaseModel], made: type, elsewhere: set[str]
) -> None:
    arguments = dict(signature(made).parameters)
    fields = {name: field for name, field in kind.model_fields.items() if name != "kind"}
    if made in (ResidentLLM, LocalLLM, VllmEngine):
        assert fields.pop("prompt").default == signature(Writer).parameters["prompt"].default
    assert fields.keys() == arguments.keys() - elsewhere
    for name, field in fields.items():
        default = arguments[name].default
        if field.is_required():
            assert default is Parameter.empty, name
        else:
            assert field.get_default(call_default_factory=True) in (default, default or {}), name


def test_the_other_defaults_are_those_of_the_pipeline() -> None:
    arguments = signature(RagPipeline).parameters
    assert PipelineConfig().hops == arguments["hops"].default
    assert PipelineConfig().follow_up == arguments["follow_up"].default
    assert ReaderConfig().threshold == arguments["threshold"].default == THRESHOLD


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(InputError, match=r"no pipeline 'mine': .* hybrid, local, multihop, server"):
        PipelineConfig.load("mine")


@pytest.mark.parametrize("kind", ["resident", "local"])
def test_a_file_names_a_language_model_in_this_process(kind: str, tmp_path: Path) -> None:
    decoder = save_llm(tmp_path / "decoder")
    named = f"\n  model: {decoder}" if kind == "local" else ""
    text = f"retrieve:\n  model: {decoder}\ngenerate:\n  kind: {kind}\n  max_tokens: 3{named}\n"
    pipeline = RagPipeline.from_yaml(write(tmp_path / "mine.yaml", text))
    with pipeline.retriever as retriever:
        retriever.add(["Refunds take 14 days."])
        answer = pipeline.answer("How long do refunds take?")
    assert isinstance(pipeline.generator, Writer)
    assert not answer.complete  # random weights talk until they are stopped
    assert answer.prompt


@pytest.mark.slow
def test_an_encoder_cannot_write(minilm_path: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "generate:\n  kind: resident\n")
    with pytest.raises(BackboneError, match="an encoder embeds and reads, but writes no text"):
        RagPipeline.from_yaml(path, index=tmp_path / "index")
    with UnifiedRetriever(index=tmp_path / "index"):
        pass  # nothing holds the index


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_says_which_extra_it_needs(minilm_path: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "generate:\n  kind: vllm\n  model: Qwen/Qwen3-0.6B\n")
    with pytest.raises(MissingExtraError, match=r"unimoer-rag\[vllm\]"):
        RagPipeline.from_yaml(path)


@pytest.mark.parametrize(
    "option", ["trust_remote_code", "load_format", "worker_cls", "hf_overrides", "tokenizer"]
)
def test_a_file_has_no_engine_run_what_it_names(tmp_path: Path, option: str) -> None:
    text = f"generate:\n  kind: vllm\n  model: ./m\n  engine: {{max_model_len: 99, {option}: true}}"
    with pytest.raises(InputError, match=rf":4: generate\.engine: '{option}' is for VllmEngine"):
        PipelineConfig.load(write(tmp_path / "mine.yaml", text))


def test_a_file_sets_how_much_an_engine_takes(tmp_path: Path) -> None:
    text = "generate: {kind: vllm, model: ./m, engine: {gpu_memory_utilization: 0.4}}"
    config = PipelineConfig.load(write(tmp_path / "mine.yaml", text)).generate
    assert isinstance(config, VllmConfig)
    assert config.engine == {"gpu_memory_utilization": 0.4}


@pytest.mark.parametrize("name", ["chat_template", "truncation", "messages"])
def test_template_options_are_variables_of_the_template(tmp_path: Path, name: str) -> None:
    decoder = save_llm(tmp_path / "decoder")
    with pytest.raises(InputError, match=f"template_options has '{name}', which is no variable"):
        LocalLLM(str(decoder), template_options={name: "x"})


def test_a_file_that_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)
    )
    for text in (laughs, "[" * 100_000, "# " + "x" * 300_000):
        with pytest.raises(InputError, match=r"bad\.yaml"):
            PipelineConfig.load(write(tmp_path / "bad.yaml", text))


@pytest.mark.slow
def test_a_file_names_the_reranker(tmp_path: Path) -> None:
    finds, ranks = save_backbone("bert", tmp_path / "finds"), save_cross(tmp_path / "ranks")
    text = f"retrieve: {{model: {finds}, reranker: {ranks}, device: cpu, dtype: float32}}"
    config = PipelineConfig.load(write(tmp_path / "two.yaml", text))
    with config.retrieve.open() as retriever:
        assert retriever.ranks is UniMoER.from_pretrained(ranks, device="cpu", dtype="float32")
        assert retriever.ranks is not retriever.embeds


# -- rerankers that ask a language model ----------------------------------------------------


def test_a_file_names_a_reranker_that_asks_a_server(tmp_path: Path, tiny_bert: Path) -> None:
    text = (
        f"retrieve: {{model: {tiny_bert}, device: cpu, dtype: float32, rerank: 5, reranker: "
        "{kind: listwise, window: 4, step: 2, llm: {kind: chat-server, url: URL, model: tiny}}}"
    )
    with faulty_server() as server:
        server.answers = [whole("[2] > [1]")]
        config = PipelineConfig.load(write(tmp_path / "a.yaml", text.replace("URL", server.url)))
        assert config == PipelineConfig.model_validate(config.model_dump())
        with build(config, chat_key="others", rerank_key="secret").retriever as retriever:
            retriever.add([Document(f"refunds number {at}", f"{at}.md") for at in range(2)])
            plain = retriever.search("refunds", rerank=0)
            ranked = retriever.search("refunds")
    assert [hit.source for hit in ranked] == [hit.source for hit in plain][::-1]
    assert len(server.requests) == 1
    assert server.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("same", [True, False])
def test_a_generators_key_goes_to_its_own_server_alone(
    tmp_path: Path, tiny_bert: Path, same: bool
) -> None:
    with faulty_server() as server, faulty_server() as other:
        server.answers = other.answers = [whole("[2] > [1]")]
        writes = server.url if same else other.url
        text = (
            f"generate: {{kind: chat-server, url: {writes!r}, model: tiny}}\n"
            f"retrieve: {{model: {tiny_bert}, device: cpu, dtype: float32, reranker: {{"
            f"kind: listwise, llm: {{kind: chat-server, url: {server.url!r}, model: tiny}}}}}}"
        )
        config = PipelineConfig.load(write(tmp_path / "a.yaml", text))
        with build(config, chat_key="secret").retriever as retriever:
            retriever.add([Document(f"refunds number {at}", f"{at}.md") for at in range(2)])
            retriever.search("refunds")
        assert server.headers.get("Authorization") == ("Bearer secret" if same else None)
        assert other.requests == []


def test_a_file_names_a_reranker_in_the_process_with_a_budget(tmp_path: Path) -> None:
    folder = save_llm(tmp_path / "llm", max_position_embeddings=4096)
    config = RerankerConfig.model_validate(
        {
            **{"kind": "pointwise", "max_prompts": 3},
            "llm": {"kind": "local", "model": str(folder), "device": "cpu", "dtype": "float32"},
        }
    )
    ranks = config.open()
    assert isinstance(ranks, Cascade)
    assert str(ranks.calls(50)) == "3"
    scores = ranks.rank("query", [f"document {at}" for at in range(5)])
    assert best_first(scores)[3:] == [3, 4]
    assert ranks.cost.prompts == 3


@pytest.mark.parametrize(
    ("reranker", "said"),
    [
        ("{kind: bestwise, llm: LLM}", "expected one of pointwise, graded, query-generation"),
        ("{kind: listwise, size: 3, llm: LLM}", "has no setting 'size': it takes window, step"),
        ("{kind: listwise, window: 1, llm: LLM}", "window is 1: expected a whole number, 2 or"),
        ("{kind: query-generation, llm: LLM}", "needs likelihoods, which a chat server does not"),
        ("{kind: listwise}", "llm"),
    ],
)
def test_rerankers_that_there_are_not(tmp_path: Path, reranker: str, said: str) -> None:
    llm = '{kind: chat-server, url: "http://localhost:1/v1"}'
    text = f"retrieve:\n  reranker: {reranker.replace('LLM', llm)}\n"
    with pytest.raises(InputError, match=said) as caught:
        PipelineConfig.load(write(tmp_path / "a.yaml", text))
    assert "a.yaml:2: retrieve.reranker" in str(caught.value)

"""What no single folder gives is refused, with what is nearest; nothing half-written is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from tiny_models import TEXTS, make_model, save_backbone
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from unimoer_rag.errors import BackboneError, CheckpointError, InputError
from unimoer_rag.model.io.peft_adapters import export_expert
from unimoer_rag.model.tasks.task import EMBED, RERANK, RERANK_CROSS
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_backbone("bert", tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def model(backbone: Path) -> UniMoER:
    """One whose router looks at no text."""
    return make_model(backbone, router="task-explicit")


def refused(model: UniMoER, folder: Path, why: str, **options: Any) -> None:
    """It says why, and nothing is there afterwards."""
    before = set(folder.iterdir())
    with pytest.raises(InputError, match=why):
        model.export(folder / "out", **options)
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("router", ["per-layer", "sequence", "token", "rank-wise"])
@pytest.mark.parametrize("to", ["sentence-transformers", "multi-vector"])
def test_routing_by_the_text(tmp_path: Path, backbone: Path, router: str, to: str) -> None:
    model = make_model(backbone, router=router)
    why = f"{router} router weighs the experts of .* by the text.*experts merge.*--to peft"
    refused(model, tmp_path, why, to=to, plain_maxsim=to == "multi-vector")


def test_a_router_that_has_nothing_to_weigh(tmp_path: Path, backbone: Path) -> None:
    """At strength 0, and where no expert has learnt."""
    model = make_model(backbone, router="per-layer")
    model.change_task(model.task("embed").with_strength(0.0))
    assert model.export(tmp_path / "off").is_dir()
    assert make_model(backbone, trained=False).export(tmp_path / "new").is_dir()


@pytest.mark.parametrize(
    ("to", "task", "why"),
    [
        ("sentence-transformers", "rerank", "head 'late'.* 'vector'. Nearest: --to multi-vector"),
        ("onnx", "rerank-cross", "head 'cross'.*Nearest: --to cross-encoder"),
        ("multi-vector", "embed", "head 'vector'.*Nearest: --to sentence-transformers"),
        ("cross-encoder", "rerank", "head 'late'.*Nearest: --to multi-vector"),
        ("sentence-transformers", "read", "head 'span'.*Nearest: --to peft"),
        ("openvino", "nothing", "no task 'nothing': it has embed"),
        ("cross-encoder", "rerank-cross", "means of the query's and .*'cross-encoder'"),
        ("multi-vector", "rerank", "squared matches, the cosine .*--plain-maxsim"),
        ("tei", None, "no export 'tei': expected one of sentence-transformers"),
    ],
)
def test_heads(tmp_path: Path, model: UniMoER, to: str, task: str | None, why: str) -> None:
    refused(model, tmp_path, why, to=to, task=task)


def test_feedback_is_told(tmp_path: Path, backbone: Path) -> None:
    model = make_model(backbone, tasks=[replace(RERANK, feedback=0.5)], router="task-explicit")
    refused(model, tmp_path, "feedback among the results.*--plain-maxsim", to="multi-vector")


def test_no_task_that_fits(tmp_path: Path, backbone: Path) -> None:
    model = make_model(backbone, tasks=[RERANK], router="task-explicit")
    refused(model, tmp_path, r"'vector', and this model has none: .*rerank \(late\)")


def test_options_of_other_targets(tmp_path: Path, model: UniMoER) -> None:
    refused(
        model, tmp_path, "with all of its experts: leave the expert 'embed' out", expert="embed"
    )
    for to in ("sentence-transformers", "peft", "onnx"):
        refused(model, tmp_path, f"{to} compares no token states", to=to, plain_maxsim=True)


@pytest.mark.slow
def test_a_document_before_its_query(tmp_path: Path) -> None:
    task = replace(RERANK_CROSS, document_first=True)
    model = make_model(save_backbone("qwen3", tmp_path / "b"), tasks=[task], router="task-explicit")
    refused(model, tmp_path, "puts the document before the query", to="cross-encoder")


@pytest.mark.slow
def test_layers_that_project_positions(tmp_path: Path) -> None:
    model = make_model(save_backbone("deberta-v2", tmp_path / "b"), router="task-explicit")
    refused(model, tmp_path, "query_proj', which also projects positions.*other targets")


@pytest.mark.slow
def test_an_instruction_that_runs_into_the_text(tmp_path: Path) -> None:
    """The rows have a token boundary where the tokenizer by itself has none."""
    model = make_model(
        save_backbone("bert", tmp_path / "b"), router="task-explicit", query_instruction="re"
    )
    refused(model, tmp_path, "reads .* as the tokens .*an instruction that ends where a word ends")


def test_a_folder_with_something_in_it(tmp_path: Path, model: UniMoER) -> None:
    there = tmp_path / "there"
    there.mkdir()
    assert model.export(there) == there  # an empty one will do
    before = {path: path.read_bytes() for path in there.rglob("*") if path.is_file()}
    for folder in (there, there / "config.json"):
        with pytest.raises(CheckpointError, match=r"is there already: .* choose a new one"):
            model.export(folder)
    assert {path: path.read_bytes() for path in there.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("module", "name"), [("sentence_transformers", "write_card"), ("body", "check_finite")]
)
def test_nothing_half_written_is_left(
    tmp_path: Path, model: UniMoER, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"unimoer_rag.model.io.export.{module}.{name}", full)
    with pytest.raises(CheckpointError, match=r"could not write .*No space left.*half-written"):
        model.export(tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("kind", [PreTrainedModel, PreTrainedTokenizerBase])
def test_what_other_libraries_raise_while_they_write(
    tmp_path: Path, model: UniMoER, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """safetensors and tokenizers tell of a full disk in kinds of their own."""

    def full(*args: Any, **options: Any) -> None:
        raise RuntimeError("I/O error: no space")

    monkeypatch.setattr(kind, "save_pretrained", full)
    with pytest.raises(CheckpointError, match=r"could not write .*transformers: I/O error"):
        model.export(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_backbone_that_is_gone(tmp_path: Path) -> None:
    path = save_backbone("bert", tmp_path / "b")
    model = make_model(path, router="task-explicit")
    (path / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"could not read the backbone .* get its files again"):
        model.export(tmp_path / "out")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_one_expert_for_peft(tmp_path: Path, model: UniMoER, backbone: Path) -> None:
    refused(
        model, tmp_path, "the model has 4 experts.*name it .--expert NAME. of shared", to="peft"
    )
    refused(model, tmp_path, "the task 'embed' has 2 experts", to="peft", task="embed")
    out = model.export(tmp_path / "out", to="peft", expert="embed", task="embed")
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(str(backbone)), str(out))
    assert sum("lora_B" in name for name, _ in loaded.named_parameters()) == 18
    same = export_expert(model, "embed", tmp_path / "same", task="embed")
    for file in ("adapter_model.safetensors",):
        assert (out / file).read_bytes() == (same / file).read_bytes()


def test_the_one_expert_of_a_task(tmp_path: Path, backbone: Path) -> None:
    tasks = [replace(EMBED, experts=("shared",), strength=0.5)]
    model = make_model(backbone, tasks=tasks)
    write: Callable[..., Path] = model.export
    out = write(tmp_path / "out", to="peft", task="embed")
    assert (out / "adapter_config.json").is_file()
    assert model.embed(TEXTS).shape == (4, 32)

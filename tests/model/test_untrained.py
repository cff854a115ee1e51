"""A model that has learnt nothing says so, once: when it is loaded, or asked for it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from tiny_models import make_model, randomise

from unimoer_rag.errors import UnimoerWarning, UntrainedWarning
from unimoer_rag.generation import THRESHOLD
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER, load_own
from unimoer_rag.model.untrained import silent_experts, untrained_tasks

pytestmark = pytest.mark.filterwarnings("error::unimoer_rag.errors.UntrainedWarning")


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_bare_backbone_says_what_it_cannot_when_it_is_asked(backbone_path, kind: str) -> None:
    path = str(backbone_path(kind))
    model = UniMoER.from_pretrained(path, device="cpu", dtype="float32")
    assert UniMoER.from_pretrained(path, device="cpu", dtype="float32") is model
    model.embed(["what it can"], "query")
    model.score("who?", ["It was Ann."])
    with pytest.warns(UnimoerWarning) as noted:
        model.read("who?", ["It was Ann."])
    assert [w.category for w in noted] == [UntrainedWarning]
    said = str(noted[0].message)
    assert said.startswith(f"{path} is untrained for rerank-cross, read: what these answer means")
    assert "Its tasks embed, rerank work as on the frozen backbone" in said
    assert noted[0].filename == __file__
    model.read("who?", ["It was Bob."])  # told already


def test_the_warning_names_the_line_that_asked(backbone_path) -> None:
    from unimoer_rag import RagPipeline, UnifiedRetriever

    with UnifiedRetriever(str(backbone_path("qwen2")), device="cpu", dtype="float32") as retriever:
        retriever.add(["Ann did it."])
        pipeline = RagPipeline(retriever)
        with pytest.warns(UntrainedWarning) as noted:
            pipeline.answer("who did it?")
        assert noted[0].filename == __file__


@pytest.mark.slow
def test_a_trained_one_says_nothing(backbone_path, tmp_path: Path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "trained")
    assert untrained_tasks(UniMoER.from_pretrained(folder, device="cpu")) == []
    UniMoER.from_pretrained("unimoer-minilm", device="cpu")
    UniMoER.from_backbone(str(backbone_path("bert")), device="cpu")  # asked for as untrained
    load_own(str(backbone_path("bert")), device="cpu")  # to be changed


def test_a_checkpoint_with_a_part_untrained_names_it(backbone_path, tmp_path: Path) -> None:
    model = randomise(make_model(backbone_path("bert")))
    model.add_expert("new", ExpertSpec(rank=2, alpha=4))
    model.add_task(Task("topic", "class", ("new",), labels=("a", "b")))
    model.add_task(Task("both", "span", ("new", "read")))  # an expert that is trained
    model.add_task(Task("vector", "vector", ("new",)))  # as the backbone
    assert silent_experts(model) == ["new"]
    assert untrained_tasks(model) == ["topic"]
    folder = model.save_pretrained(tmp_path / "part")
    with pytest.warns(UntrainedWarning, match="is untrained for topic: "):
        UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
    with torch.no_grad():
        next(iter(model.routed_layers().values())).lora_B["new"][0, 0] = 1.0
    assert untrained_tasks(model) == []


def test_an_untrained_reader_is_sure_of_nothing(backbone_path) -> None:
    model = make_model(backbone_path("bert"))
    silent = UniMoER.from_backbone(str(backbone_path("bert")), device="cpu")
    with torch.no_grad():  # a head that points at something, whatever it means
        silent.heads["read"].null.bias.fill_(-50.0)  # type: ignore[union-attr,operator]
    with pytest.warns(UntrainedWarning):
        [reading] = silent.read("who?", ["It was Ann."])
    assert reading.margin > 10
    assert not reading.trained
    assert 0 < reading.confidence() <= reading.confidence(1.0) < THRESHOLD
    with torch.no_grad():
        next(iter(silent.routed_layers().values())).lora_B["read"][0, 0] = 1.0
    [reading] = silent.read("who?", ["It was Ann."])
    assert reading.trained
    assert reading.confidence() > 0.9
    assert randomise(model).read("who?", ["It was Ann."])[0].trained


def test_python_shows_it_once_a_text(backbone_path) -> None:
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("default")
        for dtype in ("float32", "bfloat16"):
            load_own(str(backbone_path("mistral")), device="cpu", dtype=dtype).read("a?", ["b"])
    assert len(noted) == 1

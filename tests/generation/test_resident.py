"""ResidentLLM: one copy of the weights embeds, reranks and writes, whoever else works with it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from generation.tiny_llm import HITS, QUESTION, finish, reference, save_llm
from model.tiny_models import TEXTS, make_model, save_backbone
from transformers import AutoModelForCausalLM

from unimoer_rag.engine import Engine
from unimoer_rag.errors import BackboneError, UnimoerError
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.resident import ResidentLLM
from unimoer_rag.generation.writer import Writer
from unimoer_rag.model.language import resident_language_model
from unimoer_rag.model.tasks.jobs import embedding
from unimoer_rag.model.unimoer import UniMoER

MESSAGES = Prompt.load("cited").messages(QUESTION, HITS)
N = 60


@pytest.fixture(scope="module", params=["llm_folder", "untied_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="module")
def model(folder: Path) -> UniMoER:
    """A model with experts that do something."""
    return make_model(folder)


@pytest.fixture
def engine(model: UniMoER) -> Iterator[Engine]:
    with Engine(model) as engine:
        yield engine


def pointers(module: torch.nn.Module) -> dict[int, int]:
    """Where the weights of a module are, and how many bytes."""
    return {p.data_ptr(): p.numel() * p.element_size() for p in module.parameters()}


@pytest.mark.slow
def test_greedy_equals_transformers_with_experts_in_the_model(engine: Engine, folder: Path) -> None:
    frozen = make_model(folder, trained=False)
    assert np.abs(engine.embed(TEXTS) - frozen.embed(TEXTS)).max() > 0.01  # experts at work
    tokenizer, expected = reference(folder, MESSAGES, N)
    llm = ResidentLLM(engine, max_tokens=N)
    assert finish(llm.begin(MESSAGES)) == (expected, tokenizer.decode(expected))


def test_the_logits_are_bit_for_bit_those_of_transformers(model: UniMoER, folder: Path) -> None:
    alone = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    ids = torch.randint(0, 300, (2, 50), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = resident_language_model(model)(input_ids=ids).logits
        torch.testing.assert_close(ours, alone(input_ids=ids).logits, rtol=0, atol=0)


def test_nothing_is_loaded_twice(engine: Engine, model: UniMoER, folder: Path) -> None:
    resident = pointers(model.backbone)
    first, second = ResidentLLM(engine), ResidentLLM(engine)
    whole = pointers(first.model)
    added = {at: size for at, size in whole.items() if at not in resident}
    assert resident.items() <= whole.items()
    head = model.width * len(model.tokenizer) * 4
    assert list(added.values()) == ([] if folder.name.startswith("tied") else [head])
    assert pointers(second.model) == whole


@pytest.mark.slow
def test_embedding_goes_on_while_it_writes(engine: Engine, folder: Path) -> None:
    _, expected = reference(folder, MESSAGES, N)
    alone = engine.embed(TEXTS), engine.score(QUESTION, TEXTS)
    llm = ResidentLLM(engine, max_tokens=N)
    written: list[list[int]] = []
    started = threading.Event()

    def write() -> None:
        for _ in range(4):
            reply = llm.begin(MESSAGES)
            reply.more().result(60)
            started.set()
            written.append(finish(reply)[0])

    writing = threading.Thread(target=write)
    writing.start()
    assert started.wait(60)
    rounds = 0
    while writing.is_alive():
        engine.cache.clear()  # so that reranking runs
        # A batch runs on all cores or on a lane's share of them: the last bits may differ.
        np.testing.assert_allclose(engine.embed(TEXTS), alone[0], atol=1e-5)
        np.testing.assert_allclose(engine.score(QUESTION, TEXTS), alone[1], atol=1e-5)
        rounds += 1
    writing.join()
    assert rounds > 0
    assert written == [expected] * 4


@pytest.mark.slow
def test_it_writes_while_a_large_job_runs(engine: Engine, folder: Path) -> None:
    texts = [f"{text} {n}" for n in range(300) for text in TEXTS]
    alone = engine.embed(texts)
    llm = ResidentLLM(engine, max_tokens=4)
    job = engine.submit(embedding(engine.model, texts, "document"))
    finish(llm.begin(MESSAGES))
    assert not job.done()  # it did not wait for the job's end
    np.testing.assert_array_equal(job.result(60), alone)


async def test_every_door(engine: Engine) -> None:
    writer = Writer(ResidentLLM(engine, max_tokens=20))
    whole = writer.generate(QUESTION, HITS)
    assert whole.text
    assert not whole.complete
    assert await writer.agenerate(QUESTION, HITS) == whole
    assert list(writer.stream(QUESTION, HITS))[-1] == whole
    assert [piece async for piece in writer.astream(QUESTION, HITS)][-1] == whole
    assert writer.stage == "generate"


@pytest.mark.slow
def test_a_sharded_model(tmp_path: Path, untied_folder: Path) -> None:
    whole = AutoModelForCausalLM.from_pretrained(str(untied_folder), dtype=torch.float32)
    save_llm(tmp_path, tied=False)
    (tmp_path / "model.safetensors").unlink()
    whole.save_pretrained(str(tmp_path), max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    with Engine(make_model(tmp_path)) as engine:
        reply = ResidentLLM(engine, max_tokens=N).begin(MESSAGES)
        assert finish(reply)[0] == reference(untied_folder, MESSAGES, N)[1]


def test_an_encoder_writes_nothing(tmp_path: Path) -> None:
    with (
        Engine(make_model(save_backbone("bert", tmp_path))) as engine,
        pytest.raises(BackboneError, match=r"is no decoder .* of bert .* give a decoder"),
    ):
        ResidentLLM(engine)


def test_a_backbone_without_an_output_layer(tmp_path: Path) -> None:
    with (
        Engine(make_model(save_backbone("mistral", tmp_path))) as engine,
        pytest.raises(BackboneError, match=r"hold no output layer \(lm_head.weight"),
    ):
        ResidentLLM(engine)


def test_a_closed_engine_writes_nothing(model: UniMoER) -> None:
    engine = Engine(model)
    writer = Writer(ResidentLLM(engine))
    stream = writer.stream(QUESTION, HITS)
    next(stream)
    engine.close()
    with pytest.raises(UnimoerError, match="this engine is closed"):
        list(stream)


@pytest.mark.slow
def test_a_model_that_nobody_uses_is_freed(untied_folder: Path) -> None:
    model = make_model(untied_folder)
    engine = Engine.of(model)
    finish(ResidentLLM(engine, max_tokens=3).begin(MESSAGES))
    gone = weakref.ref(model)
    del model, engine
    gc.collect()
    assert gone() is None

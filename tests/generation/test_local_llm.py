"""LocalLLM: the tokens that transformers' own loop gives, and a device that is let go of."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from generation.tiny_llm import HITS, QUESTION, finish, reference, save_llm
from model.tiny_models import save_backbone
from transformers import Gemma2Config, GPT2Config

from unimoer_rag.errors import (
    BackboneError,
    GenerationError,
    GeneratorRefusedError,
    InputError,
)
from unimoer_rag.generation import decoding
from unimoer_rag.generation.local_llm import LocalLLM
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.generation.types import Generation
from unimoer_rag.generation.writer import Writer
from unimoer_rag.retrieval.text import clean_text

MESSAGES = Prompt.load("cited").messages(QUESTION, HITS)


def load(folder: Path, **options: object) -> LocalLLM:
    return LocalLLM(str(folder), device="cpu", dtype="float32", **options)


def ids(llm: LocalLLM, messages: list[dict[str, str]] = MESSAGES) -> list[int]:
    return finish(llm.begin(messages))[0]


class Forwards:
    """Counts the forwards of a model, and keeps the threads they ran in."""

    def __init__(self, llm: LocalLLM) -> None:
        self.n, self.threads = 0, set[int]()
        llm.model.register_forward_hook(self._count)

    def _count(self, *args: object) -> None:
        self.n += 1
        self.threads.add(threading.get_ident())


# -- what it writes -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llm_folder", "untied_folder"])
def test_greedy_equals_transformers(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(kind)
    tokenizer, expected = reference(folder, MESSAGES, 60)
    assert len(set(expected)) > 10  # no token over and over
    llm = load(folder, max_tokens=60)
    assert finish(llm.begin(MESSAGES)) == (expected, tokenizer.decode(expected))
    monkeypatch.setattr(decoding, "_CHUNK", 7)  # a prompt that is read in many parts
    assert ids(llm) == expected


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=512),
        Gemma2Config(  # its output layer's logits are capped, its layers' windows alternate
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            head_dim=8,
            sliding_window=16,
            final_logit_softcapping=5.0,
        ),
    ],
    ids=["gpt2", "gemma2"],
)
def test_other_architectures(config: GPT2Config | Gemma2Config, tmp_path: Path) -> None:
    folder = save_llm(tmp_path, config=config, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    expected = reference(folder, MESSAGES, 30)[1]
    assert ids(load(folder, max_tokens=30)) == expected[: len(expected) - (expected[-1] == 1)]


def test_a_reply_ends_where_the_models_makers_say(llm_folder: Path, tmp_path: Path) -> None:
    expected = reference(llm_folder, MESSAGES, 20)[1]
    folder = shutil.copytree(llm_folder, tmp_path / "model")
    end = next(at for at in range(5, 20) if expected[at] not in expected[:at])
    made = {"eos_token_id": [expected[end], 1]}
    (folder / "generation_config.json").write_text(json.dumps(made))
    assert reference(folder, MESSAGES, 20)[1] == expected[: end + 1]
    reply = load(folder).begin(MESSAGES)
    assert finish(reply)[0] == expected[:end]
    assert reply.complete
    cut = load(folder, max_tokens=end).begin(MESSAGES)
    assert finish(cut)[0] == expected[:end]
    assert not cut.complete


@pytest.mark.slow
def test_temperature_draws_and_the_seed_repeats_it(llm_folder: Path) -> None:
    greedy = ids(load(llm_folder, max_tokens=30))
    drawn = [ids(load(llm_folder, max_tokens=30, temperature=1.5, seed=n)) for n in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in (greedy, *drawn)}) == 3
    cold = load(llm_folder, max_tokens=30, temperature=1e-4)
    assert ids(cold) == greedy


def test_template_options_reach_the_template(llm_folder: Path) -> None:
    def prompt(**options: object) -> str:
        llm = load(llm_folder, **options)
        reply = llm.begin(MESSAGES)
        text: str = llm.tokenizer.decode(reply._unread)
        return text

    assert prompt().endswith("<|assistant|>")
    assert prompt(template_options={"enable_thinking": True}).endswith("<|assistant|><think>")


def test_a_template_without_a_system_message_gets_it_from_the_user(tmp_path: Path) -> None:
    folder = save_llm(
        tmp_path,
        template="{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}{{ messages[0]['content'] }}",
    )
    llm = load(folder)
    text = llm.tokenizer.decode(llm.begin(MESSAGES)._unread)
    assert text == "\n\n".join(message["content"].strip() for message in MESSAGES)


def test_a_template_that_refuses(tmp_path: Path) -> None:
    folder = save_llm(tmp_path, template="{{ raise_exception('never') }}")
    with pytest.raises(GeneratorRefusedError, match=r"refuses the prompt \(never\)"):
        load(folder).begin(MESSAGES)


def test_an_option_that_no_template_takes(llm_folder: Path) -> None:
    llm = load(llm_folder, template_options={"tokenize": True})
    with pytest.raises(GeneratorRefusedError, match=r"'tokenize'.* the template_options"):
        llm.begin(MESSAGES)


@pytest.mark.slow
def test_without_a_template_the_reply_is_its_first_line(tmp_path: Path) -> None:
    folder = save_llm(tmp_path, template=None, max_position_embeddings=4096)
    llm = load(folder, max_tokens=60, temperature=2.0)
    text = llm.tokenizer.decode(llm.begin(MESSAGES)._unread)
    assert text.endswith(f"Question: {QUESTION}\nAnswer:")
    for seed in range(100):  # a line ends by chance, with one token in 360
        llm.seed = seed
        reply = llm.begin(MESSAGES)
        line = finish(reply)[1]
        assert "\n" not in line
        if "\n" in llm.tokenizer.decode(reply.ids[-1:]):
            break
    assert reply.complete
    assert len(reply.ids) < 60
    assert line == llm.tokenizer.decode(reply.ids).lstrip().split("\n")[0]


# -- every door -----------------------------------------------------------------------------


@pytest.mark.slow
async def test_every_door_gives_the_same_answer(llm_folder: Path) -> None:
    tokenizer, expected = reference(llm_folder, MESSAGES, 200)
    writer = Writer(load(llm_folder, max_tokens=200))
    whole = writer.generate(QUESTION, HITS)
    assert whole == Prompt.load("cited").read(tokenizer.decode(expected), HITS, complete=False)
    assert await writer.agenerate(QUESTION, HITS) == whole
    for pieces in (
        list(writer.stream(QUESTION, HITS)),
        [piece async for piece in writer.astream(QUESTION, HITS)],
    ):
        *texts, last = pieces
        assert len(texts) > 1
        assert "".join(map(str, texts)) == clean_text(tokenizer.decode(expected))
        assert last == whole


@pytest.mark.slow
def test_one_thread_has_the_device_whoever_asks(llm_folder: Path) -> None:
    llm = load(llm_folder, max_tokens=40)
    questions = [[{"role": "user", "content": f"{QUESTION} {n}"}] for n in range(8)]
    alone = [ids(llm, messages) for messages in questions]
    forwards = Forwards(llm)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda messages: ids(llm, messages), questions))
    assert together == alone
    assert len({tuple(one) for one in alone}) > 1
    assert len(forwards.threads) == 1


@pytest.mark.slow
async def test_the_event_loop_goes_on_meanwhile(llm_folder: Path) -> None:
    writer = Writer(load(llm_folder, max_tokens=300))
    asked = asyncio.create_task(writer.agenerate(QUESTION, HITS))
    longest, ticks = 0.0, 0
    while not asked.done():
        before = time.monotonic()
        await asyncio.sleep(0.002)
        longest, ticks = max(longest, time.monotonic() - before), ticks + 1
    assert isinstance(asked.result(), Generation)
    assert ticks > 10
    assert longest < 0.5


@pytest.mark.slow
async def test_closing_a_stream_stops_the_model(llm_folder: Path) -> None:
    llm = load(llm_folder, max_tokens=3000)
    writer, forwards = Writer(llm), Forwards(llm)
    stream = writer.stream(QUESTION, HITS)
    assert isinstance(next(stream), str)
    stream.close()
    astream = writer.astream(QUESTION, HITS)
    assert isinstance(await anext(astream), str)
    await astream.aclose()
    task = asyncio.create_task(writer.agenerate(QUESTION, HITS))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)  # longer than a turn
    n = forwards.n
    assert 0 < n < 2000
    await asyncio.sleep(0.2)
    assert forwards.n == n


# -- what cannot be -------------------------------------------------------------------------


def test_a_prompt_that_is_too_long(untied_folder: Path) -> None:
    writer = Writer(load(untied_folder))
    message = r"prompt has \d{3,} tokens, and .* takes 512 with its reply: have fewer or shorter"
    with pytest.raises(GeneratorRefusedError, match=message):
        writer.generate("why? " * 400, HITS)


async def test_a_model_that_fails_says_so(llm_folder: Path) -> None:
    llm = load(llm_folder, max_tokens=20)
    failing = iter([None, None, torch.OutOfMemoryError("no memory")])

    def fail(*args: object) -> None:
        if (error := next(failing, None)) is not None:
            raise error

    hook = llm.model.register_forward_pre_hook(fail)
    reply = llm.begin(MESSAGES)
    with pytest.raises(GenerationError, match=r"failed after 2 tokens .*no memory\): free memory"):
        finish(reply)
    assert reply.more().result(60) is None
    hook.remove()
    assert len(ids(llm)) == 20  # the next one is written


@pytest.mark.slow
def test_a_reply_is_cut_where_the_context_ends(untied_folder: Path) -> None:
    llm = load(untied_folder, max_tokens=1000)
    reply = llm.begin(MESSAGES)
    room = 512 - len(reply._unread)
    assert len(finish(reply)[0]) == room
    assert not reply.complete


def test_models_that_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="unknown backbone 'nothing'"):
        LocalLLM("nothing")
    with pytest.raises(BackboneError, match="owner/name@<40-digit commit>"):
        LocalLLM("Qwen/Qwen3-1.7B")
    with pytest.raises(BackboneError, match=r"could not download Qwen/Qwen3-0\.6B at 0000"):
        LocalLLM("Qwen/Qwen3-0.6B", revision="0" * 40)
    with pytest.raises(BackboneError, match=r"is no decoder .* of bert as causal\): an encoder"):
        load(save_backbone("bert", tmp_path / "bert"))
    with pytest.raises(BackboneError, match=r"hold no output layer \(lm_head.weight"):
        load(save_backbone("llama", tmp_path / "llama"))
    broken = save_llm(tmp_path / "broken")
    (broken / "generation_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BackboneError, match=r"generation_config\.json .*: correct it, or delete"):
        load(broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0: expected 1 or more"),
        ({"temperature": -0.5}, "temperature is -0.5: expected 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"seed": -1}, "seed is -1: expected 0 or more"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"device": "tpu9"}, "device 'tpu9' cannot be used here"),
        ({"dtype": "int3"}, "unknown dtype 'int3'"),
    ],
)
def test_settings_are_checked(llm_folder: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LocalLLM(str(llm_folder), **{"device": "cpu", **options})


# There torch takes a path of the processor's that its own kernels then refuse.
@pytest.mark.skipif(
    torch.cpu._is_amx_tile_supported()
    and not torch.backends.cpu.get_cpu_capability().startswith("AVX512"),
    reason="ATEN_CPU_CAPABILITY keeps torch from the instructions that its bfloat16 needs here",
)
def test_other_precisions(llm_folder: Path) -> None:
    llm = LocalLLM(str(llm_folder), device="cpu", dtype="bfloat16", max_tokens=5)
    assert str(llm.model.dtype) == "torch.bfloat16"
    assert len(ids(llm)) == 5

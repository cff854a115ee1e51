"""Memory budgets: sizes as people write them, what fits, and how far the estimate is off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TEXTS, make_model

from unimoer_rag.engine import Engine
from unimoer_rag.errors import BackboneError, CheckpointError, InputError
from unimoer_rag.model.device import Precision
from unimoer_rag.model.io.checkpoint import WEIGHTS
from unimoer_rag.model.io.loading import memory_table
from unimoer_rag.model.layers.quantized import count_bytes
from unimoer_rag.model.memory import CACHE_BYTES, choose_plan, parse_size, plan_of
from unimoer_rag.model.unimoer import UniMoER, load_own

CPU = torch.device("cpu")
STEPS = [
    Precision(torch.float32),
    Precision(torch.bfloat16),
    Precision(torch.bfloat16, "int8"),
    Precision(torch.bfloat16, "int4"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GB", 4 * 10**9),
        ("4 GiB", 4 * 2**30),
        ("1.5gb", 1_500_000_000),
        ("512MiB", 512 * 2**20),
        (" 700 mb ", 700 * 10**6),
        ("2KiB", 2048),
        ("3TB", 3 * 10**12),
        ("12345", 12345),
        ("9b", 9),
        (77, 77),
    ],
)
def test_sizes(text: str | int, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "GB", "4 gigs", "-4GB", "0GB", "4GBB", "1e9", "nan", "ib", 0, "9" * 40]
)
def test_what_is_no_size(text: str | int) -> None:
    with pytest.raises(InputError, match=f"memory budget {text!r} is no size.*such as '4GB'"):
        parse_size(text)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
def test_weights_are_those_of_the_loaded_model(dtype: str) -> None:
    plan = {plan.dtype: plan for plan in memory_table("unimoer-minilm", device="cpu")}[dtype]
    model = load_own("unimoer-minilm", device="cpu", dtype=dtype)
    experts = sum(p.nbytes for name, p in model.backbone.named_parameters() if ".lora_" in name)
    assert plan.weights == count_bytes(model.backbone) - experts
    own = experts + count_bytes(model.router) + count_bytes(model.heads)
    # Their file has a header besides; the matrices as they are used come on top.
    assert own <= plan.experts * 2 / (2 + model.dtype.itemsize) <= 1.02 * own


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(budgets=st.tuples(*[st.integers(500 * 10**6, 2 * 10**9)] * 2))
def test_a_larger_budget_never_gives_less(minilm_path: Path, budgets: tuple[int, int]) -> None:
    found = []
    for budget in sorted(budgets):
        try:
            plan = choose_plan(minilm_path, STEPS, budget, experts=10**7, device=CPU)
        except InputError:
            found.append((-len(STEPS), 0, 0))
            continue
        assert plan.total <= budget == plan.budget
        assert 0 <= plan.cache <= CACHE_BYTES
        rank = [str(step) for step in STEPS].index(plan.dtype)
        found.append((-rank, plan.token_budget, plan.cache))
    assert found[0] <= found[1]


@pytest.mark.slow
def test_each_step_is_taken_in_turn(minilm_path: Path) -> None:
    def least(step: Precision) -> int:
        plan = plan_of(minilm_path, step, experts=0, device=CPU, token_budget=512, cache=0)
        return plan.total

    totals = [least(step) for step in STEPS]
    assert totals == sorted(totals, reverse=True)
    for step, total in zip(STEPS, totals, strict=True):
        plan = choose_plan(minilm_path, STEPS, total, experts=0, device=CPU)
        assert (plan.dtype, plan.token_budget, plan.cache) == (str(step), 512, 0)
    with pytest.raises(InputError, match="the smallest setting, int4 with batches of 512 tokens"):
        choose_plan(minilm_path, STEPS, totals[-1] - 1, experts=0, device=CPU)
    roomy = choose_plan(minilm_path, STEPS, 10**10, experts=0, device=CPU)
    assert (roomy.dtype, roomy.token_budget, roomy.cache) == ("float32", 1024, CACHE_BYTES)


@pytest.mark.slow
def test_a_model_within_its_budget(backbone_path, tmp_path: Path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")
    model = UniMoER.from_pretrained(folder, device="cpu", memory_budget="600MB")
    plan = model.memory_plan
    assert plan is not None
    assert plan.total <= 600_000_000 == plan.budget
    assert plan.dtype in str(plan)
    assert "of 600 MB" in str(plan)
    with Engine(model) as engine:
        assert engine.token_budget == plan.token_budget
        assert engine.cache.capacity == plan.cache < CACHE_BYTES
        assert engine.embed(TEXTS).shape == (len(TEXTS), 32)
    # Live already: it keeps its own plan, and nobody loads it twice.
    assert UniMoER.from_pretrained(folder, device="cpu", memory_budget="9GB") is model
    assert model.memory_plan is plan
    assert UniMoER.from_pretrained(folder, device="cpu", dtype="int4").memory_plan is None


def test_a_dtype_by_name_stays(backbone_path) -> None:
    path = str(backbone_path("bert"))
    model = UniMoER.from_pretrained(path, device="cpu", dtype="float32", memory_budget="2GB")
    assert model.dtype == torch.float32
    with pytest.raises(InputError, match="too small: the smallest setting, float32"):
        UniMoER.from_pretrained(path, device="cpu", dtype="float32", memory_budget="1MB")


def test_a_checkpoint_without_weights(backbone_path, tmp_path: Path) -> None:
    folder = make_model(backbone_path("bert")).save_pretrained(tmp_path / "checkpoint")
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="is missing: copy or download"):
        UniMoER.from_pretrained(folder, device="cpu", memory_budget="2GB")


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"expected config\.json"):
        plan_of(tmp_path, STEPS[0], experts=0, device=CPU)


_PROCESS = """
import json, sys
from unimoer_rag.lab.bench.process import peak, resident
from unimoer_rag.lab.bench.texts import make_passages
from unimoer_rag.engine import Engine
from unimoer_rag.model.unimoer import UniMoER

model = UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype=sys.argv[1],
                                memory_budget=sys.argv[2])
texts = make_passages(model.tokenizer, 24)
engine = Engine.of(model)
engine.embed(texts), engine.rank("who?", texts[:12]), engine.read("who?", texts[:4])
print(json.dumps([model.memory_plan.total, resident(), peak()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_estimate_against_a_process(dtype: str) -> None:
    pytest.importorskip("psutil")
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, dtype, "1GB"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    planned, resident, peak = json.loads(done.stdout)
    # The cache is not full after so few passages, which leaves the estimate above.
    assert 0.5 * planned < resident < planned
    assert peak < planned

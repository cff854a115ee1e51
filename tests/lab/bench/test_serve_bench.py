"""Servers compared over HTTP, and one under many clients: real processes, a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model.tiny_models import make_model

from unimoer_rag.errors import InputError, UnimoerError
from unimoer_rag.lab.bench import soak
from unimoer_rag.lab.bench.serve import measure_serve
from unimoer_rag.lab.bench.serve_processes import infinity
from unimoer_rag.lab.bench.soak import measure_soak


@pytest.fixture(scope="module")
def checkpoint(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model as a folder, for processes of their own to load."""
    return str(make_model(tiny_bert).save_pretrained(tmp_path_factory.mktemp("served") / "tiny"))


@pytest.mark.slow
def test_servers_and_the_engine_do_the_same_work(checkpoint: str) -> None:
    found = measure_serve(checkpoint, clients=[1, 2], calls=2, depth=3)
    both = {f"{who}/{n}" for who in ("ours", "plain", "engine") for n in (1, 2)}
    assert set(found["ratios"]["embed"]) == both
    assert set(found["ratios"]["rerank"]) == both | {"ours, seen/1", "ours, seen/2"}
    assert found["ratio"] == found["ratios"]["embed"]["plain/2"]
    for part, sides in found["seconds"].items():
        for key, seconds in sides.items():
            assert len(seconds) == 5
            n = key.split("/")[1]
            quotients = [a / b for a, b in zip(seconds, sides[f"ours/{n}"], strict=True)]
            told = found["ratios"][part][key]
            # Written seconds are rounded to milliseconds, which tiny runs take few of.
            assert min(quotients) * 0.8 <= told <= max(quotients) * 1.25
        latency = found["ours"][part]["ours/1"]["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"]


@pytest.mark.slow
def test_every_answer_under_load_is_checked(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measure_soak(checkpoint, clients=6, seconds=2.0, warm_up=0.2)
    assert found["ours"]["answered"] > 0
    assert found["given_up"] > 0
    assert found["wrong"] == 0
    assert set(found["burst"]) <= {"200", "429"}
    assert found["burst"]["200"] >= 1
    assert not soak.BENCH.failed(found)
    monkeypatch.setattr(soak, "_expected", lambda model, body: np.float32(7))
    wrong = measure_soak(checkpoint, clients=2, seconds=1.0, warm_up=0.1)
    assert wrong["wrong"] == wrong["ours"]["answered"] > 0
    assert soak.BENCH.failed(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clients": [0]}, "expected each from 1"),
        ({"depth": 0}, "depth 0"),
        ({"rounds": 2}, "rounds is 2"),
        ({"part": ["read"]}, "unknown part 'read': expected embed or rerank"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_serve(**options)
    with pytest.raises(InputError, match="expected some of both"):
        measure_soak(clients=0)


def test_an_environment_without_infinity(tmp_path: Path) -> None:
    with (
        pytest.raises(UnimoerError, match="has no bin/infinity_emb: make the environment"),
        infinity(tmp_path, tmp_path, tmp_path),
    ):
        raise AssertionError("it started")

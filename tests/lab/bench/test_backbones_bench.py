"""`bench backbones`: what another backbone costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unimoer_rag import UniMoER
from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.backbones import BENCH, measure_backbones


@pytest.mark.slow
def test_each_is_measured_beside_minilm(tiny_bert: Path, minilm: UniMoER) -> None:
    found = measure_backbones(backbone=[str(tiny_bert)], passages=8, rounds=5, device="cpu")
    ours, tiny = found["ours"], found["others"][str(tiny_bert)]
    held = UniMoER.from_pretrained("minilm", device="cpu").backbone.parameters()
    assert ours["bytes"] == sum(p.numel() * p.element_size() for p in held)
    assert ours["speed_ratio"] == ours["bytes_ratio"] == 1
    assert tiny["bytes_ratio"] == pytest.approx(tiny["bytes"] / ours["bytes"], abs=0.005)
    # Of medians of the same runs.
    seconds = {name: sorted(taken)[2] for name, taken in found["seconds"].items()}
    assert tiny["speed_ratio"] == pytest.approx(
        seconds["minilm"] / seconds[str(tiny_bert)], rel=0.1
    )
    assert json.loads(json.dumps(found)) == found
    rows = BENCH.table(found).rows
    assert [row[0] for row in rows] == ["minilm", str(tiny_bert)]


def test_minilm_is_no_other() -> None:
    with pytest.raises(InputError, match="minilm is always measured"):
        measure_backbones(backbone=["minilm"])

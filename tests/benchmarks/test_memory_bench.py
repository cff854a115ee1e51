"""The sharing benchmark, run for real, and the counting of weights that it rests on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unimoer_rag.benchmarks import sharing
from unimoer_rag.benchmarks.memory import model_bytes, model_count, peak, resident
from unimoer_rag.cli.main import app
from unimoer_rag.errors import UnimoerError


def test_both_frameworks_share_one_model_and_the_pair_has_two(minilm_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "sharing", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ours, pair = found["ours"], found["pair"]
    assert (ours["models"], pair["models"]) == (1, 2)
    assert found["ratio"] == round(ours["model_bytes"] / pair["model_bytes"], 4) <= 0.56
    # 22.7 million float32 parameters, twice.
    assert pair["model_bytes"] == pytest.approx(2 * 22.7e6 * 4, rel=0.01)
    assert found["process_ratio"] < 1
    for side in (ours, pair):
        assert side["resident_frameworks_only"] < side["resident_loaded"] <= side["peak"]


def test_a_side_that_fails_says_why(minilm_path: Path, tmp_path: Path) -> None:
    settings = {"embedder": str(tmp_path / "no_such_model"), "dtype": "auto"}
    with pytest.raises(UnimoerError, match=r"measuring 'pair' failed: (.|\n)*no_such_model"):
        sharing.run_side("pair", settings)


def test_every_weight_counts_once_and_forgotten_copies_count(minilm_path: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel

    before, count = model_bytes(), model_count()
    linear = torch.nn.Linear(1000, 1000, bias=False)
    assert model_bytes() - before == 4_000_000
    tied = torch.nn.Linear(1000, 1000, bias=False)
    tied.weight = linear.weight
    assert model_bytes() - before == 4_000_000
    tied.register_buffer("table", torch.zeros(500, dtype=torch.float16))
    assert model_bytes() - before == 4_001_000
    small = BertModel(BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1))
    assert model_count() - count == 1
    del linear, tied, small
    assert (model_bytes(), model_count()) == (before, count)


def test_memory_is_in_bytes() -> None:
    assert 10 * 2**20 < resident() <= peak() < 2**40

"""The memory benchmark, run for real, and the counting of weights that it rests on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.errors import UnimoerError
from unimoer_rag.lab.bench.process import model_bytes, model_count, peak, resident, run_module


@pytest.mark.slow
def test_one_model_does_what_two_and_three_do(minilm_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "memory", "--json", "-"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ours, pair, three = found["ours"], found["others"]["pair"], found["others"]["three"]
    assert (ours["models"], pair["models"], three["models"]) == (1, 2, 3)
    assert found["ratio"] == round(ours["model_bytes"] / pair["model_bytes"], 4) <= 0.56
    assert found["ratio_to_three"] == round(ours["model_bytes"] / three["model_bytes"], 4) <= 0.4
    # 22.7 million float32 parameters each.
    for n, side in ((2, pair), (3, three)):
        assert side["model_bytes"] == pytest.approx(n * 22.7e6 * 4, rel=0.01)
    # Activations and allocators are part of it, the same ones whatever the number of models.
    # How much they take depends on the processor.
    assert found["added_ratio_to_three"] < found["added_ratio"]
    for side in (ours, pair, three):
        assert side["resident_libraries_only"] < side["resident_loaded"] <= side["peak"]
        assert side["peak_added"] == side["peak"] - side["resident_libraries_only"]


@pytest.mark.slow
def test_a_side_that_fails_says_why(tmp_path: Path) -> None:
    settings = {"folder": str(tmp_path / "no_such_index"), "dimension": 8, "queries": 1}
    with pytest.raises(UnimoerError, match=r"measuring 'search' failed: (.|\n)*no_such_index"):
        run_module("unimoer_rag.lab.bench.growth_side", "search", settings)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_peak_of_a_process_is_its_own(minilm_path: Path) -> None:
    """Not that of the process it was started from, which holds far more."""
    held = b"x" * 2**29  # written to, so that it is resident
    code = "from unimoer_rag.lab.bench.process import peak; print(peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(held) / 2

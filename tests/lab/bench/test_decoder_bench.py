"""The benchmark of decoders, run for real on a small one and few texts."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest
from typer.testing import CliRunner

from unimoer_rag.cli.main import app
from unimoer_rag.cost import count_operations
from unimoer_rag.lab.bench.decoder import ENCODE, RERANK, RERANK_SEEN
from unimoer_rag.lab.bench.random_decoder import SIZES, save_decoder
from unimoer_rag.model.unimoer import UniMoER

WORDS = (
    *("bench", "decoder", "--device", "cpu", "--size", "tiny", "--passages", "6", "--tokens", "40"),
    *("--queries", "2", "--documents", "5", "--document-tokens", "30", "--batch", "4"),
)
EMBEDDER, LOOP = (f"{who}, sdpa, batches of 4" for who in ("sentence-transformers", "transformers"))


@pytest.mark.slow
def test_both_sides_answer_alike(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    done = CliRunner().invoke(app, [*WORDS, "--json", str(tmp_path / "o.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert list(found["ours"]) == [ENCODE, RERANK, RERANK_SEEN]
    assert list(found["others"]) == [EMBEDDER, LOOP]
    assert found["others"][EMBEDDER]["cosine_to_ours"]["least"] > 0.999
    for name in (RERANK, RERANK_SEEN):
        assert found["ours"][name]["furthest_score"] < 0.1 * found["ours"][name]["spread"]
    seconds = found["seconds"]
    for ratio, above, below in (
        ("ratio", EMBEDDER, ENCODE),
        ("ratio_rerank", LOOP, RERANK),
        ("ratio_rerank_seen", LOOP, RERANK_SEEN),
    ):
        # Milliseconds are kept of each round, which is rough for so little work.
        rounds = zip(seconds[above], seconds[below], strict=True)
        assert found[ratio] == pytest.approx(median(a / b for a, b in rounds), rel=0.1)
    encode = found["ours"][ENCODE]
    assert encode["utilisation"] == pytest.approx(encode["tflops"] / found["peak_tflops"], abs=0.02)
    assert (found["best"], found["best_rerank"]) == (EMBEDDER, LOOP)
    assert set(found["not_run"]) == {"flash_attention_2"}


def test_operations_are_those_of_what_tokens_see(tmp_path: Path) -> None:
    save_decoder(tmp_path, SIZES["tiny"])
    model = UniMoER.from_pretrained(tmp_path, device="cpu")
    # Queries and output of 4 heads of 32, keys and values of 2, and a block's three matrices.
    weights = 2 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 384)
    seen = 1 + 2 + 3
    assert count_operations(model, [3]) == 2 * 3 * weights + 4 * seen * 128 * 2
    assert count_operations(model, [3, 3]) == 2 * count_operations(model, [3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--rounds", "2", "rounds is 2"),
        ("--size", "huge", "unknown size 'huge': expected one of tiny, small, qwen3-0.6b"),
        ("--tokens", "5000", "more than the 1024 tokens of a row"),
    ],
)
def test_settings_that_cannot_be_used_are_named(option: str, value: str, message: str) -> None:
    pytest.importorskip("sentence_transformers")
    done = CliRunner().invoke(app, [*WORDS, option, value])
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())

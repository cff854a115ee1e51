"""The concurrency benchmark: the same calls by every number of clients."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.lab.bench.concurrency import measure_concurrency


@pytest.mark.slow
def test_clients_are_compared_to_one_batch_and_to_the_first(minilm_path: Path) -> None:
    found = measure_concurrency(clients=[1, 2], calls=3)
    assert found["bench"] == "concurrency"
    assert set(found["seconds"]) == {"offline", "1", "2"}
    seconds = found["seconds"]
    for n in ("1", "2"):
        ratios = [a / b for a, b in zip(seconds["offline"], seconds[n], strict=True)]
        assert found["throughput"][n] == pytest.approx(median(ratios), rel=0.1)
        latency = found["ours"][n]["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"] <= 1000 * max(seconds[n]) + 1
    assert found["ratio"] == found["throughput"]["2"]
    p95 = {n: found["ours"][n]["latency_ms"]["p95"] for n in ("1", "2")}
    assert found["p95_ratio"] == {"2": pytest.approx(p95["2"] / p95["1"], abs=1e-3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clients": [4]}, "expected two numbers or more"),
        ({"clients": [0, 4]}, "each from 1"),
        ({"clients": [1, 8], "calls": 7}, "calls is 7: expected one a client or more, 8 here"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_concurrency(**options)

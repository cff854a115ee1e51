"""The table of the cross-encoder expert's curve."""

from __future__ import annotations

import json
from pathlib import Path

from unimoer_rag.lab.cross_encoder import cross_encoder_table


def test_a_row_a_way_and_step(tmp_path: Path) -> None:
    gain = {"first": 0.7, "second": 0.65, "difference": -0.05, "low": -0.08, "high": -0.02, "n": 12}
    step = {"alone": {"nq": gain, "all": {**gain, "n": 20}}, "sum": {"nq": gain, "all": gain}}
    found = {
        "measure": "nDCG@10",
        "sets": {"nq": {"questions": 12, "most_candidates": 9}},
        "curve": {"100": step, "300": step},
    }
    path = tmp_path / "c.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    table = cross_encoder_table(path)
    assert table.heads == ["score", "steps", "nq", "all questions"]
    assert [row[:2] for row in table.rows] == [
        ["alone", "100"], ["alone", "300"], ["sum", "100"], ["sum", "300"],
    ]  # fmt: skip
    assert table.rows[0][2] == "0.700 to 0.650, -5.0 [-8.0, -2.0]"
    assert table.notes == ["nq: 12 questions of at most 9 passages."]

"""The table of what domains gain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unimoer_rag.lab.domains import domains_table, router_table


def cell(name: str, size: str, questions: int, **more: Any) -> dict[str, Any]:
    gain = {"first": 0.7, "second": 0.75, "difference": 0.05, "low": 0.02, "high": 0.08, "n": 12}
    return {
        "dataset": name,
        "size": size,
        "questions": questions,
        "held_out": 40,
        "passages": 1234,
        "cpu_seconds": 90.0,
        "processor": "a processor, one thread",
        "differences": {"retrieval": gain, "rerank": {**gain, "difference": -0.01, "low": -0.03}},
        **more,
    }


def test_a_row_a_cell_the_fewest_questions_first(tmp_path: Path) -> None:
    new = {"differences_on_new_passages": cell("law", "", 0)["differences"]}
    for one in (cell("law", "all", 800, **new), cell("law", "none", 2000), cell("law", "100", 100)):
        (tmp_path / f"law-{one['size']}.json").write_text(json.dumps(one), encoding="utf-8")
    table = domains_table(tmp_path)
    assert [row[1] for row in table.rows] == [
        "2,000 sentences of the passages",
        "100 questions",
        "800 questions",
    ]
    assert list(table.rows[2][2:]) == [
        "0.700 to 0.750, +5.0 [+2.0, +8.0]",
        "0.700 to 0.750, -1.0 [-3.0, +8.0]",
        "+5.0 [+2.0, +8.0], -1.0 [-3.0, +8.0] (of 12 questions)",
        "1.5 min",
    ]
    assert table.rows[0][4] == ""
    assert "law: 40 questions held out, 1,234 passages." in table.markdown()
    assert "Trained on a processor, one thread." in table.markdown()


def test_nothing_is_measured_yet(tmp_path: Path) -> None:
    assert domains_table(tmp_path).rows == []


def test_arms_against_the_frozen_backbone(tmp_path: Path) -> None:
    gain = {"first": 0.7, "second": 0.75, "difference": 0.05, "low": 0.02, "high": 0.08, "n": 12}
    found = {
        "domains": ["law"],
        "sets": {"law": {}, "nq": {}},
        "means": {"frozen": {"law": 0.7, "nq": 0.9}, "own": {"law": 0.75}, "routed": {"law": 0.75}},
        "differences": {
            "own - frozen": {"law": gain},
            "routed - frozen": {"law": gain, "nq": {**gain, "difference": 0.0}},
            "routed - own": {"law": gain},
        },
        "routes": {"routed": {"law": {"law-embed": 0.9, "other": 0.1}, "nq": {"other": 1.0}}},
        "seeds": [0],
    }
    file = tmp_path / "found.json"
    file.write_text(json.dumps(found), encoding="utf-8")
    table = router_table(file)
    assert table.heads == ["questions of", "frozen", "own", "routed", "routed to"]
    assert [list(row) for row in table.rows] == [
        ["law", "0.700", "+5.0 [+2.0, +8.0]", "+5.0 [+2.0, +8.0]", "law 90%, other 10%"],
        ["nq (no domain of the model)", "0.900", "", "+0.0 [+2.0, +8.0]", "other 100%"],
    ]
    assert "(1 seed)" in table.markdown()
    assert "routed - own: law +5.0 [+2.0, +8.0]." in table.markdown()

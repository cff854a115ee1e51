"""The demo corpus holds what its questions ask for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DOCUMENTS = sorted((EXAMPLES / "handbook").glob("*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_documents_are_short_and_titled(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert 120 <= len(text.split()) <= 350


def test_answers_stand_in_their_sources() -> None:
    lines = (EXAMPLES / "handbook_questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(DOCUMENTS) == 32
    assert len({row["question"] for row in rows}) == 40
    assert sum(not row["answers"] for row in rows) == 6
    for row in rows:
        if not row["answers"]:
            assert row["source"] is None, row
            continue
        text = (EXAMPLES / row["source"]).read_text(encoding="utf-8")
        assert all(answer in text for answer in row["answers"]), row


def test_conversations_are_about_their_sources() -> None:
    lines = (EXAMPLES / "handbook_conversations.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    alone = [row for row in rows if row["question"] == row["standalone"]]
    for split, n, n_alone in (("dev", 40, 13), ("test", 20, 7)):
        assert sum(row["split"] == split for row in rows) == n
        assert sum(row["split"] == split for row in alone) == n_alone
    for row in rows:
        text = (EXAMPLES / row["source"]).read_text(encoding="utf-8")
        assert row["answers"]
        assert all(answer in text for answer in row["answers"]), row
        assert 1 <= len(row["history"]) <= 2
        assert all(len(turn) == 2 for turn in row["history"]), row

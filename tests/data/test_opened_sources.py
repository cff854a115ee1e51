"""The data sets of a recipe: each format by its name, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from unimoer_rag.data import Labelled, SourceConfig, Sources
from unimoer_rag.data.datasets import BeirDataset
from unimoer_rag.errors import DataError

SOURCE: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)

ROWS: list[dict[str, Any]] = [
    {"query": "Where?", "pos": ["here", "there"], "neg": ["now", "hence"]},
    {"query": "When?", "pos": ["now"], "neg": ["here", "then"]},
    {"query": "where?", "pos": ["hence"], "neg": ["there", "then"]},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_sources_open_each_format_by_name(tmp_path: Path, toy: BeirDataset, toy_data: Path) -> None:
    write(tmp_path / "clicks.jsonl", ROWS)
    write(tmp_path / "taught.jsonl", [{"query": "q", "documents": ["a"], "scores": [1]}])
    write(tmp_path / "nli.jsonl", [{"premise": "p", "hypothesis": "h", "label": "no"}])
    sources = Sources(
        tmp_path,
        {
            "clicks": SOURCE.validate_python({"format": "triples", "path": "clicks.jsonl"}),
            "more": SOURCE.validate_python(
                {"format": "triples", "path": "clicks.jsonl", "mine": True}
            ),
            "taught": SOURCE.validate_python({"format": "scored", "path": "taught.jsonl"}),
            "nli": SOURCE.validate_python({"format": "labelled", "path": "nli.jsonl"}),
            "folder": SOURCE.validate_python({"format": "beir", "path": str(toy_data / "toy")}),
        },
        given={"toy": toy},
        cache=tmp_path / "cache",
    )
    assert len(sources.groups("clicks").groups) == 3
    assert sources.groups("clicks") is sources.groups("clicks")
    assert sources.groups("taught").groups[0].scores == (1.0,)
    assert list(sources.labelled("nli")) == [Labelled("p", "h", "no")]
    assert sources.labelled("nli").labels == {"no": 1}
    assert sources.beir("toy") is toy
    assert sources.groups("toy").groups[0].answers == toy.questions[0].answers
    assert len(sources.groups("folder").texts) == len(toy.corpus)
    mined = {name: sources.is_mined(name) for name in ("clicks", "more", "taught", "toy", "folder")}
    assert mined == {"clicks": False, "more": True, "taught": False, "toy": True, "folder": True}
    assert sources.is_mined("unnamed")  # a BEIR folder of that name
    with pytest.raises(DataError, match="clicks has the format triples; expected beir"):
        sources.beir("clicks")
    with pytest.raises(DataError, match="nli holds labelled texts; expected queries"):
        sources.groups("nli")
    with pytest.raises(DataError, match="clicks holds no labelled texts"):
        sources.labelled("clicks")
    with pytest.raises(DataError, match="unnamed"):
        sources.beir("unnamed")
    with pytest.raises(DataError, match=r"no data folder at .*expected toy inside it"):
        Sources(tmp_path / "nowhere").beir("toy")


PIN = {"format": "hub", "repo": "owner/name"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"format": "csv"}, "Input tag 'csv'"),
        ({"format": "triples"}, "path"),
        ({"format": "triples", "path": "x", "split": "dev"}, "split"),
        (
            {"format": "triples", "path": "x", "columns": {"querry": "q"}},
            "columns: unknown 'querry', expected one of query, positive",
        ),
        (PIN, "revision is None: expected the 40 .*huggingface.co/datasets/owner/name/commits"),
        ({**PIN, "revision": "main"}, "revision is 'main': expected the 40 hexadecimal digits"),
        ({**PIN, "repo": "./here", "revision": "a" * 40}, "a local folder .* has none"),
        ({**PIN, "revision": "a" * 40, "rows": 0}, "rows"),
    ],
)
def test_source_configs_that_are_refused(config: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SOURCE.validate_python(config)

"""Rows of a file by their place: where each stands, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from unimoer_rag.data.jsonl_rows import JsonlRows
from unimoer_rag.data.labelled import LabelledRows
from unimoer_rag.errors import DataError


def test_jsonl_rows_are_read_by_index(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": "\xc3\xa9"}\n{"a": 3}')
    rows = JsonlRows(path, cache=tmp_path / "cache")
    assert list(rows) == [{"a": 1}, {"a": "é"}, {"a": 3}]
    assert rows[-1] == {"a": 3}
    assert rows[1:] == [{"a": "é"}, {"a": 3}]
    assert rows.place(1) == f"{path}, line 4"
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    again = JsonlRows(packed, cache=tmp_path / "cache")
    assert (list(again), again.digest) == (list(rows), rows.digest)
    assert again.place(1) == f"{packed}, line 4"
    path.write_text('{"a": 1}\n', encoding="utf-8")
    assert JsonlRows(path, cache=tmp_path).digest != rows.digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "rows.jsonl is empty"),
        (b"[" * 10**5, "line 1 is no JSON .*nested deeper than"),
        (b'{"text": "t", "text": "u"}', "line 1 is no JSON .*the key 'text' stands twice"),
        (b'{"text": "t", "label": "\\u0000"}', r"line 1: label is '\\x00'; expected the name"),
        (b'{"text": "t", "label": "x"}\n[1]\n', "line 2: found a JSON list; expected a JSON obj"),
        (
            b'{"text": "t", "label": "x"}\n\n{"tex',
            "line 3 is no JSON: .*; expected one JSON object",
        ),
        (b'{"text": "\xff"}\n', "line 1 is not UTF-8: .*; expected one JSON object"),
        (b'{"text": "t", "label": "x"}\n{"text": "t"}\n', "line 2: label is None; expected"),
    ],
)
def test_damaged_jsonl_is_told_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        LabelledRows(JsonlRows(path, cache=tmp_path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.jsonl"):
        JsonlRows(tmp_path / "none.jsonl", cache=tmp_path)
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n' * 999)[:-9])
    with pytest.raises(DataError, match="a damaged gzip file"):
        JsonlRows(packed, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_line_longer_than_any_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.data.lines._LONGEST", 100)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "t", "label": "x"}) + "\n" + "x" * 200, encoding="utf-8")
    with pytest.raises(
        DataError, match="line 2: found a line of more than 100 bytes; expected one row"
    ):
        JsonlRows(path, cache=tmp_path)

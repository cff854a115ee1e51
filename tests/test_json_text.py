"""JSON of others: bounded, nothing of it lost, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import DataError, InputError
from unimoer_rag.json_text import parse_json, read_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)  # fmt: skip


@pytest.mark.slow
@given(values)
def test_what_json_writes_is_read(value: object) -> None:
    text = json.dumps(value)
    assert parse_json(text, what="it") == value
    assert parse_json(b"\xef\xbb\xbf" + text.encode(), what="it") == value


@given(st.text('[]{}":,\\0123eENaIfty \n-', max_size=30))
def test_any_text_is_a_value_or_one_line_of_error(text: str) -> None:
    said = ""
    try:
        parse_json(text, what="it")
    except InputError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "is no JSON that is read here: nested deeper than 100"),
        ('{"a":' * 100_000, "nested deeper than 100"),
        ("[" * 101 + "]" * 101, "nested deeper than 100"),
        ("9" * 5000, "Exceeds the limit"),
        ("NaN", "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number of JSON"),
        ("1e999", "the number 1e999 is too large"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ("{'a': 1}", r"is no JSON: Expecting property name .* \(line 1, column 2\)"),
        ("", r"is no JSON: Expecting value \(line 1, column 1\)"),
        (b'"\xff"', "is not UTF-8: invalid start byte at byte 1"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_none_is_refused(text: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"^line 3 .*{said}"):
        parse_json(text, what="line 3", error=DataError)


def test_depth_is_that_of_lists_and_not_of_brackets_in_text() -> None:
    deep = "[" * 100 + "]" * 100
    assert json.dumps(parse_json(deep, what="it")) == deep
    for text in ("[" * 300, '\\"[' * 200, "[\\\\" * 200):
        assert parse_json(json.dumps([text, [text]]), what="it") == [text, [text]]
    wide = [[n] for n in range(500)]
    assert parse_json(json.dumps(wide), what="it") == wide


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    with pytest.raises(DataError, match=r"a\.json is larger than the 7 bytes"):
        read_json(path, error=DataError, max_bytes=7)
    path.write_text("{")
    with pytest.raises(InputError, match=r"a\.json is no JSON: .* \(line 1, column 2\)"):
        read_json(path)
    with pytest.raises(InputError, match=r"cannot read .*none"):
        read_json(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        read_json(tmp_path)

"""Lines of files: where each begins, and what they may hold at most."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.errors import DataError
from unimoer_rag.json_lines import EndlessError, UnboundedError, json_object, read_lines


@given(st.lists(st.binary(max_size=12)), st.integers(1, 8))
def test_every_line_is_told_where_it_stands(parts: list[bytes], longest: int) -> None:
    data = b"\n".join(parts)
    lines = list(read_lines(io.BytesIO(data), longest=longest))
    whole = re.findall(rb"[^\n]*\n|[^\n]+", data)  # nothing else parts lines
    assert len(lines) == len(whole)
    for number, (line, content) in enumerate(zip(lines, whole, strict=True), start=1):
        assert line.number == number
        assert data[line.start :].startswith(content)
        assert line.whole == (len(content.removesuffix(b"\n")) <= longest)
        assert line.content == content if line.whole else content.startswith(line.content)


def test_a_file_may_hold_so_much() -> None:
    data = b"ab\n" * 4
    assert len(list(read_lines(io.BytesIO(data), longest=9, most=12))) == 4
    lines = read_lines(io.BytesIO(data), longest=9, most=11)
    assert [next(lines).number for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(EndlessError, match="more than 11 bytes"):
        next(lines)
    # Of one line too: it is read in pieces, and no further than that.
    file = io.BytesIO(b"x" * 1000)
    with pytest.raises(EndlessError):
        list(read_lines(file, longest=9, most=20))
    assert file.tell() == 30


def test_blank_lines_are_passed_over_and_end_somewhere() -> None:
    data = b"\xef\xbb\xbf\r\na\n \t\n\x0b\x0c\nb\n"
    lines = read_lines(io.BytesIO(data), longest=9, most_blank=2)
    assert [(line.number, line.content) for line in lines] == [(2, b"a\n"), (5, b"b\n")]
    lines = read_lines(io.BytesIO(data), longest=9, most_blank=1)
    with pytest.raises(UnboundedError, match="line 4: found 2 blank lines in a row"):
        list(lines)


def test_spaces_that_go_on_are_no_blank_line() -> None:
    [line] = read_lines(io.BytesIO(b" " * 50), longest=9, most_blank=0)
    assert not line.whole


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]", "a.jsonl, line 3: found a JSON list; expected a JSON object"),
        (b'{"a"', "a.jsonl, line 3 is no JSON: .*; expected one JSON object a line"),
        (b'{"a": "\xff"}', "a.jsonl, line 3 is not UTF-8: .*; expected one JSON object a line"),
        (b'{"a": 1, "a": 2}', "a.jsonl, line 3 is no JSON .*the key 'a' stands twice"),
        (b'{"a": NaN}', "a.jsonl, line 3 is no JSON .*NaN is no number"),
    ],
)
def test_a_line_that_is_no_object_is_named(line: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        json_object(line, what="a.jsonl, line 3")

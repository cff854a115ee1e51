from __future__ import annotations

import gzip
import io

import pytest

from unimoer_rag.retrieval.limits import (
    MAX_LINE_BYTES,
    TooLargeError,
    bounded_lines,
    in_mebibytes,
    read_bounded,
)


def test_a_stream_is_read_up_to_its_bound_and_not_beyond() -> None:
    assert read_bounded(io.BytesIO(b"12345"), 5, "it") == b"12345"
    stream = io.BytesIO(b"123456" + b"7" * 100)
    with pytest.raises(TooLargeError, match="the corpus is larger than"):
        read_bounded(stream, 5, "the corpus")
    assert stream.tell() == 6


def test_lines_come_until_one_is_too_long() -> None:
    packed = gzip.compress(b"one\ntwo\n" + b"x" * 1000 + b"\nfour")
    with gzip.open(io.BytesIO(packed)) as stream:
        lines = bounded_lines(stream, 10)
        assert [next(lines), next(lines)] == [b"one\n", b"two\n"]
        with pytest.raises(TooLargeError, match="line 3 is longer"):
            next(lines)
    assert list(bounded_lines(io.BytesIO(b"a\n\nb"), 2)) == [b"a\n", b"\n", b"b"]


def test_bounds_are_told_in_a_unit_for_people() -> None:
    assert in_mebibytes(MAX_LINE_BYTES) == "64 MiB"

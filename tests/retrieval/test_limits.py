from __future__ import annotations

import io

import pytest

from unimoer_rag.retrieval.limits import (
    MAX_TEXT_BYTES,
    TooLargeError,
    in_mebibytes,
    read_bounded,
)


def test_a_stream_is_read_up_to_its_bound_and_not_beyond() -> None:
    assert read_bounded(io.BytesIO(b"12345"), 5, "it") == b"12345"
    stream = io.BytesIO(b"123456" + b"7" * 100)
    with pytest.raises(TooLargeError, match="the corpus is larger than"):
        read_bounded(stream, 5, "the corpus")
    assert stream.tell() == 6


def test_bounds_are_told_in_a_unit_for_people() -> None:
    assert in_mebibytes(MAX_TEXT_BYTES) == "128 MiB"

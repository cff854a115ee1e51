"""Results can be written as JSON, whatever was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.evaluation.plain import plain


def test_numbers_of_numpy_and_what_is_no_number() -> None:
    found = plain(
        {
            "f": np.float32(0.5),
            "i": np.int64(3),
            "b": np.bool_(True),
            "nan": np.nan,
            "inf": [float("inf"), -np.inf, np.float64("nan")],
            "rows": np.array([[1.0, np.nan]]),
            3: (Path("a"), {"z", "y"}),
        }
    )
    assert found == {
        "f": 0.5,
        "i": 3,
        "b": True,
        "nan": None,
        "inf": [None, None, None],
        "rows": [[1.0, None]],
        "3": ["a", ["y", "z"]],
    }
    assert isinstance(found["b"], bool)


def test_something_else_is_an_error() -> None:
    with pytest.raises(TypeError, match="a result holds object"):
        plain({"x": [object()]})


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(
    _LEAVES | st.text(st.characters(categories=["Cs", "Cc", "Zl"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(_VALUES)
def test_everything_else_is_written_and_read_again(value: object) -> None:
    ready = plain(value)
    written = json.dumps(ready, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(written) == ready == plain(ready)

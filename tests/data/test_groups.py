"""Groups of rows, read as they are asked for."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unimoer_rag.data import TrainingSet
from unimoer_rag.data.groups import open_rows
from unimoer_rag.data.jsonl_rows import JsonlRows
from unimoer_rag.errors import DataError
from unimoer_rag.training.draws import shuffled


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


Opener = Callable[..., TrainingSet]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    def run(rows: list[dict[str, Any]], **options: Any) -> TrainingSet:
        path = write(tmp_path / "rows.jsonl", rows)
        return open_rows("set", JsonlRows(path, cache=tmp_path), cache=tmp_path / "c", **options)

    return run


ROWS: list[dict[str, Any]] = [
    {"query": "Where?", "pos": ["here", "there"], "neg": ["now", "hence"]},
    {"query": "When?", "pos": ["now"], "neg": ["here", "then"]},
    {"query": "where?", "pos": ["hence"], "neg": ["there", "then"]},
]


def test_what_answers_in_one_row_is_known_in_every_other(opened: Opener) -> None:
    found = opened(ROWS)
    where, when, again = found.groups
    assert [found.texts[where.positive], found.texts[when.positive]] == ["here", "now"]
    # The same words in another case: what answers one answers the other, and is no negative.
    assert [found.texts[p] for p in where.relevant] == ["here", "there", "hence"]
    assert where.relevant == again.relevant
    assert [found.texts[n] for n in where.negatives] == ["now"]
    assert [found.texts[n] for n in again.negatives] == ["then"]
    # One text, one position, in whatever row it stands.
    assert when.positive == where.negatives[0]
    assert when.negatives == (where.positive, again.negatives[0])
    assert found.groups[-1] == again
    assert found.groups[1:] == [when, again]
    with pytest.raises(IndexError):
        found.groups[3]


def test_scores_follow_their_passages(opened: Opener) -> None:
    found = opened(
        [
            {"query": "q", "documents": ["a", "b", "c"], "scores": [1, 3, 2]},
            {"query": "Q", "documents": ["c", "d"], "scores": [5, 4]},
        ],
        scored=True,
    )
    first, second = found.groups
    assert [found.texts[n] for n in (first.positive, *first.negatives)] == ["b", "a"]
    assert first.scores == (3.0, 1.0)  # "c" answers the same question elsewhere
    assert second.scores == (5.0, 4.0)


def test_an_index_is_kept_by_content_and_made_again_when_damaged(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(opened(ROWS).groups)
    (folder,) = (tmp_path / "c").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(np, "unique", lambda *a, **k: pytest.fail("indexed again"))
        assert list(opened(ROWS).groups) == first
    whole = (folder / "first.npy").read_bytes()
    (folder / "first.npy").write_bytes(whole[:-5])
    assert list(opened(ROWS).groups) == first
    assert (folder / "first.npy").read_bytes() == whole
    opened(ROWS[:2])
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_a_malformed_row_is_told_before_training_and_leaves_nothing(
    opened: Opener, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: it has no positive"):
        opened([ROWS[0], {"query": "q"}])
    assert not (tmp_path / "c").exists()


short = st.text("abc", min_size=1, max_size=2)


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "query": st.sampled_from(["x", "X", "y", "z"]),
                "pos": st.lists(short, min_size=1, max_size=3),
                "neg": st.lists(short, max_size=4),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_groups_against_a_direct_reading(opened: Opener, rows: list[dict[str, Any]]) -> None:
    found = opened(rows)
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row["query"].lower(), set()).update(row["pos"])
    assert len(found.groups) == len(rows)
    for row, group in zip(rows, found.groups, strict=True):
        right = answers[row["query"].lower()]
        assert group.query == row["query"]
        assert found.texts[group.positive] == row["pos"][0]
        assert {found.texts[p] for p in group.relevant} == right
        assert len(group.relevant) == len(right)
        negatives = dict.fromkeys(n for n in row["neg"] if n not in right)
        assert [found.texts[n] for n in group.negatives] == list(negatives)


@pytest.mark.slow
def test_draws_hold_little_of_a_file_in_memory(opened: Opener) -> None:
    rng = random.Random(0)
    passages = ["".join(rng.choices("abcdefgh ", k=1500)) for _ in range(300)]
    found = opened(
        [
            {"query": f"query {n}", "pos": [f"{n} {passages[n % 300]}"], "neg": [f"{n} no"] * 2}
            for n in range(3000)
        ]
    )
    size = 3000 * 1500
    tracemalloc.start()
    for at in range(3000):
        group = found.groups[shuffled(at, 3000)]
        assert found.texts[group.positive].startswith(group.query.removeprefix("query ") + " ")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size / 4

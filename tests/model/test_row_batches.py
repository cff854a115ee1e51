from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from unimoer_rag.model.batching import pad_rows, plan_batches
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import EMBED, READ


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 2000))
def test_batches_hold_each_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert lengths[batch[0]] == longest
        assert len(batch) * longest <= budget or len(batch) == 1
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(flat, reverse=True)


def test_short_rows_are_not_padded_to_a_long_one() -> None:
    assert plan_batches([20, 200, 20, 20], 1024) == [[1], [0, 2, 3]]
    assert plan_batches([190, 200, 190], 1024) == [[1, 0, 2]]  # not worth a batch of their own
    # At the budget's end only what still fits would be padded.
    assert plan_batches([100, 100, 90, 90, 90], 300) == [[0, 1, 2], [3, 4]]


def test_rows_are_padded_at_the_end() -> None:
    rows = [Row(EMBED, [7, 8], (0, 2)), Row(READ, [1, 2, 3, 4], (0, 1), (2, 4))]
    batch = pad_rows(rows, filler=9, typed=True, device=torch.device("cpu"))
    assert batch.ids.tolist() == [[7, 8, 9, 9], [1, 2, 3, 4]]
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.types is not None
    assert batch.types.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]
    assert pad_rows(rows, filler=9, typed=False, device=torch.device("cpu")).types is None
    assert batch.attended is batch.mask


def test_rows_are_padded_to_a_length_that_is_asked_for() -> None:
    rows = [Row(EMBED, [7, 8], (0, 2)), Row(EMBED, [1, 2, 3], (0, 3))]
    batch = pad_rows(rows, filler=9, typed=False, device=torch.device("cpu"), length=4)
    assert batch.ids.tolist() == [[7, 8, 9, 9], [1, 2, 3, 9]]
    assert batch.mask.tolist() == [[True, True, False, False], [True, True, True, False]]
    shorter = pad_rows(rows, filler=9, typed=False, device=torch.device("cpu"), length=2)
    assert shorter.ids.shape == (2, 3)


def test_what_is_not_attended_to_is_there_all_the_same() -> None:
    rows = [Row(EMBED, [7, 8, 6], (0, 3), unattended=2), Row(EMBED, [1, 2, 3, 4], (0, 4))]
    batch = pad_rows(rows, filler=9, typed=False, device=torch.device("cpu"))
    assert batch.mask.tolist() == [[True, True, True, False], [True] * 4]
    assert batch.attended.tolist() == [[True, False, False, False], [True] * 4]

"""The order of draws: every item once an epoch, every data set its share, nothing remembered."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unimoer_rag.errors import InputError
from unimoer_rag.training.draws import SetSampler, set_weights, shuffled


@given(total=st.integers(1, 300), epoch=st.integers(0, 10**9), seed=st.integers())
def test_a_walk_visits_each_item_once_an_epoch(total: int, epoch: int, seed: int) -> None:
    start = epoch * total
    assert sorted(shuffled(start + at, total, seed) for at in range(total)) == list(range(total))


def test_walks_differ_by_epoch_and_by_seed() -> None:
    walks = {
        tuple(shuffled(e * 40 + at, 40, s) for at in range(40)) for e in (0, 1) for s in (0, 1)
    }
    assert len(walks) == 4
    assert tuple(range(40)) not in walks


def test_walks_look_random() -> None:
    """Neighbours in the walk are as far apart as those of a random order, n / 3 on average."""
    walk = [shuffled(at, 3000, 5) for at in range(3000)]
    distances = [abs(a - b) for a, b in pairwise(walk)]
    assert abs(sum(distances) / len(distances) - 1000) < 60
    assert len(set(distances)) > 1000  # an arithmetic progression would have two
    # Where the items of the first tenth come: evenly over the epoch.
    places = Counter(at // 300 for at, item in enumerate(walk) if item < 300)
    assert all(10 < places[tenth] < 60 for tenth in range(10))


def test_a_walk_over_nothing_is_refused() -> None:
    for at, total in ((0, 0), (-1, 5)):
        with pytest.raises(InputError, match=f"place {at} of a walk over {total}"):
            shuffled(at, total)


shares = st.dictionaries(
    st.sampled_from("abcdef"), st.floats(0.02, 5.0), min_size=1, max_size=6
).filter(bool)


@pytest.mark.slow
@settings(max_examples=60)
@given(shares=shares, seed=st.integers(0, 5))
def test_every_data_set_gets_its_share_and_walks_on(shares: dict[str, float], seed: int) -> None:
    weights = set_weights(dict.fromkeys(shares, 7), proportions=shares)
    assert sum(weights.values()) == pytest.approx(1)
    sampler = SetSampler(weights, seed)
    had: Counter[str] = Counter()
    block = max(round(1 / min(weights.values())), 1) + 1
    for index in range(4 * block):
        name, turn = sampler.pick(index)
        assert turn == had[name]  # none is passed over, none comes twice
        had[name] += 1
    n = 4 * block
    for name, weight in weights.items():
        # At most one block is under way, in which a set may have had all or nothing.
        assert abs(had[name] - n * weight) <= weight * (block + 1) + 2


def test_shares_do_not_drift() -> None:
    weights = {"a": 1 / 3, "b": 0.5, "c": 1 / 6}
    sampler = SetSampler(weights)
    for n in (6, 6_000, 6_000_000, 6_000_000_000):
        turns = dict(sampler.pick(index) for index in range(n, n + 6))
        # The next turn of a set tells how many draws it has had.
        for name, weight in weights.items():
            assert abs(turns[name] - n * weight) <= 1 + 6 * weight


def test_picks_do_not_depend_on_what_was_picked_before() -> None:
    weights = set_weights({"a": 5, "b": 90, "c": 31}, temperature=3.0)
    whole = [SetSampler(weights, 3).pick(index) for index in range(200)]
    order = list(range(200))
    random.Random(0).shuffle(order)
    other = SetSampler(weights, 3)
    assert {index: other.pick(index) for index in order} == dict(enumerate(whole))
    assert whole != [SetSampler(weights, 4).pick(index) for index in range(200)]


def test_weights_by_hand() -> None:
    sizes = {"a": 900, "b": 100}
    assert set_weights(sizes) == pytest.approx({"a": 0.9, "b": 0.1})
    assert set_weights(sizes, temperature=2) == pytest.approx({"a": 0.75, "b": 0.25})
    assert set_weights(sizes, temperature=1e9) == pytest.approx({"a": 0.5, "b": 0.5})
    assert set_weights(sizes, proportions={"a": 1, "b": 3}) == pytest.approx({"a": 0.25, "b": 0.75})
    sampler = SetSampler(set_weights(sizes, temperature=2))
    picked = Counter(sampler.pick(index).name for index in range(400))
    assert picked == {"a": 300, "b": 100}


@pytest.mark.parametrize(
    ("sizes", "options", "said"),
    [
        ({}, {}, "no data sets"),
        ({"a": 3, "b": 0}, {}, "nothing to draw from: b"),
        ({"a": 3}, {"temperature": 0.0}, "temperature is 0"),
        ({"a": 3, "b": 1}, {"proportions": {"a": 1.0}}, r"share for each data set.*\['b'\]"),
        ({"a": 3, "b": 1}, {"proportions": {"a": 1.0, "b": 0.0}}, "share of b is 0"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sizes: dict[str, int], options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        set_weights(sizes, **options)

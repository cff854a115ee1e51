"""Held-out examples: who is held out, and measures against other implementations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model.tiny_models import TEXTS, make_model

from unimoer_rag.data.examples import Group, TrainingSet
from unimoer_rag.errors import DataError
from unimoer_rag.training.extending.held_out import Subset, agreement, measure_ranks, split

LABELS = st.sampled_from(["yes", "no", "maybe"])


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=2), min_size=1, max_size=40).filter(lambda k: len(set(k)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 3),
)
def test_a_split_keeps_keys_together(keys, share, seed) -> None:
    learnt, held = split(keys, share, seed=seed)
    assert learnt
    assert held
    assert sorted(learnt + held) == list(range(len(keys)))
    assert not {keys[at] for at in learnt} & {keys[at] for at in held}
    assert (learnt, held) == (sorted(learnt), sorted(held))
    assert split(keys, share, seed=seed) == (learnt, held)
    wanted = min(max(round(share * len(set(keys))), 1), len(set(keys)) - 1)
    assert len({keys[at] for at in held}) == wanted


def test_another_seed_holds_out_others() -> None:
    keys = [str(n) for n in range(100)]
    assert split(keys, 0.2, seed=0)[1] != split(keys, 0.2, seed=1)[1]


def test_one_text_cannot_be_split() -> None:
    with pytest.raises(DataError, match="3 examples of 1 different texts"):
        split(["a", "a", "a"], 0.5, seed=0)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30))
def test_agreement_is_scikit_learns(pairs) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    gold, found = [g for g, _ in pairs], [f for _, f in pairs]
    assert agreement(gold, found) == pytest.approx(
        {
            "accuracy": 100 * metrics.accuracy_score(gold, found),
            "macro_f1": 100 * metrics.f1_score(gold, found, average="macro"),
        }
    )


def test_a_subset_is_a_view() -> None:
    some = Subset(list("abcdef"), [5, 0, 3])
    assert list(some) == ["f", "a", "d"]
    assert list(some[1:]) == ["a", "d"]
    assert some[-1] == "d"
    with pytest.raises(IndexError):
        some[3]


def test_reciprocal_ranks_by_hand_with_ties_against_the_positive(tiny_bert) -> None:
    model = make_model(tiny_bert)
    scores = model.score(TEXTS[0], TEXTS, logits=True)
    order = sorted(range(4), key=lambda at: -scores[at])
    groups = [Group(TEXTS[0], order[at], (), tuple(set(order) - {order[at]})) for at in (0, 2)]
    groups.append(Group(TEXTS[0], order[0], (), (order[0], order[1])))  # its own text: a tie
    found = measure_ranks(model, "rerank", TrainingSet("toy", TEXTS, groups))
    assert found["mrr"] == pytest.approx(100 * (1 + 1 / 3 + 1 / 2) / 3)

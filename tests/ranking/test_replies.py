"""Replies: any words come to a permutation, and what is broken is told."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unimoer_rag.ranking.passages import as_passage
from unimoer_rag.ranking.prompts import order_all
from unimoer_rag.ranking.replies import Named, named_label, named_passages, repaired

pieces = st.sampled_from(
    ["[1]", "[2]", "[3]", "[9]", " > ", "\n", "[", "]", "<think>", "</think>", "1", "2 > 3", "no",
     "【2】", "[1-3]", "x[2]", "[0]", "[-1]", "[1e3]", "[²]", "٣"]
)  # fmt: skip
replies = st.lists(pieces, max_size=12).map("".join) | st.text(max_size=80)


@pytest.mark.parametrize(
    ("reply", "order", "clean"),
    [
        ("[2] > [3] > [1]", [1, 2, 0], True),
        ("2 > 3 > 1", [1, 2, 0], True),
        ("2, 3, 1", [1, 2, 0], True),
        ("Here is the order:\n[2]>[3]>[1].", [1, 2, 0], True),
        ("[2]\n[3]\n[1]", [1, 2, 0], True),
        ("<think>[1] > [2] > [3]? No.</think>[3] > [1] > [2]", [2, 0, 1], True),
        ("First [1] > [2], but no: [3] > [2] > [1]", [2, 1, 0], True),
        ("[2] > [2] > [1]", [1, 0], False),  # repeated
        ("[2] > [7] > [1]", [1, 0], False),  # no such passage
        ("[2] > [3", [1], False),  # truncated
        ("I cannot rank these passages.", [], False),  # refused
        ("In 2024 I found 3 of them", [], False),  # numbers of its own
        ("", [], False),
    ],
)
def test_orders(reply: str, order: list[int], clean: bool) -> None:
    assert named_passages(reply, 3) == Named(order, clean)


@settings(deadline=None)
@given(replies, st.integers(1, 5))
def test_any_reply_gives_a_permutation(reply: str, n: int) -> None:
    named = named_passages(reply, n)
    assert len(set(named.order)) == len(named.order)
    assert sorted(repaired(named.order, n)) == list(range(n))
    assert repaired(named.order, n)[: len(named.order)] == named.order


def test_what_is_missing_stays_in_its_order() -> None:
    assert repaired([3, 1], 5) == [3, 1, 0, 2, 4]


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("yes", 0),
        ("No.", 1),
        ("**Yes**", 0),
        (" YES\n", 0),
        ("Yes, the passage does.", 0),
        ("<think>yes or no</think>no", 1),
        ("yes and no", None),
        ("I cannot say", None),
        ("yesterday", None),
        ("notable", None),
        ("", None),
    ],
)
def test_words(reply: str, label: int | None) -> None:
    assert named_label(reply, ("yes", "no")) == label


@pytest.mark.parametrize(
    ("reply", "label"),
    [("A", 0), ("Passage B", 1), ("(B)", 1), ("b", None), ("a passage", None), ("A or B", None),
     ("[A]", 0), ("Both are good", None)],
)  # fmt: skip
def test_letters(reply: str, label: int | None) -> None:
    assert named_label(reply, ("A", "B")) == label


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(1, 40))
@example("rows[3] and x[passage 2] 【1†】 ［２］〔4〕", 40)
@example("a\u2028[2] > [1]\x85[1]\x0b[3]", 40)
@example("<|im_start|>system\n[INST]", 40)
@example("a[\x00", 40)
def test_no_passage_holds_an_identifier_or_a_line(text: str, max_words: int) -> None:
    line = as_passage(text, max_words)
    assert len(line.splitlines()) <= 1
    assert named_passages(f"{line} says the passage", 99).order == []
    assert len(line.split()) <= 2 * max_words + 2  # a control token is broken by a blank
    prompt = order_all(as_passage("q", 9), [line, "another"]).user
    assert [one[:3] for one in prompt.splitlines() if one.startswith("[")] == ["[1]", "[2]"]


def test_scripts_without_blanks_are_cut_too() -> None:
    assert len(as_passage("字" * 5000, 20)) == 200
    assert as_passage("one two three", 2) == "one two"
    assert "<|im_start|>" not in as_passage("a<|im_start|>system", 9)

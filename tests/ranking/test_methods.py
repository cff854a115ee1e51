"""Methods: orders and scores against computations of their own, prompts against formulas."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.oracle import DOCUMENTS, QUERY, Oracle, drive, passages_of, relevance_of

from unimoer_rag.errors import InputError
from unimoer_rag.ranking import (
    METHODS,
    Answer,
    Choose,
    Graded,
    Listwise,
    Method,
    Pairwise,
    Pointwise,
    QueryGeneration,
    Reasoning,
    Request,
    SelfConsistency,
    Setwise,
    Tournament,
    Write,
)
from unimoer_rag.ranking.method import Scored
from unimoer_rag.ranking.reasoning import checked
from unimoer_rag.ranking.tournament import stages

RELEVANCE = relevance_of(DOCUMENTS)


def ranked(method: Method, n: int, oracle: Oracle | None = None) -> tuple[Scored, int]:
    """What a method comes to for the first n documents, and its prompts."""
    oracle = oracle or Oracle(RELEVANCE)
    return drive(method.steps(QUERY, DOCUMENTS[:n]), oracle.answer)


def order(scored: Scored) -> list[int]:
    return np.argsort(-scored.scores, kind="stable").tolist()


def right_order(n: int) -> list[int]:
    return sorted(range(n), key=lambda at: -RELEVANCE[DOCUMENTS[at]])


SORTING = [
    Pointwise(),
    Graded(),
    QueryGeneration(),
    Reasoning(),
    Pairwise(sort="all"),
    *(Pairwise(sort=sort, k=k) for sort in ("heapsort", "sliding") for k in (1, 10, 40)),
    *(Setwise(sort=sort, c=c, k=10) for sort in ("heapsort", "bubblesort") for c in (3, 4, 10)),
    Listwise(window=40, step=20),
    *(SelfConsistency(shuffles=3, aggregate=how, window=40) for how in ("kemeny", "rrf", "borda")),
]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 17, 40])
@pytest.mark.parametrize("method", SORTING, ids=repr)
def test_a_right_model_gives_the_right_order(method: Method, n: int) -> None:
    scored, asked = ranked(method, n)
    k = min(getattr(method, "k", n), n)
    if getattr(method, "sort", "") == "all":
        k = n
    assert order(scored)[:k] == right_order(n)[:k]
    assert scored.scores.dtype == np.float32
    assert scored.scores.shape == (n,)
    calls = method.calls(n)
    assert asked == calls.n if calls.exact else asked <= calls.n
    assert scored.broken == (0 if method.kind != "reasoning" else scored.broken)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "calls"),
    [
        (Pointwise(), "100"),
        (Graded(), "100"),
        (QueryGeneration(), "100"),
        (Reasoning(), "200"),
        (Pairwise(sort="all"), str(100 * 99)),  # N(N-1)
        (Pairwise(sort="sliding", k=10), str(2 * 10 * 99)),  # 2k(N-1)
        (Setwise(sort="bubblesort", c=4, k=1), "33"),  # (N-1) / (c-1)
        (Listwise(), "9"),  # (N - w) / s + 1
        (Listwise(passes=3), "27"),
        (SelfConsistency(shuffles=20), str(20 * 9)),
        (Tournament(rounds=1), "13"),
        (Tournament(rounds=10), "130"),
    ],
    ids=repr,
)
def test_prompts_of_the_papers_for_a_hundred_documents(method: Method, calls: str) -> None:
    assert str(method.calls(100)) == calls
    assert ranked(method, 100)[1] == int(calls)


@pytest.mark.parametrize("method", [Pairwise(k=10), Setwise(k=10)], ids=repr)
def test_heapsort_takes_fewer_prompts_than_its_bound_and_than_passes(method: Method) -> None:
    asked = ranked(method, 100)[1]
    assert not method.calls(100).exact
    assert str(method.calls(100)).startswith("at most ")
    assert asked <= method.calls(100).n
    passes = {"pairwise": Pairwise("sliding", 10), "setwise": Setwise("bubblesort", k=10)}
    assert asked < passes[method.kind].calls(100).n / 2


@pytest.mark.slow
@pytest.mark.parametrize("method", [kind() for kind in METHODS.values()], ids=repr)
def test_formulas_hold_for_every_number(method: Method) -> None:
    for n in (*range(1, 45), 60, 99, 100):
        asked, calls = ranked(method, n)[1], method.calls(n)
        assert asked == calls.n if calls.exact else asked <= calls.n
    assert method.calls(0).n == 0


# -- pointwise ------------------------------------------------------------------------------


def test_scores_of_single_documents() -> None:
    values = np.array([RELEVANCE[text] for text in DOCUMENTS[:5]])
    assert np.allclose(ranked(Pointwise(), 5)[0].scores, values)
    assert np.allclose(ranked(Graded(), 5)[0].scores, (1 - values) * 1 + values * 3)
    assert np.allclose(ranked(QueryGeneration(), 5)[0].scores, np.exp(values - 1))
    for method in (Pointwise(), Graded(), QueryGeneration()):
        assert ranked(method, 5)[0].source == "logits"


@pytest.mark.parametrize(("method", "middle"), [(Pointwise(), 0.5), (Graded(), 1.5)])
def test_who_says_nothing_is_in_the_middle_and_counted(method: Method, middle: float) -> None:
    told: list[tuple[float, ...] | None] = [
        None,
        (0.0, 1.0, 0.0, 0.0)[: len(middle_labels(method))],
    ]
    answers = iter([Answer(text="?"), Answer(text="no", probabilities=told[1])])
    scored, _ = drive(method.steps(QUERY, DOCUMENTS[:2]), lambda _: next(answers))
    assert scored.scores[0] == middle
    assert scored.scores[1] < middle
    assert (scored.broken, scored.source) == (1, "words")


def middle_labels(method: Method) -> tuple[str, ...]:
    [request] = next(method.steps(QUERY, DOCUMENTS[:1]))
    assert isinstance(request, Choose)
    return request.labels


# -- pairwise -------------------------------------------------------------------------------


def whims(seed: int) -> tuple[Callable[[Request], Answer], Callable[[str, str], int]]:
    """A model without consistency, and what it says to a pair: 0, 1, or -1 for neither."""

    def said(one: str, other: str) -> int:
        return random.Random(f"{seed} {one} {other}").choice([0, 0, 1, 1, -1])

    def answer(request: Request) -> Answer:
        found = said(*passages_of(request.prompt.user))
        return Answer(probabilities=None if found < 0 else (1.0 - found, float(found)))

    return answer, said


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9))
def test_points_of_all_pairs(seed: int, n: int) -> None:
    answer, said = whims(seed)
    texts = DOCUMENTS[:n]
    points, broken = [0.0] * n, 0
    for one, other in permutations(range(n), 2):
        if one < other:
            there, back = said(texts[one], texts[other]), said(texts[other], texts[one])
            broken += (there < 0) + (back < 0)
            if (there, back) == (0, 1):
                points[one] += 1
            elif (there, back) == (1, 0):
                points[other] += 1
            else:
                points[one] += 0.5
                points[other] += 0.5
    scored, asked = drive(Pairwise(sort="all").steps(QUERY, texts), answer)
    assert scored.scores.tolist() == pytest.approx([one / (n - 1) for one in points])
    assert (scored.broken, asked) == (broken, n * (n - 1))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 4))
def test_sliding_passes_swap_where_both_orders_agree(seed: int, n: int, k: int) -> None:
    answer, said = whims(seed)
    texts = list(DOCUMENTS[:n])
    for _ in range(min(k, n - 1)):
        for at in range(n - 2, -1, -1):
            one, other = texts[at], texts[at + 1]
            if (said(one, other), said(other, one)) == (1, 0):
                texts[at : at + 2] = [other, one]
    scored, _ = drive(Pairwise(sort="sliding", k=k).steps(QUERY, DOCUMENTS[:n]), answer)
    assert [DOCUMENTS[at] for at in order(scored)] == texts


@pytest.mark.parametrize("sort", ["all", "heapsort", "sliding"])
def test_ties_keep_the_first_ranking(sort: str) -> None:
    always_first = Answer(probabilities=(1.0, 0.0))  # whichever stands first: a tie of all
    method = Pairwise(sort=sort)  # type: ignore[arg-type]
    scored, _ = drive(method.steps(QUERY, DOCUMENTS[:9]), lambda _: always_first)
    assert order(scored) == list(range(9))
    equal = Answer(probabilities=(0.5, 0.5))
    scored, _ = drive(method.steps(QUERY, DOCUMENTS[:9]), lambda _: equal)
    assert order(scored) == list(range(9))


def test_both_orders_are_asked_at_once() -> None:
    oracle = Oracle(RELEVANCE)
    asking = Pairwise().steps(QUERY, DOCUMENTS[:3])
    shown = [passages_of(request.prompt.user) for request in next(asking)]
    assert shown[0] == shown[1][::-1]
    assert len(oracle.answers(list(next(Pairwise("all").steps(QUERY, DOCUMENTS[:9]))))) == 72


# -- listwise -------------------------------------------------------------------------------


def test_windows_of_the_paper() -> None:
    shown: list[list[str]] = []

    def unmoved(request: Request) -> Answer:
        shown.append(passages_of(request.prompt.user))
        return Answer(text=" > ".join(f"[{at}]" for at in range(1, len(shown[-1]) + 1)))

    drive(Listwise().steps(QUERY, DOCUMENTS), unmoved)
    assert shown == [DOCUMENTS[end - 20 : end] for end in range(100, 10, -10)]
    shown.clear()
    drive(Listwise().steps(QUERY, DOCUMENTS[:33]), unmoved)  # the front is in the last window
    assert shown == [DOCUMENTS[13:33], DOCUMENTS[3:23], DOCUMENTS[0:20]]
    shown.clear()
    drive(Listwise(passes=2).steps(QUERY, DOCUMENTS[:5]), unmoved)
    assert shown == [DOCUMENTS[:5]] * 2


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 9), st.integers(1, 3))
def test_any_answers_to_windows_are_applied(seed: int, n: int, window: int, passes: int) -> None:
    step = window // 2

    def places(texts: Sequence[str]) -> list[int]:
        return random.Random(f"{seed} {texts}").sample(range(len(texts)), len(texts))

    def answer(request: Request) -> Answer:
        texts = passages_of(request.prompt.user)
        return Answer(text=" > ".join(f"[{at + 1}]" for at in places(texts)))

    items = list(DOCUMENTS[:n])
    for _ in range(passes if n > 1 else 0):
        ends = [*range(n, window, -step), min(window, n)]
        for end in ends:
            shown = items[max(0, end - window) : end]
            items[max(0, end - window) : end] = [shown[at] for at in places(shown)]
    scored, asked = drive(Listwise(window, step, passes).steps(QUERY, DOCUMENTS[:n]), answer)
    assert [DOCUMENTS[at] for at in order(scored)] == items
    assert scored.broken == 0
    expected = passes * (1 + max(0, math.ceil((n - window) / step)))
    assert asked == Listwise(window, step, passes).calls(n).n == (expected if n > 1 else 0)


BROKEN = [
    "",
    "I'm sorry, but I can't.",
    "[2] > [2] > [2]",
    "[99] > [3",
    "\x00[",
    "<think>[2] > [1]",
]


@pytest.mark.parametrize("reply", BROKEN)
@pytest.mark.parametrize("method", [Listwise(), SelfConsistency(shuffles=2), Tournament(1)])
def test_broken_answers_are_repaired_and_counted(method: Method, reply: str) -> None:
    scored, asked = ranked(method, 12, Oracle(RELEVANCE, lambda request, right: reply))
    assert scored.broken == asked > 0
    if not reply.startswith("["):  # it says nothing: the first ranking stays
        assert order(scored) == list(range(12))
    assert sorted(order(scored)) == list(range(12))
    assert np.isfinite(scored.scores).all()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=4), st.integers(1, 25))
def test_any_answers_give_an_order(replies: list[str], n: int) -> None:
    for method in (Listwise(5, 2), SelfConsistency(2, "borda", 5, 2), Tournament(1), Reasoning()):
        oracle = Oracle(RELEVANCE, lambda request, right: replies[len(right) % len(replies)])
        scored, asked = ranked(method, n, oracle)
        assert sorted(order(scored)) == list(range(n))
        assert np.isfinite(scored.scores).all()
        assert asked == method.calls(n).n


# -- self-consistency -----------------------------------------------------------------------


def test_shuffles_undo_a_bias_of_position() -> None:
    """A model that cannot see the middle: each shuffle hides others, and the votes find them."""
    n = 10

    def blind(request: Request, right: str) -> str:
        named = right.split(" > ")
        hidden = {"[4]", "[5]", "[6]", "[7]"}
        return " > ".join([one for one in named if one not in hidden] + sorted(hidden))

    once, _ = ranked(Listwise(), n, Oracle(RELEVANCE, blind))
    method = SelfConsistency(shuffles=300, aggregate="borda")
    often, _ = ranked(method, n, Oracle(RELEVANCE, blind))
    assert order(once) != right_order(n)
    assert order(often) == right_order(n)


def test_equal_seeds_shuffle_alike() -> None:
    def asked(seed: int) -> list[Request]:
        oracle = Oracle(RELEVANCE)
        ranked(SelfConsistency(shuffles=3, seed=seed), 9, oracle)
        return oracle.asked

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)
    assert len(set(asked(1))) == 3


def test_who_names_nothing_has_no_vote() -> None:
    answers = iter(["no idea", "[3] > [1] > [2]", "sorry"])
    steps = SelfConsistency(shuffles=3, aggregate="borda").steps(QUERY, DOCUMENTS[:3])
    requests = list(next(steps))
    shown = passages_of(requests[1].prompt.user)
    replies = [Answer(text=next(answers)) for _ in requests]
    with pytest.raises(StopIteration) as end:
        steps.send(replies)
    assert [DOCUMENTS[at] for at in order(end.value.value)] == [shown[2], shown[0], shown[1]]
    assert end.value.value.broken == 2


# -- tournament -----------------------------------------------------------------------------


def test_stages_of_the_paper() -> None:
    found = [(one.n, len(one.keeps), sum(one.keeps)) for one in stages(100)]
    assert found == [(100, 5, 50), (50, 5, 20), (20, 1, 10), (10, 1, 5), (5, 1, 2)]


@settings(deadline=None)
@given(st.integers(1, 30_000))
def test_stages_leave_somebody_out_of_every_group(n: int) -> None:
    left = n
    for stage in stages(n):
        assert stage.n == left
        sizes = [len(group) for group in stage.groups(range(left))]
        assert sum(sizes) == left
        assert all(0 < keep < size <= 20 for keep, size in zip(stage.keeps, sizes, strict=True))
        left = sum(stage.keeps)
    assert left == min(n, 2 if n != 2 else 1)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_one_group_after_another_is_the_right_points(n: int) -> None:
    """Where every stage is one group, the best m of a right model have a point for it."""
    points = np.zeros(n)
    for stage in stages(n):
        points[right_order(n)[: sum(stage.keeps)]] += 1
    scored, _ = ranked(Tournament(rounds=1), n)
    assert scored.scores.tolist() == pytest.approx((points / len(stages(n))).tolist())


def test_the_best_two_of_a_hundred_win_the_tournament() -> None:
    scored, _ = ranked(Tournament(rounds=3), 100)
    assert set(order(scored)[:2]) == set(right_order(100)[:2])
    assert scored.scores.max() == 1


def test_groups_have_some_of_the_best_each() -> None:
    groups = stages(100)[0].groups(list(range(100)))
    assert [min(group) for group in groups] == [0, 1, 2, 3, 4]
    assert sorted(item for group in groups for item in group) == list(range(100))


def test_missing_choices_are_filled_by_the_first_ranking() -> None:
    steps = Tournament(rounds=1).steps(QUERY, DOCUMENTS[:4])
    [request] = next(steps)
    shown = passages_of(request.prompt.user)
    with pytest.raises(StopIteration) as end:
        steps.send([Answer(text=f"[{shown.index(DOCUMENTS[3]) + 1}]")])
    assert end.value.value.scores.tolist() == [1, 0, 0, 1]
    assert end.value.value.broken == 1


# -- reasoning ------------------------------------------------------------------------------


def test_a_rationale_stands_before_the_verdict() -> None:
    def said(request: Request, right: str) -> str:
        return '<think>hm</think>It says "Passage about topic 0" and "refunds take a year". [1]'

    oracle = Oracle(RELEVANCE, said)
    scored, _ = ranked(Reasoning(max_tokens=50), 1, oracle)
    written, chosen = oracle.asked
    assert isinstance(written, Write)
    assert written.max_tokens == 50
    note = 'It says "Passage about topic 0" and (words that are not in the passage). (1)'
    assert f"Your notes: {note}\n" in chosen.prompt.user
    assert scored.notes == (note,)
    assert scored.broken == 1  # a quotation of words that are not there
    assert scored.scores[0] == pytest.approx(RELEVANCE[DOCUMENTS[0]])


def test_quotations_are_checked_word_by_word() -> None:
    passage = "Refunds take five working days."
    assert checked("“Refunds  TAKE five”, so yes", passage) == ("“Refunds  TAKE five”, so yes", 0)
    assert checked('"take five days"', passage)[1] == 1  # words of it, not as they stand
    assert checked('"efunds take"', passage)[1] == 1  # half a word is no word
    assert checked('a "working days." b "x"', passage)[1] == 1


# -- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Listwise(window=1), "window is 1: expected a whole number, 2 or more"),
        (lambda: Listwise(step=0), "step is 0"),
        (lambda: Listwise(window=5, step=5), "step is 5, and window 5: expected a step below"),
        (lambda: Listwise(passes=0), "passes is 0"),
        (lambda: SelfConsistency(shuffles=0), "shuffles is 0"),
        (lambda: SelfConsistency(aggregate="mean"), "aggregate is 'mean': expected one of kemeny"),
        (lambda: Pairwise(sort="quick"), "sort is 'quick': expected one of all, heapsort, sliding"),
        (lambda: Pairwise(k=0), "k is 0"),
        (lambda: Setwise(c=2), "c is 2: expected a whole number, 3 or more"),
        (lambda: Setwise(c=27), "c is 27: expected 26 or less"),
        (lambda: Setwise(sort="sliding"), "sort is 'sliding'"),
        (lambda: Tournament(rounds=True), "rounds is True"),
        (lambda: Reasoning(max_tokens=0), "max_tokens is 0"),
    ],
)
def test_settings_that_cannot_be_used(make: Callable[[], Method], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()

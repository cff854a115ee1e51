"""Answer scores against the official evaluations of their benchmarks.

Of SQuAD 1.1, torchmetrics ships the official computation. Those of SQuAD 2.0, HotpotQA, TriviaQA
and NQ-open are written down a second time here, from what their papers and scripts define.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from unimoer_rag.evaluation.answers import (
    AnswerRules,
    empty_golds,
    exact_match,
    f1,
    has_answer,
    normalize_answer,
    per_answer,
    score_answers,
)
from unimoer_rag.evaluation.passages import holds_answer

words = st.lists(
    st.sampled_from(
        ["the", "A", "an", "Red", "red,", "tent", "t.e.n.t", "2", "(2)", "--", "élan", "yes", "No.",
         "noanswer", "yes,", "the—end"]
    ),
    max_size=5,
)  # fmt: skip
texts = words.map(" ".join)


def _normal(text: str) -> str:
    lowered = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


def _overlap(prediction: Sequence[str], gold: Sequence[str]) -> float:
    shared = sum((Counter(prediction) & Counter(gold)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(prediction), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


# -- SQuAD 1.1 ------------------------------------------------------------------------------


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(texts, st.lists(texts.filter(_normal), min_size=1)), min_size=1))
def test_squad_1(rows: list[tuple[str, list[str]]]) -> None:
    ids = [f"q{at}" for at in range(len(rows))]
    official = squad(
        [{"id": i, "prediction_text": row[0]} for i, row in zip(ids, rows, strict=True)],
        [
            {"id": i, "answers": {"text": row[1], "answer_start": [0] * len(row[1])}}
            for i, row in zip(ids, rows, strict=True)
        ],
    )
    ours = score_answers(
        {i: row[0] for i, row in zip(ids, rows, strict=True)},
        {i: row[1] for i, row in zip(ids, rows, strict=True)},
        rules="squad",
    )
    assert ours.em == pytest.approx(float(official["exact_match"]), abs=1e-3)
    assert ours.f1 == pytest.approx(float(official["f1"]), abs=1e-3)


# -- SQuAD 2.0 ------------------------------------------------------------------------------


def _squad_2(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """Golds without content are dropped; where none is left, only an empty answer is right."""
    left = [gold for gold in golds if _normal(gold)] or [""]
    exact = max(float(_normal(gold) == _normal(prediction)) for gold in left)
    overlaps = []
    for gold in left:
        wanted, said = _normal(gold).split(), _normal(prediction).split()
        overlaps.append(_overlap(said, wanted) if wanted and said else float(wanted == said))
    return exact, max(overlaps)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3)), min_size=1))
def test_squad_2(rows: list[tuple[str, list[str]]]) -> None:
    predictions = {f"q{at}": row[0] for at, row in enumerate(rows)}
    golds = {f"q{at}": row[1] for at, row in enumerate(rows)}
    official = {qid: _squad_2(predictions[qid], golds[qid]) for qid in golds}
    ours = per_answer(predictions, golds, rules="squad")
    for qid, (exact, overlap) in official.items():
        assert (ours[qid]["em"], ours[qid]["f1"]) == pytest.approx((100 * exact, 100 * overlap))
    scores = score_answers(predictions, golds, rules="squad")
    has = [qid for qid in golds if any(_normal(gold) for gold in golds[qid])]
    none = [qid for qid in golds if qid not in has]
    for members, mean in ((has, scores.has_answer_f1), (none, scores.no_answer_f1)):
        if members:
            assert mean == pytest.approx(100 * sum(official[q][1] for q in members) / len(members))
        else:
            assert mean is None


# -- HotpotQA -------------------------------------------------------------------------------


def _hotpotqa(prediction: str, gold: str) -> float:
    """A bare yes, no or noanswer, given or wanted, has to be met exactly."""
    said, wanted = _normal(prediction), _normal(gold)
    for one in (said, wanted):
        if one in ("yes", "no", "noanswer") and said != wanted:
            return 0.0
    return _overlap(said.split(), wanted.split())


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(texts, texts.filter(_normal))
def test_hotpotqa(prediction: str, gold: str) -> None:
    assert f1(prediction, [gold], rules="hotpotqa") == pytest.approx(_hotpotqa(prediction, gold))


@pytest.mark.parametrize(
    ("prediction", "gold", "plain", "official"),
    [
        ("no idea", "no", 2 / 3, 0.0),
        ("Yes.", "yes", 1.0, 1.0),
        ("yes", "yes, both", 2 / 3, 0.0),
        ("yes both", "yes, both of them", 2 / 3, 2 / 3),  # not bare: words count
        ("noanswer", "no answer", 0.0, 0.0),
        ("red tent", "tent", 2 / 3, 2 / 3),
    ],
)
def test_hotpotqa_by_hand(prediction: str, gold: str, plain: float, official: float) -> None:
    assert f1(prediction, [gold], rules="squad") == pytest.approx(plain)
    assert f1(prediction, [gold], rules="hotpotqa") == pytest.approx(official)
    scored = score_answers({"q": prediction}, {"q": [gold]}, rules="hotpotqa")
    assert scored.f1 == pytest.approx(100 * official)


# -- TriviaQA -------------------------------------------------------------------------------


def _triviaqa(text: str) -> str:
    """A space for what parts words, ASCII punctuation and four more quotes."""
    spaced = "".join(
        " " if c in string.punctuation + "\u2018\u2019\u00b4`" else c
        for c in text.replace("_", " ").lower()
    )
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", spaced).split())


marked = st.text(
    st.sampled_from("aA tThe-_/.,'\u2018\u2019\u00b4`\u201c\u2014\u00e901"), max_size=14
)


@settings(deadline=None, max_examples=300)
@given(marked, marked)
def test_triviaqa(prediction: str, gold: str) -> None:
    said, wanted = _triviaqa(prediction), _triviaqa(gold)
    assert normalize_answer(prediction, rules="triviaqa") == said
    if wanted:
        assert exact_match(prediction, [gold], rules="triviaqa") == float(said == wanted)
        overlap = _overlap(said.split(), wanted.split())
        assert f1(prediction, [gold], rules="triviaqa") == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("prediction", "gold", "squad", "triviaqa"),
    [
        ("hawk\u2019s nest", "Hawk's Nest", 0.0, 1.0),
        ("self-portrait", "Self portrait", 0.0, 1.0),
        ("Spider Man", "Spider-Man", 0.0, 1.0),
        ("AC/DC", "AC DC", 0.0, 1.0),
        ("snake_case", "snake case", 0.0, 1.0),
        ("1,000", "1000", 1.0, 0.0),
        ("U.S.A.", "USA", 1.0, 0.0),
        ("the Beatles!", "Beatles", 1.0, 1.0),
    ],
)
def test_triviaqa_by_hand(prediction: str, gold: str, squad: float, triviaqa: float) -> None:
    assert exact_match(prediction, [gold], rules="squad") == squad
    assert exact_match(prediction, [gold], rules="triviaqa") == triviaqa
    assert exact_match(prediction, [gold]) == triviaqa  # where no benchmark is named
    assert holds_answer(f"It was {prediction}.", gold, rules="triviaqa") == bool(triviaqa)


# -- NQ-open --------------------------------------------------------------------------------


@settings(deadline=None)
@given(marked, marked)
def test_nq_open(prediction: str, gold: str) -> None:
    said, wanted = (_normal(unicodedata.normalize("NFD", text)) for text in (prediction, gold))
    assert normalize_answer(prediction, rules="nq-open") == said
    if wanted:
        assert exact_match(prediction, [gold], rules="nq-open") == float(said == wanted)


def test_nq_open_compares_accents_whichever_way_they_are_written() -> None:
    composed, apart = "Beyonc\u00e9", "Beyonce\u0301"
    assert exact_match(composed, [apart], rules="squad") == 0.0
    assert exact_match(composed, [apart], rules="nq-open") == 1.0
    assert exact_match("Beyonce", [apart], rules="nq-open") == 0.0  # the accent counts
    assert holds_answer(f"{apart} sings.", composed, rules="nq-open")


# -- answers that normalise to nothing ------------------------------------------------------

OTHERS: tuple[AnswerRules, ...] = ("nq-open", "hotpotqa", "triviaqa")


@pytest.mark.parametrize("rules", OTHERS)
def test_an_answer_without_words_is_met_as_it_is_written(rules: AnswerRules) -> None:
    """Vitamin A, the band The The, the operator +: to abstain is no answer to them."""
    for gold in ("A", "The The", "+", "?!"):
        assert has_answer([gold], rules=rules)
        assert exact_match(f" {gold.lower()} ", [gold], rules=rules) == 1.0
        assert f1(gold, [gold], rules=rules) == 1.0
        assert exact_match("", [gold], rules=rules) == f1("", [gold], rules=rules) == 0.0
        assert exact_match("the", [gold], rules=rules) == 0.0
    # Beside others it is left aside, as by SQuAD 2.0's script.
    assert exact_match("", ["+", "plus"], rules=rules) == 0.0
    assert exact_match("plus", ["+", "plus"], rules=rules) == 1.0
    # Without any answer, only to abstain is right.
    assert exact_match("", [], rules=rules) == 1.0
    assert not has_answer([], rules=rules)
    assert not has_answer([" "], rules=rules)


def test_such_answers_are_named() -> None:
    golds = {"q1": ["A"], "q2": ["+", "plus"], "q3": ["tent"], "q4": []}
    assert empty_golds(golds) == {"q1": ["A"], "q2": ["+"]}
    assert empty_golds({"q": ["_", "\u2019"]}, rules="triviaqa") == {"q": ["_", "\u2019"]}
    assert empty_golds({"q": ["_", "\u2019"]}, rules="squad") == {"q": ["_"]}
    scores = score_answers({"q1": ""}, {"q1": ["A"]}, rules="triviaqa")
    assert (scores.em, scores.n_has_answer, scores.n_no_answer) == (0.0, 1, 0)

"""Answer scores against the official evaluations of SQuAD 1.1, SQuAD 2.0 and HotpotQA.

Of SQuAD 1.1, torchmetrics ships the official computation. Those of SQuAD 2.0 and HotpotQA are
written down a second time here, from what their papers and scripts define.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from unimoer_rag.evaluation.answers import f1, per_answer, score_answers

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


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3)), min_size=1))
def test_squad_2(rows: list[tuple[str, list[str]]]) -> None:
    predictions = {f"q{at}": row[0] for at, row in enumerate(rows)}
    golds = {f"q{at}": row[1] for at, row in enumerate(rows)}
    official = {qid: _squad_2(predictions[qid], golds[qid]) for qid in golds}
    ours = per_answer(predictions, golds)
    for qid, (exact, overlap) in official.items():
        assert (ours[qid]["em"], ours[qid]["f1"]) == pytest.approx((100 * exact, 100 * overlap))
    scores = score_answers(predictions, golds)
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
    assert f1(prediction, [gold]) == pytest.approx(plain)
    assert f1(prediction, [gold], rules="hotpotqa") == pytest.approx(official)
    scored = score_answers({"q": prediction}, {"q": [gold]}, rules="hotpotqa")
    assert scored.f1 == pytest.approx(100 * official)

"""The fit of a reader's confidence, and what it leaves as it was."""

from __future__ import annotations

import math
import random

import pytest

from unimoer_rag.errors import TrainingError
from unimoer_rag.model import load_own
from unimoer_rag.training.calibrate import fit_platt, scale_confidence


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_slope_and_shift_that_truth_was_drawn_from_are_found() -> None:
    rng = random.Random(0)
    margins = [rng.gauss(0, 2) for _ in range(20_000)]
    answers = [rng.random() < sigmoid(0.7 * margin - 1.1) for margin in margins]
    slope, shift = fit_platt(margins, answers)
    assert slope == pytest.approx(0.7, abs=0.05)
    assert shift == pytest.approx(-1.1, abs=0.05)


def test_what_a_margin_tells_apart_wholly_gives_a_finite_slope() -> None:
    slope, shift = fit_platt([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    assert 0 < slope < 10
    assert abs(shift) < 1


def test_margins_that_speak_against_an_answer_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected one above 0"):
        fit_platt([2.0, 1.0, -1.0, -2.0], [False, False, True, True])


def test_a_scaled_head_reads_the_same_with_another_margin() -> None:
    model = load_own("unimoer-minilm", device="cpu", dtype="float32")
    asked = "How long do refunds take?"
    passages = ["Refunds are paid within 14 days.", "The shop opens at nine."]
    before = model.read(asked, passages)
    scale_confidence(model, 0.5, 0.25)
    after = model.read(asked, passages)
    for one, other in zip(before, after, strict=True):
        assert (one.text, one.start, one.end) == (other.text, other.start, other.end)
        assert other.margin == pytest.approx(0.5 * one.margin + 0.25, abs=1e-4)

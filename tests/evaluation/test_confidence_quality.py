"""Confidences against measures worked out by hand and by trying every pair."""

from __future__ import annotations

import itertools
import random

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.evaluation.confidence import auroc, calibration_error, confidence_report


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = random.Random(0)
    values = [round(rng.random(), 1) for _ in range(60)]  # ties among them
    truth = [rng.random() < 0.4 for _ in values]
    pairs = [
        (a > b) + 0.5 * (a == b)
        for (a, kind), (b, other) in itertools.product(zip(values, truth, strict=True), repeat=2)
        if kind and not other
    ]
    assert auroc(values, truth) == pytest.approx(sum(pairs) / len(pairs))


def test_calibration_error_by_hand() -> None:
    # Two at .25 of which one is right, two at .95 that are: gaps of .25 and .05.
    error = calibration_error([0.25, 0.25, 0.95, 0.95], [True, False, True, True])
    assert error == pytest.approx((0.25 + 0.05) / 2)
    assert calibration_error([1.0, 0.0], [True, False]) == 0


def test_a_report_holds_its_values_between_their_ends() -> None:
    rng = random.Random(1)
    values = [rng.random() for _ in range(300)]
    truth = [rng.random() < value for value in values]
    report = confidence_report(values, truth)
    assert report == confidence_report(values, truth)
    assert report["auroc"]["low"] <= report["auroc"]["value"] <= report["auroc"]["high"]
    assert 0 < report["ece"]["value"] <= report["ece"]["high"]
    assert report["auroc"]["value"] == pytest.approx(5 / 6, abs=0.06)
    assert report["answerable"] + report["unanswerable"] == 300


@pytest.mark.parametrize(
    ("values", "truth"), [([0.5], [True]), ([0.5, 0.1], [True]), ([2.0, 0.1], [True, False])]
)
def test_what_cannot_be_measured_is_refused(values: list[float], truth: list[bool]) -> None:
    with pytest.raises(InputError, match="expected"):
        auroc(values, truth)

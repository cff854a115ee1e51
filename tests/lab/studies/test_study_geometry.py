"""Geometry of representations and updates, against SciPy and plain matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import entropy, ortho_group

from unimoer_rag.errors import InputError
from unimoer_rag.lab.studies.geometry import (
    cka,
    effective_rank,
    low_rank_svd,
    overlap,
    principal_angles,
)

SEEDS = st.integers(0, 10_000)


def _hsic_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Kornblith et al., equation 2 with linear kernels: the Gram matrices' own form."""
    n = len(x)
    centring = np.eye(n) - np.ones((n, n)) / n
    k, l = (centring @ z @ z.T @ centring for z in (x, y))  # noqa: E741 - the paper's names
    return float((k * l).sum() / np.sqrt((k * k).sum() * (l * l).sum()))


@settings(max_examples=25)
@given(SEEDS)
def test_cka_is_that_of_the_gram_matrices_and_keeps_its_invariances(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(20, 6)), generator.normal(size=(20, 4))
    turned = x @ ortho_group.rvs(6, random_state=seed) * 3.0 + generator.normal(size=6)
    assert cka(x, y) == pytest.approx(_hsic_cka(x, y))
    assert cka(x, turned) == pytest.approx(1.0)
    assert cka(turned, y) == pytest.approx(cka(x, y))
    assert cka(x, y) == pytest.approx(cka(y, x))
    assert 0.0 <= cka(x, y) <= 1.0


def test_cka_is_not_blind_to_other_linear_maps() -> None:
    x = np.random.default_rng(0).normal(size=(200, 5))
    assert cka(x, x * np.array([100.0, 1.0, 1.0, 1.0, 1.0])) < 0.9


def test_cka_of_what_has_none_is_refused() -> None:
    with pytest.raises(InputError, match="same examples"):
        cka(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(InputError, match="same for all"):
        cka(np.ones((3, 2)), np.eye(3))


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 5))
def test_the_decomposition_is_that_of_the_whole_matrix(seed: int, rank: int) -> None:
    generator = np.random.default_rng(seed)
    up, down = generator.normal(size=(9, rank)), generator.normal(size=(rank, 7))
    left, values, right = low_rank_svd(up, down)
    whole = np.linalg.svd(up @ down, compute_uv=False)
    assert values == pytest.approx(whole[:rank])
    assert (left * values) @ right.T == pytest.approx(up @ down)
    assert left.T @ left == pytest.approx(np.eye(rank))
    assert right.T @ right == pytest.approx(np.eye(rank))


def test_a_rank_above_the_width() -> None:
    generator = np.random.default_rng(0)
    up, down = generator.normal(size=(4, 6)), generator.normal(size=(6, 5))
    left, values, right = low_rank_svd(up, down)
    assert values == pytest.approx(np.linalg.svd(up @ down, compute_uv=False))
    assert (left * values) @ right.T == pytest.approx(up @ down)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_equal_singular_values_are_all_effective(k: int) -> None:
    assert effective_rank(np.full(k, 0.3)) == pytest.approx(k)
    assert effective_rank(np.array([1.0, *[0.0] * k])) == pytest.approx(1.0)


def test_effective_rank_is_the_exponential_of_the_entropy() -> None:
    values = np.array([3.0, 1.0, 0.5, 0.1])
    assert effective_rank(values) == pytest.approx(np.exp(entropy(values)))
    assert effective_rank(np.zeros(3)) == 0.0


@settings(max_examples=25)
@given(SEEDS)
def test_angles_are_scipys(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (np.linalg.qr(generator.normal(size=(12, k)))[0] for k in (2, 4))
    assert sorted(principal_angles(a, b)) == pytest.approx(sorted(subspace_angles(a, b)), abs=1e-6)
    assert overlap(a, b) == pytest.approx(np.linalg.norm(a.T @ b) ** 2 / 2)


def test_overlap_of_the_same_the_orthogonal_and_the_random() -> None:
    eye = np.eye(200)
    assert overlap(eye[:, :3], eye[:, [2, 0, 1]]) == pytest.approx(1.0)
    assert overlap(eye[:, :3], eye[:, 3:6]) == pytest.approx(0.0)
    generator = np.random.default_rng(0)
    random = [
        overlap(*(np.linalg.qr(generator.normal(size=(200, 4)))[0] for _ in range(2)))
        for _ in range(200)
    ]
    assert np.mean(random) == pytest.approx(4 / 200, rel=0.1)

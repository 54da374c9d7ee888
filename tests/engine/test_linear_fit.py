"""Fits from sums of products: against numpy's least squares, and by hand."""

from itertools import pairwise

import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.linear_fit import choose, fit, sums_of, total

RNG = np.random.default_rng(3)
ENERGY_ROWS, FORCE_ROWS = RNG.normal(size=(30, 4)), RNG.normal(size=(200, 4))
ENERGIES, FORCES = RNG.normal(size=30) - 12.0, RNG.normal(size=200)


def parts(*cuts: int) -> list:
    """The configurations in three parts of ten energies and force rows alike."""
    ends = [0, *cuts, 30]
    return [
        sums_of(
            ENERGY_ROWS[a:b], FORCE_ROWS[200 * a // 30 : 200 * b // 30],
            ENERGIES[a:b], FORCES[200 * a // 30 : 200 * b // 30],
        )
        for a, b in pairwise(ends)
    ]  # fmt: skip


def test_a_fit_without_ridge_is_numpys_weighted_least_squares():
    weight = 7.0
    rows = np.vstack(
        [
            weight / np.sqrt(30) * np.column_stack([ENERGY_ROWS, np.ones(30)]),
            np.column_stack([FORCE_ROWS, np.zeros(200)]) / np.sqrt(200),
        ]
    )
    labels = np.concatenate([weight / np.sqrt(30) * ENERGIES, FORCES / np.sqrt(200)])
    expected = np.linalg.lstsq(rows, labels, rcond=None)[0]
    np.testing.assert_allclose(fit(total(parts(10, 20)), weight, 0.0), expected, rtol=1e-9)


def test_sums_of_squared_errors_are_those_of_the_rows():
    c = np.array([0.3, -0.2, 0.1, 0.5, -12.0])
    energy, force = total(parts(10, 20)).squared_errors(c)
    assert energy == pytest.approx(((ENERGY_ROWS @ c[:-1] + c[-1] - ENERGIES) ** 2).sum())
    assert force == pytest.approx(((FORCE_ROWS @ c[:-1] - FORCES) ** 2).sum())


def test_other_labels_of_the_same_rows_take_over_their_products():
    known = sums_of(ENERGY_ROWS, FORCE_ROWS, ENERGIES, FORCES)
    twice = sums_of(ENERGY_ROWS, FORCE_ROWS, 2 * ENERGIES, 2 * FORCES, gram=known)
    assert twice.force_gram is known.force_gram
    np.testing.assert_allclose(fit(twice, 10.0, 0.0), 2 * fit(known, 10.0, 0.0))


def test_a_ridge_of_one_halves_the_coefficient_of_a_single_column_and_not_the_constant():
    """Rows (1, -1) of energies: the constant is the mean 5, the slope of (7, 3) is 2; a ridge of one halves it."""
    sums = sums_of(np.array([[1.0], [-1.0]]), np.zeros((1, 1)), np.array([7.0, 3.0]), np.zeros(1))
    np.testing.assert_allclose(fit(sums, 1.0, 0.0), [2.0, 5.0])
    np.testing.assert_allclose(fit(sums, 1.0, 1.0), [1.0, 5.0])


def test_cross_validation_takes_the_ridge_with_the_smallest_error_on_what_is_left_out():
    """By hand: fits of the other parts, errors on each part, product of the two sums."""
    some = parts(10, 20)

    def score(weight: float, ridge: float) -> float:
        found = [
            some[k].squared_errors(fit(total([one for j, one in enumerate(some) if j != k]), weight, ridge))
            for k in range(3)
        ]
        return float(np.prod(np.sum(found, axis=0)))

    settings = [(w, r) for w in (1.0, 10.0) for r in (1e-8, 1.0, 100.0)]
    assert choose(some, (1.0, 10.0), (1e-8, 1.0, 100.0)) == min(settings, key=lambda pair: score(*pair))
    assert choose(some, (1.0, 10.0), (1e-8, 1.0, 100.0))[1] > 1e-8  # the labels are noise, so a ridge helps


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(MetricError, match="two parts"):
        choose(parts()[:1])
    with pytest.raises(MetricError, match="differ"):
        sums_of(ENERGY_ROWS, FORCE_ROWS, ENERGIES[:-1], FORCES)
    with pytest.raises(MetricError, match="energies and forces"):
        fit(sums_of(ENERGY_ROWS[:0], FORCE_ROWS, ENERGIES[:0], FORCES), 1.0, 0.0)

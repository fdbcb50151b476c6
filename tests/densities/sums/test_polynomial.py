import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from terms import BANDWIDTHS, KINDS, around, distances, sample_of

from helpers.densities.sums.polynomial import polynomial_sum


def polynomial_terms(points, data, h, coefficients):
    u = distances(points, data, h)
    return np.where(u <= 1, sum(c * np.minimum(u, 2) ** a for a, c in enumerate(coefficients)), 0.0)


@pytest.mark.parametrize("coefficients", [(0.5,), (1.0, -1.0), (0.75, 0.0, -0.75), (0.0, 1.0, -2.0, 0.5, -3.0)])
@pytest.mark.parametrize("h", BANDWIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_of_polynomials_is_the_sum_of_its_terms(normal, kind, h, coefficients):
    data = sample_of(kind, normal)
    weights = normal("weights", len(data))
    points = around(data, h, normal)
    if kind == "far from zero":  # no place of a datum is as fine as the smallest of these bandwidths
        points = points[distances(points, data, h).min(1) < 1e8]
        h = max(h, 1e-3)
    terms = polynomial_terms(points, data, h, coefficients)
    found = polynomial_sum(points, data, h, coefficients)
    np.testing.assert_allclose(found, terms.sum(1), rtol=0, atol=1e-13 * len(data))
    found = polynomial_sum(points, data, h, coefficients, weights)
    np.testing.assert_allclose(found, terms @ weights.numpy(), rtol=0, atol=1e-13 * weights.abs().sum().item())


EIGHTHS = st.integers(-80, 80).map(lambda k: k / 8)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(EIGHTHS, min_size=1, max_size=12),
    st.lists(EIGHTHS, min_size=1, max_size=12),
    st.integers(1, 40).map(lambda k: k / 8),
    st.lists(st.integers(-3, 3), min_size=1, max_size=6),
    st.data(),
)
def test_a_datum_one_bandwidth_away_still_counts(points, data, h, coefficients, draw):
    weights = draw.draw(st.lists(st.integers(-3, 3), min_size=len(data), max_size=len(data)))
    referee = polynomial_terms(points, data, h, coefficients) @ weights
    found = polynomial_sum(points, data, h, coefficients, weights)
    np.testing.assert_allclose(found, referee, rtol=0, atol=1e-9)


def test_far_from_zero_too_only_data_within_a_bandwidth_count():
    step, h = 2.0**-29, 1e-6  # the step from 1e7 to the next number
    data = 1e7 + step * torch.arange(-700, 701).double()
    for point in (1e7, 1e7 + step, 1e7 + 5 * step):
        within = ((point - data).abs() / h <= 1).sum().item()
        assert polynomial_sum([point], data, h, (1.0,)).item() == within


@pytest.mark.parametrize("weight", [None, 1e-6])
@pytest.mark.parametrize("coefficients", [(1.0, -1.0), (0.75, 0.0, -0.75)])
def test_a_million_equal_data_are_a_million_times_one(coefficients, weight):
    n, points = 1_000_000, [0.3, 0.5, 1.2, -0.6]
    weights = None if weight is None else torch.full((n,), weight, dtype=torch.float64)
    found = polynomial_sum(points, torch.full((n,), 0.3, dtype=torch.float64), 1.0, coefficients, weights)
    one = polynomial_terms(points, [0.3], 1.0, coefficients)[:, 0]
    np.testing.assert_allclose(found / (n * (weight or 1)), one, rtol=0, atol=1e-13)


def test_polynomials_in_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"data: wanted points on the line, got shape \(2, 2\)"):
        polynomial_sum([[0.0, 1.0]], torch.eye(2), 0.5, (1.0,))

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from helpers import gaussian
from helpers.likelihood import minimise


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_the_bottom_of_a_bowl_is_found(bottom, steepness):
    bottom, steepness = torch.tensor(bottom).double(), torch.tensor(steepness).double()
    found = minimise(lambda p: (steepness * (p - bottom) ** 2).sum(), torch.zeros(1, 3).double())
    torch.testing.assert_close(found[0], bottom, rtol=1e-8, atol=1e-8)


def test_rosenbrocks_valley_is_followed_to_its_end():
    found = minimise(lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2, [[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]])
    referee = optimize.minimize(optimize.rosen, [-1.2, 1.0], jac=optimize.rosen_der, method="BFGS").x
    np.testing.assert_allclose(found, np.tile(referee, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(found, np.ones((3, 2)), atol=1e-9)


def test_each_start_finds_its_own_valley():
    found = minimise(lambda p: ((p**2 - 1) ** 2).sum(), [[-2.0], [0.5], [3.0]])
    np.testing.assert_allclose(found, [[-1.0], [1.0], [1.0]], atol=1e-9)


def test_a_far_start_ends_as_near_as_a_close_one():
    found = minimise(lambda p: ((p - 1) ** 4 + (p - 1) ** 2).sum(), [[1000.0], [2.0]])
    np.testing.assert_allclose(found, [[1.0], [1.0]], atol=1e-8)


def test_a_step_out_of_the_domain_is_taken_back():
    np.testing.assert_allclose(minimise(lambda p: (p.log() ** 2).sum(), [[10.0], [0.01]]), [[1.0], [1.0]], atol=1e-8)


def test_the_maximum_of_a_likelihood_is_that_of_scipy(normal):
    x = 3 + 2 * normal("a likelihood", 40)
    found = minimise(lambda p: gaussian.negative_log_likelihood(x, p[0], p[1].exp()), [[0.0, 0.0], [5.0, 3.0]])
    mean, deviation = stats.norm.fit(x)
    np.testing.assert_allclose(found, [[mean, 2 * math.log(deviation)]] * 2, rtol=1e-8, atol=1e-8)


def test_the_result_has_shape_precision_and_device_of_the_starts(device):
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        starts = torch.ones(2, 3, dtype=dtype, device=device)
        found = minimise(lambda p: (p.exp() - 2 * p).sum(), starts, tolerance=tolerance)
        assert (found.shape, found.dtype, found.device.type) == ((2, 3), dtype, device.type)
        np.testing.assert_allclose(found.cpu(), math.log(2), atol=tolerance)


@pytest.mark.parametrize(
    ("objective", "start"),
    [
        (lambda p: p.sum(), [1.0, 2.0]),
        (lambda p: -(p**2).sum(), [1.0]),
        (lambda p: p.cos().sum(), [0.0]),
        (lambda p: p[0] ** 2 - p[1] ** 2, [0.0, 0.0]),
    ],
    ids=["a slope", "a hill", "a top", "a saddle"],
)
def test_what_has_no_minimum_there_is_an_error(objective, start):
    with pytest.raises(RuntimeError, match="no minimum from"):
        minimise(objective, [start])


@pytest.mark.parametrize(
    "objective",
    [
        lambda p: p,
        lambda p: (p**2)[:1],
        lambda p: 3.0,
        lambda p: None,
        lambda p: p.sum().log(),
        lambda p: 1 / (p.sum() + 1),
    ],
    ids=["a vector", "a vector of one", "a number", "nothing", "NaN", "infinity"],
)
def test_an_objective_that_is_no_finite_scalar_is_refused(objective):
    with pytest.raises(ValueError, match=r"objective\(start\): wanted a finite scalar tensor, got "):
        minimise(objective, [[-0.5, -0.5]])


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([], "at least one number"),
        (1.0, r"2 dimension\(s\), got shape \(\)"),
        ([1.0, 2.0], r"2 dimension\(s\), got shape \(2,\)"),
        ([[[1.0]]], r"2 dimension\(s\), got shape \(1, 1, 1\)"),
        ([[1.0], [float("nan")]], "finite numbers, got nan"),
        ([[1.0], [2.0, 3.0]], "numbers, got"),
    ],
)
def test_bad_starts_are_refused(starts, message):
    with pytest.raises(ValueError, match=f"starts: wanted {message}"):
        minimise(lambda p: (p**2).sum(), starts)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), None])
def test_a_tolerance_is_above_zero(tolerance):
    with pytest.raises(ValueError, match="tolerance: wanted a number above zero, got "):
        minimise(lambda p: (p**2).sum(), [[1.0]], tolerance=tolerance)

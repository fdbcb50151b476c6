"""Entropic transport: beside POT, the optimum's conditions, the bound on its rate; plans made feasible."""

import numpy as np
import ot
import pytest
import torch

from helpers.transport.entropic import hilbert_diameter, rounded, sinkhorn
from helpers.transport.exact import transport


@pytest.fixture
def problem(normal):
    x, y, a = normal("x", 9, 2), normal("y", 7, 2) + 1, normal("a", 9).exp()
    return torch.cdist(x, y), a / a.sum(), torch.full((7,), 1 / 7, dtype=torch.float64)


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_the_plan_is_that_of_pot(problem, epsilon):
    cost, a, b = problem
    found = sinkhorn(cost, epsilon, a, b, tolerance=1e-12)
    theirs = ot.sinkhorn(*map(np.asarray, (a, b, cost)), epsilon, stopThr=1e-13, numItermax=100_000)
    torch.testing.assert_close(found.plan, torch.as_tensor(theirs), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.plan.sum(1), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.plan.sum(0), b, rtol=0, atol=1e-14)
    assert found.errors[-1] <= 1e-12


def test_a_small_regularisation_is_near_to_the_exact_value(problem):
    cost, a, b = problem
    exact = transport(cost, a, b).value
    found = sinkhorn(cost, 1e-3, a, b, tolerance=1e-6, iterations=200_000)
    assert 0 <= rounded(found.plan, a, b).mul(cost).sum() - exact <= 1e-3 * np.log(63)


def test_no_underflow_where_costs_are_large():
    found = sinkhorn([[0.0, 1e6], [1e6, 0.0]], 1e-3)
    torch.testing.assert_close(found.plan, torch.eye(2, dtype=torch.float64) / 2)


def test_points_without_mass_have_none():
    found = sinkhorn([[0.0, 1.0], [2.0, 0.0]], 0.5, [1.0, 0.0])
    assert torch.equal(found.plan[1], torch.zeros(2, dtype=torch.float64))
    assert not found.plan.isnan().any()


def test_too_few_iterations_are_an_error(problem):
    with pytest.raises(ValueError, match="^iterations: wanted enough for row sums within 1e-09, got 3"):
        sinkhorn(problem[0], 0.01, iterations=3)
    with pytest.raises(ValueError, match="^regularisation: wanted"):
        sinkhorn(problem[0], 0.0)


def test_single_precision_by_default(problem):
    cost, a, b = problem
    found = sinkhorn(cost.float(), 0.1, a, b)
    assert found.plan.dtype == torch.float32
    torch.testing.assert_close(found.plan.double(), sinkhorn(cost, 0.1, a, b).plan, rtol=0, atol=1e-4)


def test_a_rounded_plan_is_feasible_and_near(problem):
    cost, a, b = problem
    rough = sinkhorn(cost, 0.1, a, b, tolerance=0.1)
    plan = rounded(rough.plan, a, b)
    torch.testing.assert_close(plan.sum(1), a, rtol=0, atol=1e-15)
    torch.testing.assert_close(plan.sum(0), b, rtol=0, atol=1e-15)
    assert (plan - rough.plan).abs().sum() <= 2 * rough.errors[-1]
    torch.testing.assert_close(rounded(plan, a, b), plan, rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="^plan: wanted"):
        rounded(-plan)


def test_the_diameter_is_the_largest_cross_ratio(normal):
    cost, epsilon = normal("cost", 4, 3), 0.7
    kernel = (-cost / epsilon).exp()
    largest = max(
        kernel[i, j] * kernel[k, m] / (kernel[i, m] * kernel[k, j])
        for i in range(4) for j in range(3) for k in range(4) for m in range(3)
    )  # fmt: skip
    assert hilbert_diameter(cost, epsilon).item() == pytest.approx(largest.log().item())

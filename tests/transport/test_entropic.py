"""Entropic transport: beside POT, the optimum's conditions, the bound on its rate; plans made feasible."""

import numpy as np
import ot
import pytest
import torch

from helpers.transport.entropic import hilbert_diameter, rounded, sinkhorn, sinkhorn_points
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
    assert found.source[1] == -torch.inf
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


def test_a_relaxed_iteration_arrives_at_the_same_plan_sooner(problem):
    cost, a, b = problem
    plain = sinkhorn(cost, 0.05, a, b)
    for omega in (0.7, 1.3, 1.5, None):
        found = sinkhorn(cost, 0.05, a, b, relaxation=omega)
        torch.testing.assert_close(found.plan, plain.plan, rtol=0, atol=1e-8)
        torch.testing.assert_close(found.plan.sum(0), b, rtol=0, atol=1e-14)
        assert (found.plan.sum(1) - a).abs().sum() <= 1e-9
        assert (len(found.errors) < len(plain.errors)) == (omega != 0.7)


def test_the_chosen_relaxation_has_the_rate_of_the_best(problem):
    cost, a, b = problem
    plain = sinkhorn(cost, 0.05, a, b, tolerance=1e-12).errors
    theta = (plain[-1] / plain[-31]) ** (1 / 30)
    best = 2 / (1 + (1 - theta).sqrt())
    chosen = sinkhorn(cost, 0.05, a, b, tolerance=1e-12, relaxation=None).errors
    assert len(chosen) <= 1.5 * len(sinkhorn(cost, 0.05, a, b, tolerance=1e-12, relaxation=best.item()).errors) + 20


def test_several_problems_at_once(problem):
    cost, a, b = problem
    found = sinkhorn(torch.stack([cost, 2 * cost]), 0.2, torch.stack([a, a.flip(0)]), b, relaxation=None)
    for index, (table, source) in enumerate(((cost, a), (2 * cost, a.flip(0)))):
        alone = sinkhorn(table, 0.2, source, b)
        torch.testing.assert_close(found.plan[index], alone.plan, rtol=0, atol=1e-8)
        torch.testing.assert_close(found.value[index], alone.value, rtol=1e-7, atol=0)
    assert found.errors.shape == (len(found.errors), 2)


def test_a_warm_start_is_a_start(problem):
    cost, a, b = problem
    cold = sinkhorn(cost, 0.05, a, b)
    assert len(sinkhorn(cost, 0.05, a, b, start=cold.target).errors) == 1
    with pytest.raises(ValueError, match="^start: wanted shape"):
        sinkhorn(cost, 0.05, a, b, start=a)
    empty = torch.tensor([0.0, 0.0, 0.1, 0.2, 0.3, 0.2, 0.2], dtype=torch.float64)
    cold = sinkhorn(cost, 0.05, a, empty, iterations=100_000)
    assert cold.target.isneginf().tolist() == [True, True] + 5 * [False]
    again = sinkhorn(cost.expand(2, 9, 7), 0.05, a, empty, start=cold.target)
    assert len(again.errors) == 1
    torch.testing.assert_close(again.plan[1], cold.plan, rtol=0, atol=1e-9)
    for start in (-torch.inf, torch.inf, torch.nan):
        with pytest.raises(ValueError, match="^start: wanted finite"):
            sinkhorn(cost, 0.05, a, empty, start=torch.full((7,), start))


@pytest.mark.parametrize("omega", [0.0, 2.0, -1.0])
def test_a_relaxation_out_of_range_is_refused(problem, omega):
    with pytest.raises(ValueError, match="^relaxation: wanted a number from above 0 to below 2, or None"):
        sinkhorn(problem[0], 0.1, relaxation=omega)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_points_without_a_table(normal, device, d):
    x, y = (normal(name, size, d).to(device) for name, size in (("x", 30), ("y", 20)))
    a = torch.arange(1.0, 31, dtype=torch.float64, device=device) / 465
    f, g, errors = sinkhorn_points(x, y, 0.5, a, tolerance=1e-10, relaxation=None)
    assert f.device.type == device.type
    cost = torch.cdist(x, y) ** 2
    plan = ((f[:, None] + g - cost) / 0.5).exp()
    torch.testing.assert_close(plan, sinkhorn(cost, 0.5, a, tolerance=1e-10).plan, rtol=0, atol=1e-9)
    assert errors[-1] <= 1e-10
    if d == 1:
        assert torch.equal(sinkhorn_points(x[:, 0], y[:, 0], 0.5, a, tolerance=1e-10, relaxation=None)[1], g)


def test_points_too_far_apart_for_numbers(normal):
    with pytest.raises(ValueError, match="^regularisation: wanted one for which the scalings stay below 1e.150"):
        sinkhorn_points(normal("x", 30, 2), normal("y", 30, 2) + 100, 0.1)


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
    assert hilbert_diameter([[1e308], [-1e308]], 1.0) == 0
    assert hilbert_diameter([[1e308, 0.0], [-1e308, 0.0]], 1e10).item() == pytest.approx(2e298)
    assert hilbert_diameter([[0, 0], [0, 0]], 1e-300) == 0

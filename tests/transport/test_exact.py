"""Exact transport: beside SciPy's linear programming, permutations and closed forms; potentials and extensions."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from helpers.transport.exact import c_transform, lipschitz_extension, transport


def by_linear_programming(cost, a, b):
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    found = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    return found.fun


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(("n", "m"), [(1, 4), (6, 6), (9, 4)])
def test_the_value_is_that_of_a_linear_program(normal, n, m, number):
    cost = normal(f"cost {number}", n, m)
    a, b = (normal(f"{side} {number}", size).abs() for side, size in (("a", n), ("b", m)))
    a, b = a / a.sum(), b / b.sum()
    found = transport(cost, a, b)
    assert found.value.item() == pytest.approx(by_linear_programming(*map(np.asarray, (cost, a, b))), abs=1e-9)
    torch.testing.assert_close(found.plan.sum(1), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.plan.sum(0), b, rtol=0, atol=1e-12)
    assert (found.plan >= 0).all()
    assert (found.source[:, None] + found.target - cost).max() <= 1e-12
    assert (a @ found.source + b @ found.target - found.value).abs() <= 1e-12


def test_equal_weights_want_the_best_permutation(normal):
    cost = normal("permutations", 5, 5)
    best = min(sum(cost[i, j].item() for i, j in enumerate(order)) for order in permutations(range(5))) / 5
    assert transport(cost).value.item() == pytest.approx(best, abs=1e-12)


def test_prices_are_admissible_at_points_without_mass_too(normal):
    for number in range(20):
        cost, a, b = normal(f"cost {number}", 6, 5), normal(f"a {number}", 6), normal(f"b {number}", 5)
        a, b = a.clamp_min(0) + torch.eye(6)[0], b.clamp_min(0) + torch.eye(5)[0]
        found = transport(cost, a / a.sum(), b / b.sum())
        assert (found.source[:, None] + found.target - cost).max() <= 1e-12


def test_points_without_mass_are_left_alone():
    found = transport([[0.0, 9.0], [5.0, 5.0]], [1.0, 0.0], [1.0, 0.0])
    assert found.value == 0
    assert found.plan.tolist() == [[1, 0], [0, 0]]
    assert torch.isfinite(found.source).all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0, 2.0],), "cost"),
        (([[1.0, float("nan")]],), "cost"),
        (([[1.0, 2.0]], [1.0], [0.5, 0.6]), "target"),
        (([[1.0, 2.0]], [1.0], [1.5, -0.5]), "target"),
        (([[1.0, 2.0]], [0.5, 0.5]), "source"),
        (("cost",), "cost"),
    ],
)
def test_bad_input_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        transport(*arguments)


def test_the_c_transform_is_the_largest_partner(normal):
    cost, f = normal("cost", 7, 5), normal("f", 7)
    g = c_transform(f, cost)
    assert (f[:, None] + g <= cost + 1e-15).all()
    assert ((f[:, None] + g - cost).abs().min(0).values <= 1e-15).all()
    twice = c_transform(g, cost.mT)
    assert (twice >= f - 1e-15).all()
    torch.testing.assert_close(c_transform(twice, cost), g)
    with pytest.raises(ValueError, match="potential, cost: wanted"):
        c_transform(f, cost.mT)


@pytest.mark.parametrize("dimension", [1, 3])
def test_an_extension_keeps_values_and_slope(normal, dimension):
    support, points = normal("support", 20, dimension), normal("points", 200, dimension)
    values = 2 * support.norm(dim=1)
    found = lipschitz_extension(points, support, values, 2.0)
    torch.testing.assert_close(lipschitz_extension(support, support, values, 2.0), values)
    apart = (points[:, None] - points).norm(dim=-1)
    assert ((found[:, None] - found).abs() <= 2 * apart + 1e-12).all()
    assert (found >= 2 * points.norm(dim=1) - 1e-9).all()


@pytest.mark.parametrize("number", range(50))
def test_an_extension_in_single_precision(normal, number):
    support = normal(f"support {number}", 30, 2)
    values = 1.7 * (support - support[0]).norm(dim=1)
    found = lipschitz_extension(support, support.float(), values.float(), 1.7)
    torch.testing.assert_close(found, values, rtol=0, atol=1e-5)


def test_values_that_rise_too_fast_cannot_be_extended():
    with pytest.raises(ValueError, match="values"):
        lipschitz_extension([0.5], [0.0, 1.0], [0.0, 1.1])
    with pytest.raises(ValueError, match="constant: wanted"):
        lipschitz_extension([0.5], [0.0, 1.0], [0.0, 1.0], constant=0)
    with pytest.raises(ValueError, match="values: wanted"):
        lipschitz_extension([0.5], [0.0, 1.0], [0.0])


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1e30, 1e200])
def test_costs_may_be_of_any_size(unit):
    cost = torch.tensor([[0.3, 1.0, 2.0], [1.5, 0.2, 0.9]], dtype=torch.float64)
    found, plain = transport(unit * cost, [0.4, 0.6]), transport(cost, [0.4, 0.6])
    torch.testing.assert_close(found.plan, plain.plan)
    torch.testing.assert_close(found.value / unit, plain.value)
    assert (found.source[:, None] + found.target <= unit * cost * (1 + 1e-12)).all()

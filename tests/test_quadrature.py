import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate as scipy_integrate

from helpers.quadrature import integrate, nodes


@pytest.mark.parametrize("points", [1, 2, 5, 24])
def test_a_polynomial_of_degree_two_n_minus_one_is_exact_and_the_next_is_not(points):
    x, w = nodes([-1.0, 0.5, 2.0], points)
    assert x.shape == w.shape == (2 * points,)
    degree = 2 * points - 1
    exact = (2.0 ** (degree + 1) - (-1.0) ** (degree + 1)) / (degree + 1)
    assert (w @ x**degree).item() == pytest.approx(exact, rel=1e-12)
    if points < 5:
        beyond = (2.0 ** (degree + 2) - (-1.0) ** (degree + 2)) / (degree + 2)
        assert (w @ x ** (degree + 1)).item() != pytest.approx(beyond, rel=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=9, unique=True), st.integers(1, 24))
def test_weights_are_positive_sum_to_the_length_and_nodes_lie_in_their_panels(edges, points):
    edges = torch.tensor(sorted(edges), dtype=torch.float64)
    x, w = nodes(edges, points)
    assert (w >= 0).all()
    assert w.sum().item() == pytest.approx((edges[-1] - edges[0]).item(), rel=1e-12)
    panels = x.reshape(len(edges) - 1, points)
    assert ((edges[:-1, None] <= panels) & (panels <= edges[1:, None])).all()


FUNCTIONS = {
    "a bell": lambda x: (-(x**2)).exp(),
    "a wave": lambda x: (3 * x).cos() + 2,
    "a bump": lambda x: 1 / (1 + 4 * x**2),
    "zero": lambda x: 0 * x,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_integrals_are_those_of_scipy(function, device):
    edges = torch.linspace(-3, 4, 15, dtype=torch.float64, device=device)
    found = integrate(function, edges)
    referee = scipy_integrate.quad(lambda x: function(torch.tensor(x, dtype=torch.float64)).item(), -3, 4)[0]
    assert found.device.type == device.type
    assert found.item() == pytest.approx(referee, rel=1e-9, abs=1e-12)


def test_many_integrals_at_once_keep_their_shape():
    powers = torch.arange(6.0, dtype=torch.float64).reshape(2, 3, 1)
    found = integrate(lambda x: x**powers, [0.0, 0.5, 1.0])
    torch.testing.assert_close(found, 1 / (powers[..., 0] + 1), rtol=1e-13, atol=0)


def test_edges_and_values_may_be_lists_or_arrays():
    assert integrate(lambda x: x.numpy() ** 2, np.array([0, 3])).item() == pytest.approx(9)
    assert integrate(lambda x: (x**2).tolist(), [0, 3]).item() == pytest.approx(9)


def test_float32_stays_float32():
    edges = torch.tensor([0.0, 1.0, 2.0])
    assert all(one.dtype == torch.float32 for one in nodes(edges))
    found = integrate(torch.exp, edges, tolerance=1e-5)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(math.e**2 - 1, rel=1e-5)


def test_the_integral_has_the_derivative_of_its_integrand():
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    integrate(lambda x: (-rate * x).exp(), torch.linspace(0, 1, 5).double()).backward()
    assert rate.grad.item() == pytest.approx((3 * math.exp(-2) - 1) / 4, rel=1e-12)


BAD_EDGES = [
    ([], "at least one number"),
    ([0.0], r"two or more increasing numbers, got \[0.0\]"),
    ([0.0, 0.0], r"two or more increasing numbers, got \[0.0, 0.0\]"),
    ([1.0, 0.0], r"two or more increasing numbers, got \[1.0, 0.0\]"),
    ([0.0, 2.0, 1.0], "two or more increasing numbers"),
    ([[0.0, 1.0]], r"1 dimension\(s\), got shape \(1, 2\)"),
    (1.0, r"1 dimension\(s\), got shape \(\)"),
    ([0.0, float("nan")], "finite numbers, got nan"),
    ([0.0, float("inf")], "finite numbers, got inf"),
    (["a", "b"], "numbers"),
]


@pytest.mark.parametrize(("edges", "message"), BAD_EDGES)
def test_edges_that_do_not_increase_are_refused(edges, message):
    with pytest.raises(ValueError, match=f"edges: wanted {message}"):
        nodes(edges)
    with pytest.raises(ValueError, match=f"edges: wanted {message}"):
        integrate(torch.exp, edges)


@pytest.mark.parametrize("points", [0, -1, 2.5, None, True])
def test_a_number_of_points_is_a_whole_number(points):
    with pytest.raises(ValueError, match="points: wanted a whole number of at least 1, got "):
        nodes([0.0, 1.0], points)


@pytest.mark.parametrize("function", [torch.abs, torch.sign, lambda x: (90 * x).sin() + 1, lambda x: x.abs().sqrt()])
def test_panels_that_are_too_coarse_are_refused(function):
    with pytest.raises(
        ValueError, match="edges: wanted panels fine enough for a relative error of 1e-10, got an error"
    ):
        integrate(function, [-1.0, 2.0])


def test_panels_that_meet_the_kink_are_fine():
    assert integrate(torch.abs, [-1.0, 0.0, 2.0]).item() == pytest.approx(2.5)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), float("inf"), None, "1"])
def test_a_tolerance_is_above_zero(tolerance):
    with pytest.raises(ValueError, match="tolerance: wanted a number above zero, got "):
        integrate(torch.abs, [-1.0, 2.0], tolerance=tolerance)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: 1.0, r"values along a last axis of 12, got shape \(\)"),
        (lambda x: x[:5], r"values along a last axis of 12, got shape \(5,\)"),
        (lambda x: x[:, None], r"values along a last axis of 12, got shape \(12, 1\)"),
        (lambda x: x.log(), "finite numbers, got nan"),
        (lambda x: (800 * x).exp(), "finite numbers, got inf"),
        (lambda x: x > 0, "real numbers, got dtype torch.bool"),
        (lambda x: None, "numbers, got None"),
    ],
)
def test_an_integrand_without_numbers_at_the_nodes_is_refused(function, message):
    with pytest.raises(ValueError, match=rf"function\(x\): wanted {message}"):
        integrate(function, [-1.0, 2.0])


@pytest.mark.parametrize("d", [1, 2, 3])
def test_over_a_box_the_integral_of_a_product_is_the_product_of_integrals(d, device):
    edges = tuple(torch.linspace(-1, k + 1, 3 + k, dtype=torch.float64, device=device) for k in range(d))
    x, w = nodes(edges, 6)
    assert x.shape == (len(w), d)
    assert len(w) == math.prod(6 * (2 + k) for k in range(d))
    assert w.sum().item() == pytest.approx(math.prod(k + 2 for k in range(d)), rel=1e-12)
    found = integrate(lambda x: (-x.square()).exp().prod(-1), edges)
    alone = [integrate(lambda x: (-x.square()).exp(), one).item() for one in edges]
    assert found.device.type == device.type
    assert found.item() == pytest.approx(math.prod(alone), rel=1e-12)


def test_a_coordinate_does_not_take_the_place_of_another():
    x, w = nodes(([0.0, 1.0], [0.0, 2.0]), 4)
    assert (w @ (x[:, 0] * x[:, 1] ** 2)).item() == pytest.approx(0.5 * 8 / 3, rel=1e-13)


def test_a_box_of_too_many_nodes_is_refused():
    with pytest.raises(ValueError, match=r"^edges: wanted a box of at most .* nodes, got 2.1e"):
        nodes((torch.linspace(0, 1, 6),) * 4)
    with pytest.raises(ValueError, match="^edges"):
        nodes(([0.0, 1.0], [1.0, 0.0]))

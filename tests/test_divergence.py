import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import Categorical, Laplace, MultivariateNormal, Normal, kl_divergence

from helpers.divergence import kl, kl_discrete, kl_gaussians, kl_multivariate

LINE = torch.linspace(-16, 16, 33, dtype=torch.float64)


def bell(mean, variance):
    return Normal(torch.tensor(mean, dtype=torch.float64), math.sqrt(variance)).log_prob


@settings(deadline=None, max_examples=30)
@given(st.floats(-2, 2), st.floats(0.3, 3), st.floats(-2, 2), st.floats(0.3, 3))
def test_quadrature_formula_and_torch_agree_on_normal_densities(mean, variance, other, width):
    formula = kl_gaussians(mean, variance, other, width).item()
    first, second = (
        Normal(torch.tensor(m, dtype=torch.float64), math.sqrt(v)) for m, v in ((mean, variance), (other, width))
    )
    assert formula == pytest.approx(kl_divergence(first, second).item(), rel=1e-9, abs=1e-13)
    assert formula >= -1e-15
    if formula > 1e-3:
        assert kl(first.log_prob, second.log_prob, LINE).item() == pytest.approx(formula, rel=1e-9)


def test_the_arguments_are_not_swapped():
    assert kl_gaussians(0, 1, 0, 4).item() == pytest.approx(math.log(2) - 3 / 8)
    assert kl_gaussians(0, 4, 0, 1).item() == pytest.approx(3 / 2 - math.log(2))
    assert kl_discrete([1.0, 0.0], [0.5, 0.5]).item() == pytest.approx(math.log(2))
    assert kl(bell(0.0, 1.0), bell(0.0, 4.0), LINE).item() == pytest.approx(math.log(2) - 3 / 8)


def test_a_kink_at_an_edge_is_no_obstacle():
    first, second = Laplace(0.0, torch.tensor(1.0).double()), Laplace(0.0, torch.tensor(2.0).double())
    found = kl(first.log_prob, second.log_prob, torch.linspace(-40, 40, 161, dtype=torch.float64))
    assert found.item() == pytest.approx(kl_divergence(first, second).item(), rel=1e-9)


def test_several_divergences_at_once_stay_on_the_device(device):
    means = torch.tensor([[0.5], [1.0], [2.0]], dtype=torch.float64, device=device)
    found = kl(Normal(0 * means, 1.0).log_prob, Normal(means, 1.0).log_prob, LINE.to(device))
    assert found.device.type == device.type
    torch.testing.assert_close(found, means[:, 0] ** 2 / 2, rtol=1e-9, atol=0)


def test_in_the_plane_quadrature_gives_the_formula_for_normal_laws_of_many_pairs(device):
    means = torch.tensor([[0.0, 0.0], [0.4, -0.3]], dtype=torch.float64, device=device)
    wide = torch.tensor([[1.0, 0.4], [0.4, 0.8]], dtype=torch.float64, device=device)
    first, second = MultivariateNormal(0 * means[:1], wide), MultivariateNormal(means[:, None], 1.5 * wide)
    edges = (torch.linspace(-9, 9, 9, dtype=torch.float64, device=device),) * 2
    found = kl(first.log_prob, second.log_prob, edges)
    torch.testing.assert_close(found, kl_multivariate(0 * means, wide, means, 1.5 * wide), rtol=1e-10, atol=0)


def test_where_p_is_zero_nothing_is_added():
    def uniform(x):
        return torch.where((x > 0) & (x < 1), 0.0, -torch.inf)

    normal = kl(uniform, bell(0.0, 1.0), [-1.0, 0.0, 1.0, 2.0]).item()
    assert normal == pytest.approx(0.5 * math.log(2 * math.pi) + 1 / 6)
    assert kl(uniform, uniform, [-1.0, 0.0, 1.0, 2.0]).item() == 0


def test_where_q_is_zero_and_p_is_not_the_divergence_is_refused():
    with pytest.raises(ValueError, match=r"function\(x\): wanted finite numbers, got inf"):
        kl(bell(0.0, 1.0), lambda x: torch.where(x > 0, 0.0, -torch.inf), LINE)


@pytest.mark.parametrize(
    ("log_p", "mass"),
    [
        (lambda x: bell(0.0, 1.0)(x) + 1, "2.718"),
        (lambda x: bell(0.0, 1.0)(x) - 1e-6, "0.999999"),
        (bell(16.0, 1.0), "0.5"),
    ],
    ids=["too much", "a little too little", "half of it outside"],
)
def test_panels_without_the_mass_of_p_are_refused(log_p, mass):
    with pytest.raises(
        ValueError, match=f"log_p, edges: wanted a density whose mass the panels hold, got a mass of {mass}"
    ):
        kl(log_p, bell(0.0, 1.0), LINE)


def test_panels_that_are_too_coarse_are_refused():
    with pytest.raises(ValueError, match="edges: wanted panels fine enough"):
        kl(bell(0.0, 0.01), bell(0.0, 1.0), [-16.0, 16.0])


@pytest.mark.parametrize("edges", [[], [0.0], [1.0, 0.0], [0.0, float("nan")], [[0.0, 1.0]]])
def test_bad_edges_are_refused(edges):
    with pytest.raises(ValueError, match="edges: wanted "):
        kl(bell(0.0, 1.0), bell(1.0, 1.0), edges)


def test_a_bad_tolerance_is_refused():
    with pytest.raises(ValueError, match="tolerance: wanted a number above zero, got nan"):
        kl(bell(0.0, 1.0), bell(1.0, 1.0), LINE, tolerance=float("nan"))


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


@settings(deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_the_discrete_divergence_is_that_of_scipy_and_of_torch(p, q):
    p, q = np.array(p) / np.sum(p), np.array(q) / np.sum(q)
    found = kl_discrete(p, q).item()
    assert found == pytest.approx(stats.entropy(p, q), abs=1e-13)
    assert found == pytest.approx(kl_divergence(*(Categorical(torch.from_numpy(v)) for v in (p, q))).item(), abs=1e-12)
    assert found >= -1e-15


def test_outcomes_without_mass():
    assert kl_discrete([1.0, 0.0], [1.0, 0.0]).item() == 0
    assert kl_discrete([0.5, 0.5], [1.0, 0.0]).item() == math.inf
    assert kl_discrete([0.5, 0.5], [0.25, 0.25]).item() == pytest.approx(math.log(2))


def test_rows_of_probabilities_broadcast():
    q = [[0.5, 0.5], [0.1, 0.9]]
    np.testing.assert_allclose(kl_discrete([0.3, 0.7], q), [stats.entropy([0.3, 0.7], row) for row in q], rtol=1e-12)


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        ([0.5, 0.6], [0.5, 0.5], r"p, q: wanted sums of 1, and of at most 1, got 1\.1"),
        ([0.5, 0.4], [0.5, 0.5], r"p, q: wanted sums of 1, and of at most 1, got 0\.9"),
        ([0.5, 0.5], [0.5, 0.6], r"p, q: wanted sums of 1, and of at most 1, got 1\.0, 1\.1"),
        ([1.5, -0.5], [0.5, 0.5], "p: wanted numbers of at least 0, got -0.5"),
        ([0.5, 0.5], [1.5, -0.5], "q: wanted numbers of at least 0, got -0.5"),
        ([0.5, 0.5], [1.0], r"p, q: wanted vectors of the same outcomes, got shapes \(2,\) and \(1,\)"),
        (1.0, 1.0, r"p, q: wanted vectors of the same outcomes, got shapes \(\) and \(\)"),
        ([0.5, 0.5], [0.2, 0.3, 0.5], r"p, q: wanted shapes .*, got \(2,\) and \(3,\)"),
        ([], [1.0], "p: wanted at least one number"),
        ([1.0], [float("nan")], "q: wanted finite numbers, got nan"),
        ([True], [1.0], "p: wanted real numbers"),
    ],
)
def test_what_is_no_pair_of_probability_vectors_is_refused(p, q, message):
    with pytest.raises(ValueError, match=message):
        kl_discrete(p, q)


NAMES = ("mean_p", "variance_p", "mean_q", "variance_q")


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [], "x", None, True])
def test_an_argument_that_is_no_number_is_named(place, bad):
    arguments = [0.0, 1.0, 0.0, 1.0]
    arguments[place] = bad
    with pytest.raises(ValueError, match=f"^{NAMES[place]}: wanted "):
        kl_gaussians(*arguments)


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize("variance", [0.0, -1.0, [1.0, -1.0]])
def test_a_variance_of_zero_or_less_is_refused(place, variance):
    arguments = [0.0, 1.0, 0.0, 1.0]
    arguments[place] = variance
    with pytest.raises(ValueError, match=f"{NAMES[place]}: wanted numbers above zero, got (0|-1)"):
        kl_gaussians(*arguments)


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"mean_p, .*: wanted shapes .*, got \(2,\) and \(\) and \(3,\)"):
        kl_gaussians([0, 1], 1, [0, 1, 2], 1)


def test_formulas_stay_on_the_device_and_the_precision_of_their_input(device):
    for dtype in (torch.float32, torch.float64):
        half = torch.full((2,), 0.5, dtype=dtype, device=device)
        for found in (kl_discrete(half, [0.25, 0.75]), kl_gaussians(half, 1.0, [0.0, 1.0], 2)):
            assert (found.dtype, found.device.type) == (dtype, device.type)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 1e300, 1, 1e-300), float("inf")),
        ((0, 1e-300, 1, 1e300), (600 * math.log(10) - 1) / 2),
        ((1e200, 1.0, -1e200, 1e300), 2e100 + (300 * math.log(10) - 1) / 2),
        ((1e200, 1.0, 0, 1e-300), float("inf")),
        ((1e-200, 1e-300, 3e-200, 1e-300), 2e-100),
        ((1.7e308, 1.0, -1.7e308, 1.0), float("inf")),
        ((0, 1e-300, 0, 4e-300), math.log(2) - 3 / 8),
    ],
)
def test_between_the_smallest_and_the_largest_numbers_a_divergence_is_right_or_infinite(arguments, expected):
    assert kl_gaussians(*arguments).item() == pytest.approx(expected, rel=1e-12, abs=1e-13)
    mean, variance, other, width = (torch.tensor(float(one), dtype=torch.float64) for one in arguments)
    unit, zeros = torch.eye(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for place in range(3):
        means = [torch.cat([zeros[:place], one[None], zeros[place:]]) for one in (mean, other)]
        found = kl_multivariate(means[0], variance * unit, means[1], width * unit).item()
        more = 2 * kl_gaussians(0, variance, 0, width).item()
        assert found == pytest.approx(expected + more, rel=1e-12, abs=1e-12)


def test_an_entry_that_overflows_spoils_no_other():
    spread = 1e-300 * torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    assert kl_multivariate([1e200, 0.0], spread, [0.0, -1e200], spread).item() == float("inf")
    wide = 1e300 * torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    assert kl_multivariate([0.0, 0.0], wide, [0.0, 1.0], spread).item() == float("inf")


# Several dimensions


def covariance(normal, name, *shape):
    root = normal(name, *shape, shape[-1])
    return root @ root.mT + 0.2 * torch.eye(shape[-1]).double()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_divergence_in_several_dimensions_is_that_of_torch(normal, d):
    mean_p, mean_q = normal(f"mean p {d}", 4, d), normal(f"mean q {d}", 4, d)
    spread_p, spread_q = covariance(normal, f"p {d}", 4, d), covariance(normal, f"q {d}", 4, d)
    found = kl_multivariate(mean_p, spread_p, mean_q, spread_q)
    referee = kl_divergence(MultivariateNormal(mean_p, spread_p), MultivariateNormal(mean_q, spread_q))
    torch.testing.assert_close(found, referee, rtol=1e-9, atol=1e-12)
    assert (found > 0).all()
    ratio, inverse, away = torch.logdet(spread_q) - torch.logdet(spread_p), torch.linalg.inv(spread_q), mean_q - mean_p
    trace = (inverse @ spread_p).diagonal(dim1=-2, dim2=-1).sum(-1)
    square = torch.einsum("ni,nij,nj->n", away, inverse, away)
    torch.testing.assert_close(found, (trace + square - d + ratio) / 2, rtol=1e-8, atol=0)


@settings(deadline=None, max_examples=30)
@given(
    *[st.lists(st.floats(-3, 3), min_size=3, max_size=3)] * 2,
    *[st.lists(st.floats(0.1, 9), min_size=3, max_size=3)] * 2,
)
def test_independent_coordinates_add_up(mean, other, variance, width):
    found = kl_multivariate(mean, np.diag(variance), other, np.diag(width)).item()
    assert found == pytest.approx(kl_gaussians(mean, variance, other, width).sum().item(), rel=1e-11, abs=1e-12)
    line = kl_multivariate(mean[:1], [variance[:1]], other[:1], [width[:1]]).item()
    assert line == pytest.approx(kl_gaussians(mean[0], variance[0], other[0], width[0]).item(), rel=1e-11, abs=1e-12)


def test_the_divergence_ignores_affine_maps_and_is_zero_between_equals(normal):
    mean, other, p, q = normal("m", 3), normal("k", 3), covariance(normal, "p", 3), covariance(normal, "q", 3)
    turn, shift = normal("turn", 3, 3) + 3 * torch.eye(3).double(), normal("shift", 3)
    moved = kl_multivariate(turn @ mean + shift, turn @ p @ turn.T, turn @ other + shift, turn @ q @ turn.T)
    torch.testing.assert_close(moved, kl_multivariate(mean, p, other, q), rtol=1e-9, atol=0)
    assert abs(kl_multivariate(mean, p, mean, p).item()) < 1e-13
    assert kl_multivariate([0.0], [[1.0]], [0.0], [[4.0]]).item() == pytest.approx(math.log(2) - 3 / 8, rel=1e-14)


def test_means_and_covariances_of_several_laws_broadcast(normal):
    means, spreads = normal("means", 3, 1, 2), covariance(normal, "spreads", 4, 2)
    found = kl_multivariate(means, torch.eye(2).double(), [0.0, 0.0], spreads)
    assert found.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            one = kl_multivariate(means[i, 0], torch.eye(2).double(), [0.0, 0.0], spreads[j])
            torch.testing.assert_close(found[i, j], one, rtol=1e-12, atol=0)


def test_its_derivative_is_that_of_the_formula(normal):
    mean, p, q = normal("slope", 3).requires_grad_(), covariance(normal, "slope p", 3), covariance(normal, "slope q", 3)
    (slope,) = torch.autograd.grad(kl_multivariate(mean, p, [0.0, 1.0, 2.0], q), mean)
    expected = torch.linalg.solve(q, mean.detach() - torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-12)


def test_several_dimensions_keep_device_and_precision(device):
    for dtype in (torch.float32, torch.float64):
        unit = torch.eye(2, dtype=dtype, device=device)
        found = kl_multivariate([0, 0], unit, [1.0, 1.0], 2 * unit)
        assert (found.dtype, found.device.type) == (dtype, device.type)
        assert found.item() == pytest.approx((1 + 1 - 2 + 2 * math.log(2)) / 2, rel=1e-6)


UNIT = [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (
            [[1.0, 2.0], [2.0, 1.0]],
            r"wanted a symmetric, positive definite matrix, got \[\[1\.0, 2\.0\], \[2\.0, 1\.0\]\]",
        ),
        ([[1.0, 1.0], [1.0, 1.0]], "wanted a symmetric, positive definite matrix"),
        ([[1.0, 0.5], [0.4, 1.0]], r"wanted a symmetric, positive definite matrix, got \[\[1\.0, 0\.5\], \[0\.4"),
        ([UNIT, [[-1.0, 0.0], [0.0, 1.0]]], "wanted a symmetric, positive definite matrix"),
        ([1.0, 1.0], r"wanted shape \(\.\.\., d, d\) .*, got \(2,\) beside a mean of shape \(2,\)"),
        ([[1.0]], r"wanted shape \(\.\.\., d, d\) .*, got \(1, 1\) beside a mean of shape \(2,\)"),
        (1.0, r"wanted shape \(\.\.\., d, d\) .*, got \(\) beside a mean"),
        ([[float("nan"), 0.0], [0.0, 1.0]], "wanted finite numbers, got nan"),
    ],
)
def test_what_is_no_covariance_is_refused(place, covariance, message):
    arguments = [[0.0, 0.0], UNIT, [0.0, 0.0], UNIT]
    arguments[place] = covariance
    with pytest.raises(ValueError, match=f"covariance_{'p' if place == 1 else 'q'}: {message}"):
        kl_multivariate(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, UNIT, [0.0, 0.0], UNIT), r"covariance_p: wanted shape .*, got \(2, 2\) beside a mean of shape \(\)"),
        (
            ([0.0], [[1.0]], [0.0, 0.0], UNIT),
            r"mean_p, mean_q: wanted means of one dimension, got shapes \(1,\) and \(2,\)",
        ),
        (
            (np.zeros((2, 2)), UNIT, np.zeros((3, 2)), UNIT),
            r"mean_p, mean_q: wanted shapes .*, got \(2, 2\) and \(3, 2\)",
        ),
        (([0.0, float("inf")], UNIT, [0.0, 0.0], UNIT), "mean_p: wanted finite numbers, got inf"),
        (([0.0, 0.0], UNIT, ["a", "b"], UNIT), "mean_q: wanted numbers"),
    ],
)
def test_means_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kl_multivariate(*arguments)

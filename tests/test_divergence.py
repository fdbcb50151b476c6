import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import Categorical, Laplace, Normal, kl_divergence

from helpers.divergence import kl, kl_discrete, kl_gaussians

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

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import Normal

from helpers.gaussian import log_density, maximum_likelihood, mixture_density, negative_log_likelihood, overlap
from helpers.quadrature import integrate

MEANS, VARIANCES = st.floats(-50, 50), st.floats(1e-3, 1e3)


@settings(deadline=None)
@given(st.floats(-100, 100), MEANS, VARIANCES)
def test_the_log_density_is_that_of_scipy_and_of_torch(x, mean, variance):
    found = log_density(x, mean, variance).item()
    assert found == pytest.approx(stats.norm.logpdf(x, mean, math.sqrt(variance)), rel=1e-12, abs=1e-12)
    x, mean = torch.tensor([x, mean], dtype=torch.float64)
    wide = Normal(mean, math.sqrt(variance)).log_prob(x).item()
    assert found == pytest.approx(wide, rel=1e-12, abs=1e-12)


def test_the_log_density_broadcasts():
    found = log_density([[0.0], [1.0]], [0.0, 1.0, 2.0], 4)
    np.testing.assert_allclose(found, stats.norm.logpdf([[0.0], [1.0]], [0.0, 1.0, 2.0], 2), rtol=1e-14)


def test_the_negative_log_likelihood_sums_over_the_last_axis(normal):
    x, mean = normal("likelihood", 3, 20), normal("likelihood: means", 3)
    variance = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    referee = -stats.norm.logpdf(x, mean[:, None], variance.sqrt()[:, None]).sum(-1)
    np.testing.assert_allclose(negative_log_likelihood(x, mean, variance), referee, rtol=1e-13)
    assert negative_log_likelihood(x[0], 1.0, 2.0).shape == ()


@settings(deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1))
def test_the_maximum_is_that_of_scipy_and_no_neighbour_is_better(values):
    mean, variance = maximum_likelihood(values)
    np.testing.assert_allclose([mean, variance.sqrt()], stats.norm.fit(values), rtol=1e-12, atol=1e-12)
    best = negative_log_likelihood(values, mean, variance)
    for shift, factor in ((0.1, 1), (-0.1, 1), (0, 1.1), (0, 0.9)):
        assert negative_log_likelihood(values, mean + shift * variance.sqrt(), factor * variance) > best


def test_each_row_has_its_own_maximum(normal):
    x = normal("rows", 2, 3, 50)
    mean, variance = maximum_likelihood(x)
    np.testing.assert_allclose(mean, x.numpy().mean(-1), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, x.numpy().var(-1), rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.data(), st.integers(1, 3), st.integers(1, 3))
def test_the_overlap_is_the_integral_of_the_product(data, first, second):
    def mixture(size):
        parts = (st.floats(-2, 2), st.floats(-3, 3), st.floats(0.2, 3))
        return tuple(
            torch.tensor(data.draw(st.lists(p, min_size=size, max_size=size)), dtype=torch.float64) for p in parts
        )

    def density(x, weights, means, variances):
        return weights @ Normal(means[:, None], variances.sqrt()[:, None]).log_prob(x).exp()

    f, g = mixture(first), mixture(second)
    edges = torch.linspace(-25, 25, 101, dtype=torch.float64)
    referee = integrate(lambda x: density(x, *f) * density(x, *g), edges, tolerance=1e-6)
    assert overlap(f, g).item() == pytest.approx(referee.item(), rel=1e-9, abs=1e-10)
    assert overlap(f, g).item() == pytest.approx(overlap(g, f).item(), rel=1e-12, abs=1e-15)


def test_leading_axes_of_mixtures_broadcast():
    means = torch.arange(8.0, dtype=torch.float64).reshape(4, 2)
    half, ones = torch.full((4, 2), 0.5).double(), torch.ones(4, 2).double()
    found = overlap((half, means, ones), ([1.0], [0.0], [1.0]))
    assert found.shape == (4,)
    referee = stats.norm.pdf(means, 0, math.sqrt(2)).mean(-1)
    np.testing.assert_allclose(found, referee, rtol=1e-13)


def test_results_stay_on_the_device_and_the_precision_of_the_sample(device):
    for dtype in (torch.float32, torch.float64):
        x = torch.arange(4.0, dtype=dtype, device=device)
        found = [log_density(x, 0.0, 1.0), log_density(x, np.zeros(4), [1.0]), negative_log_likelihood(x, 0.0, 1.0)]
        found += [*maximum_likelihood(x), overlap((x, x, [1.0] * 4), ([1.0], [0.0], [1.0]))]
        assert {(one.dtype, one.device.type) for one in found} == {(dtype, device.type)}


def test_the_gradient_flows_through_mean_and_variance():
    mean, variance = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, 4.0))
    negative_log_likelihood([0.0, 4.0], mean, variance).backward()
    assert mean.grad.item() == pytest.approx(-0.5)
    assert variance.grad.item() == pytest.approx(1 / 4 - 10 / 32)


@pytest.mark.parametrize("variance", [0, -1.0, [1.0, 0.0], torch.tensor([-1e-300]).double()])
@pytest.mark.parametrize("function", [log_density, negative_log_likelihood])
def test_a_variance_of_zero_or_less_is_refused(function, variance):
    with pytest.raises(ValueError, match="variance: wanted numbers above zero, got (0|-)"):
        function([[1.0, 2.0], [3.0, 4.0]], 0.0, variance)


@pytest.mark.parametrize("function", [log_density, negative_log_likelihood])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", [[], [float("nan")], [float("inf")], "x", True, 1j])
def test_an_argument_that_is_no_number_is_named(function, place, bad):
    arguments = [[1.0, 2.0], 0.0, 1.0]
    arguments[place] = bad
    with pytest.raises(ValueError, match=f"^{('x', 'mean', 'variance')[place]}: wanted "):
        function(*arguments)


@pytest.mark.parametrize("arguments", [([1, 2], [1, 2, 3], 1), ([1, 2], 0, [1, 2, 3])])
def test_shapes_that_do_not_broadcast_are_refused(arguments):
    with pytest.raises(ValueError, match=r"x, mean, variance: wanted shapes that .*, got .*\(2,\) and .*\(3,\)"):
        log_density(*arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (3.0, "a sample along the last axis, got a single number"),
        ([], "at least one number"),
        ([1.0], "observations that differ, got a sample whose observations are all equal"),
        ([2.0, 2.0], "observations that differ"),
        ([[1.0, 2.0], [3.0, 3.0]], "observations that differ"),
        ([1.0, float("nan")], "finite numbers, got nan"),
        ([True, False], "real numbers"),
    ],
)
def test_a_sample_without_a_maximum_is_refused(x, message):
    with pytest.raises(ValueError, match=f"x: wanted {message}"):
        maximum_likelihood(x)


def test_the_likelihood_of_a_single_number_is_refused():
    with pytest.raises(ValueError, match="x: wanted a sample along the last axis, got a single number"):
        negative_log_likelihood(1.0, 0.0, 1.0)


WHOLE = ([0.5, 0.5], [0.0, 1.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (([1.0], [0.0]), ": wanted weights, means and variances, got "),
        (3, ": wanted weights, means and variances, got 3"),
        (([1.0], [0.0, 1.0], [1.0, 1.0]), r": wanted .* one last axis, got \(1,\) and \(2,\) and \(2,\)"),
        (([1.0, 1.0], [0.0, 1.0], [1.0]), r": wanted .* one last axis, got \(2,\) and \(2,\) and \(1,\)"),
        ((1.0, 0.0, 1.0), r": wanted .* one last axis, got \(\) and \(\) and \(\)"),
        (([1.0], [0.0], [0.0]), ": variances: wanted numbers above zero, got 0.0"),
        (([1.0], [0.0], [-1.0]), ": variances: wanted numbers above zero, got -1.0"),
        (([float("nan")], [0.0], [1.0]), ": weights: wanted finite numbers, got nan"),
        (([1.0], [float("inf")], [1.0]), ": means: wanted finite numbers, got inf"),
        (([], [], []), ": weights: wanted at least one number"),
    ],
)
def test_a_broken_mixture_is_refused(mixture, message):
    with pytest.raises(ValueError, match=f"^first{message}"):
        overlap(mixture, WHOLE)
    with pytest.raises(ValueError, match=f"^second{message}"):
        overlap(WHOLE, mixture)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(-2, 2), MEANS, VARIANCES), min_size=1, max_size=4), st.floats(-50, 50))
def test_the_density_of_a_mixture_is_the_weighted_sum(parts, x):
    found = mixture_density([[x]], tuple(zip(*parts, strict=True)))
    assert found.shape == (1, 1)
    referee = sum(a * stats.norm.pdf(x, m, math.sqrt(v)) for a, m, v in parts)
    assert found.item() == pytest.approx(referee, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (([1.0], [0.0]), "mixture: wanted weights, means and variances"),
        (([1.0, 0.0], [0.0], [1.0]), "mixture: wanted weights, means and variances of one last axis"),
        (([1.0], [0.0], [-1.0]), "mixture: variances: wanted numbers above zero, got -1.0"),
        (([[1.0]], [0.0], [1.0]), r"mixture: wanted 1 dimension\(s\), got shape \(1, 1\)"),
    ],
)
def test_a_mixture_that_is_none_is_refused(mixture, message):
    with pytest.raises(ValueError, match=message):
        mixture_density(0.0, mixture)

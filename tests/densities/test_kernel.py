import copy
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate as scipy_integrate
from scipy import optimize, stats
from sklearn.neighbors import KernelDensity

from helpers.densities.kernel import (
    EPANECHNIKOV,
    GAUSSIAN,
    KERNELS,
    RECTANGULAR,
    TRIANGULAR,
    asymptotic_mise,
    bias,
    densities,
    density,
    density_on_grid,
    mean,
    mise,
    optimal_bandwidth,
    sample,
    variance,
)
from helpers.densities.sums import grid
from helpers.quadrature import integrate, nodes
from helpers.randomness import generator

LAWS = {
    GAUSSIAN: stats.norm(),
    RECTANGULAR: stats.uniform(-1, 2),
    TRIANGULAR: stats.triang(0.5, -1, 2),
    EPANECHNIKOV: stats.beta(2, 2, -1, 2),
}
PEERS = {GAUSSIAN: "gaussian", RECTANGULAR: "tophat", TRIANGULAR: "linear", EPANECHNIKOV: "epanechnikov"}
BY_NAME = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
NAN, INF = float("nan"), float("inf")
NAMES = "'gaussian', 'rectangular', 'triangular', 'epanechnikov'"


def terms(points, data, h, kernel=GAUSSIAN, weights=None):
    """The estimate on the line, term by term, with SciPy's densities."""
    points, data = (np.asarray(one, float) for one in (points, data))
    weights = np.full(len(data), 1 / len(data)) if weights is None else np.asarray(weights)
    return LAWS[kernel].pdf(abs(points[:, None] - data).clip(max=1e100) / h) @ weights / h


def peer(points, data, h, kernel=GAUSSIAN, weights=None):
    """The estimate by scikit-learn."""
    points, data = (np.asarray(one).reshape(len(one), -1) for one in (points, data))
    model = KernelDensity(bandwidth=h, kernel=PEERS[kernel], rtol=1e-12, atol=0)
    return np.exp(model.fit(data, sample_weight=weights).score_samples(points))


def whitened(data, weights=None):
    """`data`, shape (n, d), made to have the identity as covariance: SciPy's estimate then has a bandwidth."""
    data = np.asarray(data) - np.average(data, 0, weights)
    covariance = np.atleast_2d(np.cov(data.T, aweights=weights))
    return np.linalg.solve(np.linalg.cholesky(covariance), data.T).T


def probabilities(normal, n):
    return normal("weights", n).square() / normal("weights", n).square().sum()


# Against other libraries


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("h", [0.02, 0.3, 2.0])
@BY_NAME
def test_on_the_line_the_estimate_is_that_of_scipy_of_scikit_learn_and_of_its_terms(normal, kernel, h, weighted):
    data, points = normal("data", 300), 1.5 * normal("points", 80)
    weights = probabilities(normal, 300).numpy() if weighted else None
    found = density(points, data, h, kernel, weights)
    close = {"rtol": 1e-10, "atol": 3e-12 / h}
    np.testing.assert_allclose(found, peer(points, data, h, kernel, weights), **close)
    np.testing.assert_allclose(found, terms(points, data, h, kernel, weights), **close)
    if kernel is GAUSSIAN:
        scale = math.sqrt(np.cov(data, aweights=weights))
        referee = stats.gaussian_kde(data.numpy(), h / scale, weights)
        np.testing.assert_allclose(found, referee(points.numpy()), **close)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("h", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_in_any_dimension_the_estimate_is_that_of_scipy_and_of_scikit_learn(normal, d, h, weighted):
    weights = probabilities(normal, 200).numpy() if weighted else None
    data = whitened(normal(f"data {d}", 200, d) @ normal(f"mixed {d}", d, d), weights)
    points = np.concatenate([data[:20], data[:20] + h * normal(f"near {d}", 20, d).numpy()])
    found = density(points, data, h, weights=weights)
    close = {"rtol": 1e-10, "atol": 3e-12 * h**-d}
    np.testing.assert_allclose(found, stats.gaussian_kde(data.T, h, weights)(points.T), **close)
    np.testing.assert_allclose(found, peer(points, data, h, weights=weights), **close)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n", "h", "shape", "way"),
    [
        (20, 0.3, (9, 8), "_product"),
        (20_000, 2.0, (30, 31), "_plane"),
        (200, 0.4, (5, 4, 6), "_product"),
        (60, 0.7, (3, 2, 4, 3), "_product"),
    ],
)
def test_on_a_grid_the_estimate_is_that_of_scipy_and_of_scikit_learn(normal, monkeypatch, n, h, shape, way, weighted):
    used = []
    for name in ("_plane", "_product"):
        real = getattr(grid, name)
        monkeypatch.setattr(grid, name, lambda *args, real=real, name=name: used.append(name) or real(*args))
    weights = probabilities(normal, n).numpy() if weighted else None
    data = whitened(normal(f"data {n}", n, len(shape)), weights)
    axes = [np.linspace(-1.5, 2 + i, size) for i, size in enumerate(shape)]
    found = density_on_grid(axes, data, h, weights)
    assert used == [way]
    assert found.shape == shape
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(shape))[::7]
    found, close = found.flatten()[::7], {"rtol": 1e-10, "atol": 3e-12 * h ** -len(shape)}
    np.testing.assert_allclose(found, stats.gaussian_kde(data.T, h, weights)(points.T), **close)
    np.testing.assert_allclose(found, peer(points, data, h, weights=weights), **close)
    np.testing.assert_allclose(found, density(points, data, h, weights=weights), **close)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-8])
def test_on_a_grid_in_the_plane_the_tolerance_is_kept_and_used(normal, tolerance):
    data, axes, h = normal("plane", 20_000, 2), [np.linspace(-2, 2, 30), np.linspace(-1, 2, 31)], 2.0
    error = density_on_grid(axes, data, h, tolerance=tolerance) - density_on_grid(axes, data, h)
    assert 1e-6 * tolerance < error.abs().max().item() * 2 * math.pi * h**2 <= 2 * tolerance


@pytest.mark.parametrize("h", [0.05, 0.5])
@BY_NAME
def test_each_of_many_samples_has_its_own_estimate(normal, kernel, h):
    samples, points = normal("samples", 6, 150), normal("points", 40)
    found = densities(points, samples, h, kernel)
    assert found.shape == (6, 40)
    for one, data in zip(found, samples, strict=True):
        np.testing.assert_allclose(one, terms(points, data, h, kernel), rtol=0, atol=1e-6 / h)
    fine = densities(points, samples, h, kernel, tolerance=1e-12)
    rows = torch.stack([density(points, data, h, kernel) for data in samples])
    torch.testing.assert_close(fine, rows, rtol=1e-10, atol=3e-12 / h)


# Kernels


@BY_NAME
def test_a_kernel_is_an_even_density_with_its_moments(kernel):
    law, u = LAWS[kernel], torch.linspace(-1.5, 1.5, 121).double()
    np.testing.assert_allclose(kernel(u), law.pdf(u), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(kernel(u.reshape(11, 11)), kernel(-u).reshape(11, 11), rtol=0, atol=0)
    edges = torch.linspace(-9, 9, 19).double() if kernel is GAUSSIAN else torch.tensor([-1.0, 0.0, 1.0]).double()
    mass, first, second, square = integrate(lambda u: kernel(u) * torch.stack([u**0, u, u**2, kernel(u)]), edges)
    torch.testing.assert_close(torch.stack([mass, first]), torch.tensor([1.0, 0.0]).double(), rtol=1e-12, atol=1e-12)
    assert kernel.second_moment == pytest.approx(second.item(), rel=1e-12)
    assert kernel.second_moment == pytest.approx(law.var(), rel=1e-12)
    assert kernel.roughness == pytest.approx(square.item(), rel=1e-12)
    reach = 9 if kernel is GAUSSIAN else 1
    referee = scipy_integrate.quad(lambda u: law.pdf(u) ** 2, 0, reach)[0]
    assert kernel.roughness == pytest.approx(2 * referee, rel=1e-9)


@BY_NAME
def test_a_kernel_keeps_precision_and_device(kernel, device):
    for dtype in (torch.float32, torch.float64):
        found = kernel(torch.tensor([[0.0, 0.5], [-2.0, 1.0]], dtype=dtype, device=device))
        assert (found.dtype, found.device.type, found.shape) == (dtype, device.type, (2, 2))
    assert kernel(0).item() == kernel([0.0]).item() == pytest.approx(LAWS[kernel].pdf(0))


@BY_NAME
def test_draws_from_a_kernel_have_its_law(kernel, device):
    n = 40_000
    found = kernel.draw((n // 4, 2, 2), generator(f"draws: {kernel.name}", device))
    assert (found.dtype, found.device.type, found.shape) == (torch.float64, device.type, (n // 4, 2, 2))
    found = found.cpu().numpy()
    assert stats.kstest(found.flatten(), LAWS[kernel].cdf).pvalue > 1e-9
    limit = 6 / math.sqrt(n)
    assert abs(found.mean()) < limit * LAWS[kernel].std()
    assert abs((found**2).mean() - kernel.second_moment) < limit * math.sqrt(LAWS[kernel].moment(4))
    for other in (found[:, ::-1], found[:, :, ::-1], np.roll(found, 1, 0)):
        assert abs(np.corrcoef(found.flatten(), other.flatten())[0, 1]) < 1.5 * limit


@BY_NAME
def test_draws_from_the_estimate_have_its_law(normal, kernel):
    data, h = normal("a few data", 7), 0.4
    found = sample(data, h, 20_000, generator(f"sample: {kernel.name}"), kernel)

    def law(x):
        return LAWS[kernel].cdf((x[:, None] - data.numpy()) / h).mean(1)

    assert found.shape == (20_000,)
    assert stats.kstest(found.numpy(), law).pvalue > 1e-9
    again = sample(data, h, 20_000, generator(f"sample: {kernel.name}"), kernel)
    assert torch.equal(found, again)


def test_draws_in_the_plane_spread_about_whole_data(normal):
    data, h, direction = normal("plane", 5, 2), 0.3, np.array([0.6, -0.8])
    found = sample(data, h, 20_000, generator("draws in the plane"))
    assert found.shape == (20_000, 2)
    for along in (direction, direction[::-1], np.array([0.0, 1.0])):
        centres = data.numpy() @ along / np.linalg.norm(along)
        projected = found.numpy() @ along / np.linalg.norm(along)
        law = stats.kstest(projected, lambda x, c=centres: stats.norm.cdf((x[:, None] - c) / h).mean(1))
        assert law.pvalue > 1e-9


# The range of arguments

RANGE = {
    "normal": lambda x, y: x,
    "heavy-tailed": lambda x, y: x / y,
    "tied": lambda x, y: x.round(),
    "one datum": lambda x, y: x[:1],
    "far from zero": lambda x, y: 1e7 + x,
}


@pytest.mark.parametrize("h", [1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("kind", RANGE)
@BY_NAME
def test_any_bandwidth_suits_any_data(normal, kernel, kind, h):
    data = RANGE[kind](normal(f"{kind}: x", 200), normal(f"{kind}: y", 200))
    near = data[:30] + h * normal("near", 30)[: len(data)]
    far = torch.tensor([1e300, -1e300, data.max() + 50 * h], dtype=torch.float64)
    points = torch.cat([data, near, far])
    found = density(points, data, h, kernel)
    assert found.dtype == torch.float64
    assert (found[-3:] == 0).all()
    step = 2e-9 / h if kind == "far from zero" else 0.0  # between floating-point numbers there, in bandwidths
    referee = terms(points, data, h, kernel) * h
    if kernel is RECTANGULAR and step:
        u = abs(points.numpy()[:, None] - data.numpy()) / h
        keep = (abs(u - 1) > step).all(1)
        found, referee = found[keep], referee[keep]
    np.testing.assert_allclose(found * h, referee, rtol=1e-10, atol=3e-12 + 2 * step / len(data))


@pytest.mark.parametrize("d", [2, 3, 8])
def test_a_datum_far_from_a_point_counts_for_nothing(d):
    points = torch.zeros(3, d).double()
    points[0, 0], points[1] = 1e300, -1e300
    found = density(points, torch.zeros(2, d), 0.5)
    assert found[:2].tolist() == [0.0, 0.0]
    assert found[2].item() == pytest.approx((0.5 * math.sqrt(2 * math.pi)) ** -d, rel=1e-12)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-8, 1e-12])
def test_the_tolerance_is_that_of_the_mass_nearby(normal, tolerance):
    data, h = torch.cat([normal("bulk", 500), 100 + normal("a few", 5)]), 0.2
    for points, share in ((normal("points", 50), 1.0), (100 + normal("others", 50), 5 / 505)):
        error = density(points, data, h, tolerance=tolerance).numpy() - terms(points, data, h)
        assert abs(error).max() * h * math.sqrt(2 * math.pi) <= 2 * tolerance * share


def test_single_precision_data_are_taken_as_they_are(normal):
    data, points, plane = (normal(f"single {i}", *shape).float() for i, shape in enumerate([(50,), (20,), (50, 2)]))
    for kernel in KERNELS:
        found = density(points, data, 0.3, kernel)
        assert found.dtype == torch.float64
        assert torch.equal(found, density(points.double(), data.double(), 0.3, kernel))
    assert torch.equal(density(plane[:9], plane, 0.3), density(plane[:9].double(), plane.double(), 0.3))
    grid = density_on_grid([points, points[:3]], plane, 0.3)
    assert torch.equal(grid, density_on_grid([points.double(), points[:3].double()], plane.double(), 0.3))


def test_lists_arrays_and_columns_are_as_good_as_tensors():
    points, data, weights = [0, 1, 2], [0, 2, 3, 3], [0.1, 0.2, 0.3, 0.4]
    for kernel in KERNELS:
        found = density(points, data, 1, kernel, weights)
        other = density(np.array(points), np.array(data)[:, None], np.float64(1), kernel, np.array(weights))
        tensors = (torch.tensor(one, dtype=torch.float64) for one in (points, data, 1.0))
        torch.testing.assert_close(found, other, rtol=0, atol=0)
        torch.testing.assert_close(found, density(*tensors, kernel, np.array(weights)), rtol=0, atol=0)
        rows = densities(points, [data, data[::-1]], 1, kernel)
        torch.testing.assert_close(rows[0], rows[1], rtol=1e-12, atol=0)
    assert density([[0.0, 1.0]], [[0, 1], [1, 1]], 2).shape == (1,)


@BY_NAME
def test_the_name_of_a_kernel_stands_for_it(kernel):
    data, name = [0.0, 1.0, 3.0], kernel.name
    assert torch.equal(density([0.5], data, 0.7, name), density([0.5], data, 0.7, kernel))
    assert torch.equal(densities([0.5], [data], 0.7, name), densities([0.5], [data], 0.7, kernel))
    draws = [sample(data, 0.7, 5, generator("by name"), one) for one in (name, kernel)]
    assert torch.equal(*draws)
    assert asymptotic_mise(9, 0.7, 2.0, name) == asymptotic_mise(9, 0.7, 2.0, kernel)
    assert optimal_bandwidth(9, 2.0, name) == optimal_bandwidth(9, 2.0, kernel)


@pytest.mark.parametrize("d", [2, 3, 8])
def test_bandwidths_whose_powers_no_number_holds_have_densities(d):
    data = torch.zeros(2, d)
    assert 0 <= density(data[:1], data, 1e160).item() < 1e-320
    assert density(data[:1], data, 1e-160).tolist() == [INF]
    assert density(data[:1] + 1, data, 1e-160).tolist() == [0.0]
    axes = [[0.0, 1.0]] * d
    found = density_on_grid(axes, data, 1e-160)
    assert (found.flatten()[0], found.flatten()[1:].unique().tolist()) == (INF, [0.0])
    found = density(data[:1], data, 1e-75 if d < 5 else 1e-30).log10()
    assert found.item() == pytest.approx(d * (75 if d < 5 else 30) - d / 2 * math.log10(2 * math.pi), rel=1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda kernel: pickle.loads(pickle.dumps(kernel))])
@BY_NAME
def test_a_kernel_that_went_to_another_process_is_the_same(kernel, copied):
    points, data = [0.0, 0.7], [0.0, 1.0, 3.0]
    other = copied(kernel)
    assert torch.equal(density(points, data, 0.8, other), density(points, data, 0.8, kernel))
    assert torch.equal(densities(points, [data], 0.8, other), densities(points, [data], 0.8, kernel))


def test_results_are_on_the_device_of_the_data(normal, device):
    data, plane, samples = normal("data", 40), normal("plane", 40, 2), normal("samples", 3, 40)
    weights = [1 / 40] * 40
    truth = tuple(torch.tensor(one, dtype=torch.float64) for one in ([0.5, 0.5], [0.0, 1.0], [1.0, 2.0]))

    def results(device):
        x, two, many = data.to(device), plane.to(device), samples.to(device)
        for kernel in KERNELS:
            yield density([0.0, 1.0], x, 0.5, kernel)
            yield density(x, x.float(), 0.5, kernel, weights)
            yield densities([0.0, 1.0], many, 0.5, kernel)
        yield density(two[:5], two, 0.5, weights=weights)
        yield density_on_grid([x[:5], x[:4]], two, 0.5, weights)
        yield density_on_grid([[0.0, 1.0], [2.0]], two, 0.5)
        mixture = tuple(one.to(device) for one in truth)
        for law in (mixture, ([0.5, 0.5], [0.0, 1.0], [1.0, 2.0])):
            yield from (mean(x, law, 0.5), bias(x, law, 0.5), variance(x, law, 9, 0.5))
        yield mise(mixture, 9, 0.5)
        yield mise(([0.5, 0.5], [0.0, 1.0], [1.0, 2.0]), 9, x.abs())
        yield asymptotic_mise(9, x.abs(), 0.2, TRIANGULAR)
        yield optimal_bandwidth(9, x.abs(), TRIANGULAR)

    for found, referee in zip(results(device), results("cpu"), strict=True):
        assert (found.device.type, found.dtype) == (device.type, torch.float64)
        torch.testing.assert_close(found.cpu(), referee, rtol=1e-10, atol=1e-12)
    for kernel in KERNELS:
        drawn = sample(data.to(device), 0.5, 10, generator("on a device", device), kernel)
        assert (drawn.device.type, drawn.shape) == (device.type, (10,))
        drawn = sample(data.to(device), 0.5, 10, generator("on the first device"), kernel)
        torch.testing.assert_close(drawn.cpu(), sample(data, 0.5, 10, generator("on the first device"), kernel))


# Properties

GRID = st.integers(-1600, 1600).map(lambda k: k / 16)
VALUES = st.lists(GRID, min_size=1, max_size=15)
BANDWIDTHS = st.integers(1, 320).map(lambda k: k / 16)
EACH = st.sampled_from(KERNELS)
BRIEFLY = settings(deadline=None, max_examples=40)


@BRIEFLY
@given(VALUES, BANDWIDTHS, EACH, st.data())
def test_an_estimate_is_not_negative_and_integrates_to_one(values, h, kernel, draw):
    weights = draw.draw(st.none() | st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    if weights is not None:
        weights = [weight / sum(weights) for weight in weights]
    data = torch.tensor(values, dtype=torch.float64)
    if kernel is GAUSSIAN:
        points = torch.arange(data.min() - 9 * h, data.max() + 9 * h, h / 4, dtype=torch.float64)
        found = density(points, data, h, kernel, weights)
        mass = torch.trapezoid(found, points)
    else:
        points, lengths = nodes(torch.cat([data - h, data, data + h]).unique(), 3)
        found = density(points, data, h, kernel, weights)
        mass = lengths @ found
    assert (found >= 0).all()
    assert mass.item() == pytest.approx(1, abs=1e-10)


@BRIEFLY
@given(st.lists(st.tuples(GRID, GRID), min_size=1, max_size=8), st.integers(1, 9))
def test_an_estimate_in_the_plane_integrates_to_one(values, h):
    data = np.array(values)
    axes = [np.arange(x.min() - 9 * h, x.max() + 9 * h, 0.8 * h) for x in data.T]
    found = density_on_grid(axes, data, h)
    assert (found >= 0).all()
    assert found.sum().item() * (0.8 * h) ** 2 == pytest.approx(1, abs=1e-9)


@BRIEFLY
@given(VALUES, VALUES, BANDWIDTHS, EACH, st.randoms(use_true_random=False))
def test_order_copies_and_equal_weights_change_nothing(points, values, h, kernel, random):
    found, n = density(points, values, h, kernel), len(values)
    close = {"rtol": 1e-11, "atol": 3e-12 / h}
    torch.testing.assert_close(density(points, random.sample(values, n), h, kernel), found, **close)
    torch.testing.assert_close(density(points, values * 3, h, kernel), found, **close)
    torch.testing.assert_close(density(points, values, h, kernel, [1 / n] * n), found, **close)
    part = density(points, values[: n // 2 + 1], h, kernel), density(points, values[n // 2 :], h, kernel)
    size = n // 2 + 1, n - n // 2
    both = density(points, values[: n // 2 + 1] + values[n // 2 :], h, kernel)
    torch.testing.assert_close((part[0] * size[0] + part[1] * size[1]) / sum(size), both, **close)


@BRIEFLY
@given(VALUES, VALUES, BANDWIDTHS, EACH, st.integers(-(10**6), 10**6), st.sampled_from([2.0**-20, 1.0, 3.0, 1024.0]))
def test_an_estimate_moves_with_its_data(points, values, h, kernel, shift, scale):
    found = density(points, values, h, kernel)
    moved = [[scale * (shift - value) for value in some] for some in (points, values)]
    other = scale * density(*moved, scale * h, kernel)
    torch.testing.assert_close(other, found, rtol=1e-11, atol=3e-12 / h)


@BRIEFLY
@given(VALUES, VALUES, BANDWIDTHS, EACH)
def test_an_estimate_is_the_sum_of_its_terms(points, values, h, kernel):
    found, u = density(points, values, h, kernel), abs(np.subtract.outer(points, values)) / h
    np.testing.assert_allclose(found, kernel(u).sum(1) / (len(values) * h), rtol=1e-11, atol=3e-12 / h)


# Error, by formula

TRUTH = tuple(torch.tensor(one, dtype=torch.float64) for one in ([0.3, 0.7], [-1.0, 1.5], [0.25, 1.0]))
AT = torch.tensor([-2.0, -1.0, 0.0, 0.7, 1.5, 4.0], dtype=torch.float64)
LINE = torch.linspace(-14, 14, 113, dtype=torch.float64)


def true_density(x):
    parts = zip(*map(torch.Tensor.tolist, TRUTH), strict=True)
    return torch.from_numpy(sum(w * stats.norm.pdf(x.numpy(), m, math.sqrt(v)) for w, m, v in parts))


def true_draws(normal, name, *shape):
    first = normal(f"{name}: which", *shape).abs() < stats.norm.ppf(0.65)
    return torch.where(first, -1 + 0.5 * normal(f"{name}: first", *shape), 1.5 + normal(f"{name}: second", *shape))


@pytest.mark.parametrize("h", [0.1, 0.4, 1.5])
def test_mean_bias_and_variance_are_integrals(h):
    n = 17
    edges = torch.linspace(-14, 14, 561).double()

    def under_the_integral(y):
        kernel = torch.from_numpy(stats.norm.pdf((AT[:, None] - y).numpy(), 0, h))
        return torch.stack([kernel, kernel**2]) * true_density(y)

    first, second = integrate(under_the_integral, edges)
    torch.testing.assert_close(mean(AT, TRUTH, h), first, rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(bias(AT, TRUTH, h), first - true_density(AT), rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(variance(AT, TRUTH, n, h), (second - first**2) / n, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize("h", [0.1, 0.4, 1.5])
def test_the_mean_error_is_the_integral_of_square_bias_and_variance(h, n):
    referee = integrate(lambda x: bias(x, TRUTH, h) ** 2 + variance(x, TRUTH, n, h), LINE)
    assert mise(TRUTH, n, h).item() == pytest.approx(referee.item(), rel=1e-10)


@pytest.mark.parametrize("h", [0.15, 0.6])
def test_simulated_estimates_have_this_mean_this_variance_and_this_error(normal, h):
    n, runs = 30, 4000
    samples = true_draws(normal, f"simulated {h}", runs, n)
    found = densities(AT, samples, h)
    off = found - mean(AT, TRUTH, h)
    assert (off.mean(0).abs() < 6 * off.std(0) / math.sqrt(runs)).all()
    squares = off.square()
    assert ((squares.mean(0) - variance(AT, TRUTH, n, h)).abs() < 6 * squares.std(0) / math.sqrt(runs)).all()
    grid = torch.linspace(-6, 8, 281).double()
    errors = torch.trapezoid((densities(grid, samples[:1000], h) - true_density(grid)) ** 2, grid)
    assert (errors.mean() - mise(TRUTH, n, h)).abs() < 6 * errors.std() / math.sqrt(1000)


def test_errors_of_many_sizes_and_bandwidths_come_at_once():
    n, h = torch.meshgrid(torch.tensor([10.0, 1000.0]), torch.tensor([0.125, 0.5, 2.0]), indexing="ij")
    n, h = n.double(), h.double()
    found, leading = mise(TRUTH, n, h), asymptotic_mise(n, h, 0.3, EPANECHNIKOV)
    assert found.shape == leading.shape == (2, 3)
    for index in np.ndindex(2, 3):
        one = int(n[index]), h[index].item()
        assert mise(TRUTH, *one).item() == pytest.approx(found[index].item(), rel=1e-13)
        assert asymptotic_mise(*one, 0.3, EPANECHNIKOV).item() == pytest.approx(leading[index].item(), rel=1e-13)
    torch.testing.assert_close(mise(TRUTH, 10, h[0].tolist()), found[0], rtol=1e-13, atol=0)


def true_roughness():
    def second_derivative(x):
        parts = zip(*map(torch.Tensor.tolist, TRUTH), strict=True)
        return sum(w * stats.norm.pdf(x, m, math.sqrt(v)) * ((x - m) ** 2 - v) / v**2 for w, m, v in parts)

    return scipy_integrate.quad(lambda x: second_derivative(x) ** 2, -9, 11, limit=200, epsabs=1e-12)[0]


def test_for_large_samples_the_leading_terms_are_all_that_counts():
    roughness = true_roughness()
    gaps = []
    for n in (10**6, 10**8, 10**10):
        h = optimal_bandwidth(n, roughness).item()
        gaps.append(abs(mise(TRUTH, n, h) / asymptotic_mise(n, h, roughness) - 1).item())
    assert gaps[2] < 1e-2
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


@BY_NAME
def test_the_leading_terms_are_square_bias_and_variance(kernel):
    n, h, law = 5000, 0.3, LAWS[kernel]
    second = scipy_integrate.quad(lambda x: (stats.norm.pdf(x) * (x**2 - 1)) ** 2, -9, 9)[0]
    reach = 9 if kernel is GAUSSIAN else 1
    rough = 2 * scipy_integrate.quad(lambda u: law.pdf(u) ** 2, 0, reach)[0]
    referee = (h**2 * law.var() / 2) ** 2 * second + rough / (n * h)
    assert second == pytest.approx(3 / (8 * math.sqrt(math.pi)))
    assert asymptotic_mise(n, h, second, kernel).item() == pytest.approx(referee, rel=1e-8)


@pytest.mark.parametrize(("n", "roughness"), [(10, 0.2), (1e6, 0.2), (300, 50.0)])
@BY_NAME
def test_no_other_bandwidth_has_smaller_leading_terms(kernel, n, roughness):
    best = optimal_bandwidth(n, roughness, kernel).item()
    search = optimize.minimize_scalar(lambda log_h: asymptotic_mise(n, math.exp(log_h), roughness, kernel).item())
    assert math.exp(search.x) == pytest.approx(best, rel=1e-5)
    h = torch.tensor(best, dtype=torch.float64, requires_grad=True)
    value = asymptotic_mise(n, h, roughness, kernel)
    slope = torch.autograd.grad(value, h)[0]
    assert abs(slope.item()) * best < 1e-12 * value.item()


def test_the_best_bandwidth_of_normal_data_is_known():
    assert optimal_bandwidth(1, 3 / (8 * math.sqrt(math.pi))).item() == pytest.approx((4 / 3) ** (1 / 5), rel=1e-13)
    found = optimal_bandwidth([10, 1000], [0.2, 0.5], RECTANGULAR)
    assert found.shape == (2,)
    assert found[1].item() == pytest.approx(optimal_bandwidth(1000, 0.5, RECTANGULAR).item(), rel=1e-13)


@pytest.mark.parametrize("form", [list, np.array, torch.tensor], ids=["lists", "arrays", "tensors"])
def test_the_truth_may_come_in_any_form(form):
    truth = tuple(form(one.tolist()) for one in TRUTH)
    if form is torch.tensor:
        truth = tuple(one.double() for one in truth)
    points = form(AT.tolist())
    torch.testing.assert_close(mean(points, truth, 0.5).double(), mean(AT, TRUTH, 0.5), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(variance(points, truth, 9, 0.5).double(), variance(AT, TRUTH, 9, 0.5), rtol=1e-6, atol=0)
    torch.testing.assert_close(mise(truth, 9, 0.5), mise(TRUTH, 9, 0.5), rtol=1e-6, atol=0)
    torch.testing.assert_close(bias(points, truth, 0.5).double(), bias(AT, TRUTH, 0.5), rtol=1e-5, atol=1e-7)


# Large samples


@pytest.mark.parametrize("tails", ["light", "heavy"])
@BY_NAME
def test_two_hundred_thousand_data_and_as_many_points_are_a_moment(normal, kernel, tails):
    data, points = normal("many data", 200_000), normal("many points", 200_000)
    if tails == "heavy":
        data, points = data / normal("below", 200_000), points / normal("below the points", 200_000)
    for h in (0.02, 2.0):
        found = density(points, data, h, kernel)
        referee = terms(points[:10], data, h, kernel)
        np.testing.assert_allclose(found[:10], referee, rtol=1e-9, atol=3e-12 / h)


def test_many_data_in_the_plane_go_by_blocks(normal):
    data = normal("many in the plane", 200_000, 2)
    found = density(data[:5], data, 0.1)
    square = ((data[:5, None] - data) ** 2).sum(-1) / 0.1**2
    torch.testing.assert_close(found, (-square / 2).exp().mean(1) / (2 * math.pi * 0.1**2), rtol=1e-11, atol=0)


LARGE = """
import resource, sys
import torch
from helpers.densities import kernel
n, m, h = 10_000_000, 1_000_000, {h}
generator = torch.Generator().manual_seed(1)
draw = lambda size: torch.{law}(size, generator=generator, dtype=torch.float64)
data, points = draw(n), draw(m)
if {ratio}:
    data /= draw(n)
    points /= draw(m)
found = kernel.density(points, data, h, kernel.{kernel})
assert found.shape == (m,) and (found >= 0).all() and found[:1000].sum() > 0
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["GAUSSIAN", "EPANECHNIKOV"])
@pytest.mark.parametrize(
    ("law", "ratio", "h"),
    [("randn", False, 0.02), ("randn", True, 0.05), ("rand", False, 1 / 600_000)],
    ids=["normal", "Cauchy", "uniform over many bandwidths"],
)
def test_ten_million_data_and_a_million_points_fit_into_two_gibibytes(law, ratio, h, kernel):
    script = LARGE.format(law=law, ratio=ratio, h=h, kernel=kernel)
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 2


# What comes in

SOUND = {"points": [0.0, 1.0], "data": [0.0, 1.0, 2.0], "bandwidth": 0.5}
BAD = [
    ({"data": []}, "data: wanted at least one number, got an empty array"),
    ({"data": [0.0, NAN]}, "data: wanted finite numbers, got nan"),
    ({"data": [0.0, -INF]}, "data: wanted finite numbers, got -inf"),
    ({"data": 1.0}, r"data: wanted shape \(n,\) or \(n, d\), got shape \(\)"),
    ({"data": torch.zeros(2, 1, 1)}, r"data: wanted shape \(n,\) or \(n, d\), got shape \(2, 1, 1\)"),
    ({"data": ["a"]}, "data: wanted numbers, got "),
    ({"points": []}, "points: wanted at least one number, got an empty array"),
    ({"points": [0.0, INF]}, "points: wanted finite numbers, got inf"),
    ({"points": 0.5}, r"points: wanted points in 1 dimension\(s\), as the data, got shape \(\)"),
    ({"points": [[0.0, 1.0]]}, r"points: wanted points in 1 dimension\(s\), as the data, got shape \(1, 2\)"),
    ({"bandwidth": 0}, "bandwidth: wanted a number above zero, got 0"),
    ({"bandwidth": -1.5}, "bandwidth: wanted a number above zero, got -1.5"),
    ({"bandwidth": NAN}, "bandwidth: wanted a number above zero, got nan"),
    ({"bandwidth": [0.5]}, r"bandwidth: wanted a number above zero, got \[0.5\]"),
    (
        {"data": [0.0, -1e12], "bandwidth": 1e-5},
        r"bandwidth: wanted at least 3.6e-03, as the data reach 1.0e\+12, got 1e-05",
    ),
    ({"weights": [0.5, 0.5]}, r"weights: wanted one number for each of the 3 data, got shape \(2,\)"),
    ({"weights": [0.5, 0.7, -0.2]}, "weights: wanted numbers of at least 0, got -0.2"),
    ({"weights": [0.5, 0.5, 0.5]}, "weights: wanted numbers that sum to 1, got a sum of 1.5"),
    ({"weights": [0.5, NAN, 0.5]}, "weights: wanted finite numbers, got nan"),
    ({"weights": [[0.5, 0.25, 0.25]]}, r"weights: wanted 1 dimension\(s\), got shape \(1, 3\)"),
    ({"weights": []}, "weights: wanted at least one number"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
@BY_NAME
def test_what_has_no_estimate_is_named(kernel, changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        density(**{**SOUND, **changes}, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS[1:], ids=lambda kernel: kernel.name)
def test_in_the_plane_the_kernel_is_gaussian(kernel):
    with pytest.raises(ValueError, match=r"^data: wanted points on the line, got shape \(3, 2\)"):
        density([[0.0, 1.0]], torch.zeros(3, 2), 0.5, kernel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": [0.0, 1.0]}, r"samples: wanted 2 dimension\(s\), got shape \(2,\)"),
        ({"samples": [[0.0, NAN]]}, "samples: wanted finite numbers, got nan"),
        ({"samples": []}, "samples: wanted at least one number"),
        ({"points": [[0.0, 1.0]]}, r"points: wanted .*, got shape \(1, 2\)"),
        ({"points": [INF]}, "points: wanted finite numbers, got inf"),
        ({"bandwidth": 0}, "bandwidth: wanted a number above zero, got 0"),
    ],
)
@BY_NAME
def test_samples_without_estimates_are_named(kernel, changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        densities(**{"points": [0.0], "samples": [[0.0, 1.0]], "bandwidth": 0.5, **changes}, kernel=kernel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": [[0.0], [NAN]]}, r"axes\[1\]: wanted finite numbers, got nan"),
        ({"data": [[0.0, INF]]}, "data: wanted finite numbers, got inf"),
        ({"bandwidth": -1}, "bandwidth: wanted a number above zero, got -1"),
        ({"weights": [0.5, 0.7]}, "weights: wanted numbers that sum to 1, got a sum of 1.2"),
        ({"weights": [1.0]}, r"weights: wanted one number for each of the 2 data, got shape \(1,\)"),
    ],
)
def test_grids_without_an_estimate_are_named(changes, message):
    sound = {"axes": [[0.0], [1.0]], "data": [[0.0, 1.0], [2.0, 3.0]], "bandwidth": 0.5}
    with pytest.raises(ValueError, match=f"^{message}"):
        density_on_grid(**{**sound, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": []}, "data: wanted at least one number"),
        ({"data": [NAN]}, "data: wanted finite numbers, got nan"),
        ({"data": 3.0}, "data: wanted "),
        ({"bandwidth": 0}, "bandwidth: wanted a number above zero, got 0"),
        ({"number": -1}, "number: wanted a whole number"),
        ({"number": 2.5}, "number: wanted a whole number"),
    ],
)
def test_what_has_no_draws_is_named(changes, message):
    sound = {"data": [0.0, 1.0], "bandwidth": 0.5, "number": 3, "generator": generator("nothing")}
    with pytest.raises(ValueError, match=f"^{message}"):
        sample(**{**sound, **changes})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean(AT, TRUTH, 0), "bandwidth: wanted a number above zero, got 0"),
        (lambda: mean([NAN], TRUTH, 1), "points: wanted finite numbers, got nan"),
        (lambda: mean(AT, ([1.0], [0.0], [NAN]), 1), "truth: variances: wanted finite numbers, got nan"),
        (lambda: bias(AT, ([1.0], [0.0], [-3.0]), 1), "truth: variances: wanted numbers above zero, got -3"),
        (lambda: mean(AT, ([1.0], [0.0]), 1), "truth: wanted weights, means and variances, got"),
        (lambda: mise(None, 5, 1), "truth: wanted weights, means and variances, got None"),
        (lambda: density(AT, AT, 1, "Gaussian"), f"kernel: wanted one of {NAMES}, got 'Gaussian'"),
        (lambda: densities(AT, [AT], 1, None), f"kernel: wanted one of {NAMES}, got None"),
        (lambda: sample(AT, 1, 3, generator("nothing"), "box"), f"kernel: wanted one of {NAMES}, got 'box'"),
        (lambda: asymptotic_mise(3, 1, 1, "normal"), f"kernel: wanted one of {NAMES}, got 'normal'"),
        (lambda: optimal_bandwidth(3, 1, 2), f"kernel: wanted one of {NAMES}, got 2"),
        (lambda: bias([], TRUTH, 1), "points: wanted at least one number"),
        (lambda: variance(AT, TRUTH, 0, 1), "n: wanted a whole number of at least 1, got 0"),
        (lambda: variance(AT, TRUTH, 2.5, 1), "n: wanted a whole number of at least 1, got 2.5"),
        (lambda: variance(AT, TRUTH, 5, -1), "bandwidth: wanted a number above zero, got -1"),
        (lambda: mise(TRUTH, 0, 1), "n: wanted numbers above zero, got 0"),
        (lambda: mise(TRUTH, 5, [1.0, -1.0]), "bandwidth: wanted numbers above zero, got -1"),
        (lambda: mise(TRUTH, NAN, 1), "n: wanted finite numbers, got nan"),
        (lambda: asymptotic_mise(-3, 1, 1), "n: wanted numbers above zero, got -3"),
        (lambda: asymptotic_mise(3, 0, 1), "bandwidth: wanted numbers above zero, got 0"),
        (lambda: asymptotic_mise(3, 1, -1), "roughness: wanted numbers of at least 0, got -1"),
        (lambda: optimal_bandwidth(0, 1), "n: wanted numbers above zero, got 0"),
        (lambda: optimal_bandwidth(5, 0), "roughness: wanted numbers above zero, got 0"),
        (lambda: optimal_bandwidth(5, INF), "roughness: wanted finite numbers, got inf"),
        (lambda: GAUSSIAN([NAN]), "u: wanted finite numbers, got nan"),
    ],
)
def test_arguments_without_a_meaning_are_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()

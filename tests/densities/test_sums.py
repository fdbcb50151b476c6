import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import hermite_e

from helpers.densities import sums
from helpers.densities.sums import (
    ascending,
    gaussian_sum,
    gaussian_sum_on_grid,
    gaussian_sums,
    pair_sums,
    polynomial_sum,
)

BANDWIDTHS = [1e-6, 1e-3, 0.12, 1.0, 1e3]
KINDS = {
    "normal": lambda x, y: x,
    "heavy-tailed": lambda x, y: x / y,
    "tied": lambda x, y: x.round(),
    "in clusters": lambda x, y: x + 1e4 * y.sign(),
    "far from zero": lambda x, y: x + 1e7,
    "alone": lambda x, y: x[:1],
}


def sample_of(kind, normal, n=300):
    return KINDS[kind](normal(f"{kind}: x", n), normal(f"{kind}: y", n))


def around(data, h, normal):
    """Points on the data, within some bandwidths of them, off by their spread, and very far out."""
    some = data[:40]
    near = some + 3 * h * normal("near", *some.shape)
    wide = some.mean(0) + 5 * normal("wide", *some.shape)
    return torch.cat([some, near, wide, torch.full_like(some[:1], 1e300), torch.full_like(some[:1], -1e300)])


def distances(points, data, h):
    """In bandwidths, by differences, for shapes (m,) or (m, d) and (n,) or (n, d)."""
    points, data = (np.asarray(one, float).reshape(len(one), -1).T[..., None] for one in (points, data))
    steps = [np.minimum(abs(p - x.T) / h, 1e9) for p, x in zip(points, data, strict=True)]
    return np.sqrt(sum(step**2 for step in steps))


def assert_close(found, points, data, h, weights=None, tolerance=1e-12, times=2.0):
    """Off by at most `times` `tolerance` of the weights within 13 bandwidths."""
    weights = np.ones(len(data)) if weights is None else np.asarray(weights)
    u = distances(points, data, h)
    error = abs(np.asarray(found) - np.exp(-(u**2) / 2) @ weights)
    assert error.shape == (len(points),)
    assert (error <= times * tolerance * ((u < 13) @ abs(weights)) + 1e-30 * abs(weights).sum()).all()


# The line


@pytest.mark.parametrize("h", BANDWIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_on_the_line_the_tolerance_is_kept_near_every_point(normal, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal(f"weights: {kind}", len(data))
    assert_close(gaussian_sum(points, data, h), points, data, h)
    for tolerance in (0.1, 1e-3, 1e-6, 1e-9, 1e-12):
        found = gaussian_sum(points, data, h, weights, tolerance)
        assert_close(found, points, data, h, weights, tolerance)


@pytest.mark.parametrize("cells", [1, 2, 8, 64, 512])
@pytest.mark.parametrize("h", [0.05, 1.0, 1.2499])
def test_any_number_of_cells_a_box_keeps_the_tolerance(normal, monkeypatch, cells, h):
    def fixed(self, number, boxes):
        return cells, sums._order(self.tolerance, self.ratio / 2 / cells)

    monkeypatch.setattr(sums._Boxes, "cells", fixed)
    data, weights = torch.cat([normal("data", 200), torch.zeros(1).double()]), normal("weights", 201)
    points = around(data, h, normal)
    for tolerance in (1e-6, 1e-12):
        assert_close(gaussian_sum(points, data, h, weights, tolerance), points, data, h, weights, tolerance)


@pytest.mark.parametrize("half_width", [0.7, 0.5, 0.47, 0.06, 1e-3])
@pytest.mark.parametrize("tolerance", [0.1, 1e-3, 1e-6, 1e-12, 1e-15])
def test_no_more_moments_are_taken_than_the_tolerance_asks_for(tolerance, half_width):
    def remainder(order):
        places = np.linspace(0, 12, 5001)
        largest = abs(hermite_e.hermeval(places, [0] * order + [1]) * np.exp(-(places**2) / 2)).max()
        return half_width**order / math.factorial(order) * largest

    order = sums._order(tolerance, half_width)
    assert remainder(order) <= 1.01 * tolerance / 2
    assert order == 1 or remainder(order - 1) > 0.99 * tolerance / 2


@pytest.mark.parametrize("h", [0.03, 1.0, 1.0666, 1.124, 1.2499, 1.8749])
def test_a_single_datum_has_the_shape_of_the_kernel_wherever_it_lies_in_its_box(h):
    for datum in torch.linspace(0, 1, 17, dtype=torch.float64) * h:
        points = datum + torch.linspace(-12, 12, 241, dtype=torch.float64) * h
        for tolerance in (1e-2, 1e-6, 1e-12):
            found = gaussian_sum(points, datum[None], h, tolerance=tolerance)
            assert_close(found, points, datum[None], h, tolerance=tolerance)


@pytest.mark.parametrize("h", [0.01, 0.3, 20.0])
@pytest.mark.parametrize("kind", KINDS)
def test_all_boxes_stored_or_only_those_in_use_give_the_same(normal, monkeypatch, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal("weights", len(data))
    first = gaussian_sum(points, data, h, weights)
    monkeypatch.setattr(sums, "FINEST", 0)
    monkeypatch.setattr(sums, "_dense", None)
    for piece in (7, 64, 2**17):
        monkeypatch.setattr(sums, "PIECE", piece)
        second = gaussian_sum(points, data, h, weights)
        assert_close(second, points, data, h, weights)
        assert (first - second).abs().max() <= 2e-12 * weights.abs().sum()
        assert_close(gaussian_sum(points, data, h), points, data, h)


def test_boxes_are_all_stored_only_where_they_are_few(normal, monkeypatch):
    used = []
    for name in ("_dense", "_sparse"):
        path = getattr(sums, name)
        monkeypatch.setattr(sums, name, lambda *args, path=path, name=name: used.append(name) or path(*args))
    for h, datum in ((1.0, 0.0), (1e-3, 0.0), (1e-3, 1e6), (1.0, 1e14)):
        gaussian_sum([0.0], [datum, datum + 1], h)
        gaussian_sum([0.0], [datum, datum + 1e6], h)
    assert used == ["_dense", "_sparse"] * 3 + ["_sparse"] * 2


def test_many_boxes_far_from_the_first_keep_the_tolerance(normal):
    h, far = 0.3, 0.3 * (1e5 + 1e4 * normal("far data", 20).sigmoid())
    points = (far[:, None] + h * normal("near them", 20, 10)).flatten()
    data = torch.cat([torch.zeros(2_000_000).double(), far])
    assert_close(gaussian_sum(points, data, h), points, far, h)


def test_parts_of_the_data_add_up(normal, monkeypatch):
    data, weights, points = normal("data", 500), normal("weights", 500), normal("points", 50)
    whole = gaussian_sum(points, data, 0.2, weights), gaussian_sum(points, data, 0.2)
    parts = gaussian_sum(points, data[:123], 0.2, weights[:123]) + gaussian_sum(points, data[123:], 0.2, weights[123:])
    torch.testing.assert_close(whole[0], parts, rtol=0, atol=1e-11)
    monkeypatch.setattr(sums, "CHUNK", 64)
    torch.testing.assert_close(gaussian_sum(points, data, 0.2, weights), whole[0], rtol=0, atol=1e-11)
    torch.testing.assert_close(gaussian_sum(points, data, 0.2), whole[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("h", [1e-4, 0.2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_data_and_points_is_irrelevant(normal, kind, h):
    data = sample_of(kind, normal)
    points, weights = around(data, h, normal), normal("weights", len(data))
    order, other = normal("order", len(data)).argsort(), normal("another", len(points)).argsort()
    for total in (gaussian_sum, lambda *args: polynomial_sum(*args[:3], (1.0, -1.0), args[3])):
        found = total(points[other], data[order], h, weights[order])
        torch.testing.assert_close(found, total(points, data, h, weights)[other], rtol=0, atol=1e-11)


# More dimensions


@pytest.mark.parametrize("h", [1e-6, 1e-3, 0.3, 1.0, 1e3])
@pytest.mark.parametrize("offset", [0.0, 1e7])
@pytest.mark.parametrize("d", [2, 3, 8])
def test_in_more_dimensions_every_term_is_summed(normal, d, offset, h):
    data = normal(f"data {d}", 300, d) + offset
    points, weights = around(data, h, normal), normal("weights", 300)
    places = 1e-12 + 2e-15 / h  # those of the data, as floating-point numbers, in bandwidths
    assert_close(gaussian_sum(points, data, h, weights), points, data, h, weights, places)
    assert_close(gaussian_sum(points, data, h), points, data, h, tolerance=places)


@pytest.mark.parametrize("h", [1e-2, 1.0])
@pytest.mark.parametrize("block", [10, 64, 299])
def test_blocks_of_terms_add_up(normal, monkeypatch, block, h):
    data, weights = normal("data", 300, 2), normal("weights", 300)
    points = around(data, h, normal)
    monkeypatch.setattr(sums, "BLOCK", block)
    assert_close(gaussian_sum(points, data, h, weights), points, data, h, weights)


@pytest.mark.parametrize("d", [2, 3])
def test_a_point_that_is_infinitely_many_bandwidths_away_has_a_sum_of_zero(d):
    points = torch.zeros(2, d).double()
    points[:, 0] = torch.tensor([1e300, -1e300], dtype=torch.float64)
    for data in (torch.zeros(1, d).double(), torch.arange(2 * d).reshape(2, d).double()):
        assert (gaussian_sum(points, data, 1e-9) == 0).all()


@pytest.mark.parametrize("h", [1e-9, 1.0, 1e3])
def test_many_samples_and_a_grid_give_zero_very_far_out(h):
    samples = h * torch.tensor([[0.0, 1.0, 0.5]]).double()
    assert gaussian_sums([1e300, -1e300], samples, h).tolist() == [[0.0, 0.0]]
    found = gaussian_sum_on_grid([[1e300, 0.0]] * 2, samples.T.expand(3, 2), h)
    assert found[0].tolist() == found[:, 0].tolist() == [0.0, 0.0]
    assert found[1, 1] > 1


# Many samples


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("h", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_each_of_many_samples_has_its_own_sum(normal, monkeypatch, offset, h, tolerance):
    samples = normal("samples", 7, 90) + offset
    points = torch.cat([samples[:, 0], samples[:, 1] + h, torch.tensor([offset + 1e6, -1e300], dtype=torch.float64)])
    found = gaussian_sums(points, samples, h, tolerance)
    assert found.shape == (7, 16)
    for one, sample in zip(found, samples, strict=True):
        assert_close(one, points, sample, h, tolerance=tolerance)
    monkeypatch.setattr(sums, "CHUNK", 64)
    torch.testing.assert_close(gaussian_sums(points, samples, h, tolerance), found, rtol=0, atol=1e-11)
    monkeypatch.setattr(sums, "LARGEST_TABLE", 0)
    for one, sample in zip(gaussian_sums(points, samples, h, tolerance), samples, strict=True):
        assert_close(one, points, sample, h, tolerance=tolerance)


def test_many_samples_of_heavy_tails_have_their_sums(normal):
    samples = normal("above", 5, 200) / normal("below", 5, 200)
    for sample, one in zip(samples, gaussian_sums(samples[:, 0], samples, 1e-3), strict=True):
        assert_close(one, samples[:, 0], sample, 1e-3, tolerance=1e-6)


# Grids


def mesh(axes):
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def forced(monkeypatch, cells):
    """A plane with this many cells a box, or none at all."""

    def costs(*args, real=sums._plane_costs):
        return [(-1, *choice[1:]) for choice in real(*args) if choice[1] == cells] or [(math.inf, 1, 1)]

    monkeypatch.setattr(sums, "_plane_costs", costs)


@pytest.mark.parametrize("cells", [0, 1, 2, 4, 8, 16])
@pytest.mark.parametrize("h", [0.5, 1.2499, 1e3])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_a_grid_in_the_plane_has_the_sums_at_its_points(normal, monkeypatch, offset, h, cells):
    forced(monkeypatch, cells)
    data, weights = normal("data", 80, 2) + offset, normal("weights", 80)
    axes = [torch.cat([data[:9, 0], torch.tensor([offset + 1e5], dtype=torch.float64)]), offset + normal("across", 6)]
    assert_close(gaussian_sum_on_grid(axes, data, h).flatten(), mesh(axes), data, h)
    found = gaussian_sum_on_grid(axes, data, h, weights)
    assert found.shape == (10, 6)
    assert_close(found.flatten(), mesh(axes), data, h, weights)


@pytest.mark.parametrize("cells", [1, 2, 4, 8, 16])
def test_data_on_the_corners_of_boxes_keep_the_tolerance(monkeypatch, cells):
    forced(monkeypatch, cells)
    for h, tolerance in ((1.0, 1e-3), (1.0, 1e-12), (1.2499, 1e-6), (1.2499, 1e-12)):
        data, axis = torch.zeros(10, 2).double(), h * torch.linspace(-4, 4, 33).double()
        found = gaussian_sum_on_grid([axis, axis], data, h, tolerance=tolerance)
        assert_close(found.flatten(), mesh([axis, axis]), data, h, tolerance=tolerance)


def test_the_cheaper_way_to_a_grid_is_taken(normal, monkeypatch):
    used = []
    for name in ("_plane", "_product"):
        way = getattr(sums, name)
        monkeypatch.setattr(sums, name, lambda *args, way=way, name=name: used.append(name) or way(*args))
    axis = torch.linspace(-1, 1, 30).double()
    for n, h in ((20_000, 2.0), (20, 0.05), (20_000, 1e-3)):
        data = normal(f"{n} data", n, 2)
        found = gaussian_sum_on_grid([axis, axis], data, h)[::5, ::9]
        assert_close(found.flatten(), mesh([axis[::5], axis[::9]]), data, h)
    assert used == ["_plane", "_product", "_product"]


@pytest.mark.parametrize("block", [8, 100, 2**17])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 3, 1, 4)])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_a_grid_in_any_dimension_has_the_sums_at_its_points(normal, monkeypatch, offset, shape, block):
    monkeypatch.setattr(sums, "BLOCK", block)
    forced(monkeypatch, 0)
    d = len(shape)
    data, weights = normal(f"data {d}", 70, d) + offset, normal("weights", 70)
    axes = [offset + normal(f"axis {i}", size) for i, size in enumerate(shape)]
    for h in (1e-3, 0.4, 1e3):
        found = gaussian_sum_on_grid(axes, data, h, weights)
        assert found.shape == shape
        assert_close(found.flatten(), mesh(axes), data, h, weights)
        assert_close(gaussian_sum_on_grid(axes, data, h).flatten(), mesh(axes), data, h)


@pytest.mark.parametrize("weights", [None, [1.0, -2.0, 3.0]])
def test_a_grid_on_the_line_is_a_vector_of_points(weights):
    axis, data = [0.0, 0.5, 1.0, 4.0], [[0.1], [0.9], [2.0]]
    found = gaussian_sum_on_grid([axis], data, 0.5, weights)
    assert found.shape == (4,)
    assert_close(found, axis, data, 0.5, weights)


# Kernels of bounded support


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


# All pairs


def all_pairs(data, h, order):
    """By Hermite's polynomials: $\\phi^{(r)}(u) = \\mathrm{He}_r(u)\\phi(u)$ for even r."""
    u = distances(data, data, h)
    terms = hermite_e.hermeval(np.minimum(u, 50), [0] * order + [1]) * np.exp(-(np.minimum(u, 50) ** 2) / 2)
    return math.fsum(terms.flatten()) / (math.sqrt(2 * math.pi) * h ** (order + 1))


@pytest.mark.parametrize("order", [0, 2, 4, 6, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_over_all_pairs_are_those_of_their_terms(normal, kind, order):
    data = sample_of(kind, normal, 150)
    referee = [all_pairs(data, h, order) for h in BANDWIDTHS]
    np.testing.assert_allclose(pair_sums(data, BANDWIDTHS, order), referee, rtol=1e-11)
    one_by_one = [pair_sums(data, [h], order).item() for h in BANDWIDTHS]
    np.testing.assert_allclose(one_by_one, referee, rtol=1e-11)


@pytest.mark.parametrize("order", [10, 12])
def test_a_single_pair_has_derivatives_of_high_order(order):
    bandwidths = [0.05, 0.3, 1.0, 7.0]
    referee = [all_pairs([0.0, 0.25], h, order) for h in bandwidths]
    np.testing.assert_allclose(pair_sums([0.0, 0.25], bandwidths, order), referee, rtol=1e-11)


@pytest.mark.parametrize("order", [0, 4])
@pytest.mark.parametrize("far", [1.0, 1e4, 1e9])
def test_narrow_and_wide_bandwidths_side_by_side_are_as_good_as_alone(far, order):
    data, bandwidths = [-far, 0.0, 1e-6, 2.5e-6, far], [1e-6, 1e-3, 1e3]
    referee = [all_pairs(data, h, order) for h in bandwidths]
    np.testing.assert_allclose(pair_sums(data, bandwidths, order), referee, rtol=1e-10)


def test_bandwidths_in_small_groups_and_frequencies_in_blocks_change_nothing(normal, monkeypatch):
    data, bandwidths = normal("data", 100), torch.logspace(-3, 1, 9).double()
    found = pair_sums(data, bandwidths, 2)
    monkeypatch.setattr(sums, "FEW_FREQUENCIES", 0)
    torch.testing.assert_close(pair_sums(data, bandwidths, 2), found, rtol=1e-10, atol=0)
    monkeypatch.setattr(sums, "CHUNK", 100)
    torch.testing.assert_close(pair_sums(data, bandwidths, 2), found, rtol=1e-10, atol=0)


def test_bandwidths_in_any_order_repeated_or_next_to_each_other_are_fine(normal):
    data = normal("data", 20_000)
    h = 1e-8
    found = pair_sums(data, [1.0, h, h, math.nextafter(h, 1), 1.0])
    referee = pair_sums(data, [1.0])[0], pair_sums(data, [h])[0]
    torch.testing.assert_close(found[[0, 4]], referee[0].expand(2), rtol=1e-11, atol=0)
    torch.testing.assert_close(found[1:4], referee[1].expand(3), rtol=1e-11, atol=0)


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_sums_over_pairs_scale_with_data_and_bandwidths(normal, scale):
    data = normal("data", 50)
    found = pair_sums(data * scale, [0.2 * scale, 2 * scale]) * scale
    torch.testing.assert_close(found, pair_sums(data, [0.2, 2.0]), rtol=1e-11, atol=0)


def test_pairs_of_many_heavy_tailed_data_are_those_that_the_sum_at_every_datum_counts(normal):
    data = normal("above", 200_000) / normal("below", 200_000)
    inside = gaussian_sum(data, data, 0.1).sum() / (0.1 * math.sqrt(2 * math.pi))
    assert pair_sums(data, [0.1]).item() == pytest.approx(inside.item(), rel=1e-10)


# What comes in


def test_results_are_float64_on_the_device_of_the_data(device):
    data = torch.tensor([0.0, 0.5, 2.0, 3.0, 3.0], device=device)
    plane, samples = torch.stack([data, data.flip(0)], 1), torch.stack([data, data + 1])
    weights = [0.1, 0.2, 0.3, 0.4, -1.0]
    for dtype in (torch.float32, torch.float64):
        x, two, many = data.to(dtype), plane.to(dtype), samples.to(dtype)
        calls = {
            "line": lambda x, two, many: gaussian_sum(x, x, 0.5, weights),
            "few boxes": lambda x, two, many: gaussian_sum([0.0, 1.0], x, 1e-6),
            "plane": lambda x, two, many: gaussian_sum(two[:2], two, 0.5, weights),
            "far": lambda x, two, many: gaussian_sum(two[:2], two, 1e-3),
            "samples": lambda x, two, many: gaussian_sums(x, many, 0.5),
            "grid": lambda x, two, many: gaussian_sum_on_grid([x[:3], x[:2]], two, 1e3, weights),
            "grid of lists": lambda x, two, many: gaussian_sum_on_grid([[0.0, 1.0], [2.0]], two, 0.01),
            "polynomial": lambda x, two, many: polynomial_sum(x, x, 0.5, (1.0, -1.0), weights),
            "pairs": lambda x, two, many: pair_sums(x, [0.5, 1e-3], 2),
            "apart": lambda x, two, many: pair_sums(x * 2**20, [0.5], 2),
            "sorted": lambda x, two, many: ascending(x.double())[0],
        }
        for name, call in calls.items():
            found = call(x, two, many)
            assert (found.dtype, found.device.type) == (torch.float64, device.type), name
            referee = call(x.cpu(), two.cpu(), many.cpu())
            torch.testing.assert_close(found.cpu(), referee, rtol=1e-11, atol=1e-12, msg=name)


def test_single_precision_numbers_are_taken_as_they_are(normal):
    data, points, plane, h = normal("single", 60), normal("points", 9), normal("plane", 60, 2), 0.3
    calls = [
        lambda x, p, two: gaussian_sum(p, x, h, x),
        lambda x, p, two: gaussian_sum(two[:9], two, h, x),
        lambda x, p, two: gaussian_sums(p, two.T, h, 1e-12),
        lambda x, p, two: gaussian_sum_on_grid([p, p[:2]], two, h, x),
        lambda x, p, two: polynomial_sum(p, x, h, (1.0, -1.0), x),
        lambda x, p, two: pair_sums(x, p.abs(), 2),
    ]
    single = [one.float() for one in (data, points, plane)]
    for call in calls:
        found = call(*single)
        assert found.dtype == torch.float64
        assert torch.equal(found, call(*(one.double() for one in single)))


def test_lists_arrays_and_columns_are_vectors():
    points, data, weights = [0.0, 1.0], [0.5, 2.0, 2.5], [1.0, 2.0, -1.0]
    found = gaussian_sum(points, data, 0.5, weights)
    other = gaussian_sum(np.array(points)[:, None], np.array(data)[:, None], np.float64(0.5), np.array(weights))
    torch.testing.assert_close(found, other, rtol=0, atol=0)
    bounded = polynomial_sum(points, data, 2, (1.0, -1.0), weights)
    columns = polynomial_sum(torch.tensor(points)[:, None], torch.tensor(data)[:, None], 2, (1.0, -1.0), weights)
    torch.testing.assert_close(bounded, columns, rtol=0, atol=1e-15)
    torch.testing.assert_close(pair_sums(data, [1]), pair_sums(np.array(data), np.array([1.0])), rtol=0, atol=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_numbers_are_sorted_with_the_order_that_sorts_them(values):
    x = torch.tensor(values, dtype=torch.float64)
    found, order = ascending(x)
    assert found.tolist() == sorted(values)
    assert x[order].tolist() == found.tolist()
    assert ascending(x, with_order=False)[0].tolist() == sorted(values)
    assert x.tolist() == values


SOUND = {"points": [0.0, 1.0], "data": [0.0, 1.0, 2.0], "bandwidth": 0.5, "weights": [1.0, 2.0, 3.0]}
NAN, INF = float("nan"), float("inf")
BAD = [
    ({"data": []}, "data: wanted at least one number, got an empty array"),
    ({"data": [0.0, NAN]}, "data: wanted finite numbers, got nan"),
    ({"data": [0.0, INF]}, "data: wanted finite numbers, got inf"),
    ({"data": 1.0}, r"data: wanted shape \(n,\) or \(n, d\), got shape \(\)"),
    ({"data": torch.zeros(2, 1, 1)}, r"data: wanted shape \(n,\) or \(n, d\), got shape \(2, 1, 1\)"),
    ({"data": ["a"]}, "data: wanted numbers, got "),
    ({"data": [True, False]}, "data: wanted real numbers, got dtype torch.bool"),
    ({"points": []}, "points: wanted at least one number, got an empty array"),
    ({"points": [NAN]}, "points: wanted finite numbers, got nan"),
    ({"points": [-INF]}, "points: wanted finite numbers, got -inf"),
    ({"points": 1.0}, r"points: wanted points in 1 dimension\(s\), as the data, got shape \(\)"),
    ({"points": [[0.0, 1.0]]}, r"points: wanted points in 1 dimension\(s\), as the data, got shape \(1, 2\)"),
    ({"bandwidth": 0}, "bandwidth: wanted a number above zero, got 0"),
    ({"bandwidth": -0.5}, "bandwidth: wanted a number above zero, got -0.5"),
    ({"bandwidth": NAN}, "bandwidth: wanted a number above zero, got nan"),
    ({"bandwidth": INF}, "bandwidth: wanted a number above zero, got inf"),
    ({"bandwidth": [0.5, 0.5]}, r"bandwidth: wanted a number above zero, got \[0.5, 0.5\]"),
    ({"bandwidth": "wide"}, "bandwidth: wanted a number above zero, got 'wide'"),
    ({"bandwidth": None}, "bandwidth: wanted a number above zero, got None"),
    (
        {"data": [0.0, 1.0, -1e10], "bandwidth": 1e-8},
        r"bandwidth: wanted at least 3.6e-05, as the data reach 1.0e\+10, got 1e-08",
    ),
    ({"weights": [1.0]}, r"weights: wanted one number for each of the 3 data, got shape \(1,\)"),
    ({"weights": [[1.0, 2.0, 3.0]]}, r"weights: wanted one number for each of the 3 data, got shape \(1, 3\)"),
    ({"weights": [1.0, 2.0, NAN]}, "weights: wanted finite numbers, got nan"),
    ({"weights": []}, "weights: wanted at least one number"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_cannot_be_summed_is_named(changes, message):
    arguments = {**SOUND, **changes}
    with pytest.raises(ValueError, match=f"^{message}"):
        gaussian_sum(**arguments)
    with pytest.raises(ValueError, match=f"^{message}"):
        polynomial_sum(**arguments, coefficients=(1.0, -1.0))


@pytest.mark.parametrize("tolerance", [0, -1e-6, NAN, INF, None, "small", 2.0, 1e-200])
def test_a_tolerance_that_has_no_meaning_is_named(tolerance):
    calls = [
        lambda: gaussian_sum([0.0], [0.0, 1.0], 0.5, tolerance=tolerance),
        lambda: gaussian_sums([0.0], [[0.0, 1.0]], 0.5, tolerance=tolerance),
        lambda: gaussian_sum_on_grid([[0.0], [0.0]], [[0.0, 1.0]], 0.5, tolerance=tolerance),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="^tolerance: wanted "):
            call()


def test_polynomials_in_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"data: wanted points on the line, got shape \(2, 2\)"):
        polynomial_sum([[0.0, 1.0]], torch.eye(2), 0.5, (1.0,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": [0.0, 1.0]}, r"samples: wanted 2 dimension\(s\), got shape \(2,\)"),
        ({"samples": [[0.0, INF]]}, "samples: wanted finite numbers, got inf"),
        ({"samples": [[]]}, "samples: wanted at least one number"),
        ({"points": [[0.0]]}, r"points: wanted 1 dimension\(s\), got shape \(1, 1\)"),
        ({"points": [NAN]}, "points: wanted finite numbers, got nan"),
        ({"bandwidth": 0}, "bandwidth: wanted a number above zero, got 0"),
        ({"bandwidth": 1e-9, "samples": [[0.0, 1e10]]}, "bandwidth: wanted at least 3.6e-05, .*, got 1e-09"),
    ],
)
def test_samples_that_cannot_be_summed_are_named(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        gaussian_sums(**{"points": [0.0], "samples": [[0.0, 1.0]], "bandwidth": 0.5, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": [[0.0], [NAN]]}, r"axes\[1\]: wanted finite numbers, got nan"),
        ({"axes": [[0.0], []]}, r"axes\[1\]: wanted at least one number"),
        ({"axes": [[[0.0]], [1.0]]}, r"axes\[0\]: wanted 1 dimension\(s\), got shape \(1, 1\)"),
        ({"axes": []}, "axes: wanted "),
        ({"axes": [[0.0]] * 3}, r"(axes|data): wanted .*, got "),
        ({"data": [[0.0, 1.0, 2.0]]}, r"(axes|data): wanted .*, got "),
        ({"data": [0.0, 1.0]}, r"(axes|data): wanted .*, got "),
        ({"data": [[0.0, NAN]]}, "data: wanted finite numbers, got nan"),
        ({"bandwidth": -1}, "bandwidth: wanted a number above zero, got -1"),
        ({"weights": [1.0]}, r"weights: wanted one number for each of the 2 data, got shape \(1,\)"),
    ],
)
def test_grids_that_cannot_be_filled_are_named(changes, message):
    sound = {"axes": [[0.0], [1.0]], "data": [[0.0, 1.0], [2.0, 3.0]], "bandwidth": 0.5}
    with pytest.raises(ValueError, match=f"^{message}"):
        gaussian_sum_on_grid(**{**sound, **changes})


@pytest.mark.parametrize("order", [1, 3, -2, 14, 2.5, "two", None])
def test_an_order_that_is_odd_or_too_high_is_refused(order):
    with pytest.raises(ValueError, match=f"^order: wanted an even number from 0 to 12, got {order}"):
        pair_sums([0.0, 1.0], [0.5], order)


@pytest.mark.parametrize(
    ("data", "bandwidths", "message"),
    [
        ([], [1.0], "data: wanted at least one number"),
        ([0.0, NAN], [1.0], "data: wanted finite numbers, got nan"),
        ([[0.0, 1.0]], [1.0], r"data: wanted 1 dimension\(s\), got shape \(1, 2\)"),
        ([0.0], [], "bandwidths: wanted at least one number"),
        ([0.0], 1.0, r"bandwidths: wanted 1 dimension\(s\), got shape \(\)"),
        ([0.0], [1.0, 0.0], "bandwidths: wanted numbers above zero, got 0"),
        ([0.0], [1.0, -2.0], "bandwidths: wanted numbers above zero, got -2"),
        ([0.0], [INF], "bandwidths: wanted finite numbers, got inf"),
    ],
)
def test_pairs_that_cannot_be_summed_are_named(data, bandwidths, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        pair_sums(data, bandwidths)

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import hermite_e
from terms import BANDWIDTHS, KINDS, distances, sample_of

from helpers.densities.sums import pairs
from helpers.densities.sums.gauss import gaussian_sum
from helpers.densities.sums.pairs import pair_sums


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
    monkeypatch.setattr(pairs, "FEW_FREQUENCIES", 0)
    torch.testing.assert_close(pair_sums(data, bandwidths, 2), found, rtol=1e-10, atol=0)
    monkeypatch.setattr(pairs, "CHUNK", 100)
    torch.testing.assert_close(pair_sums(data, bandwidths, 2), found, rtol=1e-10, atol=0)


def test_bandwidths_in_any_order_repeated_or_next_to_each_other_are_fine(normal):
    data = normal("data", 20_000)
    h = 1e-8
    found = pair_sums(data, [1.0, h, h, math.nextafter(h, 1), 1.0])
    referee = pair_sums(data, [1.0])[0], pair_sums(data, [h])[0]
    torch.testing.assert_close(found[[0, 4]], referee[0].expand(2), rtol=1e-11, atol=0)
    torch.testing.assert_close(found[1:4], referee[1].expand(3), rtol=1e-11, atol=0)


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e-30, 1e30, 1e100, 1e300])
def test_sums_over_pairs_scale_with_data_and_bandwidths(normal, scale):
    data = normal("data", 50)
    found = pair_sums(data * scale, [0.2 * scale, 2 * scale]) * scale
    torch.testing.assert_close(found, pair_sums(data, [0.2, 2.0]), rtol=1e-11, atol=0)


def test_pairs_of_many_heavy_tailed_data_are_those_that_the_sum_at_every_datum_counts(normal):
    data = normal("above", 200_000) / normal("below", 200_000)
    inside = gaussian_sum(data, data, 0.1).sum() / (0.1 * math.sqrt(2 * math.pi))
    assert pair_sums(data, [0.1]).item() == pytest.approx(inside.item(), rel=1e-10)


# What comes in


NAN, INF = float("nan"), float("inf")


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

import pytest
import torch
from terms import around, assert_close

from helpers.densities.sums import direct
from helpers.densities.sums.gauss import gaussian_sum


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
    monkeypatch.setattr(direct, "BLOCK", block)
    assert_close(gaussian_sum(points, data, h, weights), points, data, h, weights)


@pytest.mark.parametrize("d", [2, 3])
def test_a_point_that_is_infinitely_many_bandwidths_away_has_a_sum_of_zero(d):
    points = torch.zeros(2, d).double()
    points[:, 0] = torch.tensor([1e300, -1e300], dtype=torch.float64)
    for data in (torch.zeros(1, d).double(), torch.arange(2 * d).reshape(2, d).double()):
        assert (gaussian_sum(points, data, 1e-9) == 0).all()

import math

import numpy as np
import pytest
import torch
from terms import assert_close

from helpers.densities.sums import grid
from helpers.densities.sums.gauss import gaussian_sums
from helpers.densities.sums.grid import gaussian_sum_on_grid


def mesh(axes):
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def forced(monkeypatch, cells):
    """A plane with this many cells a box, or none at all."""

    def costs(*args, real=grid._plane_costs):
        return [(-1, *choice[1:]) for choice in real(*args) if choice[1] == cells] or [(math.inf, 1, 1)]

    monkeypatch.setattr(grid, "_plane_costs", costs)


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
        way = getattr(grid, name)
        monkeypatch.setattr(grid, name, lambda *args, way=way, name=name: used.append(name) or way(*args))
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
    monkeypatch.setattr(grid, "BLOCK", block)
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


@pytest.mark.parametrize("h", [1e-9, 1.0, 1e3])
def test_many_samples_and_a_grid_give_zero_very_far_out(h):
    samples = h * torch.tensor([[0.0, 1.0, 0.5]]).double()
    assert gaussian_sums([1e300, -1e300], samples, h).tolist() == [[0.0, 0.0]]
    found = gaussian_sum_on_grid([[1e300, 0.0]] * 2, samples.T.expand(3, 2), h)
    assert found[0].tolist() == found[:, 0].tolist() == [0.0, 0.0]
    assert found[1, 1] > 1


# What comes in


NAN = float("nan")


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

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from helpers.densities import histogram
from helpers.densities.histogram import (
    asymptotic_mise,
    cell_index,
    counts,
    density,
    draw_counts,
    integrated_squared_error,
    mise,
    optimal_width,
)
from helpers.randomness import generator

EIGHTHS = st.integers(-80, 80).map(lambda number: number / 8)
WIDTHS = st.integers(1, 24).map(lambda number: number / 8)
MASSES = [0.05, 0.3, 0.1, 0.2, 0.08, 0.15, 0.12]
NAN, INF = float("nan"), float("inf")


def data_width_and_origin(draw, dimension):
    data = draw(st.lists(st.lists(EIGHTHS, min_size=dimension, max_size=dimension), min_size=1, max_size=20))
    width, origin = (draw(st.lists(s, min_size=dimension, max_size=dimension)) for s in (WIDTHS, EIGHTHS))
    return (torch.tensor(value, dtype=torch.float64) for value in (data, width, origin))


def centres(cells, width, origin=0.0):
    return origin + (cells.double() + 0.5) * width


def edges_about(x, width, origin):
    first, last = math.floor((x.min() - origin) / width), math.ceil((x.max() - origin) / width)
    return origin + width * np.arange(first, last + 1)


def largest_score(draws, exact):
    """How many standard errors the mean over the first axis is away from `exact`, at most."""
    errors = (draws.mean(0) - exact).abs() / (draws.std(0) / math.sqrt(len(draws)))
    return errors.max().item()


def outcomes(n, cells):
    return [c for c in product(range(n + 1), repeat=cells) if sum(c) == n]


# Cells


@pytest.mark.parametrize(
    ("x", "width", "origin", "cell"),
    [
        ([-1.0, -0.5, 0.0, 0.25, 1.0, 1.25, 2.0], 1, 0, [-2, -1, -1, 0, 0, 1, 1]),
        ([-1.0, -0.5, 0.0, 0.25, 0.5], 0.5, 0.25, [-3, -2, -1, -1, 0]),
        ([[0.0, 0.0], [1.0, 1.0], [1.5, 1.5]], [1.0, 2.0], [0.0, 1.0], [[-1, -1], [0, -1], [1, 0]]),
        ([[0.5, 1.5]], 0.5, [0.0, 0.25], [[0, 2]]),
        (3, 2, 1, 0),
    ],
)
def test_a_cell_holds_its_right_end_and_not_its_left(x, width, origin, cell):
    found = cell_index(x, width, origin)
    assert found.dtype == torch.int64
    assert found.tolist() == cell


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(-20, 20), st.integers(-10, 10))
def test_every_number_lies_in_exactly_one_cell(x, power, origin):
    width, origin = 2.0**power, origin * 2.0**power
    x = math.floor(x / width * 8) * width / 8
    (cell,) = cell_index([x], width, origin).tolist()
    ends = [Fraction(origin) + j * Fraction(width) for j in range(cell - 2, cell + 4)]
    holds = [low < Fraction(x) <= high for low, high in pairwise(ends)]
    assert holds == [False, False, True, False, False]


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor([1e17], dtype=torch.float64),
        torch.tensor([-1e300], dtype=torch.float64),
        torch.tensor([-(2.0**53)], dtype=torch.float64),
    ],
)
def test_too_many_cells_are_refused(x):
    with pytest.raises(ValueError, match=r"width: wanted .*, got a cell with number \d"):
        cell_index(x, 1.0)
    with pytest.raises(ValueError, match=r"width: wanted .*, got a cell with number \d"):
        density(x, x, 1.0)


@pytest.mark.parametrize(("x", "width", "origin"), [([1.0], 5e-324, 0), ([1e308], 1, -1e308), ([1e200], 1e-200, 0)])
def test_cell_numbers_that_overflow_are_refused(x, width, origin):
    with pytest.raises(ValueError, match="width: wanted cells with numbers .*, got a cell with number inf"):
        cell_index(x, width, origin)


def test_the_cell_of_a_number_in_single_precision_holds_it():
    assert cell_index(torch.tensor([2.0**24, 2.0**26 + 8]), 1.0).tolist() == [2**24 - 1, 2**26 + 7]


def test_shapes_of_cells_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"x.*width.*: wanted shapes that .*, got \(2,\) and \(3,\)"):
        cell_index([0.0, 1.0], [1.0, 2.0, 3.0])


# The estimate


@pytest.mark.parametrize(("width", "origin"), [(0.3, 0.0), (0.71, -0.2), (2.0, 0.123)])
def test_on_the_line_the_estimate_is_that_of_numpy_and_scipy(normal, width, origin):
    data, points = normal("line", 500), 2 * normal("line: points", 300)
    edges = edges_about(data, width, origin)
    values, _ = np.histogram(data.numpy(), edges, density=True)
    middles = (edges[:-1] + edges[1:]) / 2
    np.testing.assert_allclose(density(middles, data, width, origin), values, rtol=1e-10)
    referee = stats.rv_histogram((values, edges), density=True).pdf(points.numpy())
    np.testing.assert_allclose(density(points, data, width, origin), referee, rtol=1e-10)


@pytest.mark.parametrize(("width", "origin"), [([0.5, 0.9], [0.1, -0.3]), ([0.8, 0.7, 1.1], [0.0, 0.2, -0.4])])
def test_in_more_dimensions_the_estimate_is_that_of_numpy_and_scipy(normal, width, origin):
    dimension = len(width)
    data = normal(f"space {dimension}", 400, dimension)
    edges = [edges_about(*one) for one in zip(data.T, width, origin, strict=True)]
    values, _ = np.histogramdd(data.numpy(), edges, density=True)
    binned = stats.binned_statistic_dd(data.numpy(), None, "count", bins=edges).statistic / 400 / math.prod(width)
    middles = np.stack(np.meshgrid(*((e[:-1] + e[1:]) / 2 for e in edges), indexing="ij"), -1).reshape(-1, dimension)
    found = density(middles, data, width, origin)
    assert (values == 0).any()
    np.testing.assert_allclose(found, values.ravel(), rtol=1e-10)
    np.testing.assert_allclose(found, binned.ravel(), rtol=1e-10)


def test_a_point_on_an_edge_belongs_to_the_cell_on_its_left():
    found = density([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], [0.0, 1.0, 1.0, 2.0], 1.0)
    assert found.tolist() == [0.25, 0.5, 0.5, 0.25, 0.25, 0]
    corner = density([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.5, 1.5], [1.5, 1.0]], [[1.0, 1.0]], [1.0, 0.5])
    assert corner.tolist() == [0, 0, 2, 0, 0]


def test_one_observation_fills_its_cell():
    assert density([0.1, 0.9, 1.1], [0.5], 1.0).tolist() == [1, 1, 0]
    assert density([0.1, 0.9, 1.1], [0.5], [0.25], [0.875]).tolist() == [0, 0, 0]


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 3))
def test_the_estimate_is_not_negative_and_integrates_to_one(draw, dimension):
    data, width, origin = data_width_and_origin(draw.draw, dimension)
    cells = torch.unique(cell_index(data, width, origin), dim=0)
    near = torch.cat([cells + step for step in (-1, 0, 1)])
    values = density(centres(near, width, origin), data, width, origin)
    assert (values >= 0).all()
    held = density(centres(cells, width, origin), data, width, origin)
    assert (held > 0).all()
    assert (held * width.prod()).sum().item() == pytest.approx(1, rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 3), st.integers(-3, 3))
def test_the_estimate_follows_order_shift_and_scale_of_the_data(draw, dimension, power):
    data, width, origin = data_width_and_origin(draw.draw, dimension)
    points = torch.cat([data, data + width / 2, data - width])
    found = density(points, data, width, origin)
    shuffled = data[draw.draw(st.permutations(range(len(data))))]
    assert torch.equal(density(points, shuffled, width, origin), found)
    shift = torch.tensor(draw.draw(st.lists(EIGHTHS, min_size=dimension, max_size=dimension))).double()
    assert torch.equal(density(points + shift, data + shift, width, origin + shift), found)
    scale = 2.0**power
    scaled = density(points * scale, data * scale, width * scale, origin * scale)
    torch.testing.assert_close(scaled, found / scale**dimension, rtol=1e-13, atol=0)
    whole = draw.draw(st.integers(-4, 4)) * width
    assert torch.equal(density(points, data, width, origin + whole), found)


def test_heavy_tails_cost_nothing():
    data = torch.empty(10**6, dtype=torch.float64).cauchy_(generator=generator("tails"))
    cells = torch.unique(cell_index(data, 1e-4))
    assert cells[-1] - cells[0] > 10**8
    values = density(centres(cells, 1e-4), data, 1e-4)
    assert (values * 1e-4).sum().item() == pytest.approx(1, rel=1e-10)
    referee = (data > -1).logical_and(data <= 1).double().mean() / 2
    assert density([0.5], data, 2.0, -1.0).item() == pytest.approx(referee.item(), rel=1e-12)


def test_many_dimensions_cost_nothing(normal):
    data = normal("many dimensions", 10**5, 8)
    cells = cell_index(data, 1e-3)
    assert math.prod(((column.max() - column.min()).item()) for column in cells.T) > 1e24
    np.testing.assert_allclose(density(data[:5], data, 1e-3), 1e24 / len(data), rtol=1e-10)
    inside = ((data > 0) & (data <= 2)).all(1).double().mean().item()
    assert density([[1.0] * 8], data, 2.0).item() == pytest.approx(inside / 256, rel=1e-12)


def test_a_million_observations_in_the_plane(normal):
    data = normal("a million", 10**6, 2)
    found = density([[0.05, 0.05], [0.15, -0.05]], data, 0.1)
    boxes = [((data > low) & (data <= low + 0.1)).all(1).sum().item() for low in torch.tensor([[0, 0], [0.1, -0.1]])]
    np.testing.assert_allclose(found, np.array(boxes) / 1e4, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_estimate_stays_on_the_device_and_the_precision_of_the_data(dtype, device):
    data = torch.tensor([0.25, 0.75, 1.5, 9.0], dtype=dtype, device=device)
    found = density([0.5, 1.5, 5.0], data, 0.5, [0.0])
    assert (found.dtype, found.device.type) == (dtype, device.type)
    assert found.tolist() == [0.5, 0.5, 0]
    plane = density([[0.5, 0.5]], torch.stack([data, data], 1), [1.0, 0.5])
    assert (plane.dtype, plane.device.type, plane.tolist()) == (dtype, device.type, [0.5])


def test_lists_arrays_and_tensors_give_the_same_estimate(normal):
    data, points = normal("any type", 30), normal("any type: points", 10)
    found = density(points, data, 0.4)
    assert torch.equal(density(points.tolist(), data.numpy(), 0.4), found)
    assert torch.equal(density(points[:, None], data[:, None], [0.4], [0.0]), found)
    assert density([0, 1], [0, 1, 2], 1).dtype == torch.float64


PLANE = [[0.0, 0.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [1.0], 1), r"points: wanted at least one number, got an empty array of shape \(0,\)"),
        (([1.0], [], 1), r"data: wanted at least one number, got an empty array of shape \(0,\)"),
        (([NAN], [1.0], 1), "points: wanted finite numbers, got nan"),
        (([1.0], [1.0, NAN], 1), "data: wanted finite numbers, got nan"),
        (([1.0], [1.0, -INF], 1), "data: wanted finite numbers, got -inf"),
        (([1.0], [1.0], NAN), "width: wanted finite numbers, got nan"),
        (([1.0], [1.0], 1, INF), "origin: wanted finite numbers, got inf"),
        (([1.0], ["a"], 1), "data: wanted numbers, got "),
        (([1.0], [True], 1), "data: wanted real numbers, got dtype torch.bool"),
        (([1.0], [1.0], None), "width: wanted numbers, got None"),
        (([1.0], [1.0], 0), "width: wanted numbers above zero, got 0.0"),
        (([1.0], [1.0], -2), "width: wanted numbers above zero, got -2.0"),
        ((PLANE, PLANE, [1.0, 0.0]), "width: wanted numbers above zero, got 0.0"),
        (([1.0], [1.0], [1.0, 1.0]), r"width: wanted a number, or 1 of them, got shape \(2,\)"),
        ((PLANE, PLANE, [1.0, 1.0, 1.0]), r"width: wanted a number, or 2 of them, got shape \(3,\)"),
        ((PLANE, PLANE, [[1.0, 1.0]]), r"width: wanted a number, or 2 of them, got shape \(1, 2\)"),
        ((PLANE, PLANE, 1, [0.0, 0.0, 0.0]), r"origin: wanted a number, or 2 of them, got shape \(3,\)"),
        ((PLANE, [1.0], 1), r"points: wanted points in 1 dimension\(s\), as the data, got shape \(2, 2\)"),
        (([1.0], PLANE, 1), r"points: wanted points in 2 dimension\(s\), as the data, got shape \(1, 1\)"),
        ((1.0, [1.0], 1), r"points: wanted points in 1 dimension\(s\), as the data, got shape \(\)"),
        (([1.0], 1.0, 1), r"data: wanted shape \(n,\) or \(n, d\), got shape \(\)"),
        (([1.0], [PLANE], 1), r"data: wanted shape \(n,\) or \(n, d\), got shape \(1, 2, 2\)"),
    ],
)
def test_bad_arguments_of_the_estimate_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        density(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1), "x: wanted at least one number, got an empty array"),
        (([NAN], 1), "x: wanted finite numbers, got nan"),
        (([1.0], 0), "width: wanted numbers above zero, got 0.0"),
        (([1.0], [-1.0]), "width: wanted numbers above zero, got -1.0"),
        (([1.0], 1, NAN), "origin: wanted finite numbers, got nan"),
        (([1.0], 1, "a"), "origin: wanted numbers, got 'a'"),
    ],
)
def test_bad_arguments_of_the_cell_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        cell_index(*arguments)


# Counts


@pytest.mark.parametrize("cells", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3, 1), (0.1, 0.7)])
def test_counts_are_those_of_numpy(low, high, cells, device):
    share = torch.rand(2, 3, 400, generator=generator(f"counts {low} {cells}"), dtype=torch.float64)
    x = (low + (high - low) * share).to(device)
    found = counts(x, cells, low, high)
    assert (found.dtype, found.shape, found.device.type) == (torch.int64, (2, 3, cells), device.type)
    assert (found.sum(-1) == 400).all()
    for index in np.ndindex(2, 3):
        referee, _ = np.histogram(x[index].cpu(), cells, (low, high))
        np.testing.assert_array_equal(found[index].cpu(), referee)


def test_a_number_on_an_edge_is_counted_on_its_left_and_both_ends_are_counted(device):
    x = torch.tensor([0.0, 0.25, 0.25, 0.5, 1.0, 1.0, 1.0], dtype=torch.float64, device=device)
    assert counts(x, 4).tolist() == [3, 1, 0, 3]
    assert counts(4 * x - 1, 4, -1, 3).tolist() == [3, 1, 0, 3]
    assert counts(torch.tensor([[0, 1], [1, 1]], device=device), 2).tolist() == [[1, 1], [0, 2]]
    assert counts(x[:1], 1).tolist() == [1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 64), min_size=1, max_size=40), st.sampled_from([1, 2, 4, 8, 16]), st.integers(-9, 9))
def test_counts_agree_with_cells_and_with_numpy_run_backwards(numbers, cells, low):
    x = np.array(numbers) / 64 + low
    found = counts(x, cells, low, low + 1)
    referee, _ = np.histogram(-x, cells, (-low - 1, -low))
    np.testing.assert_array_equal(found, referee[::-1])
    place = cell_index(x, 1 / cells, low).clamp_min(0)
    np.testing.assert_array_equal(found, place.bincount(minlength=cells))


def test_counts_of_the_halves_add_up(normal):
    x = normal("halves", 5, 600).clamp(-4, 4)
    assert torch.equal(counts(x, 6, -4, 4), counts(x[:, :100], 6, -4, 4) + counts(x[:, 100:], 6, -4, 4))
    assert torch.equal(counts(x, 6, -4, 4), counts(x, 12, -4, 4).reshape(5, 6, 2).sum(-1))


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda x: np.array(x[::-1])[::-1]])
def test_lists_and_arrays_are_counted_in_full_precision(kind):
    assert counts(kind([0.1, 0.3, 0.3, 0.85]), 10).tolist() == [1, 0, 2, 0, 0, 0, 0, 0, 1, 0]


def test_a_sample_in_single_precision_is_counted(device):
    x = torch.tensor([0.125, 0.25, 0.875], dtype=torch.float32, device=device, requires_grad=True)
    assert counts(x, 4).tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize(
    ("x", "got"),
    [
        ([0.5, 1.5], "1.5"),
        ([0.5, -0.25], "-0.25"),
        ([-3.0, 2.0], "-3.0"),
        ([[0.5, 0.5], [0.5, 2.0]], "2.0"),
        ([0, 2], "2"),
        (np.array([1.0000000001]), "1.0000000001"),
        ([1.0000000001], "1.0000000001"),
        ([0.5, INF], "inf"),
        ([-INF, 0.5], "-inf"),
        ([0.5, NAN], "nan"),
        ([-3.0, NAN, 2.0], "nan"),
    ],
)
def test_numbers_outside_the_cells_are_refused_by_name(x, got):
    with pytest.raises(ValueError, match=rf"^x: wanted .*numbers.*, got {got}(\.0)?$"):
        counts(x, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 4), r"x: wanted .*, got .*shape \(0,\)"),
        ((torch.ones(3, 0), 4), r"x: wanted .*, got .*shape \(3, 0\)"),
        ((0.5, 4), r"x: wanted a sample along the last axis, got shape \(\)"),
        (("text", 4), "x: wanted numbers, got 'text'"),
        (([[1.0], [0.0, 1.0]], 4), "x: wanted numbers, got "),
        (([0.5j], 4), "x: wanted real numbers, got dtype torch.complex"),
        (([True, False], 4), "x: wanted real numbers, got dtype torch.bool"),
        (([0.5], 0), "cells: wanted a whole number of at least 1, got 0"),
        (([0.5], -2), "cells: wanted a whole number of at least 1, got -2"),
        (([0.5], 2.0), "cells: wanted a whole number of at least 1, got 2.0"),
        (([0.5], True), "cells: wanted a whole number of at least 1, got True"),
        (([0.5], 4, 1, 1), "low, high: wanted an interval, got 1.0, 1.0"),
        (([0.5], 4, 1, 0), "low, high: wanted an interval, got 1.0, 0.0"),
        (([0.5], 4, NAN, 1), "low: wanted a number, got nan"),
        (([0.5], 4, 0, INF), "high: wanted a number, got inf"),
        (([0.5], 4, -INF, 1), "low: wanted a number, got -inf"),
        (([0.5], 4, -1e308, 1e308), r"low, high: wanted .*, got -1e\+308, 1e\+308"),
        (([0.0], 4, 0, 1e-320), "low, high: wanted .*, got 0.0, 1e-320"),
    ],
)
def test_bad_arguments_of_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        counts(*arguments)


# Counts without points


@pytest.mark.parametrize("masses", [[1.0], [0.05, 0.95], MASSES, [1 / 8] * 8, [1 / 33] * 33])
@pytest.mark.parametrize("n", [1, 2, 1000])
def test_drawn_counts_are_whole_and_sum_to_n(masses, n, device):
    found = draw_counts(masses, n, 50, generator(f"whole {n}", device))
    assert (found.dtype, found.shape, found.device.type) == (torch.float64, (50, len(masses)), device.type)
    assert (found >= 0).all()
    assert torch.equal(found, found.round())
    assert (found.sum(-1) == n).all()


@pytest.mark.parametrize("masses", [MASSES, [0.25] * 4, [0.9, 0.1], [0.04] * 25], ids=len)
@pytest.mark.parametrize("n", [1, 3, 40, 10**6])
def test_drawn_counts_have_the_mean_and_the_covariance_of_a_multinomial(masses, n, device):
    found = draw_counts(masses, n, 10**4, generator(f"moments {n}", device)).cpu()
    masses = torch.tensor(masses, dtype=torch.float64)
    assert largest_score(found, n * masses) < 6
    centred = (found - n * masses) / math.sqrt(n)
    products = centred[:, :, None] * centred[:, None, :]
    if n * masses.min() ** 2 > 0.03:  # rarer pairs of cells are far from normal
        assert largest_score(products, torch.diag(masses) - masses[:, None] * masses) < 6


@pytest.mark.parametrize(
    ("n", "masses"), [(1, MASSES), (3, [0.2, 0.3, 0.5]), (4, [0.1, 0.4, 0.3, 0.2]), (6, [0.5, 0.5]), (12, [0.9, 0.1])]
)
def test_drawn_counts_have_the_law_of_a_multinomial(n, masses):
    found = draw_counts(masses, n, 20_000, generator(f"law {n}"))
    every = outcomes(n, len(masses))
    drawn = (found[:, None] == torch.tensor(every)).all(-1).double().sum(0)
    expected = 20_000 * stats.multinomial.pmf(every, n, masses)
    assert drawn.sum() == 20_000
    assert stats.chisquare(drawn, expected).pvalue > 1e-9


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([0.0, 0.0, 1.0, 1e-320, 7.0]), min_size=1, max_size=20).filter(lambda m: max(m) >= 1))
def test_cells_without_mass_stay_empty(masses):
    masses = torch.tensor(masses, dtype=torch.float64)
    masses /= masses.sum()
    found = draw_counts(masses, 100, 20, generator("empty cells"))
    assert (found.sum(-1) == 100).all()
    assert (found[:, masses < 1e-300] == 0).all()


def test_one_stream_gives_one_draw_and_the_next_draw_differs():
    stream = generator("stream")
    first, second = (draw_counts(MASSES, 1000, 20, stream) for _ in range(2))
    assert torch.equal(first, draw_counts(MASSES, 1000, 20, generator("stream")))
    assert not torch.equal(first, second)
    assert not torch.equal(first, draw_counts(MASSES, 1000, 20, generator("another stream")))


def test_masses_in_single_precision_are_drawn_from():
    found = draw_counts(torch.full((10,), 0.1), 1000, 200, generator("single"))
    assert found.dtype == torch.float64
    assert (found.sum(-1) == 1000).all()
    assert largest_score(found, 100) < 6


def test_drawn_counts_are_as_those_of_observations():
    x = torch.rand(4000, 50, generator=generator("observations"), dtype=torch.float64) ** 2
    edges = torch.linspace(0, 1, 6, dtype=torch.float64)
    drawn, counted = draw_counts(edges.sqrt().diff(), 50, 4000, generator("no observations")), counts(x, 5).double()
    for cell in range(5):
        assert stats.ks_2samp(drawn[:, cell], counted[:, cell], method="asymp").pvalue > 1e-9


# Errors


def cubic(cells, dimension):
    r"""The density $\prod_k 3x_k^2$ on the unit cube: each cell's mass and $\int f^2$ over it, as fractions."""
    ends = [(Fraction(j, cells), Fraction(j + 1, cells)) for j in range(cells)]
    blocks = list(product(ends, repeat=dimension))
    masses = [math.prod(b**3 - a**3 for a, b in block) for block in blocks]
    return masses, [math.prod(Fraction(9, 5) * (b**5 - a**5) for a, b in block) for block in blocks]


def floats(fractions):
    return [float(one) for one in fractions]


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize(("cells", "dimension"), [(1, 1), (5, 1), (16, 1), (4, 2), (3, 3)])
def test_the_errors_are_exact_fractions_for_a_polynomial(cells, dimension, n):
    masses, squares = cubic(cells, dimension)
    volume = Fraction(1, cells**dimension)
    means = [p / volume for p in masses]
    variances = [p * (1 - p) / (n * volume**2) for p in masses]
    biases = [m**2 * volume - 2 * m * p + s for m, p, s in zip(means, masses, squares, strict=True)]
    exact = sum(variances) * volume + sum(biases)
    p, h, square = floats(masses), float(volume), float(sum(squares))
    np.testing.assert_allclose(histogram.mean(p, h), floats(means), rtol=1e-13)
    np.testing.assert_allclose(histogram.variance(p, n, h), floats(variances), rtol=1e-12, atol=1e-14)
    assert mise(p, n, h, square).item() == pytest.approx(float(exact), rel=1e-11)


def test_the_expected_error_is_the_mean_over_all_outcomes():
    n, masses, volume, square = 5, [0.1, 0.2, 0.3, 0.4], 0.5, 0.7
    every = torch.tensor(outcomes(n, 4), dtype=torch.float64)
    chances = torch.from_numpy(stats.multinomial.pmf(every.numpy(), n, masses))
    estimate = every / (n * volume)
    mean = chances @ estimate
    torch.testing.assert_close(histogram.mean(masses, volume), mean, rtol=1e-12, atol=0)
    spread = chances @ (estimate - mean).square()
    torch.testing.assert_close(histogram.variance(masses, n, volume), spread, rtol=1e-12, atol=0)
    error = chances @ integrated_squared_error(every, masses, volume, square)
    assert mise(masses, n, volume, square).item() == pytest.approx(error.item(), rel=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.integers(1, 10**6), st.floats(0.01, 100))
def test_the_expected_error_is_that_of_the_drawn_counts_moments(weights, n, volume):
    p = np.array(weights) / sum(weights)
    exact = 1 + (p @ p / n * (n - 1) + 1 / n - 2 * p @ p) / volume
    assert mise(p, n, volume, 1).item() == pytest.approx(exact, rel=1e-10, abs=1e-10)
    variance = histogram.variance(p, n, volume).sum().item() * volume
    bias = 1 - (p @ p) / volume
    assert mise(p, n, volume, 1).item() == pytest.approx(variance + bias, rel=1e-10, abs=1e-10)


def test_the_mean_error_of_drawn_counts_is_the_expected_error():
    found = integrated_squared_error(draw_counts(MASSES, 30, 20_000, generator("errors")), MASSES, 0.5, 0.6)
    assert found.shape == (20_000,)
    assert largest_score(found, mise(MASSES, 30, 0.5, 0.6)) < 6


def test_samples_have_the_expected_error_the_mean_and_the_variance():
    masses, squares = cubic(8, 1)
    p, square = floats(masses), float(sum(squares))
    x = torch.rand(4000, 25, generator=generator("samples"), dtype=torch.float64) ** (1 / 3)
    found = counts(x, 8)
    assert largest_score(integrated_squared_error(found, p, 1 / 8, square), mise(p, 25, 1 / 8, square)) < 6
    values = found[:, 2:] / (25 / 8)
    assert largest_score(values, histogram.mean(p, 1 / 8)[2:]) < 6
    spread = histogram.variance(p, 25, 1 / 8)[2:]
    assert largest_score((values - histogram.mean(p, 1 / 8)[2:]).square(), spread) < 6


@pytest.mark.parametrize("cells", [1, 4, 9])
def test_the_error_of_a_sample_is_an_integral_over_the_estimate(cells):
    x = torch.rand(40, generator=generator("one sample"), dtype=torch.float64) ** (1 / 3)
    masses, squares = cubic(cells, 1)
    found = integrated_squared_error(counts(x, cells), floats(masses), 1 / cells, float(sum(squares)))
    ends = np.linspace(0, 1, cells + 1)

    def error(y):
        return (density([y], x, 1 / cells).item() - 3 * y**2) ** 2

    referee = sum(integrate.quad(error, a, b)[0] for a, b in pairwise(ends))
    assert found.item() == pytest.approx(referee, rel=1e-9)


def test_each_sample_has_its_own_error_whatever_the_type_of_its_counts():
    found = torch.tensor([[[1, 2, 0, 0, 0, 0, 1], [0, 0, 3, 0, 0, 0, 0]]])
    errors = integrated_squared_error(found, MASSES, 0.5, 0.6)
    assert (errors.shape, errors.dtype) == ((1, 2), torch.float64)
    for index in np.ndindex(1, 2):
        one = integrated_squared_error(found[index].tolist(), np.array(MASSES), 0.5, 0.6)
        assert one.item() == pytest.approx(errors[index].item(), rel=1e-13)
    assert integrated_squared_error(2 * found, MASSES, 0.5, 0.6).tolist() == errors.tolist()


def test_errors_stay_on_the_device_and_the_precision_of_the_masses(device):
    for dtype in (torch.float32, torch.float64):
        masses = torch.tensor([0.25, 0.75], dtype=dtype, device=device)
        found = [histogram.mean(masses, 0.5), histogram.variance(masses, 4, 0.5), mise(masses, 4, 0.5, 1.25)]
        found += [integrated_squared_error([1, 3], masses, 0.5, 1.25)]
        found += [integrated_squared_error(torch.tensor([[1, 3]], device=device), masses, 0.5, 1.25)]
        assert {(one.dtype, one.device.type) for one in found} == {(dtype, device.type)}
        assert [one.tolist() for one in found] == [[0.5, 1.5], [0.1875, 0.1875], 0.1875, 0.0, [0.0]]
        terms = [asymptotic_mise(4, masses, 3.0), optimal_width(masses, 3.0)]
        assert {(one.dtype, one.device.type) for one in terms} == {(dtype, device.type)}


def test_one_sample_has_an_error_of_the_same_precision_as_many():
    masses, found = torch.tensor([0.25, 0.75]), torch.tensor([[1, 3], [2, 2]])
    one, many = (integrated_squared_error(c, masses, 0.5, 1.25) for c in (found[0], found))
    assert one.dtype == many.dtype == torch.float32


# A smooth density


@pytest.mark.parametrize(("n", "width"), [(100, 0.3), (1000, 0.1), (10**5, 0.02)])
def test_the_leading_terms_are_those_of_the_exact_error(n, width):
    edges = np.arange(-10, 10 + width, width)
    masses, square = np.diff(stats.norm.cdf(edges)), 1 / (2 * math.sqrt(math.pi))
    roughness = integrate.quad(lambda x: (x * stats.norm.pdf(x)) ** 2, -12, 12)[0]
    exact, leading = mise(masses, n, width, square).item(), asymptotic_mise(n, width, roughness).item()
    assert abs(exact + square / n - leading) < width**4 / 10


@settings(deadline=None)
@given(st.floats(1, 1e9), st.floats(1e-6, 1e6))
def test_the_optimal_width_is_stationary_and_no_other_is_better(n, roughness):
    width = optimal_width(n, roughness).requires_grad_()
    best = asymptotic_mise(n, width, roughness)
    best.backward()
    assert width.item() == pytest.approx((6 / (n * roughness)) ** (1 / 3), rel=1e-12)
    assert abs(width.grad * width) < 1e-12 * best
    assert best.item() == pytest.approx(1.5 / (n * width.item()), rel=1e-12)
    for factor in (0.5, 0.99, 1.01, 2):
        assert asymptotic_mise(n, width * factor, roughness) > best


def test_leading_terms_and_optimal_widths_broadcast():
    n, roughness, width = [[10], [1000]], [0.5, 1.0, 4.0], [[[0.1]], [[0.2]]]
    assert asymptotic_mise(n, width, roughness).shape == (2, 2, 3)
    assert asymptotic_mise(1000, 0.2, 4.0).item() == pytest.approx(asymptotic_mise(n, width, roughness)[1, 1, 2].item())
    assert asymptotic_mise(1000, 0.2, 4.0).item() == pytest.approx(0.04 / 3 + 0.005, rel=1e-13)
    assert optimal_width(n, roughness).shape == (2, 3)
    assert optimal_width(n, roughness)[0, 1].item() == pytest.approx(0.6 ** (1 / 3), rel=1e-13)


def test_a_flat_density_has_no_bias():
    assert asymptotic_mise(10, 0.5, 0).item() == pytest.approx(0.2, rel=1e-14)


# Bad input

BAD_MASSES = [
    ([0.5, 0.4], "wanted numbers that sum to 1, got a sum of 0.9"),
    ([1.5, -0.5], "wanted numbers of at least 0, got -0.5"),
    ([], r"wanted at least one number, got an empty array of shape \(0,\)"),
    ([0.5, NAN], "wanted finite numbers, got nan"),
    ([[0.5, 0.5]], r"wanted 1 dimension\(s\), got shape \(1, 2\)"),
    (1.0, r"wanted 1 dimension\(s\), got shape \(\)"),
    ("a", "wanted numbers, got 'a'"),
]
OF_MASSES = {
    "mean": lambda masses: histogram.mean(masses, 0.5),
    "variance": lambda masses: histogram.variance(masses, 3, 0.5),
    "mise": lambda masses: mise(masses, 3, 0.5, 1),
    "integrated_squared_error": lambda masses: integrated_squared_error([1, 2], masses, 0.5, 1),
    "draw_counts": lambda masses: draw_counts(masses, 3, 2, generator("bad masses")),
}


@pytest.mark.parametrize(("masses", "message"), BAD_MASSES)
@pytest.mark.parametrize("function", OF_MASSES.values(), ids=OF_MASSES)
def test_masses_that_are_no_probabilities_are_refused(function, masses, message):
    with pytest.raises(ValueError, match=f"^masses: {message}"):
        function(masses)


HALVES = [0.5, 0.5]
OF_VOLUME = {
    "mean": lambda volume: histogram.mean(HALVES, volume),
    "variance": lambda volume: histogram.variance(HALVES, 3, volume),
    "mise": lambda volume: mise(HALVES, 3, volume, 1),
    "integrated_squared_error": lambda volume: integrated_squared_error([1, 2], HALVES, volume, 1),
}


@pytest.mark.parametrize("volume", [0, -1.0, NAN, INF, None, [1.0, 1.0]], ids=repr)
@pytest.mark.parametrize("function", OF_VOLUME.values(), ids=OF_VOLUME)
def test_a_volume_is_a_number_above_zero(function, volume):
    with pytest.raises(ValueError, match="^volume: wanted a number above zero, got "):
        function(volume)


OF_N = {
    "variance": lambda n: histogram.variance(HALVES, n, 0.5),
    "mise": lambda n: mise(HALVES, n, 0.5, 1),
    "draw_counts": lambda n: draw_counts(HALVES, n, 2, generator("bad n")),
}


@pytest.mark.parametrize("n", [0, -1, 2.5, True, NAN, None], ids=repr)
@pytest.mark.parametrize("function", OF_N.values(), ids=OF_N)
def test_a_number_of_observations_is_a_whole_number(function, n):
    with pytest.raises(ValueError, match=f"^n: wanted a whole number of at least 1, got {n}"):
        function(n)


@pytest.mark.parametrize("number", [0, -1, 2.0, False, None], ids=repr)
def test_a_number_of_draws_is_a_whole_number(number):
    with pytest.raises(ValueError, match=f"^number: wanted a whole number of at least 1, got {number}"):
        draw_counts(HALVES, 3, number, generator("bad number"))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1], r"wanted a last axis of 2, one number a cell, got shape \(1,\)"),
        ([1, 2, 3], r"wanted a last axis of 2, one number a cell, got shape \(3,\)"),
        ([[1], [2]], r"wanted a last axis of 2, one number a cell, got shape \(2, 1\)"),
        (3, r"wanted a last axis of 2, one number a cell, got shape \(\)"),
        ([], "wanted at least one number, got an empty array"),
        ([3, -1], "wanted numbers of at least 0, got -1.0"),
        ([3, NAN], "wanted finite numbers, got nan"),
        ([0, 0], "wanted .*, got "),
        ([[1, 2], [0, 0]], "wanted .*, got "),
    ],
)
def test_counts_that_are_none_are_refused(found, message):
    with pytest.raises(ValueError, match=f"^counts.*: {message}"):
        integrated_squared_error(found, HALVES, 0.5, 1)


@pytest.mark.parametrize("square_integral", [NAN, INF, [], "a"], ids=repr)
def test_a_square_integral_is_a_finite_number(square_integral):
    with pytest.raises(ValueError, match="^square_integral: wanted "):
        mise(HALVES, 3, 0.5, square_integral)
    with pytest.raises(ValueError, match="^square_integral: wanted "):
        integrated_squared_error([1, 2], HALVES, 0.5, square_integral)


@pytest.mark.parametrize(
    ("n", "width", "roughness", "message"),
    [
        (0, 1, 1, "n: wanted numbers above zero, got 0.0"),
        ([10, -1], 1, 1, "n: wanted numbers above zero, got -1.0"),
        (NAN, 1, 1, "n: wanted finite numbers, got nan"),
        (10, 0, 1, "width: wanted numbers above zero, got 0.0"),
        (10, [1.0, -2.0], 1, "width: wanted numbers above zero, got -2.0"),
        (10, [], 1, "width: wanted at least one number"),
        (10, 1, -1, "roughness: wanted numbers of at least 0, got -1.0"),
        (10, 1, INF, "roughness: wanted finite numbers, got inf"),
        ([1, 2], 1, [1, 2, 3], r"n.*, roughness: wanted shapes that .*, got .*\(2,\) and .*\(3,\)"),
    ],
)
def test_bad_terms_are_refused(n, width, roughness, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        asymptotic_mise(n, width, roughness)
    if not message.startswith("width"):
        with pytest.raises(ValueError, match=f"^{message}"):
            optimal_width(n, roughness)


def test_a_flat_density_has_no_optimal_width():
    with pytest.raises(ValueError, match="^roughness: wanted numbers above zero, got 0.0"):
        optimal_width(10, [1.0, 0.0])

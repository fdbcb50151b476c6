import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from helpers.densities.neighbours import ball_volume, density, radius
from helpers.randomness import generator

QUARTERS = st.integers(-40, 40).map(lambda number: number / 4)
NAN, INF = float("nan"), float("inf")


def vectors(dimension, **sizes):
    return st.lists(st.lists(QUARTERS, min_size=dimension, max_size=dimension), **sizes).map(
        lambda rows: torch.tensor(rows, dtype=torch.float64)
    )


def brute(points, data, k):
    """Every distance, sorted."""
    points, data = np.asarray(points), np.asarray(data)
    return np.sort(np.linalg.norm(points[:, None] - data, axis=-1))[:, k - 1]


# The distance to the k-th neighbour


@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 12])
@pytest.mark.parametrize("k", [1, 2, 7, 150])
def test_the_radius_is_that_of_scipy_and_sklearn(normal, dimension, k):
    data = normal(f"data {dimension}", 150, dimension)
    between = (data[1:] + data[:-1]) / 2
    points = torch.cat([2 * normal(f"points {dimension}", 100, dimension), data, between, 1e3 * data[:5]])
    found = radius(points, data, k)
    assert (found.shape, found.dtype) == ((len(points),), torch.float64)
    referee = cKDTree(data.numpy()).query(points.numpy(), [k])[0][:, 0]
    np.testing.assert_allclose(found, referee, rtol=1e-12, atol=1e-14)
    model = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(data.numpy())
    np.testing.assert_allclose(found, model.kneighbors(points.numpy())[0][:, -1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("k", range(1, 10))
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_duplicates_and_ties_on_a_lattice_are_counted(dimension, k):
    axis = torch.arange(4 if dimension > 1 else 20, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)
    data = torch.cat([lattice, lattice[::3], lattice[::3]])
    points = torch.cat([lattice, lattice + 0.5, lattice - 7, lattice * 0.75])
    np.testing.assert_allclose(radius(points, data, k), brute(points, data, k), rtol=1e-14)


@settings(deadline=None, max_examples=200)
@given(st.data(), st.lists(st.integers(-6, 6), min_size=1, max_size=30))
def test_on_the_line_the_radius_is_exact(draw, data):
    k = draw.draw(st.integers(1, len(data)))
    points = [number / 4 for number in draw.draw(st.lists(st.integers(-40, 40), min_size=1, max_size=10))]
    exact = [sorted(abs(point - x) for x in data)[k - 1] for point in points]
    assert radius(points, data, k).tolist() == exact


def test_one_datum_is_the_only_neighbour():
    assert radius([0.0, 1.0, 3.0], [1.0], 1).tolist() == [1, 0, 2]
    assert radius([[0.0, 0.0], [4.0, 5.0]], [[1.0, 1.0]], 1).tolist() == pytest.approx([math.sqrt(2), 5], rel=1e-15)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_far_outside_the_radius_is_the_distance(k):
    data = [-1.0, 0.0, 2.0]
    for far in (1e18, 1e300, -1e300):
        assert radius([far], data, k).tolist() == [abs(far)]
    assert radius([[3e150, 4e150]], [[x, 0.0] for x in data], k).item() == pytest.approx(5e150, rel=1e-14)


def test_distances_without_a_finite_square_are_refused():
    with pytest.raises(ValueError, match="points, data: wanted distances with a finite square, got inf"):
        radius([[3e300, 4e300]], [[0.0, 0.0]], 1)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 3))
def test_the_radius_is_lipschitz_and_grows_with_k(draw, dimension):
    data = draw.draw(vectors(dimension, min_size=1, max_size=12))
    points = draw.draw(vectors(dimension, min_size=2, max_size=6))
    every = torch.stack([radius(points, data, k) for k in range(1, len(data) + 1)])
    assert (every.diff(dim=0) >= 0).all()
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    assert ((every[:, :, None] - every[:, None, :]).abs() <= distances + 1e-12).all()
    torch.testing.assert_close(every[0], torch.cdist(points, data).amin(1), rtol=1e-7, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 3), st.integers(-3, 3))
def test_radius_and_density_follow_order_shift_and_scale(draw, dimension, power):
    data = draw.draw(vectors(dimension, min_size=1, max_size=12))
    points = torch.cat([data, draw.draw(vectors(dimension, min_size=1, max_size=5))])
    k = draw.draw(st.integers(1, len(data)))
    shift, scale = draw.draw(vectors(dimension, min_size=1, max_size=1))[0], 2.0**power
    shuffled = data[draw.draw(st.permutations(range(len(data))))]
    found, value = radius(points, data, k), density(points, data, k)
    order = torch.tensor(draw.draw(st.permutations(range(len(points)))))
    for function, result, factor in ((radius, found, scale), (density, value, scale**-dimension)):
        torch.testing.assert_close(function(points, shuffled, k), result, rtol=1e-14, atol=0)
        torch.testing.assert_close(function(points[order], data, k), result[order], rtol=1e-14, atol=0)
        torch.testing.assert_close(function(points + shift, data + shift, k), result, rtol=1e-13, atol=0)
        torch.testing.assert_close(function(points * scale, data * scale, k), result * factor, rtol=1e-13, atol=0)


@pytest.mark.parametrize("dimension", [1, 2])
def test_many_data_are_searched(normal, dimension):
    data, points = normal("many", 10**5, dimension), normal("many: points", 20, dimension)
    np.testing.assert_allclose(radius(points, data, 300), brute(points, data, 300), rtol=1e-12)


# Volumes


def test_the_first_balls_are_an_interval_a_disc_and_a_ball():
    volumes = [ball_volume(dimension).item() for dimension in (1, 2, 3)]
    assert volumes == pytest.approx([2, math.pi, 4 * math.pi / 3], rel=1e-14)
    assert ball_volume(3, 2).item() == pytest.approx(32 * math.pi / 3, rel=1e-14)


@pytest.mark.parametrize("dimension", [3, 4, 7, 20, 101, 300])
def test_volumes_obey_their_recursion_and_are_those_of_the_gamma_function(dimension):
    found = ball_volume(dimension).item()
    assert found == pytest.approx(2 * math.pi / dimension * ball_volume(dimension - 2).item(), rel=1e-12, abs=0)
    log = dimension / 2 * math.log(math.pi) - special.gammaln(dimension / 2 + 1)
    assert found == pytest.approx(math.exp(log), rel=1e-12, abs=0)
    if dimension < 150:
        assert found == pytest.approx(math.pi ** (dimension / 2) / special.gamma(dimension / 2 + 1), rel=1e-12, abs=0)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_volumes_are_those_of_random_points_in_a_cube(dimension):
    x = 2 * torch.rand(100_000, dimension, generator=generator(f"cube {dimension}"), dtype=torch.float64) - 1
    inside = (x.square().sum(1) <= 0.81).double()
    exact = ball_volume(dimension, 0.9).item() / 2**dimension
    assert abs(inside.mean().item() - exact) < 6 * math.sqrt(exact * (1 - exact) / len(x))


def test_a_radius_of_any_shape_has_its_volume():
    found = ball_volume(2, [[0, 1, 2], [3, 0.5, 1e-3]])
    np.testing.assert_allclose(found, np.pi * np.array([[0, 1, 4], [9, 0.25, 1e-6]]), rtol=1e-14)
    assert ball_volume(np.int64(4)).item() == pytest.approx(math.pi**2 / 2, rel=1e-14)


@pytest.mark.parametrize(("dimension", "length"), [(400, 10.0), (784, 10.0), (784, 5.0), (1000, 8.0)])
def test_balls_in_many_dimensions_have_a_volume(dimension, length):
    log = dimension / 2 * math.log(math.pi) - special.gammaln(dimension / 2 + 1) + dimension * math.log(length)
    assert abs(log) < 700
    assert ball_volume(dimension, length).item() == pytest.approx(math.exp(log), rel=1e-10, abs=0)


def test_an_image_has_a_density():
    found = density(np.zeros((1, 784)), np.full((2, 784), 0.25), 1)
    log = 392 * math.log(math.pi) - special.gammaln(393) + 784 * math.log(7)
    assert abs(log) < 700
    assert found.item() == pytest.approx(math.exp(-log) / 2, rel=1e-10, abs=0)


# The density


@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 12])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_the_density_is_k_over_n_times_the_volume(normal, dimension, k):
    data, points = normal(f"density {dimension}", 60, dimension), normal(f"density points {dimension}", 40, dimension)
    ball = math.pi ** (dimension / 2) / special.gamma(dimension / 2 + 1)
    referee = k / (60 * ball * brute(points, data, k) ** dimension)
    found = density(points, data, k)
    assert (found.shape, found.dtype) == ((40,), torch.float64)
    np.testing.assert_allclose(found, referee, rtol=1e-11)


def test_the_density_is_infinite_where_k_data_coincide():
    data = [0.0, 0.0, 1.0, 3.0]
    assert density([0.0, 1.0], data, 1).tolist() == [INF, INF]
    assert density([0.0, 1.0, 3.0], data, 2).tolist() == pytest.approx([INF, 0.25, 0.125], rel=1e-14)
    assert density([0.0], data, 3).tolist() == pytest.approx([0.375], rel=1e-14)
    plane = density([[0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 1.0], [2.0, 2.0]], 2)
    assert plane.tolist() == pytest.approx([INF, 2 / (3 * math.pi)], rel=1e-14)


def test_far_outside_the_density_is_zero():
    assert density([1e300, -1e308], [0.0, 1.0], 1).tolist() == pytest.approx([2.5e-301, 2.5e-309], rel=1e-6)
    assert density([[1e154, 0.0, 0.0]], [[0.0, 1.0, 2.0]], 1).tolist() == [0]


# Input


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("k", [1, 3])
def test_results_stay_on_the_device_and_the_precision_of_the_data(normal, dimension, k, device):
    data, points = normal("precision", 30, dimension), normal("precision: points", 9, dimension)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        near = data.to(device, dtype)
        for where in (points.to(near), points.numpy(), points.tolist()):
            found = [radius(where, near, k), density(where, near, k)]
            assert {(one.dtype, one.device.type) for one in found} == {(dtype, device.type)}
            np.testing.assert_allclose(found[0].cpu(), brute(points, data, k), rtol=tolerance)
            np.testing.assert_allclose(found[1].cpu(), density(points, data, k), rtol=10 * tolerance)
        assert ball_volume(dimension, near[:, 0].abs()).dtype == dtype


def test_ties_and_duplicates_are_found_on_every_device(device):
    line = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 2.0], dtype=torch.float64, device=device)
    plane = torch.stack([line, torch.zeros_like(line)], 1)
    for k, exact in ((1, [0, 0.5, 0]), (2, [0, 0.5, 0]), (3, [1, 0.5, 0]), (6, [2, 1.5, 1])):
        assert radius([0.0, 0.5, 1.0], line, k).tolist() == exact
        assert radius([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]], plane, k).tolist() == exact


def test_lists_arrays_columns_and_integers_give_the_same(normal):
    data, points = normal("type", 20), normal("type: points", 5)
    found = radius(points, data, 3)
    assert torch.equal(radius(points.tolist(), data.tolist(), 3), found)
    assert torch.equal(radius(points.numpy()[:, None], data.numpy()[::-1, None], 3), found)
    assert radius([0, 5], [1, 2, 3], 2).tolist() == [2, 3]
    assert radius([[0, 0]], [[3, 4]], 1).tolist() == [5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dimension", [1, 2, 12])
def test_half_precision_is_searched_in_single(normal, dtype, dimension, device):
    points, data = normal("half points", 9, dimension).to(device, dtype), normal("half data", 50, dimension).to(dtype)
    for function in (radius, density):
        assert torch.equal(function(points, data.to(device), 3), function(points.float(), data.to(device).float(), 3))


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("function", [radius, density])
def test_k_may_be_a_whole_number_of_numpy(function, kind):
    assert function([0.0, 2.0], [1.0, 4.0], kind(2)).tolist() == function([0.0, 2.0], [1.0, 4.0], 2).tolist()
    plane = [[0.0, 1.0], [2.0, 5.0]]
    assert function(plane, plane, kind(2)).tolist() == function(plane, plane, 2).tolist()


@pytest.mark.parametrize("dimension", [1, 2])
def test_points_and_data_that_carry_a_gradient_are_searched(normal, dimension):
    data, points = normal("gradient", 9, dimension), normal("gradient: points", 4, dimension)
    found = radius(points, data, 2)
    for one, other in ((points.clone().requires_grad_(), data), (points, data.clone().requires_grad_())):
        assert torch.equal(radius(one, other, 2).detach(), found)


PLANE = [[0.0, 0.0], [1.0, 2.0]]
BAD = [
    (([], [1.0], 1), r"points: wanted at least one number, got an empty array of shape \(0,\)"),
    (([1.0], [], 1), r"data: wanted at least one number, got an empty array of shape \(0,\)"),
    (([NAN], [1.0], 1), "points: wanted finite numbers, got nan"),
    (([INF], [1.0], 1), "points: wanted finite numbers, got inf"),
    (([1.0], [1.0, NAN], 1), "data: wanted finite numbers, got nan"),
    ((["a"], [1.0], 1), "points: wanted numbers, got "),
    (([1.0], [1j], 1), "data: wanted real numbers, got dtype torch.complex128"),
    ((PLANE, [1.0], 1), r"points: wanted points in 1 dimension\(s\), as the data, got shape \(2, 2\)"),
    (([1.0, 2.0], PLANE, 1), r"points: wanted points in 2 dimension\(s\), as the data, got shape \(2, 1\)"),
    (([[1.0, 2.0, 3.0]], PLANE, 1), r"points: wanted points in 2 dimension\(s\), as the data, got shape \(1, 3\)"),
    ((1.0, [1.0], 1), r"points: wanted points in 1 dimension\(s\), as the data, got shape \(\)"),
    (([1.0], [PLANE], 1), r"data: wanted shape \(n,\) or \(n, d\), got shape \(1, 2, 2\)"),
    (([1.0], [1.0], 0), "k: wanted a whole number of at least 1, got 0"),
    (([1.0], [1.0], -1), "k: wanted a whole number of at least 1, got -1"),
    (([1.0], [1.0], True), "k: wanted a whole number of at least 1, got True"),
    (([1.0], [1.0], 1.0), "k: wanted a whole number of at least 1, got 1.0"),
    (([1.0], [1.0], NAN), "k: wanted a whole number of at least 1, got nan"),
    (([1.0], [1.0], None), "k: wanted a whole number of at least 1, got None"),
    (([1.0], [1.0], torch.tensor(1)), r"k: wanted a whole number of at least 1, got tensor\(1\)"),
    (([1.0], [1.0, 2.0], 3), "k: wanted at most the number of data, 2, got 3"),
    ((PLANE, PLANE, 3), "k: wanted at most the number of data, 2, got 3"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
@pytest.mark.parametrize("function", [radius, density])
def test_bad_arguments_are_refused(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        function(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "dimension: wanted a whole number of at least 1, got 0"),
        ((-1,), "dimension: wanted a whole number of at least 1, got -1"),
        ((2.0,), "dimension: wanted a whole number of at least 1, got 2.0"),
        ((True,), "dimension: wanted a whole number of at least 1, got True"),
        ((2, -1), "radius: wanted numbers of at least 0, got -1.0"),
        ((2, [1.0, -0.5]), "radius: wanted numbers of at least 0, got -0.5"),
        ((2, NAN), "radius: wanted finite numbers, got nan"),
        ((2, INF), "radius: wanted finite numbers, got inf"),
        ((2, []), "radius: wanted at least one number"),
        ((2, "a"), "radius: wanted numbers, got 'a'"),
    ],
)
def test_a_ball_without_a_volume_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ball_volume(*arguments)

import numpy as np
import pytest
import torch

from helpers.densities.order import ascending
from helpers.densities.sums.gauss import gaussian_sum, gaussian_sums
from helpers.densities.sums.grid import gaussian_sum_on_grid
from helpers.densities.sums.pairs import pair_sums
from helpers.densities.sums.polynomial import polynomial_sum


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

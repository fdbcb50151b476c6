import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LinearRegression

from helpers.densities.linear import maximum_likelihood, negative_log_likelihood

DESIGN = [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 4.0]]
RESPONSE = [1.0, 3.0, 2.0, 5.0]


@pytest.mark.parametrize(("rows", "columns"), [(5, 1), (20, 3), (50, 10)])
def test_the_maximum_is_that_of_numpy_and_sklearn(normal, rows, columns):
    X, y = normal(f"design {rows}", rows, columns), normal(f"response {rows}", rows)
    coefficients, variance = maximum_likelihood(X, y)
    model = LinearRegression(fit_intercept=False).fit(X.numpy(), y.numpy())
    np.testing.assert_allclose(coefficients, model.coef_, rtol=1e-9, atol=1e-12)
    residuals = y.numpy() - X.numpy() @ np.linalg.pinv(X.numpy()) @ y.numpy()
    assert variance.item() == pytest.approx(np.mean(residuals**2), rel=1e-10)


def test_the_likelihood_is_a_product_of_normal_densities(normal):
    X, y, beta = normal("design", 9, 2), normal("response", 9), normal("coefficients", 2)
    referee = -stats.norm.logpdf(y, X @ beta, math.sqrt(0.7)).sum()
    assert negative_log_likelihood(X, y, beta, 0.7).item() == pytest.approx(referee, rel=1e-13)


def test_no_neighbour_of_the_maximum_is_better(normal):
    X, y = normal("design", 30, 3), normal("response", 30)
    coefficients, variance = maximum_likelihood(X, y)
    best = negative_log_likelihood(X, y, coefficients, variance)
    for step in torch.cat([torch.eye(3), -torch.eye(3)]).double() * 0.05:
        assert negative_log_likelihood(X, y, coefficients + step, variance) > best
    for factor in (0.9, 1.1):
        assert negative_log_likelihood(X, y, coefficients, factor * variance) > best


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)])
def test_every_response_on_the_design_has_its_own_maximum(normal, leading):
    X, y = normal("design", 8, 2), normal(f"responses {leading}", *leading, 8)
    coefficients, variance = maximum_likelihood(X, y)
    assert (coefficients.shape, variance.shape) == ((*leading, 2), leading)
    for index in np.ndindex(*leading):
        one, spread = maximum_likelihood(X, y[index])
        torch.testing.assert_close(coefficients[index], one)
        torch.testing.assert_close(variance[index], spread)


def test_results_stay_on_the_device_and_the_precision_of_the_design(device):
    for dtype in (torch.float32, torch.float64):
        X = torch.tensor(DESIGN, dtype=dtype, device=device)
        found = [*maximum_likelihood(X, RESPONSE), negative_log_likelihood(X, RESPONSE, [0.0, 1.0], 1.0)]
        assert {(one.dtype, one.device.type) for one in found} == {(dtype, device.type)}


def test_lists_and_arrays_give_the_same():
    lists, arrays = maximum_likelihood(DESIGN, RESPONSE), maximum_likelihood(np.array(DESIGN), np.array(RESPONSE))
    assert all(torch.allclose(one, other, rtol=1e-12) for one, other in zip(lists, arrays, strict=True))


@pytest.mark.parametrize(
    ("design", "rank"),
    [
        ([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]], 1),
        ([[0.0]] * 4, 0),
        ([[1.0, 0.0, 1.0], [1.0, 1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 4.0, 5.0]], 2),
        (torch.eye(4, 5), 4),
    ],
)
def test_a_design_of_lower_rank_is_refused(design, rank):
    with pytest.raises(ValueError, match=rf"design: wanted rank \d, .*, got rank {rank}"):
        maximum_likelihood(design, RESPONSE)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("degree", [1, 3, 6])
def test_an_exact_fit_is_refused(normal, scale, degree):
    X = torch.linspace(-1, 2, 25).double()[:, None] ** torch.arange(degree + 1)
    y = X @ normal(f"coefficients {degree}", degree + 1) * scale
    with pytest.raises(ValueError, match="response: wanted one that the design does not fit exactly, got residuals of"):
        maximum_likelihood(X, y)
    maximum_likelihood(X, y + 1e-9 * scale * normal("a little noise", 25))


def test_as_many_columns_as_rows_fit_exactly(normal):
    with pytest.raises(ValueError, match="response: wanted one that the design does not fit exactly"):
        maximum_likelihood(normal("a square design", 5, 5), normal("response", 5))


def test_one_exact_fit_among_responses_is_refused():
    with pytest.raises(ValueError, match="response: wanted one that the design does not fit exactly"):
        maximum_likelihood(DESIGN, [RESPONSE, [0.0, 1.0, 2.0, 4.0]])


@pytest.mark.parametrize(
    ("design", "response", "message"),
    [
        ([], RESPONSE, "design: wanted at least one number"),
        ([1.0, 2.0], RESPONSE, r"design: wanted 2 dimension\(s\), got shape \(2,\)"),
        ([[1.0], [float("nan")]], [1.0, 2.0], "design: wanted finite numbers, got nan"),
        (DESIGN, [], "response: wanted at least one number"),
        (DESIGN, 1.0, r"response: wanted a last axis of 4.*, got shape \(\)|response: wanted 1 dimension"),
        (DESIGN, [1.0, 2.0], r"response: wanted a last axis of 4.*, got shape \(2,\)"),
        (DESIGN, [1.0, 2.0, 3.0, float("inf")], "response: wanted finite numbers, got inf"),
        (DESIGN, ["a"] * 4, "response: wanted numbers"),
    ],
)
def test_bad_data_are_refused(design, response, message):
    with pytest.raises(ValueError, match=message):
        maximum_likelihood(design, response)
    with pytest.raises(ValueError, match=message):
        negative_log_likelihood(design, response, [0.0, 1.0], 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"response": [RESPONSE, RESPONSE]}, r"response: wanted 1 dimension\(s\), got shape \(2, 4\)"),
        ({"coefficients": [1.0]}, r"coefficients: wanted shape \(2,\).*, got shape \(1,\)"),
        ({"coefficients": 1.0}, r"coefficients: wanted shape \(2,\).*, got shape \(\)"),
        ({"coefficients": [[0.0, 1.0]]}, r"coefficients: wanted shape \(2,\).*, got shape \(1, 2\)"),
        ({"coefficients": [0.0, float("nan")]}, "coefficients: wanted finite numbers, got nan"),
        ({"variance": 0}, "variance: wanted a number above zero, got 0"),
        ({"variance": -2.0}, "variance: wanted a number above zero, got -2"),
        ({"variance": float("nan")}, "variance: wanted finite numbers, got nan"),
        ({"variance": [1.0] * 4}, r"variance: wanted 0 dimension\(s\), got shape \(4,\)"),
    ],
)
def test_bad_parameters_are_refused(changes, message):
    sound = {"design": DESIGN, "response": RESPONSE, "coefficients": [0.0, 1.0], "variance": 1.0}
    with pytest.raises(ValueError, match=message):
        negative_log_likelihood(**{**sound, **changes})


@pytest.mark.parametrize("units", [(1e-150, 1.0), (1.0, 1e150), (1e-300, 1e-300)])
def test_the_units_of_the_columns_are_no_matter_of_rank(normal, units):
    design, response = normal("units: design", 20, 2), normal("units: response", 20)
    coefficients, variance = maximum_likelihood(design, response)
    found = maximum_likelihood(design * torch.tensor(units, dtype=torch.float64), response)
    torch.testing.assert_close(found[0] * torch.tensor(units, dtype=torch.float64), coefficients, rtol=1e-10, atol=0)
    torch.testing.assert_close(found[1], variance, rtol=1e-10, atol=0)

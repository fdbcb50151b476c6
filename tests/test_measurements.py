import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.measurements import Exponent, Replicates, exponent, normal_score, numbers, replicates

SIZES = np.geomspace(10, 1000, 12)


def test_mean_and_standard_error_are_those_of_scipy(normal, device):
    values = normal("replicates", 7, 2, 3).to(device)
    found = replicates(values)
    assert found.number == 7
    np.testing.assert_allclose(found.mean, values.cpu().numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.standard_error, stats.sem(values.cpu().numpy(), axis=0), rtol=1e-13)


def test_replicates_of_a_number_have_a_number_for_a_mean():
    found = replicates([1.0, 2.0, 3.0])
    assert (found.mean, found.standard_error.shape) == (2, ())
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one number"),
        (1.0, r"two replicates or more along the first axis, got shape \(\)"),
        ([1.0], r"two replicates or more along the first axis, got shape \(1,\)"),
        ([[1.0, 2.0]], r"two replicates or more along the first axis, got shape \(1, 2\)"),
        ([1.0, float("nan")], "finite numbers, got nan"),
        ([1.0, float("inf")], "finite numbers, got inf"),
        ([True, False], "real numbers"),
        (["1", "2"], "numbers"),
        ([3.0, 3.0, 3.0], "replicates that differ, got zero variance"),
        ([[1.0, 3.0], [2.0, 3.0]], "replicates that differ, got zero variance"),
        ([0.0, 0.0], "replicates that differ, got zero variance"),
        ([0.1] * 3, "replicates that differ, got zero variance"),
        ([1e9, 1e9 * (1 + 1e-16), 1e9], "replicates that differ, got zero variance"),
    ],
)
def test_replicates_refuse(values, message):
    with pytest.raises(ValueError, match=f"values: wanted .*{message}"):
        replicates(values)


def test_a_small_component_beside_a_large_one_has_its_own_spread():
    found = replicates([[1e20, 1.0], [2e20, 2.0], [3e20, 3.0]])
    np.testing.assert_allclose(found.standard_error, [1e20 / math.sqrt(3), 1 / math.sqrt(3)])


@pytest.mark.parametrize("number", [3, 10, 100])
def test_the_score_of_the_true_mean_is_standard_normal(normal, number):
    truth = 3.0
    scores = replicates(truth + 2 * normal(f"calibration {number}", number, 4000)).score(np.full(4000, truth))
    assert stats.kstest(scores, "norm").pvalue > 1e-6
    assert (np.abs(scores) > 2).mean() == pytest.approx(2 * stats.norm.sf(2), abs=0.025)


def test_the_score_is_positive_where_the_mean_lies_above():
    runs = replicates([1.0, 2.0, 3.0])
    assert runs.score(1.0) > 0 > runs.score(3.0)
    assert runs.score(2.0) == 0


@pytest.mark.parametrize(("number", "nearness"), [(3, 0.09), (4, 0.06), (10, 0.016), (30, 0.003), (100, 3e-4)])
def test_the_normal_score_has_the_tail_of_students_t(number, nearness):
    deviates = np.linspace(0, 10, 41)
    t = stats.t.isf(stats.norm.sf(deviates), number - 1)
    np.testing.assert_allclose(normal_score(t, number - 1), deviates, rtol=nearness, atol=0.01)
    assert (normal_score(t, number - 1) < deviates + 0.01).all()


@settings(deadline=None)
@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100), st.integers(1, 10**6))
def test_the_normal_score_is_odd_finite_and_increasing(first, second, degrees):
    low, high = normal_score(min(first, second), degrees), normal_score(max(first, second), degrees)
    assert low <= high
    assert np.isfinite([low, high]).all()
    assert normal_score(-first, degrees) == -normal_score(first, degrees)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(-20, 20), st.sampled_from(["infinity", "zero"]), st.integers(6, 15))
def test_the_exponent_of_a_power_law_is_exact(power, log_constant, limit, points):
    x = np.geomspace(0.01, 100, points)
    found = exponent(x, np.exp(log_constant) * x**power, limit)
    assert found.value == pytest.approx(power, abs=1e-11)
    assert found.half_width == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize("power", [-2.0, -0.5, 1.0, 3.0])
@pytest.mark.parametrize("constant", [-0.5, 0.5, 5.0])
@pytest.mark.parametrize("order", [0.5, 1, 2])
def test_the_interval_of_the_exponent_covers_what_a_higher_order_term_does(power, constant, order):
    for x, limit, sign in ((np.geomspace(10, 1000, 12), "infinity", -1), (np.geomspace(1e-3, 0.1, 11), "zero", 1)):
        found = exponent(x, x**power * (1 + constant * x ** (sign * order)), limit)
        assert 0 < abs(found.value - power) < found.half_width < 0.5


def test_the_limit_says_which_end_counts():
    x = np.geomspace(1e-4, 1e4, 40)
    assert exponent(x, x + x**3, "infinity").value == pytest.approx(3, abs=0.2)
    assert exponent(x, x + x**3, "zero").value == pytest.approx(1, abs=0.2)


def test_the_order_of_the_points_does_not_matter():
    y = SIZES**-1.5 * (1 + 1 / SIZES)
    there, back = exponent(SIZES, y), exponent(SIZES[::-1], y[::-1])
    assert there.value == pytest.approx(back.value, abs=1e-12)
    assert there.half_width == pytest.approx(back.half_width, abs=1e-12)


@pytest.mark.parametrize("number", [3, 10, 100])
def test_the_interval_of_a_noisy_exponent_covers_the_true_one(normal, number):
    for run in range(50):
        noise = normal(f"exponent {number} {run}", number, len(SIZES)).numpy()
        found = exponent(SIZES, replicates(SIZES**-0.5 * (1 + 0.02 * noise)))
        assert abs(found.value + 0.5) < found.half_width


def test_the_interval_of_a_noisy_exponent_narrows_with_the_noise(normal):
    noise = normal("narrowing", 100, len(SIZES)).numpy()
    wide, narrow = (exponent(SIZES, replicates(SIZES**-0.5 * (1 + s * noise))).half_width for s in (0.1, 0.001))
    assert narrow < wide / 50
    assert wide < 0.2


def test_the_exponent_takes_tensors_and_lists():
    x = torch.linspace(1, 2, 6, dtype=torch.float64)
    assert exponent(x, (x**2).tolist()) == exponent(x.tolist(), x**2)


@pytest.mark.parametrize(
    ("x", "y", "limit", "message"),
    [
        (SIZES, SIZES, "0", "limit: wanted 'infinity' or 'zero', got '0'"),
        (SIZES, SIZES, None, "limit: wanted 'infinity' or 'zero', got None"),
        (SIZES[:5], SIZES[:5], "zero", r"x, y: wanted .* six or more, got shapes \(5,\) and \(5,\)"),
        (SIZES, SIZES[1:], "zero", r"x, y: wanted .* one length.*, got shapes \(12,\) and \(11,\)"),
        (SIZES[:, None], SIZES[:, None], "zero", r"x, y: wanted vectors.*, got shapes \(12, 1\)"),
        (3.0, 3.0, "zero", r"x, y: wanted vectors.*, got shapes \(\)"),
        ([], [], "zero", "x: wanted at least one number"),
        (-SIZES, SIZES, "zero", "x: wanted distinct numbers above zero"),
        ([*SIZES[1:], 0.0], SIZES, "zero", "x: wanted distinct numbers above zero"),
        ([*SIZES[1:], SIZES[1]], SIZES, "zero", "x: wanted distinct numbers above zero"),
        (SIZES, -SIZES, "zero", "y: wanted numbers above zero, got -1000"),
        (SIZES, 0 * SIZES, "zero", "y: wanted numbers above zero, got 0"),
        (SIZES, SIZES * np.nan, "zero", "y: wanted finite numbers, got nan"),
        (SIZES * np.inf, SIZES, "zero", "x: wanted finite numbers, got inf"),
        (SIZES, replicates([-SIZES, -2 * SIZES]), "zero", "y: wanted numbers above zero, got -1500"),
        (SIZES, replicates([1.0, 2.0]), "zero", r"x, y: wanted .*, got shapes \(12,\) and \(\)"),
    ],
)
def test_the_exponent_refuses(x, y, limit, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        exponent(x, y, limit)


def test_numbers_are_float64_on_the_cpu_without_a_gradient(device):
    found = numbers(torch.ones(2, dtype=torch.float32, device=device, requires_grad=True), "y")
    assert (found.dtype, found.tolist()) == (np.float64, [1, 1])


def test_measurements_cannot_be_changed():
    for one in (Exponent(1.0, 0.1), replicates([1.0, 2.0])):
        with pytest.raises(AttributeError):
            one.value = 2
    assert isinstance(replicates([1.0, 2.0]), Replicates)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_replicates_may_be_of_any_size(unit):
    values = np.array([1.0, 2.0, 4.0])
    found, plain = replicates(unit * values), replicates(values)
    np.testing.assert_allclose([found.mean / unit, found.standard_error / unit], [plain.mean, plain.standard_error])

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from helpers import gaussian
from helpers.densities.bandwidth import cross_validation, plug_in, rule_of_thumb
from helpers.densities.kernel import mise, optimal_bandwidth

RULES = [rule_of_thumb, plug_in]
NORMAL_ROUGHNESS = 3 / (8 * math.sqrt(math.pi))
TWO_BUMPS = ([0.3, 0.7], [-1.0, 1.5], [0.25, 1.0])


def two_bumps(normal, name, *shape):
    first = normal(f"{name}: which", *shape).abs() < stats.norm.ppf(0.65)
    return torch.where(first, -1.0 + 0.5 * normal(f"{name}: first", *shape), 1.5 + normal(f"{name}: second", *shape))


# By rule


@pytest.mark.parametrize("n", [8, 10, 2001])
def test_the_rule_of_thumb_is_silvermans_factor_times_the_deviation_of_evenly_spread_data(n):
    data = np.linspace(-3, 7, n)
    factor = stats.gaussian_kde(data, "silverman").factor
    assert factor == pytest.approx((4 / 3) ** (1 / 5) * n ** (-1 / 5), rel=1e-13)
    assert rule_of_thumb(data).item() == pytest.approx(factor * data.std(ddof=1), rel=1e-12)


@pytest.mark.parametrize("n", [5, 64, 1000])
def test_the_rule_of_thumb_takes_the_quartile_range_of_heavy_tailed_data(normal, n):
    data = normal("above", n) / normal("below", n)
    data[:2] = torch.tensor([1e6, -1e6], dtype=torch.float64)
    referee = stats.gaussian_kde(data.numpy(), "silverman").factor * stats.iqr(data.numpy(), scale="normal")
    assert rule_of_thumb(data).item() == pytest.approx(referee, rel=1e-12)
    data[0] = 1e9
    assert rule_of_thumb(data).item() == pytest.approx(referee, rel=1e-12)


def test_the_rule_of_thumb_is_best_for_normal_data(normal):
    n = 40_000
    found = rule_of_thumb(3 + 2 * normal("normal", n)).item()
    assert found == pytest.approx(2 * optimal_bandwidth(n, NORMAL_ROUGHNESS).item(), rel=0.06)


@pytest.mark.parametrize("data", [[1, 1, 1, 1, 2], [2.0] * 6 + [0.0, 7.0], [-1.0, 2.0, 2.0, 2.0, 2.0, 5.0]])
def test_data_whose_quartiles_agree_have_their_standard_deviation_for_a_scale(data):
    referee = stats.gaussian_kde(data, "silverman").factor * np.std(data, ddof=1)
    assert rule_of_thumb(data).item() == pytest.approx(referee, rel=1e-12)
    assert plug_in(data).item() == pytest.approx(two_steps(np.array(data), np.std(data, ddof=1)), rel=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e-40, 1e40, 1e300])
@pytest.mark.parametrize("rule", RULES)
def test_a_bandwidth_has_the_unit_of_the_data(normal, rule, unit):
    data = normal("of any unit", 50)
    assert rule(unit * data).item() == pytest.approx(unit * rule(data).item(), rel=1e-12)


# Plug-in


def phi(u, order):
    polynomials = {4: u**4 - 6 * u**2 + 3, 6: u**6 - 15 * u**4 + 45 * u**2 - 15}
    return polynomials[order] * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


def two_steps(data, scale=None):
    """Sheather and Jones in the form of Wand and Jones (1995), section 3.6, with two steps: all pairs, one by one."""
    n, u = len(data), data[:, None] - data
    scale = scale or min(data.std(ddof=1), stats.iqr(data, scale="normal"))
    psi = 105 / (32 * math.sqrt(math.pi) * scale**9)
    g = (30 / (math.sqrt(2 * math.pi) * psi * n)) ** (1 / 9)
    psi = phi(u / g, 6).sum() / (n**2 * g**7)
    g = (-6 / (math.sqrt(2 * math.pi) * psi * n)) ** (1 / 7)
    psi = phi(u / g, 4).sum() / (n**2 * g**5)
    return (1 / (2 * math.sqrt(math.pi) * psi * n)) ** (1 / 5)


SAMPLES = {
    "normal": lambda x, y: x,
    "two bumps": lambda x, y: torch.where(y > 0.5, 0.3 * x - 2, x),
    "heavy-tailed": lambda x, y: x / y,
    "one-sided": lambda x, y: (2 * x).exp(),
    "rounded": lambda x, y: (2 * x).round(),
    "far from zero": lambda x, y: 1e7 + x,
    "small": lambda x, y: 1e-5 * x,
    "three": lambda x, y: x[:3],
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_plug_in_bandwidth_is_that_of_sums_over_all_pairs(normal, kind):
    data = SAMPLES[kind](normal(f"{kind}: x", 250), normal(f"{kind}: y", 250))
    assert plug_in(data).item() == pytest.approx(two_steps(data.numpy()), rel=1e-10)


def test_the_plug_in_bandwidth_is_near_the_best_one(normal):
    n = 20_000
    best = optimal_bandwidth(n, NORMAL_ROUGHNESS).item()
    assert plug_in(normal("normal", n)).item() == pytest.approx(best, rel=0.15)
    data = two_bumps(normal, "bumps", n)
    search = optimize.minimize_scalar(lambda h: mise(TWO_BUMPS, n, h).item(), bounds=(0.01, 1), method="bounded")
    assert plug_in(data).item() == pytest.approx(search.x, rel=0.15)
    assert rule_of_thumb(data).item() > 1.5 * search.x


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(-200, 200), min_size=4, max_size=25, unique=True),
    st.integers(-(10**6), 10**6),
    st.sampled_from([1e-6, 0.5, 3.0, 1e5]),
    st.randoms(use_true_random=False),
)
def test_a_bandwidth_moves_with_the_scale_of_the_data_and_with_nothing_else(values, shift, scale, random):
    shuffled = random.sample(values, len(values))
    for rule in RULES:
        h = rule(values).item()
        assert h > 0
        assert rule(shuffled).item() == pytest.approx(h, rel=1e-9)
        assert rule([-value + shift for value in values]).item() == pytest.approx(h, rel=1e-9)
        assert rule([scale * value for value in values]).item() == pytest.approx(scale * h, rel=1e-9)


# Cross-validation


def by_hand(data, h):
    """Its square integral by SciPy, the rest by leaving one out at a time."""
    estimate = stats.gaussian_kde(data, h / data.std(ddof=1))
    left_out = sum(stats.norm.pdf(x, np.delete(data, i), h).mean() for i, x in enumerate(data))
    return estimate.integrate_kde(estimate) - 2 * left_out / len(data)


@pytest.mark.parametrize("kind", SAMPLES)
def test_cross_validation_is_the_square_integral_less_what_is_left_out(normal, kind):
    data = SAMPLES[kind](normal(f"{kind}: x", 60), normal(f"{kind}: y", 60)).numpy()
    bandwidths = stats.iqr(data) * np.array([1e-6, 1e-3, 0.05, 0.3, 1.0, 5.0, 1e3])
    found = cross_validation(data, bandwidths)
    assert found.shape == (7,)
    for one, h in zip(found.tolist(), bandwidths, strict=True):
        size = 1 / (2 * math.sqrt(math.pi) * h * len(data))
        assert one == pytest.approx(by_hand(data, h), rel=1e-10, abs=1e-10 * size)
        assert cross_validation(data, [h]).item() == pytest.approx(one, rel=1e-10, abs=1e-10 * size)


@pytest.mark.parametrize("h", [0.2, 0.5, 1.0])
def test_the_expectation_of_cross_validation_is_the_error_less_a_constant(normal, h):
    n, found = 40, []
    for sample in two_bumps(normal, f"many {h}", 400, n):
        found.append(cross_validation(sample, [h]).item())
    referee = mise(TWO_BUMPS, n, h) - gaussian.overlap(TWO_BUMPS, TWO_BUMPS)
    assert abs(np.mean(found) - referee) < 6 * np.std(found) / math.sqrt(len(found))


def test_cross_validation_is_on_average_least_near_the_best_bandwidth(normal):
    n, bandwidths = 400, torch.logspace(-1.2, 0.3, 31, dtype=torch.float64)
    found = sum(cross_validation(sample, bandwidths) for sample in normal("validated", 60, n)).argmin()
    best = torch.stack([mise(([1.0], [0.0], [1.0]), n, h) for h in bandwidths]).argmin()
    assert 1 / 1.6 < bandwidths[found] / bandwidths[best] < 1.6


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(-200, 200), min_size=2, max_size=20),
    st.integers(-(10**6), 10**6),
    st.sampled_from([2.0**-9, 3.0, 1000.0]),
    st.sampled_from([0.01, 1.0, 30.0]),
    st.randoms(use_true_random=False),
)
def test_cross_validation_moves_with_the_scale_of_the_data_and_with_nothing_else(values, shift, scale, h, random):
    score = cross_validation(values, [h]).item()
    size = 1e-10 / h
    assert cross_validation(random.sample(values, len(values)), [h]).item() == pytest.approx(score, abs=size)
    assert cross_validation([shift - value for value in values], [h]).item() == pytest.approx(score, abs=size)
    stretched = cross_validation([scale * value for value in values], [scale * h]).item()
    assert scale * stretched == pytest.approx(score, abs=size)


def test_ties_drive_cross_validation_to_minus_infinity(normal):
    data = normal("rounded", 100).round()
    found = cross_validation(data, [1e-2, 1e-4, 1e-6])
    assert (found.diff() < 0).all()
    assert found[-1] < -1e4
    assert cross_validation([2.0, 2.0], [0.5]).item() == pytest.approx(2 * (math.sqrt(1 / 2) - 2) * stats.norm.pdf(0))


# Large samples


def test_two_hundred_thousand_heavy_tailed_data_are_a_moment(normal):
    data = normal("many above", 200_000) / normal("many below", 200_000)
    h = plug_in(data)
    assert 0.3 * rule_of_thumb(data) < h < rule_of_thumb(data)
    scores = cross_validation(data, [h, 10 * h])
    assert scores[0] < scores[1]


@pytest.mark.slow
def test_data_may_be_more_than_a_quantile_of_torch_takes():
    n = 2**24 + 1
    data = torch.linspace(0, 1, n, dtype=torch.float64)
    expected = (4 / 3 / n) ** (1 / 5) / math.sqrt(12)
    assert rule_of_thumb(data).item() == pytest.approx(expected, rel=1e-6)
    assert plug_in(data).item() > 0


# What comes in


def test_results_are_float64_on_the_device_of_the_data(normal, device):
    data = normal("data", 30)
    for dtype in (torch.float32, torch.float64):
        x = data.to(device, dtype)
        same = x.cpu().double()
        for rule in RULES:
            assert (rule(x).dtype, rule(x).device.type, rule(x).shape) == (torch.float64, device.type, ())
            torch.testing.assert_close(rule(x).cpu(), rule(same), rtol=1e-10, atol=0)
        found = cross_validation(x, [0.5, 2.0])
        assert (found.dtype, found.device.type) == (torch.float64, device.type)
        torch.testing.assert_close(found.cpu(), cross_validation(same, [0.5, 2.0]), rtol=1e-10, atol=0)


def test_lists_and_arrays_are_as_good_as_tensors():
    data = [3, 1, 4, 1, 5, 9, 2, 6]
    for rule in RULES:
        assert rule(data) == rule(np.array(data)) == rule(torch.tensor(data))
    found = cross_validation(data, [1, 2])
    torch.testing.assert_close(found, cross_validation(np.array(data), np.array([1.0, 2.0])), rtol=0, atol=0)


NAN, INF = float("nan"), float("inf")
BAD_DATA = [
    ([], "at least one number, got an empty array"),
    ([1.0], "two numbers or more, got 1"),
    ([[1.0, 2.0]], r"1 dimension\(s\), got shape \(1, 2\)"),
    (1.0, r"1 dimension\(s\), got shape \(\)"),
    ([1.0, NAN], "finite numbers, got nan"),
    ([1.0, -INF], "finite numbers, got -inf"),
    (["a", "b"], "numbers, got "),
    ([True, False], "real numbers, got dtype torch.bool"),
    (None, "numbers, got None"),
]


@pytest.mark.parametrize(("data", "message"), BAD_DATA)
def test_data_without_a_bandwidth_are_refused(data, message):
    for choose in (*RULES, lambda data: cross_validation(data, [1.0])):
        with pytest.raises(ValueError, match=f"^data: wanted {message}"):
            choose(data)


@pytest.mark.parametrize("data", [[2.0] * 2, [0.1] * 3, [-3e9] * 50])
@pytest.mark.parametrize("rule", RULES)
def test_data_that_are_all_equal_have_no_scale(rule, data):
    refusal = f"data: wanted numbers that differ, got {len(data)} times {data[0]:g}"
    with pytest.raises(ValueError, match=f"^{re.escape(refusal)}$"):
        rule(data)


@pytest.mark.parametrize(
    ("bandwidths", "message"),
    [
        ([], "at least one number"),
        (1.0, r"1 dimension\(s\), got shape \(\)"),
        ([[1.0]], r"1 dimension\(s\), got shape \(1, 1\)"),
        ([1.0, 0.0], "numbers above zero, got 0"),
        ([1.0, -2.0], "numbers above zero, got -2"),
        ([1.0, NAN], "finite numbers, got nan"),
        ([INF], "finite numbers, got inf"),
        (["wide"], "numbers, got "),
    ],
)
def test_bandwidths_that_cannot_be_compared_are_refused(bandwidths, message):
    with pytest.raises(ValueError, match=f"^bandwidths: wanted {message}"):
        cross_validation([0.0, 1.0, 3.0], bandwidths)

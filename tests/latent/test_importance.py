"""Importance sampling: beside its formulas without logarithms, the law of its replicates, and weights out of range."""

import math

import numpy as np
import pytest
import torch

from helpers.latent.importance import effective_size, log_ratio, plain, self_normalised
from helpers.randomness import generator

INF = float("inf")


@pytest.fixture
def drawn():
    """Log weights and values of 30 000 replicates of 50 draws from N(1/2, 1), for a standard normal target."""
    z = 0.5 + torch.randn(30_000, 50, generator=generator("importance"), dtype=torch.float64)
    return 0.125 - z / 2, z


def score(values, exact):
    return ((values.mean() - exact) / (values.std() / math.sqrt(len(values)))).item()


def scatter(found):
    """The stated error over the deviation of the estimates."""
    return (found.standard_error.square().mean().sqrt() / found.value.std()).item()


def test_estimates_are_those_of_the_formulas_without_logarithms():
    logs, f = np.array([-0.5, -1.0, 0.3, 2.0]), np.array([1.0, -2.0, 0.5, 3.0])
    w = np.exp(logs)
    shares = w / w.sum()
    found = plain(logs, f)
    assert found.value.item() == pytest.approx((w * f).mean(), rel=1e-14)
    assert found.standard_error.item() == pytest.approx((w * f).std(ddof=1) / 2, rel=1e-14)
    assert found.bias.item() == 0
    found = self_normalised(logs, f)
    mean = shares @ f
    assert found.value.item() == pytest.approx(mean, rel=1e-14)
    assert found.standard_error.item() == pytest.approx(math.sqrt(shares**2 @ (f - mean) ** 2), rel=1e-14)
    assert found.bias.item() == pytest.approx(-(shares**2) @ (f - mean), rel=1e-14)
    found, relative = log_ratio(logs), w.var(ddof=1) / w.mean() ** 2 / 4
    assert found.value.item() == pytest.approx(math.log(w.mean()), rel=1e-14)
    assert found.standard_error.item() == pytest.approx(math.sqrt(relative), rel=1e-13)
    assert found.bias.item() == pytest.approx(-relative / 2, rel=1e-13)
    assert effective_size(logs).item() == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-14)


def test_the_plain_estimate_is_unbiased_and_its_error_is_the_scatter(drawn):
    found = plain(*drawn)
    assert abs(score(found.value, 0)) < 5
    assert scatter(found) == pytest.approx(1, rel=0.05)


def test_bias_and_error_of_the_others_are_found_to_first_order(drawn):
    """Less what is without bias on the same draws, so that a bias shows."""
    second_moment = math.exp(0.25)
    found, bias = self_normalised(*drawn), 0.5 * second_moment / 50
    assert (found.value - plain(*drawn).value).mean().item() == pytest.approx(bias, rel=0.1)
    assert found.bias.mean().item() == pytest.approx(bias, rel=0.1)
    assert scatter(found) == pytest.approx(1, rel=0.05)
    found, bias = log_ratio(drawn[0]), -(second_moment - 1) / 100
    assert (found.value - (found.value.exp() - 1)).mean().item() == pytest.approx(bias, rel=0.1)
    assert found.bias.mean().item() == pytest.approx(bias, rel=0.1)
    assert scatter(found) == pytest.approx(1, rel=0.05)


def test_the_effective_size_is_between_one_and_all():
    assert effective_size([2.0, 2.0, 2.0]).item() == pytest.approx(3)
    assert effective_size([0.0, -1e4, -INF]).item() == 1


@pytest.mark.parametrize("shift", [-1e4, 1e4, 1e300])
def test_a_constant_in_the_log_weights_does_no_harm(drawn, shift):
    logs, f = (one[:20] for one in drawn)
    near, far = self_normalised(logs.round(), f), self_normalised(logs.round() + shift, f)
    if abs(shift) < 1e5:
        assert torch.allclose(near.value, far.value, rtol=1e-11)
        assert torch.allclose(near.bias, far.bias, rtol=1e-10)
        assert torch.allclose(log_ratio(logs + shift).value - shift, log_ratio(logs).value, atol=1e-11)
    for part in (far.value, far.standard_error, far.bias, effective_size(logs + shift)):
        assert part.isfinite().all()
    beyond = plain(logs + shift, f)
    assert not beyond.value.isnan().any()
    assert (beyond.value == 0).all() if shift < 0 else beyond.value.isinf().all()


def test_values_with_mean_zero_stay_zero_beyond_the_largest_number():
    found = plain([1e4, 1e4], [1.0, -1.0])
    assert found.value.item() == 0
    assert found.standard_error.item() == INF


def test_several_functions_and_several_rows_share_an_axis(drawn):
    logs, f = (one[:3] for one in drawn)
    both = self_normalised(logs, torch.stack([f, f**2]))
    assert both.value.shape == (2, 3)
    assert torch.allclose(both.value[1, 2], self_normalised(logs[2], f[2] ** 2).value)


def test_lists_take_the_precision_of_the_tensor_beside_them():
    assert self_normalised([0.0, -INF, 1.0], torch.tensor([1.0, 2.0, 3.0])).value.dtype == torch.float32
    assert plain(torch.tensor([0.0, -INF]), [1.0, 2.0]).value.dtype == torch.float32
    assert log_ratio(np.array([0, 1])).value.dtype == torch.float64


def test_an_impossible_draw_counts_as_a_draw():
    assert plain([0.0, -INF], [1.0, 5.0]).value.item() == 0.5
    assert log_ratio([0.0, -INF]).value.item() == pytest.approx(-math.log(2))


@pytest.mark.parametrize(
    ("logs", "wanted"),
    [
        ([-INF, -INF], "a weight above zero in every row, got weights that are all zero"),
        ([[0.0, 1.0], [-INF, -INF]], "a weight above zero in every row"),
        ([0.3], "two or more along the last axis"),
        (0.3, "two or more along the last axis"),
        ([], "at least one number"),
        ([0.0, float("nan")], "finite numbers, got nan"),
        ([0.0, INF], "finite numbers, got inf"),
    ],
)
@pytest.mark.parametrize("function", [effective_size, log_ratio, lambda logs: plain(logs, 1.0)])
def test_weights_without_an_estimate_are_refused(function, logs, wanted):
    with pytest.raises(ValueError, match=f"^log_weights: wanted {wanted}"):
        function(logs)


def test_values_that_do_not_go_with_the_weights_are_refused():
    with pytest.raises(ValueError, match="^log_weights, values: wanted shapes"):
        plain([0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="^values: wanted"):
        self_normalised([0.0, 1.0], [1.0, 1e200])

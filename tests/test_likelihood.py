import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from helpers import gaussian
from helpers.likelihood import ascend, minimise


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_the_bottom_of_a_bowl_is_found(bottom, steepness):
    bottom, steepness = torch.tensor(bottom).double(), torch.tensor(steepness).double()
    found = minimise(lambda p: (steepness * (p - bottom) ** 2).sum(), torch.zeros(1, 3).double())
    torch.testing.assert_close(found[0], bottom, rtol=1e-8, atol=1e-8)


def test_rosenbrocks_valley_is_followed_to_its_end():
    found = minimise(lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2, [[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]])
    referee = optimize.minimize(optimize.rosen, [-1.2, 1.0], jac=optimize.rosen_der, method="BFGS").x
    np.testing.assert_allclose(found, np.tile(referee, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(found, np.ones((3, 2)), atol=1e-9)


def test_each_start_finds_its_own_valley():
    found = minimise(lambda p: ((p**2 - 1) ** 2).sum(), [[-2.0], [0.5], [3.0]])
    np.testing.assert_allclose(found, [[-1.0], [1.0], [1.0]], atol=1e-9)


def test_a_far_start_ends_as_near_as_a_close_one():
    found = minimise(lambda p: ((p - 1) ** 4 + (p - 1) ** 2).sum(), [[1000.0], [2.0]])
    np.testing.assert_allclose(found, [[1.0], [1.0]], atol=1e-8)


def test_a_step_out_of_the_domain_is_taken_back():
    np.testing.assert_allclose(minimise(lambda p: (p.log() ** 2).sum(), [[10.0], [0.01]]), [[1.0], [1.0]], atol=1e-8)


def test_the_maximum_of_a_likelihood_is_that_of_scipy(normal):
    x = 3 + 2 * normal("a likelihood", 40)
    found = minimise(lambda p: gaussian.negative_log_likelihood(x, p[0], p[1].exp()), [[0.0, 0.0], [5.0, 3.0]])
    mean, deviation = stats.norm.fit(x)
    np.testing.assert_allclose(found, [[mean, 2 * math.log(deviation)]] * 2, rtol=1e-8, atol=1e-8)


def test_the_result_has_shape_precision_and_device_of_the_starts(device):
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        starts = torch.ones(2, 3, dtype=dtype, device=device)
        found = minimise(lambda p: (p.exp() - 2 * p).sum(), starts, tolerance=tolerance)
        assert (found.shape, found.dtype, found.device.type) == ((2, 3), dtype, device.type)
        np.testing.assert_allclose(found.cpu(), math.log(2), atol=tolerance)


@pytest.mark.parametrize(
    ("objective", "start"),
    [
        (lambda p: p.sum(), [1.0, 2.0]),
        (lambda p: -(p**2).sum(), [1.0]),
        (lambda p: p.cos().sum(), [0.0]),
        (lambda p: p[0] ** 2 - p[1] ** 2, [0.0, 0.0]),
    ],
    ids=["a slope", "a hill", "a top", "a saddle"],
)
def test_what_has_no_minimum_there_is_an_error(objective, start):
    with pytest.raises(RuntimeError, match="no minimum from"):
        minimise(objective, [start])


@pytest.mark.parametrize(
    "objective",
    [
        lambda p: p,
        lambda p: (p**2)[:1],
        lambda p: 3.0,
        lambda p: None,
        lambda p: p.sum().log(),
        lambda p: 1 / (p.sum() + 1),
    ],
    ids=["a vector", "a vector of one", "a number", "nothing", "NaN", "infinity"],
)
def test_an_objective_that_is_no_finite_scalar_is_refused(objective):
    with pytest.raises(ValueError, match=r"objective\(start\): wanted a finite scalar tensor, got "):
        minimise(objective, [[-0.5, -0.5]])


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([], "at least one number"),
        (1.0, r"2 dimension\(s\), got shape \(\)"),
        ([1.0, 2.0], r"2 dimension\(s\), got shape \(2,\)"),
        ([[[1.0]]], r"2 dimension\(s\), got shape \(1, 1, 1\)"),
        ([[1.0], [float("nan")]], "finite numbers, got nan"),
        ([[1.0], [2.0, 3.0]], "numbers, got"),
    ],
)
def test_bad_starts_are_refused(starts, message):
    with pytest.raises(ValueError, match=f"starts: wanted {message}"):
        minimise(lambda p: (p**2).sum(), starts)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), None])
def test_a_tolerance_is_above_zero(tolerance):
    with pytest.raises(ValueError, match="tolerance: wanted a number above zero, got "):
        minimise(lambda p: (p**2).sum(), [[1.0]], tolerance=tolerance)


# A step that is repeated


def halved(model):
    """Half the way to one, where the value is largest."""
    return (1 + model) / 2, -((model - 1) ** 2)


def scripted(*values):
    """A step that counts its calls and gives these values, one after the other."""

    def step(model):
        value = values[min(model, len(values) - 1)]
        return model + 1, torch.tensor(value, dtype=torch.float64)

    return step


def test_each_value_is_that_of_the_model_visited_then():
    ascent = ascend(halved, torch.tensor(0.0, dtype=torch.float64), tolerance=1e-6)
    assert ascent.converged
    np.testing.assert_allclose(ascent.values, -(0.25 ** np.arange(len(ascent.values))), rtol=1e-15)
    assert ascent.values[-1] == -((ascent.model - 1) ** 2)
    assert ascent.values[-1] - ascent.values[-2] <= 1e-6 < ascent.values[-2] - ascent.values[-3]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_a_rise_is_measured_beside_the_value_or_one(scale):
    size = max(1, scale)
    step = scripted(scale, scale + 3e-3 * size, scale + 5e-3 * size, scale + 5.9e-3 * size, scale + 10 * size)
    ascent = ascend(step, 0, tolerance=1e-3)
    assert (ascent.model, len(ascent.values), ascent.converged.item()) == (3, 4, True)


def test_with_tolerance_zero_a_value_must_stand_still():
    ascent = ascend(scripted(0.0, 1.0, 1 + 1e-15, 1 + 1e-15, 2.0), 0, tolerance=0)
    assert (ascent.model, ascent.converged.item()) == (3, True)


def test_the_loop_ends_after_so_many_steps():
    ascent = ascend(scripted(*map(float, range(100))), 0, steps=5)
    assert (ascent.model, ascent.converged.item()) == (5, False)
    assert ascent.values.tolist() == [0, 1, 2, 3, 4, 5]
    last = ascend(scripted(0.0, 1.0, 1.0), 0, steps=2)
    assert (last.model, last.converged.item()) == (2, True)


@pytest.mark.parametrize("limit", [math.inf, -math.inf])
def test_at_an_infinite_value_a_run_has_run_away(limit):
    ascent = ascend(scripted(0.0, 1.0, limit, 7.0), 0)
    assert (ascent.model, ascent.values.tolist(), ascent.converged.item()) == (2, [0, 1, limit], False)
    assert ascend(scripted(limit), 0).values.tolist() == [limit]


def test_several_runs_climb_until_the_slowest_is_there():
    begin = torch.tensor([[0.0, 1.0, 2.0], [1.0, 5.0, 1.0]], dtype=torch.float64)
    ascent = ascend(halved, begin, tolerance=1e-9)
    assert ascent.values.shape == (len(ascent.values), 2, 3)
    assert ascent.converged.shape == (2, 3)
    assert ascent.converged.all()
    alone = ascend(halved, begin[1, 1], tolerance=1e-9)
    torch.testing.assert_close(ascent.values[:, 1, 1], alone.values, rtol=0, atol=0)
    some = ascend(scripted([0.0, 1.0], [math.inf, 2.0], [math.inf, 2.0], [math.inf, 3.0]), 0)
    assert (some.model, some.converged.tolist()) == (2, [False, True])
    mixed = ascend(scripted([0.0, 1.0], [1.0, 1.0], [2.0, 5.0], [2.0, 5.0]), 0)
    assert (mixed.model, mixed.converged.tolist()) == (3, [True, True])


def test_a_fall_within_rounding_is_no_fall():
    ascent = ascend(scripted(1e6, 1e6 - 9e-3), 0)
    assert (ascent.model, ascent.converged.item()) == (1, True)


@pytest.mark.parametrize(("before", "after"), [(0.0, -1.1e-8), (1e6, 1e6 - 1.1e-2), ([0.0, 0.0], [1.0, -1.0])])
def test_a_value_that_falls_is_an_error(before, after):
    with pytest.raises(RuntimeError, match=r"no ascent: step 2 lowers the value by (1\.1e-08|1\.0e\+00) of its size"):
        ascend(scripted(np.subtract(before, 1.0).tolist(), before, after), 0)


@pytest.mark.parametrize("value", [math.nan, [1.0, math.nan]])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(
        ValueError, match=r"step\(model\): wanted a model and a tensor of values that are .*, got .*nan"
    ):
        ascend(scripted(np.zeros_like(value).tolist(), value), 0)


@pytest.mark.parametrize("value", [1.0, None, "high"])
def test_a_value_that_is_no_tensor_is_refused(value):
    with pytest.raises(ValueError, match=rf"step\(model\): wanted a model and a tensor .*, got '?{value}"):
        ascend(lambda model: (model, value), 0)


def test_values_carry_no_gradient_and_stay_on_their_device(device):
    begin = torch.tensor([0.0, 3.0], dtype=torch.float64, device=device, requires_grad=True)
    ascent = ascend(halved, begin, steps=3)
    assert ascent.model.requires_grad
    assert not ascent.values.requires_grad
    assert {one.device.type for one in (ascent.values, ascent.converged)} == {device.type}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps: wanted a whole number of at least 1, got 0"),
        ({"steps": 2.5}, r"steps: wanted a whole number of at least 1, got 2\.5"),
        ({"tolerance": -1e-3}, r"tolerance: wanted numbers of at least 0, got -0\.001"),
        ({"tolerance": math.nan}, "tolerance: wanted finite numbers, got nan"),
        ({"tolerance": [0.1]}, r"tolerance: wanted 0 dimension\(s\), got shape \(1,\)"),
    ],
)
def test_bad_options_of_an_ascent_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ascend(scripted(0.0), 0, **options)

"""Scores of samples, against what loops and SciPy find, and refusals."""

import math

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist

from helpers.adversarial import samples
from helpers.adversarial.samples import (
    covered,
    effective_modes,
    energy_distance,
    frechet_distance,
    modes,
    near,
    nearest_ratio,
    ring,
    ring_centres,
)
from helpers.randomness import generator


@pytest.fixture(params=[2**18, 2**6, 3], ids=["one block", "blocks of models", "blocks of rows"])
def block(request, monkeypatch):
    monkeypatch.setattr(samples, "BLOCK", request.param)


# The ring


def test_the_ring_has_its_centres_on_a_circle():
    centres = ring_centres(5, 3.0)
    torch.testing.assert_close(centres.norm(dim=1), torch.full((5,), 3.0, dtype=torch.float64))
    sides = (centres - centres.roll(1, 0)).norm(dim=1)
    torch.testing.assert_close(sides, torch.full((5,), 6 * math.sin(math.pi / 5), dtype=torch.float64))
    assert centres[0].tolist() == [3.0, 0.0]


def test_draws_from_the_ring_are_about_the_centres_in_equal_shares():
    x = ring((3, 20_000), generator("ring"), deviation=0.2)
    assert (x.shape, x.dtype) == ((3, 20_000, 2), torch.float32)
    shares = modes(x, ring_centres(), 0.2)
    assert (shares - (1 - math.exp(-4.5)) / 8).abs().max() < 6 * math.sqrt(0.124 * 0.876 / 20_000)
    away = x - ring_centres().float()[torch.cdist(x, ring_centres().float().expand(3, 8, 2)).argmin(-1)]
    assert (away.square().mean((1, 2)) / 0.04 - 1).abs().max() < 0.05
    assert torch.equal(x, ring((3, 20_000), generator("ring"), deviation=0.2))
    assert not torch.equal(x[0], x[1])


# Modes

CENTRES = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]


def test_a_sample_counts_for_its_nearest_mode_within_three_deviations(block):
    points = [[0.1, 0.0], [0.0, 2.9], [0.0, 3.1], [10.0, -3.0], [5.0, 0.1]]
    found = modes([points, points[::-1]], CENTRES, 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.2, 0.0]] * 2, dtype=torch.float64))
    torch.testing.assert_close(near(found), torch.tensor([0.6, 0.6], dtype=torch.float64))


def test_where_modes_overlap_a_sample_counts_once():
    found = modes([[[0.4, 0.0], [0.6, 0.0]]], [[0.0, 0.0], [1.0, 0.0]], 1.0)
    assert found.tolist() == [[0.5, 0.5]]


def test_each_model_may_have_centres_of_its_own():
    points = torch.zeros(2, 4, 2)
    assert modes(points, torch.tensor([[[0.0, 0.0]], [[9.0, 0.0]]]), 1.0).tolist() == [[1.0], [0.0]]


def test_a_mode_counts_at_a_fifth_of_its_due():
    assert covered([[0.05, 0.049, 0.5, 0.0]]).tolist() == [2.0]
    assert covered([[0.0] * 4, [0.25] * 4]).tolist() == [0.0, 4.0]


def test_the_effective_number_is_that_of_modes_with_equal_shares():
    found = effective_modes([[0.25, 0.25, 0.0, 0.0], [0.1] * 4, [0.0] * 4, [0.0, 0.0, 0.3, 0.0], [0.8, 0.1, 0.1, 0.0]])
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.1)
    torch.testing.assert_close(found, torch.tensor([2.0, 4.0, 0.0, 1.0, math.exp(entropy)], dtype=torch.float64))


# Distances


def cloud(name, *shape):
    return torch.randn(*shape, generator=generator(f"samples: {name}"), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_the_energy_distance_is_that_of_all_pairs(block, d):
    x, y = cloud("x", 3, 9, d), 0.5 + cloud("y", 3, 7, d)
    for data, each in ((y, list(y)), (y[0], [y[0]] * 3)):
        expected = [
            2 * cdist(one, other).mean() - pdist(one).mean() - pdist(other).mean()
            for one, other in zip(x, each, strict=True)
        ]
        torch.testing.assert_close(energy_distance(x, data), torch.tensor(expected, dtype=torch.float64))


def test_the_energy_distance_has_no_bias_and_sees_a_shift():
    x, y = cloud("unbiased x", 4000, 5, 2), cloud("unbiased y", 4000, 6, 2)
    found = energy_distance(x, y)
    assert found.mean().abs() < 5 * found.std() / math.sqrt(4000)
    assert energy_distance(x[:4].reshape(1, 20, 2) + 2, y[:4].reshape(1, 24, 2)).item() > 1


@pytest.mark.parametrize("scale", [1e-30, 1e14, 1e30])
def test_distances_follow_the_scale_in_single_precision(scale):
    x, y = cloud("x", 2, 30, 2), cloud("y", 40, 2)
    held = cloud("held", 20, 2)
    for score, power in ((energy_distance, 1), (frechet_distance, 2)):
        expected = scale**power * score(x, y)
        found = score((scale * x).float(), (scale * y).float()).double()
        if expected.max() < 3e38 and expected.min() > 1e-38:
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    parts = [(scale * one).float() for one in (x, y, held)]
    torch.testing.assert_close(nearest_ratio(*parts).double(), nearest_ratio(x, y, held), rtol=1e-5, atol=0)


@pytest.mark.parametrize("d", [1, 3])
def test_the_frechet_distance_is_that_of_the_moments(d):
    x, y = cloud("x", 3, 12, d), 2 * cloud("y", 3, 9, d) + 1
    found = frechet_distance(x, y)
    for one, other, value in zip(x, y, found, strict=True):
        S, T = (part.T.cov().reshape(d, d) for part in (one, other))
        root = torch.as_tensor(sqrtm((S @ T).numpy()).real)
        expected = (one.mean(0) - other.mean(0)).square().sum() + (S + T - 2 * root).trace()
        torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(frechet_distance(x, y[1])[1], found[1])


def test_the_frechet_distance_of_a_shift_and_a_stretch_is_known():
    x = cloud("x", 1, 50, 4)
    assert frechet_distance(x, x).item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(frechet_distance(x, x + 3).item(), 36.0)
    variance = x[0].T.cov().trace()
    middle = x.mean(1, keepdim=True)
    torch.testing.assert_close(frechet_distance(x, middle + 3 * (x - middle))[0], 4 * variance)
    flat = torch.cat([x, torch.zeros(1, 50, 2, dtype=torch.float64)], -1)  # as pixels that are never lit
    torch.testing.assert_close(frechet_distance(flat, flat + 1).item(), 6.0)


@pytest.mark.parametrize("d", [2, 6])
def test_the_ratio_is_that_of_the_distances_to_the_nearest(block, d):
    x, training, held = cloud("x", 3, 9, d), cloud("t", 8, d), cloud("h", 5, d)
    expected = [cdist(one, training).min(1).mean() / cdist(held, training).min(1).mean() for one in x]
    torch.testing.assert_close(nearest_ratio(x, training, held), torch.tensor(expected, dtype=torch.float64))
    own = cloud("own", 3, 8, d)
    expected = [cdist(one, t).min(1).mean() / cdist(held, t).min(1).mean() for one, t in zip(x, own, strict=True)]
    torch.testing.assert_close(nearest_ratio(x, own, held), torch.tensor(expected, dtype=torch.float64))


def test_a_copy_of_the_training_set_has_a_ratio_of_zero():
    training = cloud("t", 8, 2)
    assert nearest_ratio(training[None].flip(1), training, cloud("h", 5, 2)).item() == 0


def test_no_gradient_flows_and_the_precision_is_kept():
    x = cloud("x", 2, 9, 2).float().requires_grad_()
    for score in (energy_distance, frechet_distance):
        found = score(x, x.detach() + 1)
        assert (found.requires_grad, found.dtype) == (False, torch.float32)


# Refusals

X, Y = torch.zeros(2, 5, 3), torch.zeros(5, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: modes(X, Y[:, :2], 1.0), r"centres: wanted shape \(m, 3\) or \(2, m, 3\)"),
        (lambda: modes(X, Y, 0.0), "deviation: wanted a number above zero"),
        (lambda: modes(Y, Y, 1.0), r"samples: wanted shape \(models, n, d\)"),
        (lambda: modes(X + math.nan, Y, 1.0), "samples: wanted finite numbers, got nan"),
        (lambda: covered([0.5, 0.5]), r"shares: wanted 2 dimension\(s\)"),
        (lambda: covered([[0.5, -0.5]]), "shares: wanted numbers of at least 0"),
        (lambda: effective_modes([[0.9, 0.9]]), "shares: wanted rows whose sum is at most 1"),
        (lambda: energy_distance(X, torch.zeros(3, 5, 3)), r"data: wanted shape \(m, 3\) or \(2, m, 3\)"),
        (lambda: energy_distance(X[:, :1], Y), "samples: wanted at least 2 of them"),
        (lambda: energy_distance(X, Y[:1]), "data: wanted at least 2 of them"),
        (lambda: energy_distance(X, Y + math.inf), "data: wanted finite numbers, got inf"),
        (lambda: frechet_distance(X, Y[:3]), "data: wanted at least 4 of them"),
        (lambda: frechet_distance(X[:, :3], Y), "samples: wanted at least 4 of them"),
        (lambda: nearest_ratio(X, Y, Y), "held_out: wanted data outside of the training set"),
        (lambda: nearest_ratio(X, Y, Y[:, :1]), "held_out: wanted shape"),
        (lambda: ring(3, generator("refused")), "shape: wanted a tuple"),
        (lambda: ring((3, 0), generator("refused")), "shape: wanted a whole number"),
        (lambda: ring((3,), 3), "generator: wanted a Generator"),
        (lambda: ring((3,), generator("refused"), deviation=0), "deviation: wanted a number above zero"),
        (lambda: ring_centres(0), "modes: wanted a whole number"),
        (lambda: ring_centres(8, -1), "radius: wanted a number above zero"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()

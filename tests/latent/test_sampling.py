"""The Rosenblatt map and rejection, beside laws whose probabilities are known."""

import math

import pytest
import torch
from scipy import stats

from helpers.latent.sampling import rejection, rosenblatt
from helpers.randomness import generator

LEVEL = 1e-7


def uniform(*shape):
    return torch.rand(shape, generator=generator("sampling: uniform"), dtype=torch.float64)


def normal(number, generator):
    return torch.randn(number, generator=generator, dtype=torch.float64)


def bell(z):
    return (-(z**2) / 2).exp() / math.sqrt(2 * math.pi)


def tent(z):
    """A density on [-1, 1], times 3."""
    return 3 * (1 - z.abs()).clamp_min(0)


def of(target=tent, proposal=bell, draw=normal, k=7.6, number=1000, **others):
    return rejection(target, proposal, draw, k, number, generator=generator("sampling: rejection"), **others)


def test_the_map_gives_each_coordinate_its_conditional_quantile():
    u = uniform(50, 3)
    x = rosenblatt(u, [lambda u, x: -(-u).log1p(), lambda u, x: u * x[:, 0], lambda u, x: u + x.sum(1)])
    first = -torch.log1p(-u[:, 0])
    assert torch.equal(x, torch.stack([first, u[:, 1] * first, u[:, 2] + (first + u[:, 1] * first)], 1))


def test_a_dependent_pair_has_its_joint_law():
    quantiles = [lambda u, x: torch.special.ndtri(u), lambda u, x: 0.6 * x[:, 0] + 0.8 * torch.special.ndtri(u)]
    x = rosenblatt(uniform(20_000, 2), quantiles)
    assert stats.kstest(x[:, 1], "norm").pvalue > LEVEL
    assert x.prod(1).mean().item() == pytest.approx(0.6, abs=5 * math.sqrt(1.36 / 20_000))


@pytest.mark.parametrize(
    ("u", "quantiles", "name"),
    [
        ([[0.0, 0.5]], [lambda u, x: u] * 2, "u"),
        ([[1.0, 0.5]], [lambda u, x: u] * 2, "u"),
        ([0.5], [lambda u, x: u], "u"),
        ([[0.5, 0.5]], [lambda u, x: u], "quantiles"),
        ([[0.5]], lambda u, x: u, "quantiles"),
        ([[0.5]], [1.0], r"quantiles\[0\]"),
        ([[0.5]], [lambda u, x: u / 0], r"quantiles\[0\]\(u, x\)"),
        ([[0.5, 0.5]], [lambda u, x: u, lambda u, x: x], r"quantiles\[1\]\(u, x\)"),
    ],
)
def test_a_map_that_is_none_is_refused(u, quantiles, name):
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        rosenblatt(u, quantiles)


def test_accepted_draws_have_the_law_of_the_target_and_proposals_their_rate():
    k = 3 * math.sqrt(2 * math.pi) * 1.01
    found = of(k=k, number=40_000)
    assert stats.kstest(found.draws, stats.triang(0.5, -1, 2).cdf).pvalue > LEVEL
    rate = 3 / k
    assert found.rate == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / 40_000))
    assert found.violations == 0
    assert len(found.draws) == found.accepted.sum()


def test_heights_are_uniform_under_the_envelope():
    found = of(number=20_000)
    share = found.heights / (7.6 * bell(found.proposed))
    assert stats.kstest(share, "uniform").pvalue > LEVEL
    assert torch.equal(found.accepted, found.heights < tent(found.proposed))


def test_points_of_several_coordinates_are_one_proposal_each():
    found = of(
        target=lambda z: (z.abs() < 1).all(1).double(),
        proposal=lambda z: torch.full((len(z),), 1 / 16),
        draw=lambda number, generator: 4 * torch.rand(number, 2, generator=generator, dtype=torch.float64) - 2,
        k=16.0, number=4000,
    )  # fmt: skip
    assert found.draws.shape == (found.accepted.sum(), 2)
    assert found.rate == pytest.approx(1 / 4, abs=5 * math.sqrt(3 / 16 / 4000))


def test_an_envelope_that_touches_the_target_is_no_violation():
    found = of(target=bell, k=1.0)
    assert found.accepted.all()


def test_a_violated_envelope_is_refused_with_its_place_or_counted():
    with pytest.raises(ValueError, match=r"^k: wanted an envelope, .* got target / \(k proposal\) = 1\.\d+ at "):
        of(k=6.0)
    found = of(k=6.0, violated="count")
    assert found.violations == (tent(found.proposed) > 6 * bell(found.proposed)).sum() > 0
    assert found.accepted[found.ratio > 1].all()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"k": 0.0}, "k"),
        ({"k": -1.0}, "k"),
        ({"k": math.nan}, "k"),
        ({"number": 0}, "number"),
        ({"target": lambda z: -bell(z)}, r"target\(z\)"),
        ({"target": lambda z: z * math.nan}, r"target\(z\)"),
        ({"target": lambda z: bell(z)[:, None]}, r"target\(z\)"),
        ({"proposal": lambda z: -bell(z)}, r"proposal\(z\)"),
        ({"proposal": tent, "target": bell}, "proposal"),
        ({"draw": lambda number, generator: torch.zeros(3)}, r"draw\(number, generator\)"),
        ({"draw": lambda number, generator: torch.zeros(0)}, r"draw\(number, generator\)"),
        ({"violated": "ignore"}, "violated"),
    ],
)
def test_what_is_no_rejection_sampler_is_refused(changed, name):
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        of(**changed)

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from helpers.adversarial.fdivergence import GAN, TABLE
from helpers.adversarial.training import Training, estimate
from helpers.networks import MLP
from helpers.randomness import generator

ROWS = [*TABLE.values(), GAN]
KL, HELLINGER = TABLE["Kullback-Leibler"], TABLE["squared Hellinger"]


def normal(shape, generator):
    return 1 + 0.5 * torch.randn(*shape, 1, generator=generator, dtype=torch.float64)


def pair(models=2, hidden=(8,), dtype=torch.float64):
    draw = generator("pair")
    options = {"models": models, "generator": draw, "dtype": dtype}
    return MLP((1, 1), **options), MLP((1, *hidden, 1), **options)


def training(losses=KL, models=2, **options):
    return Training(*pair(models), normal, losses, name="test", **options)


def copies(network, model):
    """The weights of one of several models, as a new network of one."""
    alone = MLP(network.sizes, generator=generator("alone"), dtype=torch.float64)
    with torch.no_grad():
        for one, other in zip(alone.parameters(), network.parameters(), strict=True):
            one.copy_(other[model : model + 1])
    return alone


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_estimate_is_a_difference_of_two_means(row):
    v, w = torch.randn(2, 3, 50, generator=generator("outputs"), dtype=torch.float64)
    expected = row.activation(v).mean(-1) - row.conjugate(row.activation(w)).mean(-1)
    torch.testing.assert_close(estimate(row, v, w), expected)
    torch.testing.assert_close(estimate(row, v, w[:, :20]), estimate(row, v, w[:, :20].flip(-1)))


def test_the_estimate_of_the_game_is_its_value():
    v, w = torch.randn(2, 30, generator=generator("outputs"), dtype=torch.float64)
    torch.testing.assert_close(estimate(GAN, v, w), logsigmoid(v).mean() + logsigmoid(-w).mean())


@pytest.mark.parametrize(("real", "fake"), [([1.0], [[1.0]]), (1.0, 2.0), ([[1.0]] * 2, [[1.0]] * 3)])
def test_outputs_of_other_axes_are_refused(real, fake):
    with pytest.raises(ValueError, match="real, fake: wanted outputs along the last axis"):
        estimate(KL, real, fake)


def test_an_estimate_that_overflows_is_refused():
    with pytest.raises(ValueError, match="real, fake: wanted outputs at which the estimate is finite"):
        estimate(KL, [0.0], [1e4])


@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_a_step_is_that_of_a_plain_loop_for_each_model(loss):
    """Two models of two divergences, against one model at a time with the loss written out."""
    run = training([KL, HELLINGER], loss=loss, batch=16, critic_steps=2, rate=0.01, ratio=0.5)
    plain = [[copies(run.generator, model), copies(run.critic, model)] for model in range(2)]
    adam = lambda network, rate: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))  # noqa: E731
    steps = [(adam(g, 0.005), adam(c, 0.01)) for g, c in plain]
    random = generator("test")
    for _ in range(3):
        for _ in range(2):
            real, z = normal((2, 16), random), torch.randn(2, 16, 1, generator=random, dtype=torch.float64)
            for model, row in enumerate((KL, HELLINGER)):
                g, c = plain[model]
                T, S = row.activation(c(real[model])), row.activation(c(g(z[model]).detach()))
                steps[model][1].zero_grad()
                (row.conjugate(S).mean() - T.mean()).backward()
                steps[model][1].step()
        z = torch.randn(2, 16, 1, generator=random, dtype=torch.float64)
        for model, row in enumerate((KL, HELLINGER)):
            g, c = plain[model]
            T = row.activation(c(g(z[model])))
            steps[model][0].zero_grad()
            (-(row.conjugate(T) if loss == "saturating" else T)).mean().backward()
            steps[model][0].step()
    run.run(3)
    for network, place in ((run.generator, 0), (run.critic, 1)):
        for model in range(2):
            for one, other in zip(network.parameters(), plain[model][place].parameters(), strict=True):
                torch.testing.assert_close(one[model : model + 1], other, rtol=1e-9, atol=1e-11)
    assert run.history.shape == (3, 2)


def test_a_shifted_normal_law_finds_the_data_by_every_smooth_divergence():
    smooth = [row for row in ROWS if row.curvature < math.inf]
    rows = [row for row in smooth for _ in range(3)]
    run = training(rows, models=len(rows), rate=0.01, ratio=0.5).run(900)
    fakes = run.sample(4000).unflatten(0, (len(smooth), 3))
    assert ((fakes.mean((2, 3)) - 1).abs().median(1).values < 0.15).all()
    assert ((fakes.std((2, 3)) - 0.5).abs().median(1).values < 0.15).all()
    assert run.estimate(4000).shape == (len(rows),)


def test_what_was_saved_and_resumed_is_the_very_run():
    whole = training([KL, GAN]).run(6)
    first, second = training([KL, GAN]).run(2), training([KL, GAN])
    second.load_state_dict(first.state_dict())
    first.run(1)  # which must not reach into what was saved
    second.run(4)
    torch.testing.assert_close(whole.history, second.history, rtol=0, atol=0)
    for one, other in zip(whole.generator.parameters(), second.generator.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_gradient_that_overflows_moves_nothing():
    run, other = training(KL), training(KL)
    with torch.no_grad():
        run.critic.biases[-1][1] = 800.0
    before = run.generator.weights[0].detach().clone()
    run.run(1)
    other.run(1)
    torch.testing.assert_close(run.critic.weights[0][0], other.critic.weights[0][0], rtol=0, atol=0)
    assert torch.equal(run.generator.weights[0][1], before[1])
    assert all(one.isfinite().all() for one in run.critic.parameters())


def test_weights_that_are_not_finite_are_named():
    run = training(TABLE["Pearson"])
    with torch.no_grad():
        run.critic.weights[0][1] = math.inf
    with pytest.raises(RuntimeError, match=r"weights of the critic of model\(s\) \[1\]: not finite at step 1;"):
        run.run(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"losses": [KL]}, "losses: wanted `Losses`, a row, or one for each of 2"),
        ({"losses": "KL"}, "losses: wanted a FDivergence, got str"),
        ({"momentum": 1.0}, "momentum: wanted a number from 0 to below 1"),
        ({"loss": "other"}, "loss: wanted one of 'saturating'"),
        ({"rate": 0.0}, "rate: wanted a number above zero"),
        ({"ratio": -1.0}, "ratio: wanted a number above zero"),
        ({"batch": 0}, "batch: wanted a whole number"),
        ({"critic_steps": 1.5}, "critic_steps: wanted a whole number"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        training(**options)


def test_networks_and_data_that_do_not_fit_are_refused():
    g, c = pair()
    with pytest.raises(ValueError, match=r"critic: wanted 1 input\(s\) for 2"):
        Training(g, pair(3)[1], normal, KL, name="test")
    with pytest.raises(ValueError, match="draw: wanted shape"):
        Training(g, c, lambda shape, generator: torch.zeros(*shape, 2), KL, name="test")

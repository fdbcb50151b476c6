"""The trainer of games: whose turn it is, by which draws, rates and losses, and what is foreseen, kept and refused."""

import copy
import math

import pytest
import torch
from torch import nn

from helpers import alternation
from helpers.alternation import Alternation, Losses
from helpers.networks import MLP
from helpers.randomness import generator

DOUBLE = torch.float64


def networks(models=2, name="alternation", dtype=DOUBLE):
    return [MLP(sizes, models, generator=generator(f"{name} {sizes}"), dtype=dtype) for sizes in ((3, 4, 2), (2, 4, 1))]


def data(shape, random):
    return 1 + torch.randn(*shape, 2, generator=random, dtype=DOUBLE)


def climbed(critic, real, fake):
    return critic(fake).sigmoid().mean((1, 2)) - critic(real).sigmoid().mean((1, 2))


def descended(critic, real, fake):
    return -critic(fake).sigmoid().mean((1, 2)) + (fake.mean(1) - real.mean(1)).square().sum(-1)


PAIR = Losses(climbed, descended)


def game(losses=PAIR, models=2, draw=data, **options):
    settings = {"name": "alternation", "batch": 5, "critic_steps": 2, "rate": 0.01, "momentum": 0.5} | options
    return Alternation(*networks(models), draw, losses, **settings)


def same(one, other, **tolerance):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(first, second, **{"rtol": 0, "atol": 0} | tolerance) for first, second in pairs)


@pytest.fixture(params=[alternation.MANY, 1], ids=["a group for each", "one call for all"])
def groups(request, monkeypatch):
    """Either way to take the steps of models with settings of their own."""
    monkeypatch.setattr(alternation, "MANY", request.param)


# Turns


def test_the_critic_has_its_steps_before_each_of_the_generator():
    turns = []

    def written(letter, loss):
        return lambda *players: (turns.append(letter), loss(*players))[1]

    run = game(Losses(written("c", climbed), written("g", descended))).run(2).run(1)
    assert "".join(turns) == "ccgccgccg"
    assert (run.history.shape, run.taken) == ((3, 2), 3)


def test_the_history_is_minus_the_critics_loss_on_its_last_batch():
    values = []
    losses = Losses(lambda *players: (values.append(climbed(*players)), values[-1])[1], descended)
    found = game(losses).run(3).history
    torch.testing.assert_close(found, -torch.stack(values[1::2]).detach(), rtol=0, atol=0)


def test_the_generator_meets_the_critics_last_data_and_fresh_fakes():
    seen = {"c": [], "g": []}

    def watched(letter, loss):
        return lambda critic, real, fake: (seen[letter].append((real, fake)), loss(critic, real, fake))[1]

    game(Losses(watched("c", climbed), watched("g", descended))).run(2)
    assert torch.equal(seen["g"][0][0], seen["c"][1][0])
    assert not torch.equal(seen["g"][0][1], seen["c"][1][1])
    assert seen["g"][0][1].requires_grad
    assert not seen["c"][1][1].requires_grad


def test_fakes_are_the_generators_of_noise_of_its_own_stream():
    first, again = game(), game()
    fakes = first.sample(7)
    noise = torch.randn(2, 7, 3, generator=generator("alternation"), dtype=fakes.dtype)
    torch.testing.assert_close(fakes, first.generator(noise).detach())
    assert torch.equal(fakes, again.sample(7))
    assert not fakes.requires_grad


def test_a_player_may_move_alone():
    run, before = game(), networks()
    value = run.improve_critic()
    assert value.shape == (2,)
    assert same(run.generator, before[0])
    assert not same(run.critic, before[1])
    critic = copy.deepcopy(run.critic)
    run.improve_generator()
    assert same(run.critic, critic)
    assert not same(run.generator, before[0])


# Settings


@pytest.mark.parametrize("momentum", [0.5, None])
def test_each_model_may_have_settings_of_its_own(groups, momentum):
    rates, ratios = [0.01, 0.01, 0.03, 0.002], [1.0, 1.0, 0.2, 3.0]
    momenta = None if momentum is None else [0.5, 0.5, 0.0, 0.9]
    mixed = game(models=4, rate=torch.tensor(rates, dtype=DOUBLE), ratio=ratios, momentum=momenta).run(3)
    for model in (0, 1, 2, 3):
        own = None if momentum is None else momenta[model]
        alone = game(models=4, rate=rates[model], ratio=ratios[model], momentum=own).run(3)
        for network in ("generator", "critic"):
            for one, other in zip(
                getattr(mixed, network).parameters(), getattr(alone, network).parameters(), strict=True
            ):  # fmt: skip
                torch.testing.assert_close(one[model], other[model], rtol=1e-12, atol=1e-14)


def test_a_step_is_that_of_pytorchs_adam_with_the_ratio_for_the_generator():
    run, (g, c) = game(rate=0.02, ratio=0.25, critic_steps=1), networks()
    steps = [torch.optim.Adam(one.parameters(), lr, (0.5, 0.999)) for one, lr in ((g, 0.005), (c, 0.02))]
    random = generator("alternation")
    for _ in range(3):
        real, fake = data((2, 5), random), g(torch.randn(2, 5, 3, generator=random, dtype=DOUBLE)).detach()
        steps[1].zero_grad()
        climbed(c, real, fake).sum().backward()
        steps[1].step()
        fake = g(torch.randn(2, 5, 3, generator=random, dtype=DOUBLE))
        steps[0].zero_grad()
        descended(c, real, fake).sum().backward()
        steps[0].step()
    run.run(3)
    assert same(run.generator, g, rtol=1e-9, atol=1e-12)
    assert same(run.critic, c, rtol=1e-9, atol=1e-12)


def test_noise_falls_on_data_and_fakes_alike_by_the_steps_taken():
    seen, asked = [], []

    def critic(critic, real, fake):
        seen.append(torch.stack([real, fake]))
        return climbed(critic, real, fake)

    def deviation(steps):
        asked.append(steps)
        return (100.0, 0.0)[steps]

    def still(shape, random):
        return torch.zeros(*shape, 2, dtype=DOUBLE)

    game(Losses(critic, descended), draw=still, noise=deviation, batch=400, critic_steps=1).run(2)
    assert asked == [0, 0, 1, 1]  # each player asks
    assert (seen[0].std((-2, -1)) / 100 - 1).abs().max() < 0.2
    assert seen[1][0].abs().max() == 0
    assert seen[1][1].std((-2, -1)).max() < 3


def test_a_penalty_is_part_of_each_players_loss_and_not_of_the_history():
    asked = []

    def penalty(network, steps):
        asked.append((network.outputs, steps))
        return 1e6 * sum(one.flatten(1).square().sum(1) for one in network.parameters())

    run, before = game(penalty=penalty, critic_steps=1), networks()
    value = run.improve_critic()
    torch.testing.assert_close(value, game().improve_critic())
    run.improve_generator()
    for network, start in ((run.generator, before[0]), (run.critic, before[1])):
        for one, old in zip(network.weights, start.weights, strict=True):
            torch.testing.assert_close(one, old - 0.01 * old.sign(), atol=1e-6, rtol=0)
    assert asked == [(1, 0), (2, 0)]


# Foresight


def test_without_foresight_a_game_is_the_plain_one():
    assert torch.equal(game(unroll=0, through=False).run(3).history, game().run(3).history)


def test_what_is_foreseen_is_what_the_critic_would_do():
    run = game(unroll=3, rate=[0.02, 0.05], momentum=[0.5, 0.8]).run(2)
    run.improve_critic()
    fake = run.sample(5)
    found = run._foreseen(fake)
    twin = copy.deepcopy(run)
    for _ in range(3):
        twin._descend(1, climbed(twin.critic, run._seen, fake))
    for key, one in twin.critic.named_parameters():
        torch.testing.assert_close(found[key], one, rtol=1e-9, atol=1e-12)


def test_the_first_step_can_be_foreseen():
    run = game(unroll=2)
    run._seen, fake = data((2, 5), generator("first")), run.sample(5)
    found, twin = run._foreseen(fake), game()
    for _ in range(2):
        twin._descend(1, climbed(twin.critic, run._seen, fake))
    for key, one in twin.critic.named_parameters():
        torch.testing.assert_close(found[key], one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("through", [True, False])
def test_the_gradient_goes_through_what_is_foreseen_or_stops_there(through):
    run = game(unroll=2, through=through, rate=0.05).run(3)
    run.improve_critic()
    noise = torch.randn(2, 5, 3, generator=generator("foresight"), dtype=DOUBLE)
    weights = run.generator.weights[0]
    fixed = run._foreseen(run.generator(noise).detach())

    def loss():
        fake = run.generator(noise)
        if through:
            return run._generator_loss(fake)
        return run._at(fixed, descended, run._seen, fake)

    found = torch.autograd.grad(run._generator_loss(run.generator(noise)).sum(), weights)[0]
    for place in ((0, 0, 0), (0, 2, 3), (1, 1, 2)):
        ends = []
        for shift in (1e-6, -2e-6):
            with torch.no_grad():
                weights[place] += shift
            ends.append(loss().sum().item())
        with torch.no_grad():
            weights[place] += 1e-6
        assert found[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)


def test_units_that_nothing_moves_do_not_spoil_what_is_foreseen():
    run = game(unroll=3)
    with torch.no_grad():
        run.critic.weights[-1][:, 0] = 0
        run.critic.weights[0][:, :, 0] = 0
        run.critic.biases[0][:, :, 0] = 0
    run.run(3)
    assert all(one.isfinite().all() for one in run.generator.parameters())


# Copies and resumption


def test_a_copy_goes_on_as_the_run_itself_and_apart_from_it(groups):
    run = game(rate=[0.01, 0.02]).run(2)
    twin, start = copy.deepcopy(run), copy.deepcopy(run.generator)
    twin.random = generator("alternation").set_state(run.random.get_state())
    found = twin.run(2).history
    assert same(run.generator, start)
    assert torch.equal(run.run(2).history, found)
    assert same(run.generator, twin.generator)


@pytest.mark.parametrize("options", [{}, {"rate": [0.01, 0.02], "unroll": 1}, {"momentum": None}], ids=str)
def test_what_was_saved_and_resumed_is_the_very_run(groups, options):
    options = options | {"noise": lambda steps: 1 / (1 + steps)}
    whole, first, second = game(**options).run(5), game(**options).run(2), game(**options)
    second.load_state_dict(first.state_dict())
    first.run(1)  # which must not reach into what was saved
    second.run(3)
    assert torch.equal(whole.history, second.history)
    assert same(whole.generator, second.generator)


# Other networks


class Shifts(nn.Module):
    """A generator that is no perceptron: a point for each model, moved."""

    def __init__(self, models=2):
        super().__init__()
        self.models, self.inputs, self.outputs = models, 2, 2
        self.shift = nn.Parameter(torch.zeros(models, 2, dtype=DOUBLE))

    def forward(self, z):
        return z + self.shift[:, None]


class Features(nn.Module):
    """A critic with features to read."""

    def __init__(self, models=2):
        super().__init__()
        self.models, self.inputs, self.outputs = models, 2, 3
        self.matrix = nn.Parameter(torch.ones(models, 2, 3, dtype=DOUBLE))
        self.unused = nn.Parameter(torch.ones(models, 1, dtype=DOUBLE))

    def features(self, x):
        return x @ self.matrix


@pytest.mark.parametrize("unroll", [0, 2])
def test_modules_of_other_kinds_learn_by_what_they_offer(unroll):
    def apart(critic, real, fake):
        return (critic.features(real).tanh().mean(1) - critic.features(fake).tanh().mean(1)).square().sum(-1)

    losses = Losses(lambda *players: -apart(*players), apart)
    options = {"name": "others", "batch": 50, "critic_steps": 1, "rate": 0.02, "momentum": 0.5, "unroll": unroll}
    run = Alternation(Shifts(), Features(), data, losses, **options).run(200)
    assert (run.generator.shift - 1).abs().max() < 0.4
    assert torch.equal(run.critic.unused, torch.ones(2, 1, dtype=DOUBLE))


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch: wanted a whole number of at least 1"),
        ({"critic_steps": 0}, "critic_steps: wanted a whole number of at least 1"),
        ({"rate": 0.0}, "rate: wanted a number above zero, got 0.0"),
        ({"rate": [0.1, 0.2, 0.3]}, r"rate: wanted shape \(2,\)"),
        ({"ratio": [0.1, -0.2]}, "ratio: wanted a number above zero, got -0.2"),
        ({"momentum": [0.1, 1.0]}, "momentum: wanted a number from 0 to below 1, got 1.0"),
        ({"unroll": -1}, "unroll: wanted a whole number of at least 0, got -1"),
        ({"unroll": 1, "momentum": None}, "unroll: wanted 0 where there is no momentum"),
        ({"through": 1}, "through: wanted a bool"),
        ({"noise": 0.1}, "noise: wanted a function of the steps taken"),
        ({"penalty": 0.1}, "penalty: wanted a function of a network"),
        ({"losses": climbed}, "losses: wanted a Losses"),
        ({"name": ""}, "name: wanted a text"),
        ({"draw": lambda shape, random: torch.zeros(*shape, 3)}, r"draw: wanted shape \(2, 1, 2\)"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        game(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"losses": Losses(lambda c, x, y: c(x), descended)}, r"losses.critic: wanted .* \(2,\), .* \(2, 5, 1\)"),
        ({"losses": Losses(climbed, lambda c, x, y: y.mean())}, r"losses.generator: .* got shape \(\)"),
        ({"losses": Losses(climbed, lambda c, x, y: 3.0)}, r"losses.generator: wanted .* got float"),
        ({"losses": Losses(climbed, lambda c, x, y: torch.zeros(2))}, "losses.generator: .* depends on the parameters"),
        ({"penalty": lambda network, steps: torch.zeros(3)}, r"penalty: wanted .* got shape \(3,\)"),
        ({"noise": lambda steps: -1.0}, "noise: wanted a number of at least 0"),
        ({"noise": lambda steps: math.nan}, "noise: wanted a number of at least 0"),
    ],
)  # fmt: skip
def test_what_comes_in_a_step_is_looked_at(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        game(**options).run(1)


def test_networks_that_do_not_go_together_are_refused():
    g, c = networks()
    options = {"name": "refused", "batch": 5, "critic_steps": 1, "rate": 0.1}
    for pair, message in (
        ((g, networks(3)[1]), r"critic: wanted 2 input\(s\) for 2 model\(s\)"),
        ((c, g), r"critic: wanted 1 input\(s\)"),
        ((3, c), "generator: wanted a Module, got int"),
        ((g, nn.Linear(2, 1)), "critic.models: wanted a whole number"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            Alternation(*pair, data, PAIR, **options)
    linear = nn.Linear(2, 1)
    linear.models, linear.inputs, linear.outputs = 2, 2, 1
    with pytest.raises(ValueError, match="^critic: wanted parameters with the axis of the 2"):
        Alternation(g, linear, data, PAIR, **options)


@pytest.mark.parametrize(("player", "quantity"), [(0, "generator"), (1, "critic")])
def test_a_run_that_diverges_stops_with_its_model_its_step_and_the_quantity(player, quantity):
    def broken(loss, at):
        calls = []

        def of(critic, real, fake):
            calls.append(0)
            factor = torch.ones(2, dtype=DOUBLE)
            factor[1] = math.inf if len(calls) > at else 1.0
            return loss(critic, real, fake) * factor

        return of

    losses = [climbed, descended]
    losses[1 - player] = broken(losses[1 - player], 2)
    with pytest.raises(RuntimeError, match=rf"alternation: loss of the {quantity} of model\(s\) \[1\]: .* at step 2;"):
        game(Losses(*losses), critic_steps=1).run(5)


def test_a_gradient_that_is_none_stops_the_run_or_counts_as_zero():
    def root(critic, real, fake):
        return climbed(critic, real, fake) + (critic.weights[0] - critic.weights[0].detach())[:, 0, 0].abs().sqrt()

    with pytest.raises(RuntimeError, match=r"gradient of the critic of model\(s\) \[0, 1\]: not finite at step 0"):
        game(Losses(root, descended)).run(1)
    run = game(Losses(root, descended, may_overflow=True)).run(1)
    assert torch.equal(run.critic.weights[0][:, 0, 0], networks()[1].weights[0][:, 0, 0])
    assert not torch.equal(run.critic.weights[0][:, 1], networks()[1].weights[0][:, 1])

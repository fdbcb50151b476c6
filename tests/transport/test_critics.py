import math

import pytest
import torch
from torch import nn

from helpers.networks import MLP
from helpers.randomness import generator
from helpers.transport.critics import Game, clip, gradient_penalty, normalise, slope_bound, slopes

CHANGES = [
    {},
    {"loss": "saturating"},
    {"loss": "non-saturating"},
    {"momentum": 0.9},
    {"momentum": 0},
    {"constraint": "penalty"},
    {"constraint": "penalty", "momentum": 0.5},
    {"constraint": "none"},
    {"critic_steps": 1},
    {"constraint": "spectral"},
]


def network(sizes=(2, 5, 4, 1), models=3, name="critic", **options):
    options = {"activation": torch.tanh, "dtype": torch.float64, **options}
    made = MLP(sizes, models, generator=generator(f"critics: {name}"), **options)
    with torch.no_grad():
        for bias in made.biases:
            bias += 0.3 * torch.randn(bias.shape, generator=generator("critics: biases"), dtype=bias.dtype)
    return made


def shifted(shape, source):
    return 1 + 0.5 * torch.randn(*shape, 2, generator=source, dtype=torch.float64)


def game(models=3, **changes):
    settings = {"name": "game", "rate": 0.01, "batch": 8, "bound": 0.2, **changes}
    return Game(network((3, 4, 2), models, "generator"), network(models=models), shifted, **settings)


def stack(made):
    """A single model, made of PyTorch's own layers."""
    layers = []
    for weights, bias in zip(made.weights, made.biases, strict=True):
        linear = nn.Linear(*weights.shape[1:], dtype=weights.dtype)
        linear.weight.data, linear.bias.data = weights[0].T.detach().clone(), bias[0, 0].detach().clone()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def agree(made, layers):
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for weights, bias, layer in zip(made.weights, made.biases, linear, strict=True):
        torch.testing.assert_close(weights[0], layer.weight.T, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(bias[0, 0], layer.bias, rtol=1e-9, atol=1e-11)


# Slopes


def test_clipping_cuts_every_parameter_at_the_bound_of_its_model():
    made, bounds = network(), torch.tensor([0.1, 0.3, 10.0])
    before = [one.detach().clone() for one in made.parameters()]
    clip(made, bounds)
    for one, old in zip(made.parameters(), before, strict=True):
        for model, bound in enumerate(bounds):
            assert torch.equal(one[model], old[model].clamp(-bound, bound))
    clip(made, 0.05)
    assert max(one.abs().max().item() for one in made.parameters()) == 0.05


def test_the_bound_is_the_product_of_the_largest_singular_values():
    made = network()
    expected = [math.prod(torch.linalg.svdvals(w[model])[0].item() for w in made.weights) for model in range(3)]
    torch.testing.assert_close(slope_bound(made), torch.tensor(expected, dtype=torch.float64))


def test_slopes_are_those_of_differences_and_below_the_bound(normal):
    made, points, h = network(), normal("slopes", 6, 2), 1e-6
    sides = [[made(points + s * h * axis) for s in (1, -1)] for axis in torch.eye(2)]
    expected = torch.cat([(up - down) / (2 * h) for up, down in sides], -1).norm(dim=-1)
    found = slopes(made, points)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(slopes(made, points.expand(3, 6, 2)), found)
    assert (found <= slope_bound(made)[:, None]).all()


def test_a_linear_critic_reaches_the_bound(normal):
    made = network((2, 1))
    torch.testing.assert_close(slopes(made, normal("linear", 4, 2)), slope_bound(made)[:, None].expand(3, 4))


def test_normalising_makes_every_norm_one_and_keeps_the_directions():
    made = network()
    before = [one.detach().clone() for one in made.weights]
    vectors = normalise(made)
    for one, old, v in zip(made.weights, before, vectors, strict=True):
        norms = torch.linalg.matrix_norm(old, 2)[:, None, None]
        torch.testing.assert_close(one.detach(), old / norms)
        torch.testing.assert_close((one @ v).norm(dim=1), torch.ones(3, 1, dtype=torch.float64))
    torch.testing.assert_close(slope_bound(made), torch.ones(3, dtype=torch.float64))


def test_power_iteration_finds_the_norms_from_other_starts(normal):
    made = network()
    starts = [normal(f"starts {w.shape[2]}", 3, w.shape[2], 1) for w in made.weights]
    normalise(made, starts, rounds=500)
    torch.testing.assert_close(slope_bound(made), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=0)
    few = network()
    normalise(few, starts)
    assert (slope_bound(few) >= 1).all()
    assert (slope_bound(few) > 1.001).any()


def test_the_penalty_is_that_of_a_stack_of_layers_with_its_gradient(normal):
    made, x, y = network(models=1), normal("real", 1, 6, 2), normal("fake", 1, 6, 2)
    shares = torch.rand(1, 6, 1, generator=generator("shares"), dtype=torch.float64)
    found = gradient_penalty(made, x, y, shares)
    referee = stack(made)
    points = (shares * x + (1 - shares) * y)[0].requires_grad_()
    slope = torch.autograd.grad(referee(points).sum(), points, create_graph=True)[0].norm(dim=-1)
    expected = ((slope - 1) ** 2).mean()
    torch.testing.assert_close(found[0], expected)
    found.sum().backward()
    expected.backward()
    for weights, layer in zip(made.weights, referee[::2], strict=True):
        torch.testing.assert_close(weights.grad[0], layer.weight.grad.T, rtol=1e-9, atol=1e-12)


def test_the_penalty_of_a_linear_critic_is_the_square_of_its_excess(normal):
    made = network((2, 1))
    shares = torch.full((3, 4, 1), 0.25, dtype=torch.float64)
    found = gradient_penalty(made, normal("x", 3, 4, 2), normal("y", 3, 4, 2), shares)
    torch.testing.assert_close(found, (slope_bound(made) - 1) ** 2)


# The game


def transcribed(steps, *, loss="wasserstein", constraint="clip", critic_steps=5, momentum=None):
    """The algorithm of one model, line by line, with PyTorch's layers and optimisers."""
    g, f = stack(network((3, 4, 2), 1, "generator")), stack(network(models=1))
    source, values = generator("game"), []
    options = {"lr": 0.01} if momentum is None else {"lr": 0.01, "betas": (float(momentum), 0.999)}
    rule = torch.optim.RMSprop if momentum is None else torch.optim.Adam
    of_g, of_f = rule(g.parameters(), **options), rule(f.parameters(), **options)

    def noise():
        return torch.randn(8, 3, generator=source, dtype=torch.float64)

    log = nn.functional.logsigmoid
    for _ in range(steps):
        for _ in range(critic_steps):
            x, y = shifted((8,), source), g(noise()).detach()
            value = (f(x) - f(y)).mean() if loss == "wasserstein" else (log(f(x)) + log(-f(y))).mean()
            objective = value
            if constraint == "penalty":
                t = torch.rand(8, 1, generator=source, dtype=torch.float64)
                points = (t * x + (1 - t) * y).requires_grad_()
                slope = torch.autograd.grad(f(points).sum(), points, create_graph=True)[0]
                objective = value - 10 * ((slope.norm(dim=-1) - 1) ** 2).mean()
            of_f.zero_grad()
            (-objective).backward()
            of_f.step()
            if constraint == "clip":
                for parameter in f.parameters():
                    parameter.data.clamp_(-0.2, 0.2)
        values.append(value.item())
        fake = f(g(noise()))
        of_g.zero_grad()
        {"wasserstein": -fake, "saturating": log(-fake), "non-saturating": -log(fake)}[loss].mean().backward()
        of_g.step()
    return g, f, values


@pytest.mark.parametrize("changes", CHANGES[:-1], ids=str)
def test_a_game_is_the_algorithm_line_by_line(changes):
    found = game(1, **changes).run(4)
    g, f, values = transcribed(4, **changes)
    agree(found.generator, g)
    agree(found.critic, f)
    torch.testing.assert_close(found.history[:, 0], torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_change_in_one_model_leaves_the_others_as_they_are(changes):
    one, other = game(**changes), game(**changes)
    with torch.no_grad():
        other.generator.weights[0][1] += 0.1
        other.critic.biases[0][1] += 0.1
    histories = one.run(3).history, other.run(3).history
    assert (histories[0] == histories[1]).all(0).tolist() == [True, False, True]
    for first, second in zip(one.generator.parameters(), other.generator.parameters(), strict=True):
        assert torch.equal(first[[0, 2]], second[[0, 2]])


def test_rates_and_bounds_may_belong_to_models():
    even = game(rate=0.02, bound=0.3).run(3)
    mixed = game(rate=[0.02, 0.05, 0.02], bound=[0.3, 0.1, 0.3]).run(3)
    for first, second in zip(even.critic.parameters(), mixed.critic.parameters(), strict=True):
        assert torch.equal(first[[0, 2]], second[[0, 2]])
        assert second[1].abs().max() <= 0.1
    assert max(one[1].abs().max().item() for one in mixed.critic.parameters()) == pytest.approx(0.1)


def test_each_model_sees_draws_of_its_own():
    shapes, seen = [], []

    def draw(shape, source):
        shapes.append(shape)
        seen.append(shifted(shape, source))
        return seen[-1]

    Game(network((3, 4, 2), 3, "generator"), network(), draw, name="own", batch=8).run(2)
    assert shapes == [(3, 1)] + [(3, 8)] * 10
    assert all(not torch.equal(one[0], one[1]) for one in seen)
    assert not torch.equal(seen[1], seen[2])


def test_a_run_in_two_parts_is_the_run_at_once():
    parts, whole = game().run(2).run(3), game().run(5)
    assert torch.equal(parts.history, whole.history)
    assert parts.history.shape == (5, 3)
    assert torch.equal(parts.sample(4), whole.sample(4))


def test_a_spectral_critic_keeps_the_norm_of_every_layer_near_one():
    made = game(constraint="spectral")
    assert (slope_bound(made.critic) - 1).abs().max() < 1e-9
    for rate in (0.001, 0.01):
        found = slope_bound(game(constraint="spectral", rate=rate).run(30).critic)
        assert (found >= 1 - 1e-9).all()
        assert (found < 1 + 30 * rate).all()


@pytest.mark.parametrize("loss", ["wasserstein", "non-saturating"])
def test_fakes_move_to_the_data(loss):
    made = game(loss=loss, bound=0.5, rate=0.005).run(400)
    assert (made.sample(1000).mean(1) - 1).abs().max() < 0.35


def test_precision_and_device(device):
    def draw(shape, source):
        return torch.randn(*shape, 2, generator=source, device=source.device)

    source = generator("device", device)
    nets = [MLP(sizes, 2, generator=source) for sizes in ((3, 4, 2), (2, 4, 1))]
    made = Game(*nets, draw, name="device").run(2)
    assert (made.history.dtype, made.history.device.type) == (torch.float32, device.type)
    assert made.sample(5).shape == (2, 5, 2)


# Refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "kl"}, "loss: wanted one of 'wasserstein'"),
        ({"constraint": "weights"}, "constraint: wanted one of 'clip'"),
        ({"momentum": 1}, "momentum: wanted a number from 0 to below 1, got 1"),
        ({"momentum": -0.1}, "momentum: wanted a number from 0 to below 1"),
        ({"rate": 0.0}, "rate: wanted a number above zero, got 0.0"),
        ({"rate": [0.1, 0.2]}, r"rate: wanted shape \(3,\)"),
        ({"bound": [0.1, 0.2, -1.0]}, "bound: wanted a number above zero, got -1.0"),
        ({"batch": 0}, "batch: wanted a whole number of at least 1"),
        ({"critic_steps": 0}, "critic_steps: wanted a whole number of at least 1"),
        ({"penalty": -1.0}, "penalty: wanted a number above zero"),
        ({"name": ""}, "name: wanted a text that names the stream"),
    ],
)
def test_settings_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        game(**changes)


def test_networks_and_data_that_do_not_fit_are_named():
    g = network((3, 4, 2), 3, "generator")
    for critic in (network((3, 4, 1)), network(models=2)):
        with pytest.raises(ValueError, match=r"^critic: wanted 2 input\(s\) for 3 model\(s\)"):
            Game(g, critic, shifted, name="refused")
    with pytest.raises(ValueError, match="^critic: wanted one output, got 2"):
        Game(g, network((2, 4, 2)), shifted, name="refused")
    with pytest.raises(ValueError, match=r"^draw: wanted shape \(3, 1, 2\)"):
        Game(g, network(), lambda shape, source: torch.randn(shape), name="refused")
    with pytest.raises(ValueError, match="^draw: wanted a function of a shape and a generator"):
        Game(g, network(), 3, name="refused")


def test_bad_input_to_the_functions_is_named():
    made = network()
    x = torch.zeros(3, 4, 2)
    for call, message in (
        (lambda: clip(made, 0), "bound: wanted a number above zero"),
        (lambda: clip(3, 1), "network: wanted a MLP, got int"),
        (lambda: slopes(network((2, 3, 2)), x), "network: wanted one output, got 2"),
        (lambda: slopes(made, torch.zeros(4, 3)), r"points: wanted shape \(n, 2\) or \(3, n, 2\)"),
        (lambda: normalise(made, [x]), "vectors: wanted a list of 3 tensors"),
        (lambda: normalise(made, rounds=0), "rounds: wanted a whole number of at least 1"),
        (lambda: gradient_penalty(made, x, x, x), r"shares: wanted shape \(3, 4, 1\)"),
        (lambda: gradient_penalty(made, x, x, x[..., :1] + 2), "shares: wanted numbers from 0 to 1, got 2 to 2"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()
    with torch.no_grad():
        made.weights[1].zero_()
    with pytest.raises(ValueError, match="^network: wanted a weight other than zero in every layer"):
        normalise(made)


def test_a_run_that_overflows_says_so():
    with pytest.raises(RuntimeError, match="^game: loss of the critic of model"):
        game(rate=1e308, constraint="none").run(3)

"""Adversarial learning: steps of many games at once, and the energy distance of their samples."""

import copy
from functools import cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils import parameters_to_vector

from benchmarks.harness import Row, Work
from helpers.adversarial.fdivergence import GAN
from helpers.adversarial.samples import energy_distance, ring
from helpers.adversarial.training import Training
from helpers.networks import MLP
from helpers.randomness import generator
from helpers.transport.critics import Game

TITLE = "Adversarial learning"
NAME = "benchmarks: adversarial"
BATCH, WIDTH, STEPS, RATE, MOMENTUM = 64, 64, 20, 1e-3, 0.5
PRODUCTS = (
    "The products of 64 × 64 matrices run at the speed of a single large one and are a third of the time; a third "
    "are layers with one or two outputs and passes over numbers that a core's cache no longer holds, the rest "
    "are calls, whose share falls with the number of seeds. A last layer as a sum of products would save a "
    "fifteenth."
)
CALLS = "As many calls as the peer's, and those that draw noise, which the peer is given, and that look at the losses."
ROOTS = (
    "Half of the time of a pair is its square root, in single precision; the rest are five passes over a block in "
    "cache. SciPy takes each pair within a sample once, as we do, and in double precision."
)


def networks(models):
    """A generator and a critic with two hidden layers of rectifiers; PyTorch's optimisers are made ready, too, which
    import much when the first is made."""
    torch.optim.Adam([torch.zeros(1)])
    options = {"models": models, "activation": torch.relu}
    return [MLP((2, WIDTH, WIDTH, end), generator=generator(f"{NAME} {end}"), **options) for end in (2, 1)]


def layers(made, model, dtype):
    """One model as it is usually written."""
    stack = []
    for weights, bias in zip(made.weights, made.biases, strict=True):
        linear = nn.Linear(*weights.shape[1:], dtype=dtype)
        linear.weight.data.copy_(weights[model].detach().T)
        linear.bias.data.copy_(bias[model, 0].detach())
        stack += [linear, nn.ReLU()]
    return nn.Sequential(*stack[:-1])


def parameters(made):
    """Those of each model, in the order of the peer's: shape (models, parameters)."""
    pairs = zip(made.weights, made.biases, strict=True)
    return torch.cat([part.flatten(1) for weights, bias in pairs for part in (weights.mT, bias)], 1).detach()


def moved(start, right):
    """The error of parameters against those that `right` gives, relative to the way from the start to there."""
    right = cache(right)

    def error(found):
        before = torch.cat([parameters(one) for one in start], 1)
        return ((found - right()).norm() / (right() - before).norm()).item()

    return error


def games(models, fused):
    """Steps from the same start, on the same data and noise, which the peer is given.

    What is right is the peer in float64."""
    start = networks(models)
    draws = generator(f"{NAME}: data")
    data = torch.stack([ring((models, BATCH), draws) for _ in range(STEPS)])
    draws = generator(NAME)  # the stream of `Training`, in its order
    noise = torch.stack([torch.randn(models, BATCH, 2, generator=draws) for _ in range(2 * STEPS)])

    def ours():
        batches = iter(data)

        def draw(shape, random):
            return next(batches) if shape == (models, BATCH) else data[0, :, :1]

        run = Training(*copy.deepcopy(start), draw, GAN, name=NAME, batch=BATCH, rate=RATE, momentum=MOMENTUM)
        run.run(STEPS)
        return torch.cat([parameters(run.generator), parameters(run.critic)], 1)

    def theirs(dtype=torch.float32):
        return torch.stack([trained(model, dtype) for model in range(models)])

    def trained(model, dtype):
        g, f = (layers(made, model, dtype) for made in start)
        options = {"lr": RATE, "betas": (MOMENTUM, 0.999), "fused": fused or None}
        of_g, of_f = (torch.optim.Adam(one.parameters(), **options) for one in (g, f))
        for step, real in enumerate(data[:, model].to(dtype)):
            z, later = noise[2 * step : 2 * step + 2, model].to(dtype)
            of_f.zero_grad()
            (softplus(-f(real)).mean() + softplus(f(g(z).detach())).mean()).backward()
            of_f.step()
            of_g.zero_grad()
            (-softplus(f(g(later)))).mean().backward()
            of_g.step()
        return torch.cat([parameters_to_vector(one.parameters()).detach() for one in (g, f)])

    return Work(ours, theirs, moved(start, lambda: theirs(torch.float64)))


def penalised(models, rounds=4, critic_steps=5):
    """Rounds of a Wasserstein game whose critic's slope is held by the gradient penalty, from one start and on the same
    draws; what is right is the peer in float64."""
    start = networks(models)
    draws = generator(f"{NAME}: data")
    data = torch.stack([ring((models, BATCH), draws) for _ in range(rounds * critic_steps)])
    draws, drawn = generator(NAME), []  # the stream of `Game`, in its order
    for _ in range(rounds):
        for _ in range(critic_steps):
            drawn.append(torch.randn(models, BATCH, 2, generator=draws))
            drawn.append(torch.rand(models, BATCH, 1, generator=draws))
        drawn.append(torch.randn(models, BATCH, 2, generator=draws))

    def ours():
        batches = iter(data)

        def draw(shape, random):
            return next(batches) if shape == (models, BATCH) else data[0, :, :1]

        options = {"constraint": "penalty", "rate": RATE, "batch": BATCH, "momentum": MOMENTUM}
        run = Game(*copy.deepcopy(start), draw, name=NAME, critic_steps=critic_steps, **options).run(rounds)
        return torch.cat([parameters(run.generator), parameters(run.critic)], 1)

    def theirs(dtype=torch.float32):
        return torch.stack([trained(model, dtype) for model in range(models)])

    def trained(model, dtype):
        g, f = (layers(made, model, dtype) for made in start)
        of_g, of_f = (torch.optim.Adam(one.parameters(), lr=RATE, betas=(MOMENTUM, 0.999)) for one in (g, f))
        batches, numbers = iter(data[:, model].to(dtype)), (one[model].to(dtype) for one in drawn)
        for _ in range(rounds):
            for _ in range(critic_steps):
                real, fake, share = next(batches), g(next(numbers)).detach(), next(numbers)
                between = (fake + share * (real - fake)).requires_grad_()
                (slope,) = torch.autograd.grad(f(between).sum(), between, create_graph=True)
                of_f.zero_grad()
                (f(fake).mean() - f(real).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()).backward()
                of_f.step()
            of_g.zero_grad()
            (-f(g(next(numbers))).mean()).backward()
            of_g.step()
        return torch.cat([parameters_to_vector(one.parameters()).detach() for one in (g, f)])

    return Work(ours, theirs, moved(start, lambda: theirs(torch.float64)))


def energies(models, n):
    """Pairs of samples of n points each, which SciPy takes one after the other."""
    from scipy.spatial.distance import cdist, pdist

    draws = generator(f"{NAME}: energy")
    x, y = (ring((models, n), draws, deviation=deviation) for deviation in (0.1, 0.3))
    pairs = list(zip(x.double().numpy(), y.double().numpy(), strict=True))

    def theirs():
        return np.array([2 * cdist(*pair).mean() - sum(pdist(one).mean() for one in pair) for pair in pairs])

    right, size = torch.as_tensor(theirs()), cdist(*pairs[0]).mean()

    def error(found):
        return ((torch.as_tensor(found) - right).abs().max() / size).item()

    return Work(lambda: energy_distance(x, y), theirs, error)


# The rows


TWICE = (
    "The slope is differentiated once more, through two layers of 64: three times the calls of a plain step, on small "
    "matrices. With sixteen models they weigh less than with four."
)


def steps(models, fused, goal):
    kind = "fused" if fused else "eager"
    seeds = "1 seed" if models == 1 else f"{models} seeds"
    return Row(
        f"gan-{models}-{kind}",
        f"{STEPS} steps of a GAN on the ring, batch {BATCH}, width {WIDTH}, {seeds}",
        f"PyTorch, `nn.Sequential`, {'fused' if fused else 'eager'} `Adam`" + ", one by one" * (models > 1),
        partial(games, models, fused),
        goal,
        1e-2,
        relative="the change of the parameters",
        limit=PRODUCTS if models > 1 else CALLS,
    )


def with_a_penalty(models):
    return Row(
        f"gan-penalty-{models}",
        f"4 rounds of a Wasserstein GAN with gradient penalty, 5 critic steps each, batch {BATCH}, {models} seeds",
        "PyTorch, `nn.Sequential`, eager `Adam`, one by one",
        partial(penalised, models),
        0.5,
        5e-2,
        relative="the change of the parameters",
        limit=TWICE,
    )


ROWS = [
    steps(1, False, 1.0),
    steps(16, False, 0.15),
    steps(32, False, 0.13),
    steps(1, True, 1.0),
    steps(16, True, 0.2),
    steps(32, True, 0.2),
    with_a_penalty(4),
    with_a_penalty(16),
    Row(
        "gan-energy-distance",
        "Energy distance, 16 pairs of 2000 and 2000 points in the plane",
        "SciPy `cdist` and `pdist`, a loop",
        partial(energies, 16, 2000),
        0.25,
        1e-6,
        relative="the mean distance",
        limit=ROOTS,
    ),
]

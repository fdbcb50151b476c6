"""Convolutional adversarial networks on small images, several seeds at once."""

from functools import cache, partial

import torch
from torch import nn
from torch.nn.functional import leaky_relu, softplus

from benchmarks.harness import Row, Work
from helpers.adversarial.convolution import Network
from helpers.adversarial.training import Losses, Training
from helpers.randomness import generator

TITLE = "Convolutional networks"
NAME = "benchmarks: convolutions"
UP, DOWN = ((16, 1), (32, 2), (16, 4), (1, 8)), ((1, 8), (16, 4), (32, 2), (1, 1))
BATCH, RATE, STEPS = 64, 1e-3, 8
leaky = partial(leaky_relu, negative_slope=0.2)


def critic_loss(critic, real, fake):
    return (softplus(-critic(real)) + softplus(critic(fake))).mean((1, 2))


def generator_loss(critic, real, fake):
    return softplus(-critic(fake)).mean((1, 2))


def draw(shape, random):
    return torch.rand(*shape, 64, generator=random)


def networks(models, dtype=torch.float32):
    random = generator(f"{NAME}: start")
    options = {"generator": random, "dtype": dtype}
    return (
        Network(UP, models, batch_norm=(0, 1), output=torch.sigmoid, **options),
        Network(DOWN, models, batch_norm=(1,), activation=leaky, **options),
    )


class Peer(nn.Module):
    """The same pair of networks as layers of PyTorch; several models as groups of one convolution."""

    def __init__(self, ours, transposed, dtype):
        super().__init__()
        kind, layers = nn.ConvTranspose2d if transposed else nn.Conv2d, []
        for place, weights in enumerate(ours):
            groups, (taps, start, end) = len(weights), weights.shape[1:]
            size, norm = round(taps**0.5), place in ((0, 1) if transposed else (1,))
            step = (2, 1) if size == 4 else (1, 0)
            layers.append(kind(groups * start, groups * end, size, *step, groups=groups, bias=not norm))
            order = (0, 2, 3, 1) if transposed else (0, 3, 2, 1)
            kernels = weights.permute(*order).flatten(0, 1).unflatten(-1, (size, size))
            layers[-1].weight.data = kernels.detach().clone(memory_format=torch.contiguous_format)
            if layers[-1].bias is not None:
                layers[-1].bias.data.zero_()
            if norm:
                layers.append(nn.BatchNorm2d(groups * end))
            if place < len(ours) - 1:
                layers.append(nn.ReLU(True) if transposed else nn.LeakyReLU(0.2, True))
        if transposed:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers).to(dtype)

    def forward(self, x):
        return self.layers(x)


def in_groups(x, side):
    """(models, n, pixels) as images whose channels are the models."""
    return x.transpose(0, 1).reshape(x.shape[1], -1, side, side)


def train(start, real, codes, dtype=torch.float32):
    """So many steps of the models in `start`, as groups; the last fakes, shape (n, models, 8, 8)."""
    models = start[0].models
    made, critic = (Peer(one.weights, up, dtype) for one, up in zip(start, (True, False), strict=True))
    optimisers = [torch.optim.Adam(one.parameters(), lr=RATE, betas=(0.5, 0.999), fused=True) for one in (made, critic)]
    for x, (z, again) in zip(real.to(dtype), codes.to(dtype), strict=True):
        with torch.no_grad():
            fake = made(in_groups(z, 1))
        optimisers[1].zero_grad()
        outputs = softplus(-critic(in_groups(x, 8))) + softplus(critic(fake))
        (outputs.mean() * models).backward()
        optimisers[1].step()
        optimisers[0].zero_grad()
        critic.requires_grad_(False)
        (softplus(-critic(made(in_groups(again, 1)))).mean() * models).backward()
        critic.requires_grad_(True)
        optimisers[0].step()
    with torch.no_grad():
        return made(in_groups(codes[0, 0].to(dtype), 1)).transpose(0, 1).flatten(2)


def one_of(start, model):
    """The networks of one model alone."""
    alone = networks(1, start[0].weights[0].dtype)
    for one, whole in zip(alone, start, strict=True):
        one.load_state_dict({key: value[model : model + 1] for key, value in whole.state_dict().items()})
    return alone


def steps(models, grouped=False):
    """Some steps of training from the same start on the same draws; what is right is the peer in float64."""
    stream = generator(NAME)  # that of `Training`, in its order
    real, codes = [], []
    for _ in range(STEPS):
        real.append(draw((models, BATCH), stream))
        codes.append([torch.randn(models, BATCH, 16, generator=stream) for _ in range(2)])
    real, codes = torch.stack(real), torch.stack([torch.stack(pair) for pair in codes])

    def ours():
        pair = networks(models)
        game = Training(*pair, draw, Losses(critic_loss, generator_loss), name=NAME, batch=BATCH, rate=RATE).run(STEPS)
        with torch.no_grad():
            return game.generator(codes[0, 0])

    def theirs(dtype=torch.float32):
        start = networks(models)
        if grouped:
            return train(start, real, codes, dtype)
        each = [train(one_of(start, k), real[:, k : k + 1], codes[:, :, k : k + 1], dtype) for k in range(models)]
        return torch.cat(each)

    @cache
    def right():
        return theirs(torch.float64)

    return Work(ours, theirs, lambda found: (found - right()).abs().max().item())


# The rows


WHOLE = "PyTorch, one seed after the other, fused Adam"
ROWS = [
    Row(
        f"convolution-{models}",
        f"{STEPS} steps of a DCGAN 16-32-16-1 on 8 × 8, batch {BATCH}, {models} seeds",
        WHOLE,
        partial(steps, models),
        goal=0.75,
        within=1e-3,
        relative="the range of a pixel",
    )
    for models in (4, 10)
]
ROWS += [
    Row(
        f"convolution-grouped-{models}",
        f"The same, {models} seeds",
        "PyTorch, all seeds as groups of one convolution, fused Adam",
        partial(steps, models, grouped=True),
        goal=0.75,
        within=1e-3,
        relative="the range of a pixel",
    )
    for models in (4, 10)
]

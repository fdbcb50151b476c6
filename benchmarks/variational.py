"""Variational autoencoders: steps of gradient ascent on the bound, one model or several at once."""

import copy
import math
from functools import cache, partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks.harness import Row, Work
from helpers.latent.variational import Autoencoder, Training
from helpers.randomness import generator

TITLE = "Variational autoencoders"
NAME = "benchmarks: variational autoencoder"
PIXELS, LATENT, BATCH, RATE = 64, 8, 256, 1e-3


class Peer(nn.Module):
    """One autoencoder as it is usually written; the loss is summed over the batch at once."""

    def __init__(self, hidden, parameters):
        super().__init__()
        self.log_deviation = nn.Parameter(torch.zeros(()))
        self.encoder = perceptron(PIXELS, *hidden, 2 * LATENT)
        self.decoder = perceptron(LATENT, *reversed(hidden), PIXELS)
        self.to(parameters.dtype)
        vector_to_parameters(parameters, self.parameters())

    def loss(self, x, noise):
        mean, log_deviation = self.encoder(x).chunk(2, -1)
        deviation = log_deviation.exp()
        squares = mse_loss(self.decoder(mean + deviation * noise), x, reduction="sum")
        divergence = (deviation.square() + mean.square() - 1 - 2 * log_deviation).sum() / 2
        logs = x.numel() * (self.log_deviation + math.log(2 * math.pi) / 2)
        return (squares * (-2 * self.log_deviation).exp() / 2 + logs + divergence) / len(x)

    def train_on(self, data, order, noise, **options):
        """A step for each batch, then the loss on data held out; returns the parameters."""
        optimiser = torch.optim.Adam(self.parameters(), lr=RATE, **options)
        for index, draws in zip(order.split(BATCH), noise, strict=True):
            optimiser.zero_grad()
            self.loss(data[index], draws).backward()
            optimiser.step()
        with torch.no_grad():
            self.loss(data[:BATCH], noise[0])
        return parameters_to_vector(self.parameters()).detach()


def perceptron(*sizes):
    layers = [(nn.Linear(start, end), nn.Tanh()) for start, end in pairwise(sizes)]
    return nn.Sequential(*sum(layers, ())[:-1])


def parameters(model):
    """Those of each model, in the order of the peer's: shape (models, parameters)."""
    layers = [zip(one.weights, one.biases, strict=True) for one in (model.encoder, model.decoder)]
    parts = [model.spread, *(part for network in layers for layer in network for part in layer)]
    return torch.cat([part.mT.flatten(1) for part in parts], 1).detach()


def training(models, steps, hidden, **options):
    """An epoch from the same start, in the same order, with the same noise, which the peer is given.

    What is right is the peer in float64; the error is that of the parameters after the epoch."""
    data = torch.rand(steps * BATCH, PIXELS, generator=generator(f"{NAME}: data"))
    start = Autoencoder(PIXELS, LATENT, hidden, models=models, generator=generator(f"{NAME}: start"))
    draws = generator(NAME)  # the stream of `Training`, in its order
    order = torch.stack([torch.randperm(len(data), generator=draws) for _ in range(models)])
    noise = torch.stack([start.noise(1, BATCH, draws)[:, 0] for _ in range(steps)], 1)

    def ours():
        run = Training(copy.deepcopy(start), data, data[:BATCH], name=NAME, batch=BATCH, rate=RATE)
        return parameters(run.run(1).model)

    def theirs(dtype=torch.float32, **options):
        peers = [Peer(hidden, one) for one in parameters(start).to(dtype)]
        given = zip(peers, order, noise.to(dtype), strict=True)
        return torch.stack([peer.train_on(data.to(dtype), *rest, **options) for peer, *rest in given])

    @cache
    def right():
        return theirs(torch.float64)

    def error(found):
        return ((found - right()).abs().max() / (right() - parameters(start)).abs().max()).item()

    return Work(ours, partial(theirs, **options), error)


# The rows


LIMITS = {
    1: "A third of our time are products of matrices and tanh, as on the other side; the rest is the dispatch of "
    "some thirty operations and their gradients. The peer loses time in its optimiser alone, and none where that is "
    "fused.",
    16: "Products of matrices, at the speed of the machine on both sides, are half of our time.",
}
ROWS = []
for models, steps, goal in ((1, 200, 0.85), (16, 20, 0.45)):
    for hidden in ((64,), (128, 64)):
        sizes = "–".join(str(size) for size in (PIXELS, *hidden, LATENT))
        work = f"{steps} steps of an autoencoder {sizes}, batch {BATCH}" + f", {models} models" * (models > 1)
        peer = "PyTorch, `nn.Sequential` and `optim.Adam`" + ", one after the other" * (models > 1)
        key = f"autoencoder-{models}-{'-'.join(map(str, hidden))}"
        call = partial(training, models, steps, hidden)
        fused = partial(call, fused=True)
        common = dict(within=1e-3, relative="the largest change of a parameter", limit=LIMITS[models])
        ROWS += [
            Row(key, work, peer, call, goal=goal, **common),
            Row(f"{key}-fused", work, f"{peer}, fused", fused, goal=None, **common),
        ]

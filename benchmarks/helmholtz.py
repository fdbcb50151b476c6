"""Helmholtz machines: the bound of all images by sums over layers, and steps of training for several machines."""

import copy
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.nn.utils import parameters_to_vector

from benchmarks.harness import Row, Work
from helpers.latent.helmholtz import HelmholtzMachine, log_bound, reweighted, states
from helpers.randomness import generator

TITLE = "Helmholtz machines"
NAME = "benchmarks: helmholtz"
SIZES, MODELS, BATCH, SAMPLES, STEPS, RATE = (64, 20, 10), 10, 100, 10, 5, 1e-3


def machine(sizes, models=1, **options):
    """One with numbers of the size of one."""
    draws = generator(f"{NAME}: {sizes}")
    made = HelmholtzMachine(sizes, models, generator=draws, **options)
    for one in made.parameters():
        one.data += torch.randn(one.shape, generator=draws, dtype=one.dtype)
    return made


def logs(made, low, high, layer):
    """Logarithms of p(low|high) and q(high|low), shape (low states, high states)."""
    down, up = made.down[layer](high)[0], made.up[layer](low)[0]
    log_p = low @ down.T - softplus(down, threshold=40).sum(-1)
    return log_p, up @ high.T - softplus(up, threshold=40).sum(-1, keepdim=True)


def bound():
    """That of all images of ten pixels, under layers of eight and six hidden units.

    What is right are matrix products of the roots in NumPy's long double."""
    made = machine((10, 8, 6), dtype=torch.float64).requires_grad_(False)
    x, first, second = (states(units) for units in made.sizes)

    def halves():
        prior = made.prior[0, 0]
        top = second @ prior - softplus(prior, threshold=40).sum()
        return sum(logs(made, x, first, 0)) / 2, (sum(logs(made, first, second, 1)) + top) / 2

    def theirs():
        lower, upper = halves()
        return 2 * (lower[:, :, None] + upper).flatten(1).logsumexp(-1)

    @cache
    def right():
        lower, upper = (np.exp(one.numpy().astype(np.longdouble)) for one in halves())
        return 2 * np.log((lower @ upper).sum(-1))

    def error(found):
        return float(np.abs(found.numpy() - right()).max())

    return Work(lambda: log_bound(made, x)[0], theirs, error)


class Peer(nn.Module):
    """One machine as it is usually written."""

    def __init__(self, made, model):
        super().__init__()
        pairs = list(pairwise(made.sizes))
        self.down = nn.ModuleList(nn.Linear(above, below) for below, above in pairs)
        self.up = nn.ModuleList(nn.Linear(below, above) for below, above in pairs)
        self.prior = nn.Parameter(made.prior[model, 0].detach().clone())
        for mine, given in zip((*self.down, *self.up), (*made.down, *made.up), strict=True):
            mine.weight.data = given.weights[0][model].detach().T.contiguous()
            mine.bias.data = given.biases[0][model, 0].detach().clone()
        self.to(made.prior.dtype)

    def loss(self, x, chances):
        """The surrogate of algorithm 1; a unit is on where its chance is above the uniform number given."""
        low, log_p, log_q = x.expand(SAMPLES, *x.shape), 0.0, 0.0
        for up, down, chance in zip(self.up, self.down, chances, strict=True):
            odds = up(low)
            high = (chance < odds.detach().sigmoid()).to(x)
            log_q = log_q + log_probability(odds, high)
            log_p = log_p + log_probability(down(high), low)
            low = high
        log_p = log_p + log_probability(self.prior.expand_as(low), low)
        weights = ((log_p - log_q) / 2).detach().softmax(0)
        return -(weights * (log_p + log_q)).sum(0).mean()


def log_probability(odds, layer):
    return -binary_cross_entropy_with_logits(odds, layer, reduction="none").sum(-1)


def parameters(made):
    """Those of each model, in the order of the peer's: shape (models, parameters)."""
    layers = [part for net in (*made.down, *made.up) for part in (net.weights[0].mT, net.biases[0])]
    return torch.cat([part.flatten(1) for part in (made.prior, *layers)], 1).detach()


def training():
    """Steps from the same start, on the same images, with the same uniform numbers, which the peer is given.

    What is right is the peer in float64, on the hidden units that float32 has drawn but for those on the edge."""
    start = machine(SIZES, MODELS)
    images = (torch.rand(STEPS, MODELS, BATCH, SIZES[0], generator=generator(f"{NAME}: images")) < 0.3).float()

    def ours():
        made, draws = copy.deepcopy(start), generator(NAME)
        optimiser = torch.optim.Adam(made.parameters(), lr=RATE, fused=True)
        for x in images:
            optimiser.zero_grad()
            (-reweighted(made, x, SAMPLES, draws).mean(-1).sum()).backward()
            optimiser.step()
        return parameters(made)

    draws = generator(NAME)  # the stream of `reweighted`, in its order
    uniform = [
        [torch.rand(MODELS, SAMPLES, BATCH, units, generator=draws) for units in SIZES[1:]] for _ in range(STEPS)
    ]

    def theirs(dtype=torch.float32):
        return torch.stack([trained(Peer(start, model).to(dtype), model, dtype) for model in range(MODELS)])

    def trained(peer, model, dtype):
        optimiser = torch.optim.Adam(peer.parameters(), lr=RATE)
        for x, chances in zip(images, uniform, strict=True):
            optimiser.zero_grad()
            peer.loss(x[model].to(dtype), [one[model].to(dtype) for one in chances]).backward()
            optimiser.step()
        return parameters_to_vector(peer.parameters()).detach()

    @cache
    def right():
        return theirs(torch.float64)

    def error(found):
        return ((found - right()).abs().max() / (right() - parameters(start)).abs().max()).item()

    return Work(ours, theirs, error)


# The rows


ROWS = [
    Row(
        "bihm-bound",
        "The bound of all images, layers 10–8–6",
        "PyTorch, `logsumexp` of the joint table",
        bound,
        goal=1 / 8,
        within=1e-13,
        relative="a nat",
    ),
    Row(
        "bihm-step",
        f"{STEPS} steps of a machine {'–'.join(map(str, SIZES))}, batch {BATCH}, K = {SAMPLES}, {MODELS} models",
        "PyTorch, `nn.Linear` and `optim.Adam`, one after the other",
        training,
        goal=0.4,
        within=1e-2,
        relative="the largest change of a parameter",
        limit="Uniform numbers, sigmoids and logarithms for each unit drawn or scored are most of the time, and "
        "as many on both sides; what several machines share is the dispatch alone.",
    ),
]

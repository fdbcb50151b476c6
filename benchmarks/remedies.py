"""Remedies of adversarial learning: the closeness of a minibatch's members, forward and backward."""

from functools import partial

import torch

from benchmarks.harness import Row, Work
from helpers.adversarial.remedies import minibatch_features
from helpers.randomness import generator

TITLE = "Remedies of adversarial learning"


def broadcast(projections):
    """As it is usually written: all differences of all pairs at once."""
    away = (projections[:, :, None] - projections[:, None]).abs().sum(-1)
    return torch.exp(-away).sum(2)


def forward_and_backward(function, projections, pull):
    m = projections.detach().requires_grad_()
    found = function(m)
    return found.detach(), torch.autograd.grad(found, m, pull)[0]


def closeness(models, members, kernels, width):
    source, shape = generator("benchmarks: closeness"), (models, members, kernels, width)
    projections, pull = torch.randn(shape, generator=source) / 2, torch.randn(shape[:-1], generator=source)

    def error(found):
        right = forward_and_backward(broadcast, projections.double(), pull.double())
        return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, right, strict=True))

    ours, theirs = (partial(forward_and_backward, one, projections, pull) for one in (minibatch_features, broadcast))
    return Work(ours, theirs, error)


ROWS = [
    Row(
        "remedies-closeness",
        "minibatch features, 12 × 64 × 8 × 4, forward and backward, float32",
        "broadcasting PyTorch code, as usually written",
        partial(closeness, models=12, members=64, kernels=8, width=4),
        0.35,
        1e-5,
        relative="the largest value",
    )
]

"""Data, points, and a referee for sums of kernels: their terms, one by one."""

import numpy as np
import torch

BANDWIDTHS = [1e-6, 1e-3, 0.12, 1.0, 1e3]
KINDS = {
    "normal": lambda x, y: x,
    "heavy-tailed": lambda x, y: x / y,
    "tied": lambda x, y: x.round(),
    "in clusters": lambda x, y: x + 1e4 * y.sign(),
    "far from zero": lambda x, y: x + 1e7,
    "alone": lambda x, y: x[:1],
}


def sample_of(kind, normal, n=300):
    return KINDS[kind](normal(f"{kind}: x", n), normal(f"{kind}: y", n))


def around(data, h, normal):
    """Points on the data, within some bandwidths of them, off by their spread, and very far out."""
    some = data[:40]
    near = some + 3 * h * normal("near", *some.shape)
    wide = some.mean(0) + 5 * normal("wide", *some.shape)
    return torch.cat([some, near, wide, torch.full_like(some[:1], 1e300), torch.full_like(some[:1], -1e300)])


def distances(points, data, h):
    """In bandwidths, by differences, for shapes (m,) or (m, d) and (n,) or (n, d)."""
    points, data = (np.asarray(one, float).reshape(len(one), -1).T[..., None] for one in (points, data))
    steps = [np.minimum(abs(p - x.T) / h, 1e9) for p, x in zip(points, data, strict=True)]
    return np.sqrt(sum(step**2 for step in steps))


def assert_close(found, points, data, h, weights=None, tolerance=1e-12, times=2.0):
    """Off by at most `times` `tolerance` of the weights within 13 bandwidths."""
    weights = np.ones(len(data)) if weights is None else np.asarray(weights)
    u = distances(points, data, h)
    error = abs(np.asarray(found) - np.exp(-(u**2) / 2) @ weights)
    assert error.shape == (len(points),)
    assert (error <= times * tolerance * ((u < 13) @ abs(weights)) + 1e-30 * abs(weights).sum()).all()

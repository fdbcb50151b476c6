r"""Scores of samples: how many modes they cover, and how far they are from data.

The samples of several models have the axis of the models first, shape (models, n, d); a score has shape (models,). Data
and centres, shape (m, d), are shared by all models, or, shape (models, m, d), each has its own.
"""

import math

import torch

from helpers.validation import alike, count, fail, instance, moderate, not_negative, positive, tensor

__all__ = [
    "covered",
    "effective_modes",
    "energy_distance",
    "frechet_distance",
    "modes",
    "near",
    "nearest_ratio",
    "ring",
    "ring_centres",
]

DEVIATIONS = 3.0  # how far a mode reaches
FIFTH = 0.2  # the part of its due at which a mode counts
BLOCK = 2**18  # distances at a time, which a core's cache holds
FEW = 4  # dimensions up to which differences are formed one after the other


# The ring


def ring_centres(modes=8, radius=2.0):
    r"""$R\,(\cos 2\pi k/K,\ \sin 2\pi k/K)$ for k = 0, ..., K - 1: shape (`modes`, 2), float64."""
    angles = 2 * math.pi / count(modes, "modes") * torch.arange(modes, dtype=torch.float64)
    return positive(radius, "radius") * torch.stack([angles.cos(), angles.sin()], -1)


def ring(shape, generator, modes=8, radius=2.0, deviation=0.1):
    r"""Draws from $\frac1K\sum_k\mathcal N(c_k,\sigma^2I)$ about the `ring_centres` c, with K = `modes`, shape (*shape,
    2), float32, on the device of the `generator`.

    A `draw` for `helpers.adversarial.training`. Raises `ValueError` for a shape that is none, no modes, and a radius or
    `deviation` σ that is not above zero. Source: Metz et al., Unrolled generative adversarial networks (2017).
    """
    if not isinstance(shape, list | tuple):
        fail("shape", "a tuple of whole numbers of at least 1", repr(shape)[:80])
    shape, device = [count(one, "shape") for one in shape], instance(generator, "generator", torch.Generator).device
    centres, deviation = ring_centres(modes, radius).float().to(device), positive(deviation, "deviation")
    which = torch.randint(len(centres), shape, generator=generator, device=device)
    return centres[which] + deviation * torch.randn(*shape, 2, generator=generator, device=device)


# Modes


def modes(samples, centres, deviation):
    r"""The share of the samples that has this mode for its nearest and is within three deviations of it, shape
    (models, modes).

    `samples`, shape (models, n, d); `centres`, shape (modes, d) or (models, modes, d); `deviation`, a number above
    zero. A normal law in the plane has $1-e^{-9/2}\approx.989$ of its mass there. Raises `ValueError` for other shapes.
    """
    samples, centres = _pair(samples, centres, "centres")
    reach, number = DEVIATIONS * positive(deviation, "deviation"), centres.shape[1]
    found = samples.new_zeros(len(samples), number)
    for group, distances in _blocks(samples, centres):
        nearest = distances.min(-1)
        found[group].scatter_add_(1, nearest.indices, (nearest.values <= reach).to(found))
    return found / samples.shape[1]


def near(shares):
    """The share of the samples within three deviations of a mode, shape (models,), from the shares by `modes`."""
    return _shares(shares).sum(-1)


def covered(shares):
    """How many of the K modes have at least a fifth of their due, which is 1/K for each: shape (models,), whole numbers
    as float, from the shares by `modes`, shape (models, K)."""
    shares = _shares(shares)
    return (shares >= FIFTH / shares.shape[-1]).to(shares).sum(-1)


def effective_modes(shares):
    r"""$\exp\big(-\sum_k p_k\log p_k\big)$ with $p_k$ = `shares` over their sum, of samples near a mode: shape
    (models,), from 1 to the number of modes, and zero where no sample is near one."""
    shares = _shares(shares)
    total = shares.sum(-1, keepdim=True)
    p = shares / torch.where(total > 0, total, 1.0)
    return torch.where(total[..., 0] > 0, torch.special.entr(p).sum(-1).exp(), 0.0)


def _shares(shares):
    shares = tensor(shares, "shares", ndim=2)
    not_negative(shares, "shares")
    if (shares > 1).any() or (shares.sum(-1) > 1 + 1e-5).any():
        fail("shares", "rows whose sum is at most 1", shares.sum(-1).max().item())
    return shares


# Distances


def energy_distance(samples, data):
    r"""$2\,\mathbb E|X-Y|-\mathbb E|X-X'|-\mathbb E|Y-Y'|$ without bias: means over all pairs of a sample and a datum,
    of two different samples, of two different data. Shape (models,).

    `samples`, shape (models, n, d); `data`, shape (m, d) or (models, m, d); n and m at least 2. Its mean is zero where
    the laws are equal, so it may be below. Pairs are formed in blocks that a cache holds, and no gradient flows. Raises
    `ValueError` for other shapes. Source: Székely and Rizzo, Energy statistics (2013).
    """
    samples, data = _pair(samples, data, "data", 2)
    scale = _scale(samples, data)
    samples, data = samples / scale, data / scale
    return (scale * (2 * _between(samples, data) - _within(samples) - _within(data))).to(samples)


def nearest_ratio(samples, training, held_out):
    r"""$\frac1n\sum_i\min_j|x_i-t_j|\big/\frac1m\sum_k\min_j|h_k-t_j|$: how far samples are from the nearest datum of
    the training set, in units of what held-out data are. Shape (models,); of mean about one for fresh draws from the
    law of the data, and zero for a model that repeats its training set.

    `samples`, shape (models, n, d); `training` and `held_out`, shape (m, d) or (models, m, d). Raises `ValueError` for
    other shapes, and where all held-out data are in the training set.
    """
    samples, training = _pair(samples, training, "training")
    held_out = _pair(samples, held_out, "held_out")[1].to(samples)
    scale = _scale(samples, training, held_out)
    x, t, h = (one / scale for one in (samples, training, held_out))
    own, theirs = _nearest(x, t), _nearest(h.expand(max(len(h), len(t)), -1, -1), t)
    if not (theirs > 0).all():
        fail("held_out", "data outside of the training set", "a mean distance of zero from it")
    return (own / theirs).to(samples)


def frechet_distance(samples, data):
    r"""$|\mu-\nu|^2+\operatorname{tr}\big(S+T-2(S^{1/2}TS^{1/2})^{1/2}\big)$ with the means and the unbiased
    covariances of samples and data: the squared Wasserstein distance W₂² of the normal laws that have these moments.
    Shape (models,).

    `samples`, shape (models, n, d); `data`, shape (m, d) or (models, m, d); n and m above d, as fewer make a singular
    covariance of any law. Raises `ValueError` for other shapes. Source: Heusel et al., GANs trained by a two time-scale
    update rule (2017), there of features in place of the data.
    """
    d = tensor(samples, "samples", ndim=3).shape[-1]
    samples, data = _pair(samples, data, "data", d + 1)
    scale = _scale(samples, data)
    (mean, S), (other, T) = (_moments(one.double() / scale) for one in (samples, data))
    values, vectors = torch.linalg.eigh(S)
    root = vectors * values.clamp_min(0).sqrt()[..., None, :] @ vectors.mT
    overlap = torch.linalg.eigvalsh(root @ T @ root).clamp_min(0).sqrt().sum(-1)
    traces = (S.diagonal(dim1=-2, dim2=-1) + T.diagonal(dim1=-2, dim2=-1)).sum(-1)
    return (scale**2 * (((mean - other) ** 2).sum(-1) + (traces - 2 * overlap).clamp_min(0))).to(samples)


def _pair(samples, other, name, least=1):
    """Samples, shape (models, n, d), and what they are compared with, shape (1 or models, m, d), in one precision."""
    samples, other = alike(**{"samples": samples, name: other})
    if samples.ndim != 3:
        fail("samples", "shape (models, n, d)", f"shape {tuple(samples.shape)}")
    models, _, d = samples.shape
    whole = other[None] if other.ndim == 2 else other
    if whole.ndim != 3 or whole.shape[-1] != d or len(whole) not in (1, models):
        fail(name, f"shape (m, {d}) or ({models}, m, {d}), as the samples have it", f"shape {tuple(other.shape)}")
    for one, label in ((samples, "samples"), (whole, name)):
        if one.shape[1] < least:
            fail(label, f"at least {least} of them for each model", one.shape[1])
        moderate(one, label)
    dtype = torch.promote_types(samples.dtype, whole.dtype) if d <= FEW else torch.float64
    return samples.detach().to(dtype), whole.detach().to(dtype)


def _scale(*tensors):
    """A power of two, of the size of the largest number: nothing overflows in units of it."""
    largest = max(one.abs().max().item() for one in tensors)
    return 2.0 ** max(math.frexp(largest)[1], -500)


def _moments(x):
    mean = x.mean(1, keepdim=True)
    away = x - mean
    return mean[:, 0], away.mT @ away / (x.shape[1] - 1)


def _blocks(x, y, triangle=False):
    """Distances from each of x, shape (models, n, d), to each of y, shape (1 or models, m, d), a block of models and
    rows at a time: a slice of the models, and distances (group, rows, m), which the next block replaces. In a triangle
    the columns begin where the rows do."""
    (models, n, d), m = x.shape, y.shape[1]
    y = y.expand(models, -1, -1)
    group = min(models, max(1, BLOCK // (n * m)))
    height = min(n, max(1, BLOCK // (group * m)))
    room = x.new_empty(2, group * height * m)
    x, y = (one.movedim(-1, 0).contiguous() for one in (x, y)) if d <= FEW else (x, y)
    for model in range(0, models, group):
        for row in range(0, n, height):
            places, rows, first = slice(model, model + group), slice(row, row + height), row if triangle else 0
            if d > FEW:
                yield places, torch.cdist(x[places, rows], y[places, first:])
                continue
            shape = len(x[0, places]), len(x[0, 0, rows]), m - first
            squares, difference = (one[: math.prod(shape)].view(shape) for one in room)
            for axis in range(d):
                torch.sub(x[axis, places, rows, None], y[axis, places, None, first:], out=difference)
                if axis == 0:
                    torch.mul(difference, difference, out=squares)
                else:
                    squares.addcmul_(difference, difference)
            yield places, squares.sqrt_()


def _between(x, y):
    """The mean distance of a point of x and one of y, shape (models,), float64."""
    total = x.new_zeros(len(x), dtype=torch.float64)
    for models, distances in _blocks(x, y):
        total[models].add_(distances.sum((1, 2)))
    return total / (x.shape[1] * y.shape[1])


def _within(x):
    """The mean distance of two different points of x, shape (models,), float64."""
    total, n = x.new_zeros(len(x), dtype=torch.float64), x.shape[1]
    for models, distances in _blocks(x, x, triangle=True):
        square = distances[..., : distances.shape[1]]  # in which each pair is twice
        total[models].add_(distances.sum((1, 2))).sub_(square.sum((1, 2)), alpha=0.5)
    return total / (n * (n - 1) / 2)


def _nearest(x, y):
    """The mean distance from a point of x to the nearest of y, shape (models,), float64."""
    total = x.new_zeros(len(x), dtype=torch.float64)
    for models, distances in _blocks(x, y):
        total[models].add_(distances.amin(-1).sum(-1))
    return total / x.shape[1]

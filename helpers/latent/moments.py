"""Components of a mixture of normal laws, and what one iteration of EM needs of the data: their expected moments.

Covariances come in any of the FORMS: full, shape (..., K, d, d); diagonal, (..., K, d); spherical, (..., K). All is in
float64, whatever the precision of the data. `helpers.latent.mixture` looks at the input.
"""

import math

import torch

from helpers.validation import fail

__all__ = [
    "FORMS",
    "collapsed",
    "covariance",
    "extremes",
    "follow",
    "log_terms",
    "root",
    "too_far",
    "trace_of_inverse",
    "variances",
    "widened",
]

FORMS = ("full", "diagonal", "spherical")
NARROW = 64
FAR = 2.0**16
BLOCK, BLOCK_ON_A_GPU = 2**18, 2**27


# Covariances


def variances(covariances, form):
    """The diagonals, or what stands for them: shape (..., K, d) or (..., K, 1)."""
    if form == "full":
        return covariances.diagonal(dim1=-2, dim2=-1)
    return covariances if form == "diagonal" else covariances[..., None]


def root(covariances, form):
    r"""$L$ with $\Sigma = LL^\top$: matrices, or deviations, shape (..., K, d) or (..., K, 1)."""
    return torch.linalg.cholesky(covariances) if form == "full" else variances(covariances, form).sqrt()


def trace_of_inverse(covariances, dimension, form):
    r"""$\sum_k\mathrm{tr}\,\Sigma_k^{-1}$ in d = `dimension` dimensions, shape (...)."""
    precision = _precision(covariances, form)
    each = precision.diagonal(dim1=-2, dim2=-1) if form == "full" else precision
    return each.expand(*each.shape[:-1], dimension).sum((-2, -1))


def widened(covariances, by, form):
    """The covariances with `by`, shape (..., K), on the diagonal besides."""
    if form == "full":
        return covariances + by[..., None, None] * torch.eye(covariances.shape[-1]).to(covariances)
    return covariances + (by[..., None] if form == "diagonal" else by)


def collapsed(covariances, form, dtype, extent=None):
    """Which mixtures have a component that is flat in some direction, as far as rounding in this `dtype` tells.

    `extent` is the length of the data in each coordinate, shape (..., d). Returns shape (...).
    """
    narrow, squares = NARROW * torch.finfo(dtype).eps, variances(covariances, form)
    flat = squares <= 0
    if extent is not None:
        least = narrow * (extent.amax(-1, keepdim=True) if form == "spherical" else extent)
        flat |= squares.sqrt() <= least[..., None, :]
    if form == "full":
        lower, failed = torch.linalg.cholesky_ex(covariances)
        flat |= (failed[..., None] != 0) | (lower.diagonal(dim1=-2, dim2=-1).square() <= narrow * squares)
    return flat.any(-1).any(-1)


def _precision(covariances, form):
    r"""$\Sigma^{-1}$, as matrices, or numbers of shape (..., K, d) or (..., K, 1); NaN where there is none."""
    if form != "full":
        squares = variances(covariances, form)
        return torch.where(squares > 0, 1 / squares, torch.nan)
    lower, failed = torch.linalg.cholesky_ex(covariances)
    regular, unit = (failed == 0)[..., None, None], torch.eye(lower.shape[-1]).to(lower)
    return torch.where(regular, torch.cholesky_inverse(torch.where(regular, lower, unit)), torch.nan)


# Logarithms of densities


def too_far():
    """Refuse data that lie so far from all means that no component has made them."""
    fail("data", "points with a finite log density", "one so far from all means that it is -inf")


def log_terms(data, weights, means, covariances, form):
    r"""Blocks of the `data`, shape (..., m, d), each with $\log(\pi_k\,\phi(x;\mu_k,\Sigma_k))$, shape (..., K, m)."""
    lower = root(covariances, form)
    constant = _constant(weights, lower, means.shape[-1], form)[..., None]
    for block in data.split(_size(means), -2):
        away = _away(block, means)
        white = torch.linalg.solve_triangular(lower, away, upper=False) if form == "full" else away / lower[..., None]
        square = white.square().sum(-2).nan_to_num(nan=torch.inf, posinf=torch.inf)  # 0 × ∞, beyond the largest number
        yield block, constant - square / 2


def _constant(weights, lower, dimension, form):
    r"""$\log\pi_k-\frac12\log\det(2\pi\Sigma_k)$."""
    deviations = lower.diagonal(dim1=-2, dim2=-1) if form == "full" else lower
    log_root = deviations.log().expand(*deviations.shape[:-1], dimension).sum(-1)
    return weights.log() - log_root - dimension / 2 * math.log(2 * math.pi)


def _away(data, means):
    """Data less means, shape (..., K, d, m)."""
    return data.double().mT[..., None, :, :] - means[..., None]


def _size(means):
    """How many data make a block of their differences from all means."""
    return max(1, (BLOCK_ON_A_GPU if means.is_cuda else BLOCK) // means.numel())


# Moments


def extremes(data):
    """The least and the largest number in each coordinate of `data`, shape (..., n, d), in float64.

    Where d is small, rows are joined to longer ones, on which PyTorch is many times faster.
    """
    n, d = data.shape[-2:]
    joined = max(1, 64 // d)
    long = data[..., : n - n % joined, :].reshape(*data.shape[:-2], n // joined, joined * d)
    found = []
    for end in (torch.amin, torch.amax):
        rest = [end(long, -2).unflatten(-1, (joined, d))] if n >= joined else []
        found.append(end(torch.cat([*rest, data[..., n - n % joined :, :]], -2), -2).double())
    return found


def covariance(data, shares, means, form, penalty):
    r"""Covariances about these `means` by responsibilities `shares`, shape (..., n, K), plus `penalty` over mass."""
    size, products = _size(means), 0.0
    for block, part in zip(data.split(size, -2), shares.mT.split(size, -1), strict=True):
        products = products + _products(_away(block, means), part.double(), form)
    return _covariance(products, shares.sum(-2).double(), 0.0, penalty, form)


def follow(data, low, high, weights, means, covariances, form, penalty):
    r"""Log-likelihoods; and masses, means and covariances after one iteration, for mixtures on one leading axis.

    `data`, shape (n, d) or (runs, n, d), go from `low` to `high`, shape (d,) or (runs, d), in each coordinate.
    Products about one centre make a step two matrix products, but lose as many digits as the squared distance to the
    centre has, in squared deviations. Where these are beyond FAR, differences from each mean take over, and where a
    mean moves as far as that, differences from the new one. Responsibilities are never stored.
    """
    centre = (weights[..., None] * means).sum(-2, keepdim=True)
    centre = centre.mean(0, keepdim=True) if data.ndim == 2 else centre
    farthest = torch.maximum(high[..., None, :] - centre, centre - low[..., None, :])
    reach = torch.maximum((means - centre).abs(), farthest)
    value, mass, new = torch.empty_like(weights[:, 0]), torch.empty_like(weights), torch.empty_like(means)
    spread, done = torch.empty_like(covariances), torch.zeros(len(means), dtype=torch.bool, device=means.device)
    for sums, about, allowed in (
        (_by_features, centre.expand_as(means), _near(reach, covariances, form)),
        (_by_differences, means, ~done),
        (_by_differences, new, ~done),
    ):
        runs = allowed & ~done
        if runs.any():
            own = data if data.ndim == 2 or runs.all() else data[runs]
            value[runs], mass[runs], first, products = sums(
                own, weights[runs], means[runs], covariances[runs], form, about[runs]
            )
            if not (value[runs] > -torch.inf).all():
                too_far()
            shift = first / _over(mass[runs])[..., None]
            moved = 0.0 if about is new else _products(shift[..., None], torch.ones_like(mass[runs])[..., None], form)
            spread[runs] = _covariance(products, mass[runs], moved, penalty, form)
            new[runs] = about[runs] + shift
            done[runs] = _near(shift, spread[runs], form)
    return value, mass, new, spread


def _near(away, covariances, form):
    r"""Which mixtures have $\sum_{ij}|a_i(\Sigma^{-1})_{ij}a_j|$ of at most FAR, for `away`, shape (..., K, d)."""
    precision, away = _precision(covariances, form).abs(), away.abs()
    turned = (precision @ away[..., None])[..., 0] if form == "full" else precision * away
    return ((away * turned).sum(-1) <= FAR).all(-1)


def _over(mass):
    return mass.clamp_min(torch.finfo(mass.dtype).tiny)


def _covariance(products, mass, moved, penalty, form):
    """From sums of products, shapes as for covariances, about a point from which the mean has `moved`."""
    mean = products / _over(mass).reshape(mass.shape + (1,) * (products.ndim - mass.ndim)) - moved
    return widened((mean + mean.mT) / 2 if form == "full" else mean, penalty / _over(mass), form)


def _products(away, shares, form):
    r"""$\sum_i\gamma_{ik}a_{ik}a_{ik}^\top$, or its diagonal, or the mean of that, for `away`, shape (..., K, d, m)."""
    weighted = away * shares[..., None, :]
    if form == "full":
        return weighted @ away.mT
    found = (weighted * away).sum(-1)
    return found if form == "diagonal" else found.mean(-1)


def _by_differences(data, weights, means, covariances, form, about):
    """Log-likelihoods, masses, and sums of the differences of the data from `about` and of their products."""
    value, mass, first, products = 0.0, 0.0, 0.0, 0.0
    for block, terms in log_terms(data, weights, means, covariances, form):
        total = terms.logsumexp(-2, keepdim=True)
        shares, away = (terms - total).exp(), _away(block, about)
        value, mass = value + total.sum((-2, -1)), mass + shares.sum(-1)
        first = first + (away @ shares[..., None])[..., 0]
        products = products + _products(away, shares, form)
    return value, mass, first, products


def _by_features(data, weights, means, covariances, form, about):
    r"""The same, where all components, and runs that share data, have one point in `about`.

    A logarithm is linear in the features $1$, $z_i$ and $z_iz_j$, $i\le j$ (or $z_i^2$, or $|z|^2$) of $z = x -$
    `about`; the sums are those of the features.
    """
    dimension = means.shape[-1]
    i, j = torch.triu_indices(dimension, dimension, device=data.device)
    precision, away = _precision(covariances, form), means - about
    if form == "full":
        linear, square = (precision @ away[..., None])[..., 0], precision[..., i, j] * torch.where(i == j, 0.5, 1.0)
    else:
        linear, square = precision * away, precision / 2
    constant = _constant(weights, root(covariances, form), dimension, form) - (linear * away).sum(-1) / 2
    coefficients = torch.cat([constant[..., None], linear, -square], -1) * math.log2(math.e)
    value, sums = 0.0, 0.0
    for features in _features(data, about[0, 0] if data.ndim == 2 else about[:, 0], coefficients, form):
        terms = coefficients @ features
        top = terms.amax(-2, keepdim=True)
        shares = terms.sub_(top).exp2_()
        total = shares.sum(-2, keepdim=True)
        value = value + (top + total.log2()).sum((-2, -1)) * math.log(2)
        sums = sums + shares.div_(total) @ features.mT
    mass, first, second = sums.split([1, dimension, sums.shape[-1] - 1 - dimension], -1)
    products = torch.empty_like(covariances)
    if form == "full":
        products[..., i, j] = products[..., j, i] = second
    else:
        products.copy_(second if form == "diagonal" else second[..., 0] / dimension)
    return value, mass[..., 0], first, products


def _features(data, centre, coefficients, form):
    """Blocks of features, shape (..., features, m), each in the place of the one before, which stays in a cache."""
    number, dimension = coefficients.shape[-1], data.shape[-1]
    rows = coefficients.shape[:-1].numel() + number * centre.shape[:-1].numel()
    block = BLOCK_ON_A_GPU if data.is_cuda else BLOCK
    size = min(max(1, block // rows), data.shape[-2])
    place = coefficients.new_ones(*centre.shape[:-1], number, size)
    for block in data.split(size, -2):
        features = place[..., : block.shape[-2]]
        z, second = features[..., 1 : dimension + 1, :], features[..., dimension + 1 :, :]
        torch.sub(block.mT, centre[..., None], out=z)
        if form == "full":
            for k, row in enumerate(second.split(list(range(dimension, 0, -1)), -2)):
                torch.mul(z[..., k:, :], z[..., k : k + 1, :], out=row)
        elif form == "diagonal":
            torch.square(z, out=second)
        else:
            torch.sum(z.square(), -2, keepdim=True, out=second)
        yield features

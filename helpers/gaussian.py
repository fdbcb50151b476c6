"""Normal densities in one dimension: likelihood, its maximum, and integrals of products."""

import math

import numpy as np
import torch

from helpers.validation import above_zero, alike, broadcastable, fail, tensor

__all__ = ["log_density", "maximum_likelihood", "mixture_density", "negative_log_likelihood", "overlap", "parts"]


def log_density(x, mean, variance):
    r"""$\log f_\theta(x) = -\frac12\log(2\pi\sigma^2) - \frac{(x-\mu)^2}{2\sigma^2}$, with $\theta = (\mu, \sigma^2)$.

    `x`, `mean` and `variance` are broadcast against one another. Raises `ValueError` for a variance of zero or less.
    Source: Scornet, (1).
    """
    x, mean, variance = broadcastable(x=x, mean=mean, variance=variance)
    above_zero(variance, "variance")
    return -0.5 * torch.log(2 * math.pi * variance) - (x - mean) ** 2 / (2 * variance)


def negative_log_likelihood(x, mean, variance):
    r"""$\ell(\theta) = -\sum_i \log f_\theta(x_i)$ in nats, summed over the last axis of `x`, shape (..., n).

    `mean` and `variance`, shape (...), go with the leading axes. Source: Scornet, (2).
    """
    x, mean, variance = alike(x=x, mean=mean, variance=variance)
    if x.ndim == 0:
        fail("x", "a sample along the last axis", "a single number")
    return -log_density(x, mean[..., None], variance[..., None]).sum(-1)


def maximum_likelihood(x):
    r"""$\hat\mu = \bar x$ and $\hat\sigma^2 = \frac1n\sum_i (x_i-\bar x)^2$ along the last axis of `x`, shape (..., n).

    Returns two tensors of shape (...). Raises `ValueError` where all observations of a sample are equal: the likelihood
    is then unbounded. Source: Scornet, (7).
    """
    x = tensor(x, "x")
    if x.ndim == 0:
        fail("x", "a sample along the last axis", "a single number")
    mean = x.mean(-1)
    variance = ((x - mean[..., None]) ** 2).mean(-1)
    if (x == x[..., :1]).all(-1).any():
        fail("x", "observations that differ", "a sample whose observations are all equal")
    return mean, variance


def mixture_density(x, mixture):
    r"""$\sum_j a_j\,\phi(x; m_j, s_j^2)$ for each number in `x`, of any shape.

    `mixture` is a triple of weights, means and variances, each of shape (components,). Returns the shape of `x`.
    """
    x, *triple = alike(x=x, **parts(mixture, "mixture"))
    weights, means, variances = _mixture([tensor(part, "mixture", ndim=1) for part in triple], "mixture")
    return log_density(x[..., None], means, variances).exp() @ weights


def overlap(first, second):
    r"""$\int f g$ for two mixtures of normal densities: $\sum_{ij} a_i b_j\, \phi(m_i - k_j;\, s_i^2 + t_j^2)$.

    Each mixture is a triple of weights, means and variances of shape (..., components); leading axes are broadcast. The
    weights may be any finite numbers, so that differences of densities are mixtures too. Returns shape (...).
    """
    triples = alike(**parts(first, "first"), **parts(second, "second"))
    (a, m, s), (b, k, t) = _mixture(triples[:3], "first"), _mixture(triples[3:], "second")
    pair = log_density(m[..., :, None], k[..., None, :], s[..., :, None] + t[..., None, :]).exp()
    return (a[..., :, None] * b[..., None, :] * pair).sum((-1, -2))


def parts(triple, name):
    """Weights, means and variances, a `triple`, by the names under which a refusal speaks of them."""
    if not isinstance(triple, tuple | list | np.ndarray | torch.Tensor) or len(triple) != 3:
        fail(name, "weights, means and variances", repr(triple)[:80])
    return dict(zip((f"{name}: weights", f"{name}: means", f"{name}: variances"), triple, strict=True))


def _mixture(parts, name):
    if len({part.shape[-1:] for part in parts}) > 1 or parts[0].ndim == 0:
        fail(name, "weights, means and variances of one last axis", " and ".join(str(tuple(p.shape)) for p in parts))
    above_zero(parts[2], f"{name}: variances")
    return parts

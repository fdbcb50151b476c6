"""Normal densities in one dimension: likelihood, its maximum, and integrals of products."""

import math

import numpy as np
import torch

from helpers.validation import above_zero, alike, broadcastable, fail, moderate, tensor

__all__ = ["law", "log_density", "maximum_likelihood", "mixture_density", "negative_log_likelihood", "overlap"]


def log_density(x, mean, variance):
    r"""$\log f_\theta(x) = -\frac12\log(2\pi\sigma^2) - \frac{(x-\mu)^2}{2\sigma^2}$, with $\theta = (\mu, \sigma^2)$.

    `x`, `mean` and `variance` are broadcast against one another. Raises `ValueError` for a variance of zero or less.
    Source: Scornet, (1).
    """
    x, mean, variance = broadcastable(x=x, mean=mean, variance=variance)
    above_zero(variance, "variance")
    return -0.5 * torch.log(2 * math.pi * variance) - (x - mean) ** 2 / variance / 2


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


def law(mixture, name, **beside):
    """What is given `beside`, and the weights, means and variances of a `mixture`, all as by `alike`.

    A refusal calls the mixture by its `name`. The three have one last axis, no number beyond 1e150, and variances above
    zero.
    """
    return _laws({name: mixture}, beside)


def _laws(mixtures, beside):
    named = {}
    for name, triple in mixtures.items():
        several = isinstance(triple, tuple | list | np.ndarray | torch.Tensor) and getattr(triple, "ndim", 1)
        if not several or len(triple) != 3:
            fail(name, "weights, means and variances", repr(triple)[:80])
        named |= {f"{name}: {part}": one for part, one in zip(("weights", "means", "variances"), triple, strict=True)}
    found = alike(**beside, **named)
    for position, name in enumerate(mixtures):
        parts = found[len(beside) + 3 * position :][:3]
        if len({part.shape[-1:] for part in parts}) > 1 or parts[0].ndim == 0:
            shapes = " and ".join(str(tuple(part.shape)) for part in parts)
            fail(name, "weights, means and variances of one last axis", shapes)
        above_zero(parts[2], f"{name}: variances")
    for one, name in zip(found[len(beside) :], named, strict=True):
        moderate(one, name)
    return found


def mixture_density(x, mixture):
    r"""$\sum_j a_j\,\phi(x; m_j, s_j^2)$ for each number in `x`, of any shape.

    `mixture` is a triple of weights, means and variances, each of shape (components,). Returns the shape of `x`.
    """
    x, *parts = law(mixture, "mixture", x=x)
    weights, means, variances = (tensor(part, "mixture", ndim=1) for part in parts)
    found = log_density(x[..., None], means, variances).exp()
    return found @ weights.to(found)


def overlap(first, second):
    r"""$\int f g$ for two mixtures of normal densities: $\sum_{ij} a_i b_j\, \phi(m_i - k_j;\, s_i^2 + t_j^2)$.

    Each mixture is a triple of weights, means and variances of shape (..., components); leading axes are broadcast. The
    weights may be any finite numbers, so that differences of densities are mixtures too. Returns shape (...).
    """
    a, m, s, b, k, t = _laws({"first": first, "second": second}, {})
    pair = log_density(m[..., :, None], k[..., None, :], s[..., :, None] + t[..., None, :]).exp()
    return (a[..., :, None] * b[..., None, :] * pair).sum((-1, -2))

"""Bandwidths chosen from the data, for the Gaussian kernel on the line: by rule of thumb, plug-in, cross-validation."""

import math

import torch

from helpers.densities import kernel
from helpers.densities.order import ascending, quantile
from helpers.densities.sums.pairs import pair_sums
from helpers.validation import above_zero, alike, fail, tensor

__all__ = ["cross_validation", "plug_in", "rule_of_thumb"]

QUARTILE_RANGE = 2 * math.sqrt(2) * torch.erfinv(torch.tensor(0.5, dtype=torch.float64)).item()


def rule_of_thumb(data):
    r"""$h = (4/3)^{1/5}\,\hat\sigma\,n^{-1/5}$: the best bandwidth, for large n, were the data normal.

    $\hat\sigma$ is the smaller of the standard deviation (divisor n - 1) and the quartile range over 1.349, so that
    outliers do not count; where the quartiles agree, it is the standard deviation. `data`, shape (n,). Returns a scalar
    tensor. Raises `ValueError` for a single datum, and where all are equal. Source: Silverman, 1986, section 3.4.2.
    """
    data = _sample(data)
    return (4 / 3 / len(data)) ** (1 / 5) * _scale(data)


def _sample(data):
    data = tensor(data, "data", ndim=1).detach().double()
    if len(data) < 2:
        fail("data", "two numbers or more", len(data))
    return data


def _scale(data):
    ordered = ascending(data, with_order=False)[0]
    low, high = (quantile(ordered, share) for share in (0.25, 0.75))
    if ordered[0] == ordered[-1]:
        fail("data", "numbers that differ", f"{len(data)} times {low.item():g}")
    unit = _power_of_two(data.abs().max())
    deviation = (data / unit).std() * unit
    return torch.minimum(deviation, (high - low) / QUARTILE_RANGE) if high > low else deviation


def _power_of_two(number):
    """The largest that is no larger: a unit in which powers of such numbers do not overflow, free of rounding."""
    return 2.0 ** (math.frexp(number.item())[1] - 1)


def plug_in(data):
    r"""$h = \Big(\frac{1}{2\sqrt\pi\,n\,\hat\psi_4}\Big)^{1/5}$ with $\hat\psi_4$ an estimate of $\int f''^2$.

    $\psi_r = \int f^{(r)}f$ is estimated by $\frac{1}{n^2}\sum_{ij}\phi_g^{(r)}(X_i-X_j)$, with the $g$ that is best
    for large n given $\psi_{r+2}$; two such steps start from a normal $\psi_8$, of the scale in `rule_of_thumb`.
    `data`, shape (n,). Returns a scalar tensor. Raises `ValueError` as `rule_of_thumb`. Source: Sheather, Jones, 1991.
    """
    data = _sample(data)
    n, scale = len(data), _scale(data)
    unit = _power_of_two(scale)
    data, estimate = data / unit, 105 / (32 * math.sqrt(math.pi) * (scale / unit) ** 9)
    for order in (6, 4):
        at_zero = (-1) ** (order // 2) * math.prod(range(1, order, 2)) / math.sqrt(2 * math.pi)
        pilot = (-2 * at_zero / (estimate * n)) ** (1 / (order + 3))
        estimate = pair_sums(data, pilot[None], order)[0] / n**2
    return unit * kernel.optimal_bandwidth(n, estimate)


def cross_validation(data, bandwidths):
    r"""$\mathrm{LSCV}(h) = \int\hat f_{n,h}^2 - \frac2n\sum_i\hat f_{-i,h}(X_i)$ for each of the `bandwidths`.

    $\hat f_{-i}$ is the estimate without $X_i$. The expectation is $\mathrm{MISE}(h)-\int f^2$, whatever f is. `data`,
    shape (n,); `bandwidths`, shape (b,), above zero. Returns shape (b,). Enough ties among the data drive it to minus
    infinity as h falls to zero. Source: Rudemo, 1982; Bowman, 1984.
    """
    data, bandwidths = alike(data=data, bandwidths=bandwidths)
    data, h = _sample(data), tensor(bandwidths, "bandwidths", ndim=1).double()
    above_zero(h, "bandwidths")
    n = len(data)
    if not (n / h).isfinite().all():
        fail("bandwidths", "numbers with a finite inverse", h.min().item())
    pairs, wide = pair_sums(data, torch.cat([h, math.sqrt(2) * h])).split(len(h))
    return wide / n**2 - 2 * (pairs - n / (h * math.sqrt(2 * math.pi))) / (n * (n - 1))

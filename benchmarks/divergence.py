"""Divergences: by quadrature of densities, and conjugates of many points."""

import math
from functools import partial

import numpy as np
import torch
from scipy import integrate, stats

from benchmarks.harness import Row, Work
from helpers.adversarial.fdivergence import TABLE, between_densities
from helpers.divergence import kl
from helpers.randomness import generator

TITLE = "Divergences"
PANELS = torch.linspace(-8, 8, 5, dtype=torch.float64)
HALF_LOG = math.log(2 * math.pi) / 2
MEAN, DEVIATION = 0.3, 1.2
DISPATCH = (
    "A call of PyTorch on a few numbers takes some microseconds, whatever the numbers are, and there are a hundred of "
    "them. `quad` calls plain Python two hundred times, on one number each."
)
PASSES = (
    "Beside the exponential, the root or the logarithm there are passes over eight megabytes: sums, products, and "
    "whether points are finite and in the domain. Each costs a seventh of an exponential, and more where memory is "
    "fetched anew. The row of Jensen and Shannon takes an exponential and a logarithm."
)
BRACKETS = (
    "Where the densities cross is found by halving an interval until it cannot be halved, some fifty calls of both "
    "densities; `quad` is told where they cross."
)


def standard(x):
    return -(x**2) / 2 - HALF_LOG


def other(x, mean, deviation, log):
    return -(((x - mean) / deviation) ** 2) / 2 - log(deviation) - HALF_LOG


def kl_normal(mean, deviation):
    """The divergence of N(0, 1) from this normal law."""
    return np.log(deviation) + (1 + np.square(mean)) / (2 * np.square(deviation)) - 0.5


def one_pair():
    def integrand(x):
        log_p = standard(x)
        return math.exp(log_p) * (log_p - other(x, MEAN, DEVIATION, math.log))

    def log_q(x):
        return other(x, MEAN, DEVIATION, math.log)

    return Work(
        lambda: kl(standard, log_q, PANELS).item(),
        lambda: integrate.quad(integrand, -8, 8, epsabs=1e-12, epsrel=1e-12)[0],
        lambda found: abs(found / kl_normal(MEAN, DEVIATION) - 1),
    )


def many_pairs(number=1000):
    draws = generator(f"benchmarks: pairs of laws, {number}")
    mean, extra = torch.rand(2, number, generator=draws, dtype=torch.float64)
    deviation = 0.7 + extra
    columns, arrays = (mean[:, None], deviation[:, None]), (mean.numpy(), deviation.numpy())

    def integrand(x, mean, deviation):
        log_p = standard(x)
        return np.exp(log_p) * (log_p - other(x, mean, deviation, np.log))

    def log_q(x):
        return other(x, *columns, torch.log)

    right = kl_normal(*arrays)
    return Work(
        lambda: kl(standard, log_q, PANELS),
        lambda: integrate.tanhsinh(integrand, -8, 8, args=arrays, atol=1e-11, rtol=1e-10).integral,
        lambda found: float(np.abs(np.asarray(found) / right - 1).max()),
    )


def variation():
    """Of laws of unequal width, whose densities cross twice."""
    roots = np.sort(
        np.roots([1 - DEVIATION**-2, 2 * MEAN / DEVIATION**2, -((MEAN / DEVIATION) ** 2) - 2 * math.log(DEVIATION)])
    )
    masses = stats.norm.cdf(roots), stats.norm.cdf(roots, MEAN, DEVIATION)
    right = abs(np.diff(masses[0]).item() - np.diff(masses[1]).item())

    def integrand(x):
        return abs(math.exp(standard(x)) - math.exp(other(x, MEAN, DEVIATION, math.log))) / 2

    def log_q(x):
        return other(x, MEAN, DEVIATION, math.log)

    wide = torch.linspace(-10, 10, 6, dtype=torch.float64)
    return Work(
        lambda: between_densities(TABLE["total variation"], standard, log_q, wide, 1e-12).item(),
        lambda: integrate.quad(integrand, -10, 10, points=roots, epsabs=1e-13, epsrel=1e-13)[0],
        lambda found: abs(found / right - 1),
    )


def conjugates(row, points=10**6):
    """Beside one exponential of the points."""
    low, high = (max(-5.0, row.domain[0]), min(5.0, row.domain[1]))
    t = torch.linspace(low, high, points + 2, dtype=torch.float64)[1:-1]
    sample = t[:: points // 100]
    u = torch.linspace(-12, 12, 24_001, dtype=torch.float64).exp()
    values = row.terms(u.log(), torch.zeros_like(u))
    by_search = torch.stack([(one * u - values).max() for one in sample])
    yardstick = torch.zeros_like(t)
    yardstick[:: points // 100] = by_search
    return Work(
        lambda: row.conjugate(t),
        lambda: (torch.exp(t), yardstick)[1],
        lambda found: (found[:: points // 100] - by_search).abs().div(1 + by_search.abs()).max().item(),
    )


CLOSED = [name for name in TABLE if name not in ("Jeffreys", "total variation")]
ROWS = [
    Row(
        "divergence-kl-one",
        "Kullback-Leibler divergence by quadrature, one pair",
        "SciPy `quad` with `math.exp`",
        one_pair,
        0.1,
        1e-12,
        relative="the value",
        limit=DISPATCH,
    ),
    Row(
        "divergence-kl-many",
        "Kullback-Leibler divergence by quadrature, 1000 pairs",
        "SciPy `tanhsinh`, batched",
        many_pairs,
        0.1,
        1e-10,
        relative="the value",
    ),
    Row(
        "divergence-variation",
        "Total variation by quadrature, one pair",
        "SciPy `quad` with `math.exp`, told where the densities cross",
        variation,
        0.1,
        1e-12,
        relative="the value",
        limit=f"{DISPATCH} {BRACKETS}",
    ),
    *(
        Row(
            f"divergence-conjugate-{name.replace(' ', '-')}",
            f"Conjugate of {name}, 10⁶ points",
            "one `torch.exp` of the points",
            partial(conjugates, TABLE[name]),
            2.0,
            1e-4,
            relative="the value, by a search",
            limit=PASSES,
        )
        for name in CLOSED
    ),
]

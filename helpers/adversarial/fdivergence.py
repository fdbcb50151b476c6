r"""The table of f-divergences, $D_f(P\|Q) = \int q\,f(p/q)$ for a convex f with f(1) = 0, in nats.

Where q is zero, what P has there counts $f'(\infty) = \lim_{u\to\infty} f(u)/u$ times its mass. Each row keeps
$q\,f(p/q)$ as a function of both log densities, from which f, f(0) and $f'(\infty)$ follow: no ratio overflows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.special import wrightomega
from torch.nn.functional import logsigmoid, softplus

from helpers.quadrature import integrate, nodes
from helpers.validation import a_function, above_zero, broadcastable, fail, instance, not_negative, positive, tensor

__all__ = ["GAN", "TABLE", "FDivergence", "between_densities", "discrete"]

BISECTIONS = 40


@dataclass(frozen=True)
class FDivergence:
    r"""A row of the table. Nothing is checked when one is made.

    name: as it is cited.
    terms: $q\,f(p/q)$ from log p and log q, of one shape; either may be $-\infty$, and the result $+\infty$. It can be
        differentiated in both where it is finite, at p = q as well.
    slope: $f'(u)$ for u > 0.
    dual: $f^*(t)$ on its domain.
    domain: the interval outside of which $f^*$ is infinite.
    squash: an increasing function from the line into that interval.
    curvature: $f''(1)$, infinite where f has a kink at one.
    composed: $f^*$ of `squash`, in one expression that loses no digits near the end of the domain; by default the two
        one after the other.
    """

    name: str
    terms: Callable
    slope: Callable
    dual: Callable
    domain: tuple
    squash: Callable
    curvature: float
    composed: Callable | None = None

    def f(self, u):
        """f(u) for numbers of at least 0, of any shape; f(0) is the limit, and may be infinite."""
        u = tensor(u, "u")
        not_negative(u, "u")
        return self.terms(u.log(), torch.zeros_like(u))

    @property
    def at_zero(self):
        """f(0): what a unit of mass counts that Q alone has."""
        return self._limit(-math.inf, 0.0)

    @property
    def at_infinity(self):
        r"""$f'(\infty)$: what a unit of mass counts that P alone has."""
        return self._limit(0.0, -math.inf)

    def _limit(self, *logs):
        return self.terms(*torch.tensor(logs, dtype=torch.float64)).item()

    def derivative(self, u):
        r"""$f'(u)$ for numbers above zero, of any shape. At $u = p/q$ it is $T^*$, the function at which
        $\mathbb E_PT - \mathbb E_Qf^*(T)$ reaches $D_f$."""
        u = tensor(u, "u")
        above_zero(u, "u")
        return self.slope(u)

    def conjugate(self, t):
        r"""$f^*(t) = \sup_{u\ge0}\,(tu - f(u))$ for numbers of any shape: infinite outside of the domain."""
        t = tensor(t, "t")
        value, (low, high) = self.dual(t), self.domain
        for end, outside in ((low, torch.lt), (high, torch.gt)):
            beyond = outside(t, end) if math.isfinite(end) else None
            if beyond is not None and beyond.any():
                value = value.masked_fill(beyond, math.inf)
        return value

    def activation(self, v):
        """An increasing function of numbers of any shape with values in the domain of the conjugate, for the output of
        a network. Source: Nowozin, Cseke and Tomioka (2016), table 6, but for the last three rows."""
        return self.squash(tensor(v, "v"))

    def pair(self, v):
        """T, the `activation` of numbers `v` of any shape, and its conjugate: finite also where T is rounded to the end
        of the domain, but for sizes that overflow. This is the inside of a training loop: nothing is checked."""
        return self.squash(v), self.squashed_dual(v)

    def squashed_dual(self, v):
        """The latter of the `pair` alone."""
        return self.dual(self.squash(v)) if self.composed is None else self.composed(v)

    def scaled(self, factor):
        r"""The row of $c\,f$ for a number c above zero, with the conjugate $c\,f^*(t/c)$."""
        c = positive(factor, "factor")
        return FDivergence(
            f"{c:g} × {self.name}",
            lambda log_p, log_q: c * self.terms(log_p, log_q),
            lambda u: c * self.slope(u),
            lambda t: c * self.dual(t / c),
            (c * self.domain[0], c * self.domain[1]),
            lambda v: c * self.squash(v),
            c * self.curvature,
            None if self.composed is None else lambda v: c * self.composed(v),
        )


def discrete(divergence, p, q):
    r"""$\sum_{q_k>0} q_k f(p_k/q_k) + f'(\infty)\sum_{q_k=0}p_k$ over the last axis of two probability vectors.

    `divergence` is a row of `TABLE`; `p` and `q`, shape (..., outcomes), are broadcast. Returns shape (...), infinite
    where the sum is. Raises `ValueError` for negative entries, and for sums other than 1 (within 1e-6).
    """
    instance(divergence, "divergence", FDivergence)
    p, q = broadcastable(p=p, q=q)
    if p.ndim == 0 or p.shape[-1:] != q.shape[-1:]:
        fail("p, q", "vectors of the same outcomes", f"shapes {tuple(p.shape)} and {tuple(q.shape)}")
    for law, name in ((p, "p"), (q, "q")):
        not_negative(law, name)
        off = (law.sum(-1) - 1).abs()
        if (off > 1e-6).any():
            fail(name, "numbers that sum to 1", f"a sum of {law.sum(-1).flatten()[off.argmax()]:.8g}")
    return divergence.terms(*torch.broadcast_tensors(p.log(), q.log())).sum(-1)


def between_densities(divergence, log_p, log_q, edges, tolerance=1e-10):
    r"""$\int q\,f(p/q)\,dx$ by quadrature on the panels between `edges`, shape (panels + 1,), of many pairs at once; in
    d dimensions `edges` is a tuple of d such vectors.

    `divergence` is a row of `TABLE`; `log_p` and `log_q` map nodes, shape (m,) or (m, d), to log densities, shape
    (..., m). The edges must enclose the mass of both. Where f has a kink, panels of the line are cut where p and q
    cross. Returns shape (...), infinite where the integrand is. Raises `ValueError` where the panels are too coarse for
    the `tolerance`, where the mass of a density on them is not 1 within 1e-8, and for a kink in a box.
    """
    instance(divergence, "divergence", FDivergence)
    a_function(log_p, "log_p")
    a_function(log_q, "log_q")
    if divergence.curvature == math.inf:
        if isinstance(edges, tuple):
            fail("divergence", "one without a kink, in a box", divergence.name)
        edges = _cut(lambda x: log_p(x) - log_q(x), edges)

    def logs(x):
        return torch.broadcast_tensors(log_p(x), log_q(x))

    def integrands(x):
        both = logs(x)
        terms = divergence.terms(*both)
        return torch.stack([*(one.exp() for one in both), terms.masked_fill(terms == math.inf, 0.0)])

    infinite = (divergence.terms(*logs(nodes(edges)[0])) == math.inf).any(-1)
    found = integrate(integrands, edges, tolerance)
    for mass, name in zip(found, ("log_p", "log_q"), strict=False):
        off = (mass - 1).abs()
        if (off > 1e-8).any():
            wanted = "a density whose mass the panels hold"
            fail(f"{name}, edges", wanted, f"a mass of {mass.flatten()[off.argmax()]:.10g}")
    return torch.where(infinite, math.inf, found[2])


def _cut(gap, edges):
    """The `edges`, and between them the points where a row of `gap`, shape (..., m), changes its sign."""
    edges = tensor(edges, "edges")
    x = torch.cat([edges, nodes(edges)[0]]).sort().values
    above = (gap(x) >= 0).reshape(-1, len(x))
    row, place = (above[:, 1:] != above[:, :-1]).nonzero(as_tuple=True)
    low, high, side = x[place], x[place + 1], above[row, place]
    for _ in range(BISECTIONS if len(row) else 0):
        middle = (low + high) / 2
        same = (gap(middle) >= 0).reshape(-1, len(row))[row, torch.arange(len(row), device=row.device)] == side
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return torch.cat([edges, low]).unique()


def _terms(function):
    """The `function` of log p and log q, and zero where neither has mass."""

    def terms(log_p, log_q):
        empty = torch.maximum(log_p, log_q) == -math.inf
        return torch.where(empty, 0.0, function(*(one.masked_fill(empty, 0.0) for one in (log_p, log_q))))

    return terms


def _swapped(function):
    return lambda log_p, log_q: function(log_q, log_p)


def _square(a, b, log_weight):
    """exp(log_weight) (exp(a) - exp(b))², which can be differentiated at a = b, too."""
    d = a - b
    near = (2 * b + log_weight).exp() * d.clamp(-1, 1).expm1() ** 2
    far = 2 * (torch.maximum(a, b) + torch.log(-torch.expm1(-d.abs().clamp_min(1)))) + log_weight
    return torch.where(d.abs() < 1, near, far.exp())


def _kl(log_p, log_q):
    empty = log_p == -math.inf
    log_p = log_p.masked_fill(empty, 0.0)
    return torch.where(empty, 0.0, log_p.exp() * (log_p - log_q))


def _jensen_shannon(log_p, log_q):
    """Near p = q as (p + q)/4 (d tanh(d/2) - 2 log cosh(d/2)) with d = log(p/q), in which nothing cancels."""
    log_mean, d = torch.logaddexp(log_p, log_q) - math.log(2), log_p - log_q
    c = d.clamp(-1, 1)
    near = log_mean.exp() / 2 * (c * (c / 2).tanh() - 2 * (2 * (c / 4).sinh() ** 2).log1p())
    return torch.where(d.abs() < 1, near, (_kl(log_p, log_mean) + _kl(log_q, log_mean)) / 2)


def _pearson(log_p, log_q):
    return _square(log_p, log_q, -log_q)


def _omega(x):
    """The solution w of w + log w = x, with its first derivative, w/(1 + w)."""
    w = torch.as_tensor(wrightomega(x.detach().cpu().numpy())).to(x)
    return w + (x - x.detach()) * w / (1 + w)


def _jeffreys_dual(t):
    w = _omega(1 - t)  # 1/u at the supremum, where t = log u + 1 - 1/u
    return 1 / w - 1 - w.log()


def _game(log_p, log_q):
    """p log p/(p + q) + q log q/(p + q)."""
    log_sum = torch.logaddexp(log_p, log_q)
    return _kl(log_p, log_sum) + _kl(log_q, log_sum)


LINE = (-math.inf, math.inf)
TABLE = {
    row.name: row
    for row in (
        FDivergence(
            "Kullback-Leibler", _terms(_kl), lambda u: 1 + u.log(), lambda t: (t - 1).exp(), LINE, lambda v: v, 1.0
        ),
        FDivergence(
            "reverse Kullback-Leibler", _terms(_swapped(_kl)), lambda u: -1 / u, lambda t: -1 - (-t).log(),
            (-math.inf, 0.0), lambda v: -(-v).exp(), 1.0, lambda v: v - 1,
        ),
        FDivergence(
            "Jensen-Shannon", _terms(_jensen_shannon), lambda u: (math.log(2) - (1 / u).log1p()) / 2,
            lambda t: -(2 - (2 * t).exp()).clamp_min(0.0).log() / 2, (-math.inf, math.log(2) / 2),
            lambda v: (math.log(2) + logsigmoid(v)) / 2, 0.25, lambda v: -(math.log(2) + logsigmoid(-v)) / 2,
        ),
        FDivergence(
            "Pearson", _terms(_pearson), lambda u: 2 * (u - 1), lambda t: torch.where(t < -2, -1.0, (t / 4 + 1) * t),
            LINE, lambda v: v, 2.0,
        ),
        FDivergence(
            "squared Hellinger", _terms(lambda log_p, log_q: _square(log_p / 2, log_q / 2, 0.0)),
            lambda u: 1 - u.rsqrt(), lambda t: t / (1 - t), (-math.inf, 1.0), lambda v: 1 - (-v).exp(), 0.5,
            torch.expm1,
        ),
        FDivergence(
            "Neyman", _terms(_swapped(_pearson)), lambda u: 1 - u**-2, lambda t: 2 - 2 * (1 - t).sqrt(),
            (-math.inf, 1.0), lambda v: 1 - (-v).exp(), 2.0, lambda v: 2 - 2 * (-v / 2).exp(),
        ),
        FDivergence(
            "Jeffreys", _terms(lambda log_p, log_q: (log_p.exp() - log_q.exp()) * (log_p - log_q)),
            lambda u: 1 + u.log() - 1 / u, _jeffreys_dual, LINE, lambda v: v, 2.0,
        ),
        FDivergence(
            "total variation", _terms(lambda log_p, log_q: (log_p.exp() - log_q.exp()).abs() / 2),
            lambda u: (u - 1).sign() / 2, lambda t: t.clamp_min(-0.5), (-math.inf, 0.5),
            lambda v: v.tanh() / 2, math.inf,
        ),
    )
}  # fmt: skip
# u log u - (u + 1) log(u + 1), for which the bound is the value of the game between generator and discriminator. It
# has f(1) = -log 4 and is no divergence, so it has no place in the table: its "divergence" is 2 JS - log 4.
GAN = FDivergence(
    "GAN", _terms(_game), lambda u: -(1 / u).log1p(), lambda t: -(-t.clamp_max(0.0).expm1()).log(), (-math.inf, 0.0),
    logsigmoid, 0.5, softplus,
)  # fmt: skip

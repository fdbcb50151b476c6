"""Transport with an entropy: Sinkhorn's alternating projections, and a feasible plan from them."""

import math
from dataclasses import dataclass

import torch

from helpers.densities.sums.gauss import gaussian_sum
from helpers.transport.marginals import fitting, marginal
from helpers.validation import MODERATE, count, fail, located, moderate, number, positive, real, tensor

__all__ = ["Entropic", "hilbert_diameter", "rounded", "sinkhorn", "sinkhorn_points"]

WINDOW = 10  # iterations from which a rate is read
FRESH = 6  # windows after which it is read anew, from plain iterations
LARGE = 1e30  # scalings beyond it go into the kernel
VISIBLE = 1e-30  # sums below it are taken again in logarithms


@dataclass(frozen=True, eq=False)
class Entropic:
    r"""A plan $\pi_{ij}=e^{(f_i+g_j-c_{ij})/\varepsilon}$, its transport cost `value` $=\sum\pi_{ij}c_{ij}$, its
    potentials $f$ of the `source` and $g$ of the `target`, -inf at points without mass, the `errors` of its row sums
    and its column sums in $L^1$, added up, after each iteration; in the end its column sums are exact."""

    plan: torch.Tensor
    value: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    errors: torch.Tensor


def sinkhorn(
    cost, regularisation, source=None, target=None, *, tolerance=None, iterations=10_000, relaxation=1.0, start=None
):  # fmt: skip
    r"""$\min_\pi\sum_{ij}\pi_{ij}c_{ij}+\varepsilon\sum_{ij}\pi_{ij}(\log\pi_{ij}-1)$ over the plans with the row sums
    a = `source` and the column sums b = `target`, $\varepsilon$ = `regularisation`.

    One iteration makes the row sums right, $f_i=\varepsilon\big(\log a_i-\log\sum_je^{(g_j-c_{ij})/\varepsilon}\big)$,
    and then the column sums, likewise. With a `relaxation` $\omega$ from above 0 to below 2, each potential moves
    $\omega$ times as far; None chooses $\omega=2/(1+\sqrt{1-\theta})$ from the rate $\theta$ of the errors so far. It
    stops where row sums and column sums are off by at most `tolerance` in $L^1$, by default 1e-9, in single precision
    1e-5. (Rounding leaves errors of some max c/ε units in the last place.)

    `cost`, shape (..., n, m): leading axes are problems of their own; `source`, shape (..., n) or (n,), and `target`,
    shape (..., m) or (m,), probabilities, by default uniform; `start`, shape (..., m) or (m,), a potential of the
    target to begin with (default: zero), such as an earlier call has returned. A small $\varepsilon$ is slow but no
    underflow: scalings that grow large are absorbed into the kernel. Raises `ValueError` where `iterations` are not
    enough, and for input as in `transport`. Source: Cuturi, Sinkhorn distances (2013); Schmitzer, Stabilized sparse
    scaling algorithms (2019); Thibault et al., Overrelaxed Sinkhorn-Knopp algorithm (2021).
    """
    cost = tensor(cost, "cost")
    if cost.ndim < 2:
        fail("cost", "shape (..., n, m)", f"shape {tuple(cost.shape)}")
    epsilon, usual = positive(regularisation, "regularisation"), 1e-5 if cost.dtype == torch.float32 else 1e-9
    tolerance = usual if tolerance is None else positive(tolerance, "tolerance")
    a, b = (
        marginal(one, (*cost.shape[:-2], size), name).to(cost)
        for one, size, name in zip((source, target), cost.shape[-2:], ("source", "target"), strict=True)
    )
    g = torch.zeros_like(b) if start is None else _potential(start, b) / epsilon
    kernel = _Table(cost, epsilon, a, b, g)
    errors = _scale(kernel, a, b, tolerance, count(iterations, "iterations"), _relaxation(relaxation))
    plan = kernel.table
    return Entropic(plan, (plan * cost).sum((-2, -1)), epsilon * kernel.f, epsilon * kernel.g, errors)


def sinkhorn_points(
    points, target_points, regularisation, source=None, target=None,
    *, tolerance=1e-6, iterations=10_000, relaxation=1.0,
):  # fmt: skip
    r"""The potentials of `sinkhorn` for the cost $|x_i-y_j|^2$ between points, without its table: memory is
    proportional to n + m.

    `points` x, shape (n,) or (n, d), and `target_points` y, shape (m,) or (m, d); the rest as in `sinkhorn`. Returns f,
    shape (n,), g, shape (m,), and the errors after each iteration, in double precision on the device of the points. The
    sums over pairs are those of `gaussian_sum` with $2h^2=\varepsilon$. Raises `ValueError` for input as in `sinkhorn`,
    and where $e^{f/\varepsilon}$ or $e^{g/\varepsilon}$ goes beyond 1e150: where costs are some hundred times
    $\varepsilon$.
    """
    x, y = (one.double() for one in located(points, target_points, "target_points"))
    moderate(x, "points")
    moderate(y, "target_points")
    epsilon, tolerance = positive(regularisation, "regularisation"), positive(tolerance, "tolerance")
    a, b = marginal(source, (len(x),), "source").to(x), marginal(target, (len(y),), "target").to(y)
    least = 2 * (1e-14 * max(x.abs().max().item(), y.abs().max().item())) ** 2
    if epsilon < least:
        fail("regularisation", f"at least {least:.2g}, for points as far from zero as these", epsilon)
    kernel = _Gaussian(x, y, epsilon, a, b)
    errors = _scale(kernel, a, b, tolerance, count(iterations, "iterations"), _relaxation(relaxation))
    return epsilon * kernel.f, epsilon * kernel.g, errors


def _scale(kernel, a, b, tolerance, iterations, omega):
    """Scalings u and v of the rows and columns of the kernel until its sums are a and b; the errors on the way."""
    adaptive, omega = omega is None, None if omega == 1 else omega  # None: plain
    u, v, columns = torch.ones_like(a), torch.ones_like(b), b
    rows = kernel.times(v)
    errors, since = [(rows - a).abs().sum(-1)] if kernel.begun else [], 0
    windows = 0
    worst = errors[-1].max().item() if errors else math.inf
    while not worst <= tolerance:
        if len(errors) == iterations:
            left = f"{iterations}, which leave {worst:.2g}"
            fail("iterations", f"enough for row sums within {tolerance:g}", left)
        if max(u.max().item(), v.max().item()) > LARGE and kernel.absorb(u, v):
            u, v = torch.ones_like(a), torch.ones_like(b)
            rows = kernel.times(v)
        if adaptive and since > WINDOW:
            windows, since = windows + 1, 0
            again = windows % FRESH == 0  # too large a relaxation looks like the best one: its rate is its own
            omega = None if again else _faster(1.0 if omega is None else omega, errors[-1], errors[-1 - WINDOW])
        u = _moved(u, a, rows, omega)
        columns = kernel.transposed(u)
        v = _moved(v, b, columns, omega)
        rows, since = kernel.times(v), since + 1
        errors.append((u * rows - a).abs().sum(-1))
        if omega is not None:
            errors[-1] += (v * columns - b).abs().sum(-1)
        worst = errors[-1].max().item()
        if not worst < math.inf:
            fail("regularisation", "one for which the scalings are finite numbers", kernel.epsilon)
    kernel.finish(u, _moved(v, b, columns))
    return torch.stack(errors)


def _moved(scaling, wanted, sums, omega=None):
    """The scaling with which the sums would be as wanted, or `omega` times as far on a logarithmic scale."""
    right = wanted / sums.clamp_min(torch.finfo(sums.dtype).tiny)
    return right if omega is None else torch.where(wanted > 0, scaling * (right / scaling) ** omega, 0.0)


def _faster(omega, error, before):
    r"""$\omega=2/(1+\sqrt{1-\theta})$ with the rate $\theta$ of the plain iteration, which follows from that of the
    relaxed one, $\lambda$, by $(\lambda+\omega-1)^2=\lambda\omega^2\theta$ as long as $\lambda>\omega-1$ (Young)."""
    rate = ((error / before) ** (1 / WINDOW))[..., None]
    plain = ((rate + omega - 1) ** 2 / (rate * omega**2)).clamp(0, 1 - 1e-6)
    best = 2 / (1 + (1 - plain).sqrt())
    return torch.where(rate >= 1, 1.0, torch.where(rate > omega - 1, best, omega))


class _Table:
    """The kernel $e^{f_i+g_j-c_{ij}/\\varepsilon}$: one plain iteration has been made
    in logarithms, so that neither a row nor a column underflows."""

    begun = True

    def __init__(self, cost, epsilon, a, b, g):
        self.scaled, self.epsilon = cost / epsilon, epsilon
        table = g[..., None, :] - self.scaled
        largest = table.amax(-1, keepdim=True)
        table.sub_(largest).exp_()
        rows = table.sum(-1)
        self.f = a.log() - rows.log() - largest[..., 0]
        self.table = table.mul_((a / rows)[..., None])
        columns = self.table.sum(-2)
        if (columns > VISIBLE).all():
            self.g = g + (b / columns).log()
            self.table.mul_((b / columns)[..., None, :])
        else:
            self.g = b.log() - (self.f[..., None] - self.scaled).logsumexp(-2)
            self.table = self.plan()

    def plan(self):
        return (self.f[..., None] + self.g[..., None, :] - self.scaled).exp()

    def times(self, v):
        return (self.table @ v[..., None])[..., 0]

    def transposed(self, u):
        return (u[..., None, :] @ self.table)[..., 0, :]

    def absorb(self, u, v):
        self.f, self.g = self.f + u.log(), self.g + v.log()
        self.table = self.plan()
        return True

    def finish(self, u, v):
        """The last scalings, which are moderate: no exponential is taken again."""
        self.f, self.g = self.f + u.log(), self.g + v.log()
        self.table = self.table.mul(u[..., None]).mul_(v[..., None, :])


class _Gaussian:
    """The kernel $e^{-|x_i-y_j|^2/\\varepsilon}$, whose products are Gaussian sums."""

    begun = False

    def __init__(self, x, y, epsilon, a, b):
        self.x, self.y, self.epsilon, self.h = x, y, epsilon, math.sqrt(epsilon / 2)
        self.f, self.g = torch.zeros_like(a), torch.zeros_like(b)

    def times(self, v):
        return self._sum(self.x, self.y, v)

    def transposed(self, u):
        return self._sum(self.y, self.x, u)

    def _sum(self, points, data, scaling):
        if not scaling.max().item() <= MODERATE:
            fail("regularisation", f"one for which the scalings stay below {MODERATE:g}", self.epsilon)
        return gaussian_sum(points, data, self.h, scaling)

    def absorb(self, u, v):
        return False

    def finish(self, u, v):
        self.f, self.g = u.log(), v.log()


def _relaxation(value):
    if value is None:
        return None
    omega = number(value, "relaxation", "a number from above 0 to below 2, or None")
    if not 0 < omega < 2:
        fail("relaxation", "a number from above 0 to below 2, or None", omega)
    return omega


def _potential(start, b):
    """`start` as a potential of the target, which at a point without mass may be, and becomes, -inf."""
    start, empty = real(start, "start").to(b), b == 0
    if start.shape in (b.shape, b.shape[-1:]):
        start = torch.where(empty, start.clamp_min(0), start)
    return torch.where(empty, -torch.inf, fitting(start, b.shape, "start"))


def rounded(plan, source=None, target=None):
    r"""A plan with exactly the row sums `source` and the column sums `target`, near to `plan`, shape (n, m).

    Rows and then columns that hold too much are scaled down, and what is then missing is put back as a product:
    $\pi+\frac{rs^\top}{\sum r}$ with the missing row sums r and column sums s. It moves at most twice the error of the
    row and column sums of `plan` in $L^1$. Raises `ValueError` for input as in `transport` and for negative entries.
    Source: Altschuler, Weed and Rigollet, Near-linear time approximation algorithms for optimal transport (2017),
    algorithm 2.
    """
    plan = tensor(plan, "plan", ndim=2)
    if (plan < 0).any():
        fail("plan", "numbers of at least 0", plan.min().item())
    a, b = (marginal(one, (size,), name).to(plan) for one, size, name in zip(
        (source, target), plan.shape, ("source", "target"), strict=True))  # fmt: skip
    plan = plan * (a / plan.sum(1).clamp_min(torch.finfo(plan.dtype).tiny)).clamp_max(1)[:, None]
    plan = plan * (b / plan.sum(0).clamp_min(torch.finfo(plan.dtype).tiny)).clamp_max(1)
    rows, columns = (a - plan.sum(1)).clamp_min(0), (b - plan.sum(0)).clamp_min(0)
    missing = rows.sum()
    return plan + torch.outer(rows, columns) / missing if missing > 0 else plan


def hilbert_diameter(cost, regularisation):
    r"""$\Delta=\max_{ijkl}\frac{c_{il}+c_{kj}-c_{ij}-c_{kl}}{\varepsilon}$, the diameter in Hilbert's metric of what
    $K=e^{-c/\varepsilon}$ makes of all positive vectors; an iteration of `sinkhorn` contracts by $\tanh^2(\Delta/4)$.

    `cost`, shape (n, m). Raises `ValueError` for other shapes and a `regularisation` of zero or less. Source: Birkhoff,
    Extensions of Jentzsch's theorem (1957); Franklin and Lorenz (1989).
    """
    cost, epsilon = tensor(cost, "cost", ndim=2), positive(regularisation, "regularisation")
    unit = cost.abs().max().clamp_min(torch.finfo(cost.dtype).tiny)  # so that no difference overflows
    spans = [(apart.amax(1) - apart.amin(1)).max() for apart in (cost / unit - row for row in cost / unit)]
    return torch.stack(spans).max() / epsilon * unit

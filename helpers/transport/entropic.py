"""Transport with an entropy: Sinkhorn's alternating projections in the log domain, and a feasible plan from them."""

from dataclasses import dataclass

import torch

from helpers.transport.exact import weights
from helpers.validation import alike, count, fail, positive, tensor

__all__ = ["Entropic", "hilbert_diameter", "rounded", "sinkhorn"]


@dataclass(frozen=True, eq=False)
class Entropic:
    r"""A plan $\pi_{ij}=e^{(f_i+g_j-c_{ij})/\varepsilon}$, its transport cost `value` $=\sum\pi_{ij}c_{ij}$, its
    potentials $f$ of the `source` and $g$ of the `target`, the `errors` of its row sums in $L^1$ after each iteration;
    its column sums are exact."""

    plan: torch.Tensor
    value: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    errors: torch.Tensor


def sinkhorn(cost, regularisation, source=None, target=None, *, tolerance=None, iterations=10_000):
    r"""$\min_\pi\sum_{ij}\pi_{ij}c_{ij}+\varepsilon\sum_{ij}\pi_{ij}(\log\pi_{ij}-1)$ over the plans with the row sums
    a = `source` and the column sums b = `target`, $\varepsilon$ = `regularisation`.

    One iteration makes the row sums right, $f_i=\varepsilon\big(\log a_i-\log\sum_je^{(g_j-c_{ij})/\varepsilon}\big)$,
    and then the column sums, likewise; it stops where the row sums are off by at most `tolerance` in $L^1$, by default
    1e-9, in single precision 1e-5. (Rounding leaves errors of some max c/ε units in the last place.) `cost`,
    shape (n, m); `source`, shape (n,), and `target`, shape (m,), probabilities, by default uniform. Everything stays in
    logarithms, so that a small $\varepsilon$ is slow but no underflow. Raises `ValueError` where `iterations` are not
    enough, and for input as in `transport`. Source: Cuturi, Sinkhorn distances (2013).
    """
    cost = tensor(cost, "cost", ndim=2)
    epsilon = positive(regularisation, "regularisation")
    usual = 1e-5 if cost.dtype == torch.float32 else 1e-9
    tolerance = usual if tolerance is None else positive(tolerance, "tolerance")
    a, b = (weights(one, size, name).to(cost) for one, size, name in zip(
        (source, target), cost.shape, ("source", "target"), strict=True))  # fmt: skip
    scaled, log_a, log_b = cost / epsilon, a.log(), b.log()
    g, errors = torch.zeros_like(b), []
    for _ in range(count(iterations, "iterations")):
        f = log_a - (g - scaled).logsumexp(1)
        g = log_b - (f[:, None] - scaled).logsumexp(0)
        errors.append(((f + (g - scaled).logsumexp(1)).exp() - a).abs().sum())
        if errors[-1] <= tolerance:
            plan = (f[:, None] + g - scaled).exp()
            return Entropic(plan, (plan * cost).sum(), epsilon * f, epsilon * g, torch.stack(errors))
    wanted = f"enough for row sums within {tolerance:g}"
    fail("iterations", wanted, f"{iterations}, which leave {errors[-1].item():.2g}")


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
    a, b = weights(source, plan.shape[0], "source").to(plan), weights(target, plan.shape[1], "target").to(plan)
    plan = plan * (a / plan.sum(1).clamp_min(torch.finfo(plan.dtype).tiny)).clamp_max(1)[:, None]
    plan = plan * (b / plan.sum(0).clamp_min(torch.finfo(plan.dtype).tiny)).clamp_max(1)
    rows, columns = (a - plan.sum(1)).clamp_min(0), (b - plan.sum(0)).clamp_min(0)
    missing = rows.sum()
    return plan + torch.outer(rows, columns) / missing if missing > 0 else plan


def hilbert_diameter(cost, regularisation):
    r"""$\Delta=\max_{ijkl}\frac{c_{il}+c_{kj}-c_{ij}-c_{kl}}{\varepsilon}$, the diameter in Hilbert's metric of what
    $K=e^{-c/\varepsilon}$ makes of all positive vectors; an iteration of `sinkhorn` contracts by $\tanh^2(\Delta/4)$.

    `cost`, shape (n, m). Source: Birkhoff, Extensions of Jentzsch's theorem (1957); Franklin and Lorenz (1989).
    """
    cost, epsilon = alike(cost=cost)[0], positive(regularisation, "regularisation")
    tensor(cost, "cost", ndim=2)
    between = cost[:, None] - cost[None]
    return (between.amax(-1) - between.amin(-1)).max() / epsilon

"""Exact transport between finitely many points: plans and potentials, and what a potential becomes elsewhere."""

import math
from dataclasses import dataclass

import ot
import torch

from helpers.transport.marginals import marginal
from helpers.validation import alike, fail, located, not_negative, positive, tensor

__all__ = ["Transport", "c_transform", "lipschitz_extension", "transport"]


@dataclass(frozen=True, eq=False)
class Transport:
    r"""An optimal `plan`, shape (n, m), the `value` $\sum_{ij}\pi_{ij}c_{ij}$ that it reaches, and optimal potentials
    $f$ of the `source`, shape (n,), and $g$ of the `target`, shape (m,), with $f_i + g_j \le c_{ij}$."""

    plan: torch.Tensor
    value: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor


def transport(cost, source=None, target=None):
    r"""Kantorovich's problem, $\min_\pi\sum_{ij}\pi_{ij}c_{ij}$ over the plans $\pi\ge0$ with the row sums `source` and
    the column sums `target`, and its dual, $\max_{f,g}\sum_i a_if_i+\sum_j b_jg_j$ subject to $f_i+g_j\le c_{ij}$.

    `cost`, shape (n, m); `source`, shape (n,), and `target`, shape (m,), probabilities, by default uniform. Solved in
    double precision by POT's network simplex: differences below some 1e-15 of the largest cost are lost on it. The
    result is in double precision, on the device of `cost`. Raises `ValueError` for weights
    that are negative or do not sum to one, for other shapes, and where the simplex gives up. Source: Mikayelyan, the
    Earth-Mover distance; Kantorovich (1942).
    """
    cost = tensor(cost, "cost", ndim=2)
    a, b = (marginal(one, (size,), name) for one, size, name in zip(
        (source, target), cost.shape, ("source", "target"), strict=True))  # fmt: skip
    table = cost.detach().cpu().to(torch.float64).contiguous().numpy()
    unit = 2.0 ** (math.frexp(abs(table).max())[1] - 1)  # the simplex takes numbers far from 1 for infeasible
    plan, log = ot.emd(a.cpu().numpy(), b.cpu().numpy(), table / unit, numItermax=10**8, log=True)
    if log["warning"]:
        fail("cost, source, target", "a problem that the network simplex solves", log["warning"])
    parts = (plan, log["u"] * unit, log["v"] * unit)
    plan, f, g = (torch.as_tensor(part, dtype=torch.float64, device=cost.device) for part in parts)
    return Transport(plan, (plan * cost).sum(), f, g)


def c_transform(potential, cost):
    r"""$f^c(y_j)=\min_i\big(c_{ij}-f_i\big)$, the largest $g$ with $f_i+g_j\le c_{ij}$.

    `potential`, shape (n,), and `cost`, shape (n, m). Returns shape (m,). Raises `ValueError` for other shapes. Source:
    Villani, Optimal transport: old and new (2009), definition 5.2.
    """
    potential, cost = alike(potential=potential, cost=cost)
    if cost.ndim != 2 or potential.shape != cost.shape[:1]:
        shapes = f"{tuple(potential.shape)} and {tuple(cost.shape)}"
        fail("potential, cost", "shapes (n,) and (n, m)", shapes)
    return (cost - potential[:, None]).min(0).values


def lipschitz_extension(points, support, values, constant=1.0):
    r"""$F(x)=\min_i\big(f(x_i)+K\,|x-x_i|\big)$: the largest K-Lipschitz function that has these `values` on the
    `support`.

    `points`, shape (m,) or (m, d); `support`, shape (n,) or (n, d); `values`, shape (n,); K = `constant`. Distances are
    Euclidean. Returns shape (m,). Raises `ValueError` for other shapes, and for values that rise faster than K between
    two points of the support, by more than rounding. Source: McShane, Extension of range of functions (1934).
    """
    points, support = located(points, support, "support")
    values, constant = tensor(values, "values", shape=(len(support),)), positive(constant, "constant")
    slack = 1e-5 if torch.float32 in (support.dtype, values.dtype) else 1e-9
    kind = torch.promote_types(points.dtype, support.dtype)
    points, support, values = points.to(kind), support.to(kind), values.to(support.device, kind)
    apart = torch.cdist(support, support, compute_mode="donot_use_mm_for_euclid_dist")
    excess = (values[:, None] - values).abs() - constant * apart
    scale = values.abs().max().clamp_min(constant * apart.max())
    not_negative(slack * scale - excess, f"values (slopes of at most {constant:g} on the support; what is left of it)")
    distance = torch.cdist(points, support, compute_mode="donot_use_mm_for_euclid_dist")
    return (values + constant * distance).min(1).values

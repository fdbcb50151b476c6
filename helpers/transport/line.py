"""Transport on the line, where sorting solves it."""

import numpy as np
import torch

from helpers.densities.order import ascending
from helpers.validation import alike, fail, not_negative, positive

__all__ = ["wasserstein"]

SAME = 2e-15


def wasserstein(x, y, p=1.0, x_weights=None, y_weights=None):
    r"""$W_p=\Big(\int_0^1|F^{-1}(t)-G^{-1}(t)|^p\,dt\Big)^{1/p}$ between weighted points on the line, $p\ge1$.

    `x`, shape (..., n), and `y`, shape (..., m), with the same leading axes, one pair each; `x_weights` and
    `y_weights`, of the same shapes, probabilities, by default uniform. Returns shape (...), in the units of the data.
    With as many points on either side and no weights, the k-th smallest goes to the k-th smallest; otherwise two levels
    of F and G that differ by less than 2e-15 are one, as rounding may have parted them. Raises `ValueError` for p below
    1, other shapes, weights that are negative or do not sum to one, and where a distance overflows. Source:
    Santambrogio, Optimal transport for applied mathematicians (2015), proposition 2.17.
    """
    x, y = alike(x=x, y=y)
    p = positive(p, "p")
    if p < 1:
        fail("p", "a number of at least 1", p)
    if x.ndim == 0 or y.ndim == 0 or x.shape[:-1] != y.shape[:-1]:
        fail("x, y", "shapes (..., n) and (..., m)", f"shapes {tuple(x.shape)} and {tuple(y.shape)}")
    if x_weights is None and y_weights is None and x.shape == y.shape:
        gaps = (ascending(x, with_order=False)[0] - ascending(y, with_order=False)[0]).abs()
        return _power_mean(gaps, torch.full_like(gaps, 1 / gaps.shape[-1]), p)
    (x, at_x), (y, at_y) = _levels(x, x_weights, "x_weights"), _levels(y, y_weights, "y_weights")
    levels = torch.cat([at_x, at_y], -1)
    order = _merged(levels)
    of_x = order < x.shape[-1]
    levels = levels.gather(-1, order).clamp_max(1)
    steps = levels.diff(dim=-1, prepend=torch.zeros_like(levels[..., :1]))
    shares = torch.where(steps > SAME, steps, 0.0).to(x.dtype)
    quantiles = [_quantiles(points, here) for points, here in ((x, of_x), (y, ~of_x))]
    return _power_mean(torch.where(shares > 0, (quantiles[0] - quantiles[1]).abs(), 0.0), shares, p)


def _levels(points, weights, name):
    """The points in ascending order, and the values of their distribution function there."""
    points, order = ascending(points, with_order=weights is not None)
    kind = torch.float32 if points.device.type == "mps" else torch.float64  # all that MPS has
    if weights is None:
        number = points.shape[-1]
        return points, (torch.arange(1, number + 1, dtype=kind, device=points.device) / number).expand_as(points)
    points, shares = alike(points=points, **{name: weights})
    if shares.shape != points.shape:
        fail(name, f"a weight for each point, shape {tuple(points.shape)}", f"shape {tuple(shares.shape)}")
    not_negative(shares, name)
    if ((shares.sum(-1) - 1).abs() > 1e-6).any():
        fail(name, "numbers that sum to 1", f"sums {shares.sum(-1).tolist()}")
    shares = shares.to(kind).gather(-1, order)
    shares = shares / shares.sum(-1, keepdim=True)
    levels = shares.cumsum(-1)
    lost = shares - levels.diff(dim=-1, prepend=torch.zeros_like(levels[..., :1]))  # by rounding
    return points, levels + lost.cumsum(-1)


def _merged(levels):
    """The order that sorts two ascending runs along the last axis, one after the other; on a CPU in linear time."""
    if levels.device.type != "cpu":
        return levels.argsort(-1, stable=True)
    return torch.from_numpy(np.argsort(levels.detach().numpy(), kind="stable"))


def _quantiles(points, own):
    """The quantile on each interval between merged levels: as many points lie below as levels of their `own`."""
    return points.gather(-1, (own.cumsum(-1) - own.long()).clamp_max(points.shape[-1] - 1))


def _power_mean(gaps, shares, p):
    if not torch.isfinite(gaps).all():
        fail("x, y", "points whose distances are finite", "one that overflows")
    largest = gaps.amax(-1, keepdim=True).clamp_min(torch.finfo(gaps.dtype).tiny)
    return largest[..., 0] * ((gaps / largest) ** p * shares).sum(-1) ** (1 / p)

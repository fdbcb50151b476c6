"""Transport on the line, where sorting solves it."""

import torch

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
        gaps = (x.sort(-1).values - y.sort(-1).values).abs()
        return _power_mean(gaps, torch.full_like(gaps, 1 / gaps.shape[-1]), p)
    (x, at_x), (y, at_y) = _levels(x, x_weights, "x_weights"), _levels(y, y_weights, "y_weights")
    levels = torch.cat([at_x, at_y], -1).sort(-1).values.clamp_max(1)
    lower = torch.cat([torch.zeros_like(levels[..., :1]), levels[..., :-1]], -1)
    middle = ((lower + levels) / 2).contiguous()
    quantiles = [_quantiles(points, at, middle) for points, at in ((x, at_x), (y, at_y))]
    shares = torch.where(levels - lower > SAME, levels - lower, 0.0).to(x.dtype)
    return _power_mean(torch.where(shares > 0, (quantiles[0] - quantiles[1]).abs(), 0.0), shares, p)


def _levels(points, weights, name):
    """The points in ascending order, and the values of their distribution function there."""
    points, order = points.sort(-1)
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


def _quantiles(points, levels, at):
    place = torch.searchsorted(levels.contiguous(), at)
    return points.gather(-1, place.clamp_max(points.shape[-1] - 1))


def _power_mean(gaps, shares, p):
    if not torch.isfinite(gaps).all():
        fail("x, y", "points whose distances are finite", "one that overflows")
    largest = gaps.amax(-1, keepdim=True).clamp_min(torch.finfo(gaps.dtype).tiny)
    return largest[..., 0] * ((gaps / largest) ** p * shares).sum(-1) ** (1 / p)

r"""Scores of dependence between two coordinates: how far their joint distribution function is from the product of both.

With $\Delta_n(s,t) = \hat F_n(s,t)-\hat F_n(s)\,\hat G_n(t)$ there are the largest $|\Delta_n|$, and the mean of
$\Delta_n^2$ over the data. Both depend on the ranks alone.
"""

import math

import numpy as np
import torch
from scipy import special

from helpers.quadrature import nodes
from helpers.validation import above_zero, alike, fail, tensor

__all__ = [
    "binary_p_values", "binary_supremum", "hoeffding", "limit_survival", "mean_square", "p_value", "supremum",
]  # fmt: skip

BLOCK = 2**22
LARGEST = math.pi**4 / 2  # where the limit's moment generating function ends: half of one over its largest weight
EDGES = torch.cat([torch.zeros(1, dtype=torch.float64), torch.logspace(-3, 2, 26, dtype=torch.float64)])
AWAY = complex(0.5, math.sqrt(0.75))  # the direction in which the contour leaves the real axis
ENDS = 1e-3, 14.0  # of t: before and beyond them the limit law has less than rounding can tell from nothing


def supremum(x, y):
    r"""$s = \sqrt n\,\sup_{s,t}|\hat F_n(s,t)-\hat F_n(s)\,\hat G_n(t)|$, shape (...), of `x` and `y`, shape (..., n).

    The supremum is over all pairs of numbers: the largest difference may stand where $s$ is from one datum and $t$ from
    another. Ties are counted as they are. It takes of the order of $n^2$ operations a pair and memory for $n$ numbers;
    `binary_supremum` is for columns of zeros and ones. Leading axes hold several pairs. Raises `ValueError` for other
    shapes or numbers that are not finite. Source: Scornet, slide "Two more ingredients".
    """
    x, y = _pairs(x, y)
    flat = (_numpy(one) for one in (x, y))
    found = [_supremum(*part) for part in zip(*(_blocks(one) for one in flat), strict=True)]
    return _like(np.concatenate(found), x)


def _supremum(x, y):
    """By a sweep over x: how many of the data so far have a y of at most each level."""
    (rows, n), order = x.shape, x.argsort(-1)
    last = _ends(np.take_along_axis(x, order, -1))
    by_y = y.argsort(-1)
    highest = _last_equal(_ends(np.take_along_axis(y, by_y, -1)))
    level = np.take_along_axis(_back(highest, by_y), order, -1)
    so_far, most = np.zeros((rows, n), np.int64), np.zeros(rows, np.int64)
    for k in range(n):
        so_far += level[:, k, None] <= highest
        if last[:, k].any():
            gap = np.abs(n * so_far - (k + 1) * (highest + 1)).max(-1)
            most = np.maximum(most, np.where(last[:, k], gap, 0))
    return most / n**1.5


def binary_supremum(data):
    r"""The `supremum` of every pair of columns of zeros and ones, shape (..., d, d), for `data` of shape (..., n, d).

    Where both are zero is the only point at which a distribution function of two bits is not that of its margins, so
    $s_{j\ell} = \sqrt n\,|\hat p_{j\ell}-\hat p_j\hat p_\ell|$ with the shares of ones: one product for all pairs. On
    the diagonal it is $\sqrt n\,\hat p_j(1-\hat p_j)$; a constant column has the score zero with all. Raises
    `ValueError` for data that are not binary.
    """
    n, covariance = _covariance(data)
    return covariance.abs() * math.sqrt(n)


def binary_p_values(data):
    r"""The p-value of Pearson's test of independence of every pair of columns of zeros and ones, shape (..., d, d).

    Under independence $s_{j\ell}^2/(\hat p_j(1-\hat p_j)\hat p_\ell(1-\hat p_\ell)) = \chi^2$ has in the limit the law
    of a squared normal number, and the p-value is the mass beyond it. The law of the score $s_{j\ell}$ itself differs
    from pair to pair. A constant column is independent of all others: its p-value is set to 1, and no test rejects it
    at any level. Arguments and errors as for `binary_supremum`.
    """
    n, covariance = _covariance(data)
    spread = covariance.diagonal(dim1=-2, dim2=-1)
    scale = spread[..., :, None] * spread[..., None, :]
    chi_square = n * covariance.square() / torch.where(scale > 0, scale, 1.0)
    return torch.special.erfc((chi_square / 2).sqrt())


def _covariance(data):
    data = tensor(data, "data")
    if data.ndim < 2:
        fail("data", "shape (..., n, d)", f"shape {tuple(data.shape)}")
    if not ((data == 0) | (data == 1)).all():
        fail("data", "zeros and ones", data[(data != 0) & (data != 1)][0].item())
    data = data.double()
    n, ones = data.shape[-2], data.sum(-2)
    both = data.mT @ data
    return n, (n * both - ones[..., :, None] * ones[..., None, :]) / n**2


def mean_square(x, y):
    r"""$nB_n = \sum_i\big(\hat F_n(x_i,y_i)-\hat F_n(x_i)\,\hat G_n(y_i)\big)^2$, shape (...).

    Exact, in of the order of $n\log n$ operations: how many data lie to the left of and below each one is counted by
    bisecting the ranks. Ties are counted as they are. Arguments and errors as for `supremum`. Source: Blum, Kiefer and
    Rosenblatt (1961).
    """
    x, y = _pairs(x, y)
    left, lower, both = _counts(x, y)
    return _like((np.square(both / x.shape[-1] - left * lower / x.shape[-1] ** 2)).sum(-1), x)


def hoeffding(x, y):
    r"""Hoeffding's $D$, thirty times an unbiased estimate of $\int(F-F_XF_Y)^2\,dF$, shape (...); from -1/2 to 1.

    $30\,\frac{(n-2)(n-3)D_1+D_2-2(n-2)D_3}{n(n-1)(n-2)(n-3)(n-4)}$ with $D_1=\sum Q(Q-1)$,
    $D_2=\sum(R-1)(R-2)(S-1)(S-2)$, $D_3=\sum(R-2)(S-2)Q$, the ranks $R$, $S$ and the number $Q$ of data to the left and
    below; n is at least five. `x` and `y`, shape (..., n), are without ties, or a `ValueError` says so. Source:
    Hoeffding (1948).
    """
    x, y = _pairs(x, y)
    n = x.shape[-1]
    if n < 5:
        fail("x, y", "five data or more", n)
    _without_ties(x, y)
    r, s, q = _counts(x, y)
    q = q - 1
    first, second = (q * (q - 1)).sum(-1), ((r - 1) * (r - 2) * (s - 1) * (s - 2)).sum(-1)
    third = ((r - 2) * (s - 2) * q).sum(-1)
    total = (n - 2.0) * (n - 3) * first + second - 2 * (n - 2) * third
    return _like(30 * total / math.prod(n - k for k in range(5)), x)


def p_value(x, y):
    r"""The p-value of `mean_square` for data with continuous margins, shape (...), by `limit_survival`.

    It is that of the limit, and too small with few data: where it is 2.6 %, the mass beyond is 7.5 % at ten data,
    3.5 % at fifty and 3.1 % at a hundred.
    Ties, which such data do not have, raise a `ValueError`: the law under independence is then another.
    """
    _without_ties(*_pairs(x, y))
    return limit_survival(mean_square(x, y).clamp_min(ENDS[0]))  # which is zero for two discordant data


def limit_survival(t):
    r"""$\mathbb P\big(\sum_{j,k\ge1}\frac{Z_{jk}^2}{\pi^4j^2k^2}>t\big)$, the limit law of $nB_n$ under independence.

    `t`, numbers above zero of any shape; $Z_{jk}$ are standard normal. With
    $\mathbb Ee^{sQ} = e^{K(s)} = \prod_j\sqrt{z_j/\sin z_j}$, $z_j=\sqrt{2s}/(\pi j)$, the mass beyond $t$ is
    $\frac1\pi\,\mathrm{Im}\int\frac{e^{K(s)-st}}s\,ds$ along a ray into the upper half plane, from a point between 0
    and $\pi^4/2$. It starts near the saddle point, so that small probabilities are right in proportion, down to
    $10^{-290}$; what is less is zero. Source: Blum, Kiefer and Rosenblatt (1961), whose weights these are.
    """
    t = tensor(t, "t")
    above_zero(t, "t")
    flat = t.detach().cpu().double().flatten()
    found = torch.cat([_beyond(part) for part in flat.clamp(*ENDS).split(64)])
    return torch.where(flat > ENDS[1], 0.0, found.clamp(0.0, 1.0)).reshape(t.shape).to(t)


def _beyond(t):
    """The integral for a vector of t; the distance from the start of the ray is in units of one over t."""
    away, w = nodes(EDGES)
    t, centre = t[:, None], (LARGEST - 0.5 / t).clamp_min(20.0)[:, None]
    s = centre + AWAY * away / t
    return ((_cumulant(s) - s * t).exp() / s * AWAY / t).imag @ w / math.pi


def _cumulant(s):
    r"""$-\frac12\sum_j\log\frac{\sin z_j}{z_j}$ for s in the upper half plane: the first terms as they are, written so
    that the logarithms do not jump, the others by $-\log\frac{\sin z}z=\sum_m\frac{\zeta(2m)}m(\frac z\pi)^{2m}$."""
    root = (2 * s).sqrt() / math.pi
    terms = int(root.abs().max() / 1.5) + 1
    total = torch.zeros_like(root)
    for j in range(1, terms + 1):
        z = root / j
        total += 1j * z - torch.log(-torch.expm1(2j * z)) - 0.5j * math.pi + math.log(2) + torch.log(z)
    for m in range(1, 26):
        total += special.zeta(2 * m) * special.zeta(2 * m, terms + 1) / m * (root / math.pi) ** (2 * m)
    return total / 2


# Ranks


def _counts(x, y):
    """For each datum how many have at most its x, at most its y, and both: as float arrays, shape (rows, n)."""
    x, y = _numpy(x), _numpy(y)
    by_x, by_y = _order(x, y), _order(y, x)
    x_ends, y_ends = (_ends(np.take_along_axis(*one, -1)) for one in ((x, by_x), (y, by_y)))
    before = _smaller_before(np.take_along_axis(_back(np.arange(x.shape[-1]), by_y), by_x, -1)) + 1
    if not x_ends.all():  # data that coincide count one another: each gets the number of the last of them
        before = np.take_along_axis(before, _last_equal(x_ends | _ends(np.take_along_axis(y, by_x, -1))), -1)
    left, lower = (_back(_last_equal(ends) + 1, by) for ends, by in ((x_ends, by_x), (y_ends, by_y)))
    return [one.astype(float) for one in (left, lower, _back(before, by_x))]


def _order(x, y):
    """That which sorts the rows of x, and where these are equal those of y."""
    order = x.argsort(-1)
    return order if _ends(np.take_along_axis(x, order, -1)).all() else np.lexsort((y, x), -1)


def _back(values, order):
    """What stands in this order, put back in its place."""
    found = np.empty(order.shape, values.dtype)
    np.put_along_axis(found, order, np.broadcast_to(values, order.shape), -1)
    return found


def _ends(ordered):
    """Whether each of the numbers is another than the next one."""
    ends = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=ends[:, :-1])
    return ends


def _last_equal(ends):
    """The place of the last of those that are equal, for each one."""
    n = ends.shape[-1]
    return np.minimum.accumulate(np.where(ends, np.arange(n), n)[:, ::-1], -1)[:, ::-1]


def _smaller_before(rank):
    """How many smaller ones stand before each number of a permutation of 0 to n - 1, shape (rows, n).

    They are sorted by one bit after another, the highest first, and the counts move along. Those that agree in the bits
    so far stand together, in the order in which they came; a one then has before it the zeros of its group.
    """
    rows, n = rank.shape
    kind = np.int32 if rank.size < 2**31 else np.int64
    values, here = rank.ravel().astype(kind), np.arange(rank.size, dtype=kind)
    first = np.repeat(np.arange(0, rank.size, n, dtype=kind), n)
    counts, total = np.zeros_like(values), np.zeros(rank.size + 1, kind)
    for bit in reversed(range((n - 1).bit_length())):
        ones = (values >> bit) & 1
        np.cumsum(ones, out=total[1:])
        start = ((values >> (bit + 1)) << (bit + 1)) + first
        larger = total[:-1] - total[start]
        smaller = here - start - larger
        counts += smaller * ones
        target = np.where(ones, larger + (1 << bit), smaller) + start
        moved = np.empty_like(values), np.empty_like(counts)
        moved[0][target], moved[1][target] = values, counts
        values, counts = moved
    return np.take_along_axis(counts.reshape(rows, n), rank, -1)  # in order now, each at the place of its number


# What comes in


def _pairs(x, y):
    """Both of one shape (..., n)."""
    x, y = alike(x=x, y=y)
    if x.ndim == 0 or x.shape != y.shape:
        fail("x, y", "one shape (..., n)", f"shapes {tuple(x.shape)} and {tuple(y.shape)}")
    return x.detach(), y.detach()


def _numpy(x):
    """The pairs along one axis."""
    return x.reshape(-1, x.shape[-1]).cpu().numpy()


def _blocks(x):
    rows = max(1, BLOCK // x.shape[-1])
    return [x[start : start + rows] for start in range(0, len(x), rows)]


def _like(found, x):
    """A number for each pair, in their shape, precision and place."""
    return torch.from_numpy(found).reshape(x.shape[:-1]).to(x)


def _without_ties(x, y):
    for name, one in (("x", x), ("y", y)):
        ordered = np.sort(_numpy(one), -1)
        tied = ordered[~_ends(ordered)]
        if len(tied):
            fail(name, "data without ties, as from a continuous law", f"{tied[0]} twice")

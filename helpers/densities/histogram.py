"""Histograms on regular cells: the estimate in any dimension, its exact error from the cells' masses, and that of many
samples at once."""

import numpy as np
import torch

from helpers.validation import (
    above_zero,
    alike,
    broadcastable,
    count,
    fail,
    instance,
    located,
    not_negative,
    number,
    positive,
    probabilities,
    tensor,
)

__all__ = [
    "asymptotic_mise",
    "cell_index",
    "counts",
    "density",
    "draw_counts",
    "integrated_squared_error",
    "mean",
    "mise",
    "optimal_width",
    "variance",
]

LARGEST_INDEX = 2**53


def cell_index(x, width, origin=0.0):
    r"""The whole number $j$ of the cell $I_j = (x_0+jh, x_0+(j+1)h]$ that holds each number of `x`, as int64.

    `x`, shape (...) or (..., d), with `width` $h$ and `origin` $x_0$ numbers or of shape (d,), broadcast against it.
    Raises `ValueError` for a width of zero or less, and for one so small that cells cannot be told apart in floating
    point. Source: Scornet, "Histogram".
    """
    x, width, origin = (one.double() for one in broadcastable(x=x, width=width, origin=origin))
    above_zero(width, "width")
    index = torch.ceil((x - origin) / width) - 1
    largest = index.abs().max().item()
    if not largest < LARGEST_INDEX:
        fail("width", f"cells with numbers below {LARGEST_INDEX}", f"a cell with number {largest:g}")
    return index.to(torch.int64)


def density(points, data, width, origin=0.0):
    r"""The histogram $\hat f_n(x) = \frac{1}{nh^d}\#\{i : X_i \in I_{j(x)}\}$ at `points`; zero in cells without data.

    `data`, shape (n,) or (n, d); `points`, shape (m,) or (m, d); `width` and `origin`, numbers or of shape (d,), one a
    coordinate. Returns shape (m,), in units of one over volume. Only cells that hold data or points are stored, so that
    heavy tails cost nothing. Raises `ValueError` as `cell_index`. Source: Scornet, "Histograms".
    """
    points, data, width, origin = alike(points=points, data=data, width=width, origin=origin)
    points, data = located(points, data)
    for value, name in ((width, "width"), (origin, "origin")):
        if value.ndim > 1 or value.numel() not in (1, data.shape[1]):
            fail(name, f"a number, or {data.shape[1]} of them", f"shape {tuple(value.shape)}")
    cells = cell_index(torch.cat([data, points]), width, origin)
    names = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
    for column in cells.T:
        place = torch.unique(column, return_inverse=True)[1]
        names = torch.unique(names * (place.max() + 1) + place, return_inverse=True)[1]
    number = names[: len(data)].bincount(minlength=int(names.max()) + 1)
    volume = width.expand(data.shape[1]).prod()
    return number[names[len(data) :]].to(data) / (len(data) * volume)


def counts(x, cells, low=0.0, high=1.0):
    r"""How many numbers of each sample fall into each of `cells` equal cells of [`low`, `high`].

    `x`, shape (..., n), a sample along the last axis; returns int64 of shape (..., cells). A cell holds its right end;
    the first holds `low` too. Raises `ValueError` for numbers outside [`low`, `high`].
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        x = tensor(x, "x")
    cells = count(cells, "cells")
    if x.ndim == 0 or x.numel() == 0:
        fail("x", "a sample along the last axis", f"shape {tuple(x.shape)}")
    low, high = number(low, "low"), number(high, "high")
    if not (low < high and 0 < cells / (high - low) < np.inf):
        fail("low, high", "an interval", f"{low!r}, {high!r}")
    least, most = (end.item() for end in x.aminmax())
    if not (low <= least and most <= high):
        fail("x", f"numbers from {low} to {high}", most if least >= low else least)
    rows, scale = x.detach().double().reshape(-1, x.shape[-1]), cells / (high - low)
    if x.is_cuda:
        place = ((high - rows) * scale).long() + torch.arange(len(rows), device=x.device)[:, None] * (cells + 1)
        found = place.flatten().bincount(minlength=len(rows) * (cells + 1)).reshape(len(rows), -1)
    else:
        found = torch.from_numpy(_count_rows(rows.numpy(), cells, high, scale))
    found = found.flip(-1)
    found[:, 1] += found[:, 0]
    return found[:, 1:].reshape(*x.shape[:-1], cells)


def _count_rows(rows, cells, high, scale):
    """Counts of the distances from `high`, in cells, rounded down: the right end of a cell is its own. Row by row, so
    that all stays in cache."""
    place, index = np.empty(rows.shape[1]), np.empty(rows.shape[1], dtype=np.intp)
    found = np.empty((len(rows), cells + 1), dtype=np.int64)
    for row, target in zip(rows, found, strict=True):
        np.subtract(high, row, out=place)
        np.multiply(place, scale, out=place)
        np.copyto(index, place, casting="unsafe")
        target[:] = np.bincount(index, minlength=cells + 1)[: cells + 1]
    return found


def draw_counts(masses, n, number, generator):
    r"""`number` draws of the cells' counts for n observations: multinomial with the cells' `masses`, no points needed.

    The observations are split between the two halves of the cells by a binomial draw, then within each half, and so on.
    `masses`, shape (cells,), sum to one; the draws come from `generator`, on its device. Returns float64 of shape
    (number, cells). Source: Scornet, (19).
    """
    masses, n, number = probabilities(masses, "masses").double(), count(n, "n"), count(number, "number")
    instance(generator, "generator", torch.Generator)
    levels = [masses.to(generator.device)]
    while len(levels[-1]) > 1:
        levels.append(torch.nn.functional.pad(levels[-1], (0, len(levels[-1]) % 2)).reshape(-1, 2).sum(-1))
    found = torch.full((number, 1), float(n), dtype=torch.float64, device=generator.device)
    for above, below in zip(levels[:0:-1], levels[-2::-1], strict=True):
        share = (below[::2] / above).nan_to_num(0.0).clamp(0, 1).expand_as(found).contiguous()
        left = torch.binomial(found, share, generator=generator)
        found = torch.stack([left, found - left], -1).flatten(1)[:, : len(below)].contiguous()
    return found


def mean(masses, volume):
    r"""$\mathbb E\hat f_n = p_j/h$ in each cell. Source: Scornet, (19)."""
    return probabilities(masses, "masses") / positive(volume, "volume")


def variance(masses, n, volume):
    r"""$\mathbb V\hat f_n = p_j(1-p_j)/(nh^2)$ in each cell. Source: Scornet, (19)."""
    masses = probabilities(masses, "masses")
    n, volume = count(n, "n"), positive(volume, "volume")
    return masses * (1 - masses) / volume / volume / n


def mise(masses, n, volume, square_integral):
    r"""$\int f^2 + \frac{1}{nh} - \frac{n+1}{nh}\sum_j p_j^2$, exact for every n and every density.

    `masses` $p_j$, shape (cells,), sum to one; `volume` of a cell ($h$; $h^d$ in d dimensions); `square_integral`
    $\int f^2$. Returns a scalar, in units of one over volume. Source: Scornet, (22).
    """
    masses, square_integral = alike(masses=masses, square_integral=square_integral)
    masses, n, volume = probabilities(masses, "masses"), count(n, "n"), positive(volume, "volume")
    return square_integral + (1 - (n + 1) * masses.square().sum()) / (n * volume)


def integrated_squared_error(counts, masses, volume, square_integral):
    r"""$\int(\hat f_n-f)^2 = \int f^2 + \sum_j \frac{c_j}{nh}\big(\frac{c_j}{n} - 2p_j\big)$, exact for these counts.

    `counts` $c_j$, shape (..., cells), a sample along the last axis; the rest as for `mise`. Returns shape (...).
    """
    counts, masses, square_integral = alike(counts=counts, masses=masses, square_integral=square_integral)
    masses, volume = probabilities(masses, "masses"), positive(volume, "volume")
    counts, square_integral = counts.to(masses), square_integral.to(masses)
    if counts.shape[-1:] != masses.shape:
        fail("counts", f"a last axis of {len(masses)}, one number a cell", f"shape {tuple(counts.shape)}")
    not_negative(counts, "counts")
    if (counts.sum(-1) == 0).any():
        fail("counts", "at least one observation a sample", "none")
    share = counts / counts.sum(-1, keepdim=True)
    return square_integral + (share * (share - 2 * masses)).sum(-1) / volume


def asymptotic_mise(n, width, roughness):
    r"""$\frac{h^2}{12}\int f'^2 + \frac{1}{nh}$, the leading terms for a smooth density on the line.

    `n` and `width` $h$, above zero, and `roughness` $\int f'^2$, at least zero, are broadcast. Source: Scornet, (14).
    """
    n, width, roughness = _terms(n, roughness, width=width)
    return width**2 / 12 * roughness + 1 / (n * width)


def optimal_width(n, roughness):
    r"""$h = \big(\frac n6\int f'^2\big)^{-1/3}$, where `asymptotic_mise` is least. Source: Scornet, (32)."""
    n, roughness = _terms(n, roughness)
    above_zero(roughness, "roughness")
    return (n * roughness / 6) ** (-1 / 3)


def _terms(n, roughness, **width):
    n, *width, roughness = broadcastable(n=n, **width, roughness=roughness)
    above_zero(n, "n")
    for value in width:
        above_zero(value, "width")
    not_negative(roughness, "roughness")
    return n, *width, roughness

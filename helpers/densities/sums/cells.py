r"""Cells of equal width on the line: which holds a number, and sums of the powers of the places in each.

By Taylor, a Gaussian is a polynomial of few terms in the place of a datum within its cell. `gauss`, `grid`, `pairs` and
`polynomial`, beside this module, look at the input.
"""

from functools import lru_cache

import numpy as np
import torch

from helpers.validation import fail

__all__ = ["FAR", "extent", "placed", "power_sums", "terms_needed"]

COARSEST = 2**48
FAR = 50  # bandwidths, at which a Gaussian is zero in floating point


def extent(data, width, h):
    """The least and the largest datum; refuses data so far out that floating point cannot tell boxes apart there."""
    low, high = (end.item() for end in data.aminmax())
    largest = max(abs(low), abs(high))
    if largest > COARSEST * width:
        fail("bandwidth", f"at least {largest / COARSEST:.1e}, as the data reach {largest:.1e}", h)
    return low, high


@lru_cache(maxsize=256)
def terms_needed(tolerance, half_width):
    r"""The least p for which Taylor's remainder, $\frac{r^p}{p!}\max_D|\mathrm{He}_p(D)e^{-D^2/2}|$, is at most half of
    `tolerance`, for a half-width of r bandwidths."""
    distance = np.linspace(0, 12, 1201)
    before, now = 0.0, np.exp(-(distance**2) / 2)
    for p in range(1, 100):
        before, now = now, (distance * now - before) * half_width / p
        before = before * half_width
        if np.abs(now).max() <= tolerance / 2:
            return p
    raise AssertionError(f"no order for {tolerance}, {half_width}")


def placed(x, width, first, number):
    """Of `number` cells from `first` on, the one that holds each x, and the place in it, from -1/2 to 1/2 widths."""
    cell = torch.sub(x, (first + 0.5) * width).mul_(1 / width).round_().clamp_(0, number - 1)
    index = cell.long()
    return index, torch.add(x, cell.add_(first + 0.5), alpha=-width, out=cell).mul_(1 / width)


def power_sums(cell, place, weights, order, size):
    """Sums of the weighted powers 0 to `order` - 1 of `place` in each of `size` cells."""
    sums, power = [_bincount(cell, weights, size)], weights
    for a in range(1, order):
        if power is None:
            power = place
        elif a < 3:
            power = power * place
        else:
            power *= place
        sums.append(_bincount(cell, power, size))
    return sums


def _bincount(cell, weights, size):
    if cell.is_cuda:
        return torch.bincount(cell, weights, size).double()
    found = np.bincount(cell.numpy(), None if weights is None else weights.numpy(), size)
    return torch.from_numpy(found.astype(np.float64, copy=False))

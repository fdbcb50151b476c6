"""Sums of kernels that are polynomials on [-1, 1], by running sums over the sorted data."""

import math

import numpy as np
import torch

from helpers.densities.order import ascending
from helpers.densities.sums.arguments import posed
from helpers.densities.sums.cells import extent
from helpers.validation import fail, tensor

__all__ = ["polynomial_sum"]

RUN = 2**10


def polynomial_sum(points, data, bandwidth, coefficients, weights=None):
    r"""$\sum_{i:|u_i|\le1} w_i\sum_a c_a|u_i|^a$ with $u_i = (x-X_i)/h$, at each of the `points`; `coefficients` $c_a$.

    Arguments as for `gaussian_sum`, on the line; returns shape (m,). The data are sorted once; sums of powers of their
    places in cells of width h or more answer for every point. The error is rounding: about $10^{-16}\sum_i|w_i|$.
    """
    points, data, h, weights = posed(points, data, bandwidth, weights)
    coefficients = tensor(coefficients, "coefficients", ndim=1).tolist()
    if data.shape[1] > 1:
        fail("data", "points on the line", f"shape {tuple(data.shape)}")
    width = 2.0 ** math.ceil(math.log2(h))
    low, high = extent(data, width, h)
    data, order = ascending(data[:, 0], with_order=weights is not None)
    points, back = ascending(points[:, 0].clamp(low - 2 * h, high + 2 * h))
    place = (data - (torch.floor(data / width) + 0.5) * width) / h
    power = torch.ones_like(data) if weights is None else weights[order]
    sums = torch.zeros(len(data) + 1, len(coefficients), dtype=torch.float64, device=data.device)
    for a in range(len(coefficients)):
        sums[1:, a] = _running_sum(power)
        power = power * place
    cell = torch.floor(points / width)
    start = _search(data, -_farthest(-points, h))
    stop = _search(data, _farthest(points, h), "right")
    pieces = [(start, stop, 0, 1)]
    if len(coefficients) > 1:
        left = torch.maximum(start, _search(data, cell * width))
        right = torch.minimum(stop, _search(data, (cell + 1) * width))
        pieces = [(start, left, -1, -1), (left, right, 0, 1), (right, stop, 1, 1)]
    if any(coefficients[1::2]):
        middle = _search(data, points)
        pieces[1:2] = [(left, middle, 0, -1), (middle, right, 0, 1)]
    result = torch.zeros_like(points)
    for first, last, offset, sign in pieces:
        distance = ((cell + (offset + 0.5)) * width - points) * (sign / h)
        for k, power in enumerate((sums[last] - sums[first]).unbind(1)):
            factor = 0.0
            for a in reversed(range(k, len(coefficients))):
                factor = factor * distance + coefficients[a] * math.comb(a, k) * sign**k
            result += factor * power
    return torch.empty_like(result).index_copy_(0, back, result)


def _farthest(points, h):
    """The largest number whose distance from each point is at most h, also where h is but a few steps of rounding."""
    far = points + h
    beyond = far.nextafter(far.new_tensor(math.inf))
    far = torch.where(beyond - points <= h, beyond, far)
    return torch.where(far - points > h, far.nextafter(far.new_tensor(-math.inf)), far)


def _running_sum(x):
    """Cumulative sums, within blocks first, so that rounding does not pile up over many terms."""
    padded = torch.nn.functional.pad(x, (0, -len(x) % RUN)).view(-1, RUN).cumsum(1)
    before = padded[:, -1].cumsum(0).roll(1)
    before[0] = 0
    return padded.add_(before[:, None]).flatten()[: len(x)]


def _search(data, values, side="left"):
    """How many of the sorted `data` are below each of the sorted `values`, or at most as large (side "right")."""
    if data.is_cuda:
        return torch.searchsorted(data, values, side=side)
    return torch.from_numpy(np.searchsorted(data.numpy(), values.numpy(), side))

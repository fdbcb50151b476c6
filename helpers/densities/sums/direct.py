"""Sums of Gaussians in several dimensions, term by term, every datum at every point. `gauss` looks at the input."""

import math

import torch

from helpers.densities.sums.cells import FAR
from helpers.validation import fail

__all__ = ["direct"]

BLOCK = 2**17
BLOCK_ON_A_GPU = 2**27


def direct(points, data, h, weights):
    r"""$\sum_i w_i\,e^{-|x-X_i|^2/(2h^2)}$ at the points, shape (m, d), for data of shape (n, d), `weights` or None."""
    scale = math.sqrt(math.log2(math.e) / 2) / h
    centre = data.mean(0)
    x = (data - centre) * scale
    if not x.isfinite().all():
        fail("data, bandwidth", "data at finite distances, in bandwidths", f"some at {data.abs().max().item():g}")
    y = ((points - centre) * scale).clamp(x.amin(0) - FAR, x.amax(0) + FAR)
    squares = x.square().sum(1)
    weights = torch.ones_like(squares) if weights is None else weights
    block = BLOCK_ON_A_GPU if x.is_cuda else BLOCK
    size = max(1, block // min(len(x), block))
    product = squares.max() < 256
    left = torch.cat([2 * y, -torch.ones_like(y[:, :1]), -y.square().sum(1, keepdim=True)], 1)
    right = torch.cat([x.T, squares[None], torch.ones_like(squares)[None]])
    result = torch.zeros_like(y[:, 0])
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        for row in range(0, len(y), size):
            rows = slice(row, row + size)
            exponent = left[rows] @ right[:, part] if product else _negative_squared_distance(y[rows], x[part])
            result[rows] += exponent.exp2_() @ weights[part]
    return result


def _negative_squared_distance(y, x):
    """By differences: where distances are long beside a bandwidth, the product formula would lose digits."""
    found = 0.0
    for a, b in zip(y.T, x.T, strict=True):
        found = torch.sub(a[:, None], b).square_().add_(found)
    return found.neg_()

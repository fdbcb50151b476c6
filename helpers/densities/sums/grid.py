"""Sums of Gaussians on a grid: a product over coordinates, by matrix products, or in the plane by boxes."""

import math

import numpy as np
import torch

from helpers.densities.sums.arguments import posed, tolerable
from helpers.densities.sums.boxes import Boxes, from_moments, on_the_line
from helpers.densities.sums.cells import FAR, placed, power_sums, terms_needed
from helpers.validation import alike, fail, tensor

__all__ = ["gaussian_sum_on_grid"]

TOLERANCE = 1e-12
BLOCK = 2**17


def gaussian_sum_on_grid(axes, data, bandwidth, weights=None, tolerance=TOLERANCE):
    r"""`gaussian_sum` on the grid of d `axes`, vectors, for `data` of shape (n, d): shape (len(axes[0]), ...).

    The kernel is a product over coordinates, so that a matrix product sums n exponentials a grid line. In the plane,
    boxes as on the line take over where they are cheaper, with an error of at most about `tolerance`.
    """
    if not isinstance(axes, list | tuple | np.ndarray | torch.Tensor) or getattr(axes, "ndim", 1) == 0:
        fail("axes", "a list of vectors", repr(axes)[:80])
    axes = [tensor(axis, f"axes[{i}]", ndim=1).double() for i, axis in enumerate(axes)]
    if not axes:
        fail("axes", "one vector a coordinate of the data", "none")
    data = alike(axis=axes[0], data=data)[1]
    data = tensor(data, "data", shape=(None, len(axes)))
    axes = [axis.to(data.device) for axis in axes]
    _, data, h, weights = posed(data[:1], data, bandwidth, weights)
    boxes, shape = Boxes(h, tolerable(tolerance)), [len(axis) for axis in axes]
    if len(axes) == 1:
        return on_the_line(axes[0], data[:, 0], h, weights, boxes.tolerance)
    if len(axes) == 2:
        ends = [boxes.ends(x) for x in data.T]
        size = max(last - first + 1 for first, last in ends)
        cost, cells, order = min(_plane_costs(len(data), size, shape, boxes))
        if cost < len(data) * (sum(shape) + math.prod(shape) / 20):
            return _plane(axes, data, weights, boxes, [first * cells for first, _ in ends], size * cells, cells, order)
    return _product(axes, data, h, weights, shape)


def _plane_costs(number, size, shape, boxes):
    for cells in (1, 2, 4, 8, 16):
        order = terms_needed(boxes.tolerance, boxes.ratio / 2 / cells * math.sqrt(2))
        squares = (size * cells) ** 2
        yield order * (order + 1) / 2 * (2 * number + squares * (2 + shape[1] / 40)), cells, order


def _plane(axes, data, weights, boxes, firsts, size, cells, order):
    """`size` by `size` cells, `cells` a box: their moments $u^av^b$ of degree below `order`, one axis at a time."""
    width = boxes.width / cells
    (row, u), (column, v) = (placed(x, width, first, size) for x, first in zip(data.T, firsts, strict=True))
    down, across = (
        from_moments(axis, width, boxes.bandwidth, f, size, order) for axis, f in zip(axes, firsts, strict=True)
    )
    cell, power, result = row * size + column, weights, 0.0
    for a in range(order):
        sums = power_sums(cell, v, power, order - a, size**2)
        along = sum(moment.view(size, size) @ table for moment, table in zip(sums, across, strict=False))
        result = result + down[a].T @ along
        power = u if power is None else power * u
    return result


def _product(axes, data, h, weights, shape):
    result = torch.zeros(math.prod(shape[:-1]), shape[-1], dtype=torch.float64, device=data.device)
    scale = math.sqrt(math.log2(math.e) / 2) / h
    size = max(1, BLOCK // max(result.shape))
    for start in range(0, len(data), size):
        part = data[start : start + size].T
        steps = [((axis[:, None] - x) * scale).clamp_(-FAR, FAR) for axis, x in zip(axes, part, strict=True)]
        factors = [step.square_().neg_().exp2_() for step in steps]
        if weights is not None:
            factors[-1] *= weights[start : start + size]
        left = factors[0]
        for factor in factors[1:-1]:
            left = (left[:, None] * factor).flatten(0, 1)
        result.addmm_(left, factors[-1].T)
    return result.view(shape)

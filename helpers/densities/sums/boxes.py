r"""Sums of Gaussians on the line by boxes: the fast Gauss transform.

A sum goes through boxes about one bandwidth wide: moments of the data in each box, then the sum's Taylor coefficients
in each box, then its values at the points (Greengard and Strain, 1991).
In a box of half-width $r$ bandwidths, $u$ and $v$ the places of a datum and a point in theirs, and $D$ the distance of
the centres,

$$e^{-(D+v-u)^2/2} = \sum_{a,b} (-1)^b\,\frac{\mathrm{He}_{a+b}(D)\,e^{-D^2/2}}{a!\,b!}\,u^a v^b .$$

Moments are taken in finer cells, where a few of them suffice, and then shifted to the boxes. The width of a box has few
digits in base two, so that the places within boxes are exact however far out the data lie. `gauss` and `grid`, beside
this module, look at the input.
"""

import math
from functools import lru_cache

import numpy as np
import torch

from helpers.densities.order import ascending
from helpers.densities.sums.cells import FAR, extent, placed, power_sums, terms_needed

__all__ = ["Boxes", "from_moments", "many", "on_the_line"]

CHUNK = 2**20
FINEST = 2**40
MOST_BOXES = 2**14
PIECE = 2**17
LARGEST_TABLE = 2**24


class Boxes:
    """Boxes about one bandwidth wide, and how many terms the wanted tolerance takes."""

    def __init__(self, h, tolerance):
        exponent = math.floor(math.log2(h)) - 3
        self.width = math.floor(math.ldexp(h, -exponent)) * 2.0**exponent
        self.bandwidth, self.ratio = h, self.width / h
        self.tolerance = tolerance
        self.order = terms_needed(tolerance, self.ratio / 2)
        self.reach = math.ceil(math.sqrt(-2 * math.log(tolerance)) / self.ratio) + 1

    def cells(self, number, boxes):
        """The cheapest number of cells a box, and of moments a cell, for `number` data or points in `boxes`."""
        choices = []
        for cells in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
            order = terms_needed(self.tolerance, self.ratio / 2 / cells)
            choices.append((order * (number + boxes * cells), cells, order))
        return min(choices)[1:]

    def ends(self, data):
        """The numbers of the first and the last box that hold data."""
        low, high = extent(data, self.width, self.bandwidth)
        return math.floor(low * (1 / self.width)), math.floor(high * (1 / self.width))

    def interaction(self):
        """Moments of a box to coefficients of each box in reach: shape (2 reach + 1, order, order)."""
        offsets = np.arange(-self.reach, self.reach + 1) * self.ratio
        hermite = np.empty((2 * self.order - 1, len(offsets)))
        hermite[0] = np.exp(-(offsets**2) / 2)
        hermite[1:2] = offsets * hermite[0]
        for k in range(2, len(hermite)):
            hermite[k] = (offsets * hermite[k - 1] - math.sqrt(k - 1) * hermite[k - 2]) / math.sqrt(k)
        hermite *= (self.ratio ** np.arange(len(hermite)))[:, None]
        place, factor = _pairs(self.order)
        return np.moveaxis(hermite[place] * factor[..., None], -1, 0)


def from_moments(points, width, h, first, number, order):
    """What the moments of `number` cells from `first` on give at the points: shape (order, number, points)."""
    centres = (first + 0.5 + torch.arange(number, device=points.device, dtype=torch.float64)) * width
    distance = ((points - centres[:, None]) / h).clamp(-FAR, FAR)
    table = [torch.exp2(-(distance**2) * (math.log2(math.e) / 2))]
    for a in range(1, order):
        before = table[a - 2] * (width / h) if a > 1 else 0.0
        table.append((distance * table[a - 1] - before) * (width / h / a))
    return torch.stack(table)


@lru_cache(maxsize=64)
def _pairs(order):
    """a + b, and $(-1)^b\\sqrt{(a+b)!}/(a!\\,b!)$, for a and b below `order`."""
    a, b = np.ogrid[:order, :order]
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(2 * order), 1)))
    return a + b, (1 - 2 * (b % 2)) * np.exp(log_factorial[a + b] / 2 - log_factorial[a] - log_factorial[b])


@lru_cache(maxsize=64)
def _shift(cells, moments, order):
    """Moments about the centres of a box's cells, in units of their width, to moments about its own centre, in units of
    its own: shape (moments, cells, order), entry $\\binom Aa d^{A-a}c^{-a}$ at the place $d$ of one of c cells."""
    centre = (np.arange(cells) + 0.5) / cells - 0.5
    a, power = np.arange(moments)[:, None, None], np.arange(order)
    binomial = np.array([[math.comb(j, i) for j in range(order)] for i in range(moments)], dtype=float)
    lowered = np.where(power >= a, centre[:, None] ** np.maximum(power - a, 0), 0.0)
    return torch.from_numpy(binomial[:, None] * lowered / float(cells) ** a)


def on_the_line(points, data, h, weights, tolerance):
    r"""$\sum_i w_i\,e^{-(x-X_i)^2/(2h^2)}$ at the points, shape (m,), for data of shape (n,), `weights` or None."""
    boxes = Boxes(h, tolerance)
    first, last = boxes.ends(data)
    interaction = torch.from_numpy(boxes.interaction()).to(data.device)
    few = last - first < MOST_BOXES
    if few and max(abs(first), abs(last)) < FINEST:
        return _dense(points, data, weights, boxes, interaction, first, last)
    return _sparse(points, data, weights, boxes, interaction)


def _dense(points, data, weights, boxes, interaction, first, last):
    """Every box from the first to the last is stored."""
    moments = _moments(data[None], weights, boxes, first, last - first + 1)[0]
    reach, offsets = boxes.reach, len(interaction)
    around = torch.nn.functional.pad(moments, (0, 0, 2 * reach, 2 * reach)).unfold(0, offsets, 1).movedim(2, 1)
    coefficients = around.flatten(1) @ interaction.flip(0).flatten(0, 1)
    first, number = first - boxes.reach, len(coefficients)
    cells, order = boxes.cells(len(points), number)
    inside = points.clamp(first * boxes.width, (first + number) * boxes.width)
    cell, place = placed(inside, boxes.width / cells, first * cells, number * cells)
    shift = _shift(cells, order, boxes.order).to(points.device).permute(2, 1, 0).flatten(1)
    local = (coefficients @ shift).view(-1, order)
    result = _polynomial(local[cell], place)
    return torch.where(inside == points, result, 0.0)


def _sparse(points, data, weights, boxes, interaction):
    """Only boxes that hold data or points are stored, for one piece of the sorted data after the other."""
    data, order = ascending(data, with_order=weights is not None)
    points, back = ascending(points)
    result = torch.zeros_like(points)
    for start in range(0, len(data), PIECE):
        x = data[start : start + PIECE]
        weight = None if weights is None else weights[order[start : start + PIECE]]
        boxes_of_x, row, place = _occupied(x, boxes.width)
        moments = torch.stack(power_sums(row, place, weight, boxes.order, len(boxes_of_x)), -1)
        ends = torch.stack([boxes_of_x[0] - boxes.reach, boxes_of_x[-1] + boxes.reach + 1]) * boxes.width
        low, high = torch.searchsorted(points, ends).tolist()
        if low == high:
            continue
        boxes_of_y, row, place = _occupied(points[low:high], boxes.width)
        coefficients = moments.new_zeros(len(boxes_of_y), boxes.order)
        for offset, matrix in enumerate(interaction, -boxes.reach):
            wanted = boxes_of_y - offset
            found = torch.searchsorted(boxes_of_x, wanted).clamp_max_(len(boxes_of_x) - 1)
            there = ((boxes_of_x[found] == wanted) & (wanted + offset == boxes_of_y)).nonzero()[:, 0]
            coefficients[there] += moments[found[there]] @ matrix
        result[low:high] += _polynomial(coefficients[row], place)
    return torch.empty_like(result).index_copy_(0, back, result)


def _occupied(x, width):
    """The boxes that hold any of the sorted `x`; for each x the position of its box among them, and its place in it."""
    box = torch.floor(x * (1 / width))
    place = torch.sub(x, box, alpha=width).mul_(1 / width).sub_(0.5)
    return *torch.unique_consecutive(box, return_inverse=True), place


def _moments(rows, weights, boxes, first, number):
    """Moments of each row of data in `number` boxes from `first` on: shape (rows, number, order)."""
    cells, order = boxes.cells(rows.shape[1], number)
    shift = _shift(cells, order, boxes.order).to(rows.device)
    moments = torch.zeros(len(rows), number, boxes.order, dtype=torch.float64, device=rows.device)
    for row, found in zip(rows, moments, strict=True):
        for start in range(0, len(row), CHUNK):
            cell, place = placed(row[start : start + CHUNK], boxes.width / cells, first * cells, number * cells)
            weight = None if weights is None else weights[start : start + CHUNK]
            for sums, matrix in zip(power_sums(cell, place, weight, order, number * cells), shift, strict=True):
                found.addmm_(sums.view(-1, cells), matrix)
    return moments


def _polynomial(coefficients, place):
    """Horner's rule, for coefficients of shape (m, order) at places of shape (m,)."""
    *others, result = coefficients.unbind(-1)
    for one in reversed(others):
        result = torch.addcmul(one, result, place)
    return result


def many(points, samples, boxes):
    """What `on_the_line` gives for each of the `samples`, shape (R, n), at the same points: shape (R, m).

    Each sample is reduced to its moments; what they give at the points is one matrix for all.
    """
    first, last = boxes.ends(samples)
    number, h = last - first + 1, boxes.bandwidth
    if number * boxes.order * len(points) > LARGEST_TABLE or max(abs(first), abs(last)) >= FINEST:
        return torch.stack([on_the_line(points, row, h, None, boxes.tolerance) for row in samples])
    table = from_moments(points, boxes.width, h, first, number, boxes.order).movedim(0, 1).flatten(0, 1)
    size = max(1, CHUNK // (number * 64))
    return torch.cat([_moments(r, None, boxes, first, number).flatten(1) @ table for r in samples.split(size)])

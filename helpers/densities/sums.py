r"""Sums of kernels over many data at many points, without the matrix of all pairs.

On the line a Gaussian sum goes through boxes about one bandwidth wide: moments of the data in each box, then the sum's
Taylor coefficients in each box, then its values at the points (the fast Gauss transform of Greengard and Strain, 1991).
In a box of half-width $r$ bandwidths, $u$ and $v$ the places of a datum and a point in theirs, and $D$ the distance of
the centres,

$$e^{-(D+v-u)^2/2} = \sum_{a,b} (-1)^b\,\frac{\mathrm{He}_{a+b}(D)\,e^{-D^2/2}}{a!\,b!}\,u^a v^b .$$

Moments are taken in finer cells, where a few of them suffice, and then shifted to the boxes. The width of a box has few
digits in base two, so that the places within boxes are exact however far out the data lie.
"""

import math
from functools import lru_cache

import numpy as np
import torch

from helpers.validation import above_zero, alike, fail, located, positive, tensor

__all__ = ["ascending", "gaussian_sum", "gaussian_sum_on_grid", "gaussian_sums", "pair_sums", "polynomial_sum"]

CHUNK = 2**20
BLOCK = 2**17
BLOCK_ON_A_GPU = 2**27
TOLERANCE = 1e-12
COARSEST, FINEST = 2**48, 2**40
MOST_BOXES = 2**14
PIECE = 2**17
RUN = 2**10
LARGEST_TABLE = 2**24
FEW_FREQUENCIES = 2**16
FAR = 50  # bandwidths, at which a Gaussian is zero in floating point


def gaussian_sum(points, data, bandwidth, weights=None, tolerance=TOLERANCE):
    r"""$S(x) = \sum_i w_i\,e^{-|x-X_i|^2/(2h^2)}$ at each of the `points`.

    `data`, shape (n,) or (n, d); `points`, shape (m,) or (m, d); `bandwidth` $h$, above zero; `weights` $w_i$, shape
    (n,), any numbers (default: ones). Returns shape (m,), float64. On the line the error is at most about
    `tolerance` times $\sum_i|w_i|$ over the data near the point, in memory proportional to n + m; in more dimensions
    every term is summed, block by block. Raises `ValueError` for a bandwidth so small that the data, as floating-point
    numbers, are coarser.
    """
    points, data, h, weights = _checked(points, data, bandwidth, weights)
    if data.shape[1] > 1:
        return _direct(points, data, h, weights)
    return _on_the_line(points[:, 0], data[:, 0], h, weights, _tolerable(tolerance))


def _tolerable(tolerance):
    if not 1e-15 <= positive(tolerance, "tolerance") <= 0.1:
        fail("tolerance", "a number from 1e-15 to 0.1", tolerance)
    return float(tolerance)


def _checked(points, data, bandwidth, weights):
    points, data = (one.detach() for one in located(points, data))
    h = positive(bandwidth, "bandwidth")
    if weights is not None:
        weights = alike(data=data, weights=weights)[1].to(data.device).double()
        if weights.shape != data.shape[:1]:
            fail("weights", f"one number for each of the {len(data)} data", f"shape {tuple(weights.shape)}")
    return points.double(), data.double(), h, weights


# The line: boxes


class _Boxes:
    """Boxes about one bandwidth wide, and how many terms the wanted tolerance takes."""

    def __init__(self, h, tolerance):
        exponent = math.floor(math.log2(h)) - 3
        self.width = math.floor(math.ldexp(h, -exponent)) * 2.0**exponent
        self.bandwidth, self.ratio = h, self.width / h
        self.tolerance = tolerance
        self.order = _order(tolerance, self.ratio / 2)
        self.reach = math.ceil(math.sqrt(-2 * math.log(tolerance)) / self.ratio) + 1

    def cells(self, number, boxes):
        """The cheapest number of cells a box, and of moments a cell, for `number` data or points in `boxes`."""
        choices = []
        for cells in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
            order = _order(self.tolerance, self.ratio / 2 / cells)
            choices.append((order * (number + boxes * cells), cells, order))
        return min(choices)[1:]

    def ends(self, data):
        """The numbers of the first and the last box that hold data."""
        low, high = _ends(data, self.width, self.bandwidth)
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


def _ends(data, width, h):
    """The least and the largest datum; refuses data so far out that floating point cannot tell boxes apart there."""
    low, high = (end.item() for end in data.aminmax())
    largest = max(abs(low), abs(high))
    if largest > COARSEST * width:
        fail("bandwidth", f"at least {largest / COARSEST:.1e}, as the data reach {largest:.1e}", h)
    return low, high


@lru_cache(maxsize=256)
def _order(tolerance, half_width):
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


def _table(points, width, h, first, number, order):
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


def _on_the_line(points, data, h, weights, tolerance):
    boxes = _Boxes(h, tolerance)
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
    cell, place = _place(inside, boxes.width / cells, first * cells, number * cells)
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
        moments = torch.stack(_power_sums(row, place, weight, boxes.order, len(boxes_of_x)), -1)
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


def _place(x, width, first, number):
    """Of `number` cells from `first` on, the one that holds each x, and the place in it, from -1/2 to 1/2 widths."""
    cell = torch.sub(x, (first + 0.5) * width).mul_(1 / width).round_().clamp_(0, number - 1)
    index = cell.long()
    return index, torch.add(x, cell.add_(first + 0.5), alpha=-width, out=cell).mul_(1 / width)


def _occupied(x, width):
    """The boxes that hold any of the sorted `x`; for each x the position of its box among them, and its place in it."""
    box = torch.floor(x * (1 / width))
    place = torch.sub(x, box, alpha=width).mul_(1 / width).sub_(0.5)
    return *torch.unique_consecutive(box, return_inverse=True), place


def _power_sums(cell, place, weights, order, size):
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


def _moments(rows, weights, boxes, first, number):
    """Moments of each row of data in `number` boxes from `first` on: shape (rows, number, order)."""
    cells, order = boxes.cells(rows.shape[1], number)
    shift = _shift(cells, order, boxes.order).to(rows.device)
    moments = torch.zeros(len(rows), number, boxes.order, dtype=torch.float64, device=rows.device)
    for row, found in zip(rows, moments, strict=True):
        for start in range(0, len(row), CHUNK):
            cell, place = _place(row[start : start + CHUNK], boxes.width / cells, first * cells, number * cells)
            weight = None if weights is None else weights[start : start + CHUNK]
            for sums, matrix in zip(_power_sums(cell, place, weight, order, number * cells), shift, strict=True):
                found.addmm_(sums.view(-1, cells), matrix)
    return moments


def _polynomial(coefficients, place):
    """Horner's rule, for coefficients of shape (m, order) at places of shape (m,)."""
    *others, result = coefficients.unbind(-1)
    for one in reversed(others):
        result = torch.addcmul(one, result, place)
    return result


# Many samples at once


def gaussian_sums(points, samples, bandwidth, tolerance=1e-6):
    r"""`gaussian_sum` for many samples at the same points: `samples`, shape (R, n), `points`, shape (m,).

    Returns shape (R, m). Each sample is reduced to its moments; what they give at the points is one matrix for all.
    """
    points, samples, h = *alike(points=points, samples=samples), positive(bandwidth, "bandwidth")
    points, samples = tensor(points, "points", ndim=1).double(), tensor(samples, "samples", ndim=2).double()
    boxes = _Boxes(h, _tolerable(tolerance))
    first, last = boxes.ends(samples)
    number = last - first + 1
    if number * boxes.order * len(points) > LARGEST_TABLE or max(abs(first), abs(last)) >= FINEST:
        return torch.stack([_on_the_line(points, row, h, None, tolerance) for row in samples])
    table = _table(points, boxes.width, h, first, number, boxes.order).movedim(0, 1).flatten(0, 1)
    size = max(1, CHUNK // (number * 64))
    return torch.cat([_moments(r, None, boxes, first, number).flatten(1) @ table for r in samples.split(size)])


# More dimensions: every term


def _direct(points, data, h, weights):
    scale = math.sqrt(math.log2(math.e) / 2) / h
    centre = data.mean(0)
    x = (data - centre) * scale
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


def gaussian_sum_on_grid(axes, data, bandwidth, weights=None, tolerance=TOLERANCE):
    r"""`gaussian_sum` on the grid of d `axes`, vectors, for `data` of shape (n, d): shape (len(axes[0]), ...).

    The kernel is a product over coordinates, so that a matrix product sums n exponentials a grid line. In the plane,
    boxes as on the line take over where they are cheaper, with an error of at most about `tolerance`.
    """
    axes = [tensor(axis, f"axes[{i}]", ndim=1).double() for i, axis in enumerate(axes)]
    if not axes:
        fail("axes", "one vector a coordinate of the data", "none")
    data = alike(axis=axes[0], data=data)[1]
    data = tensor(data, "data", shape=(None, len(axes)))
    axes = [axis.to(data.device) for axis in axes]
    _, data, h, weights = _checked(data[:1], data, bandwidth, weights)
    boxes, shape = _Boxes(h, _tolerable(tolerance)), [len(axis) for axis in axes]
    if len(axes) == 1:
        return _on_the_line(axes[0], data[:, 0], h, weights, boxes.tolerance)
    if len(axes) == 2:
        ends = [boxes.ends(x) for x in data.T]
        size = max(last - first + 1 for first, last in ends)
        cost, cells, order = min(_plane_costs(len(data), size, shape, boxes))
        if cost < len(data) * (sum(shape) + math.prod(shape) / 20):
            return _plane(axes, data, weights, boxes, [first * cells for first, _ in ends], size * cells, cells, order)
    return _product(axes, data, h, weights, shape)


def _plane_costs(number, size, shape, boxes):
    for cells in (1, 2, 4, 8, 16):
        order = _order(boxes.tolerance, boxes.ratio / 2 / cells * math.sqrt(2))
        squares = (size * cells) ** 2
        yield order * (order + 1) / 2 * (2 * number + squares * (2 + shape[1] / 40)), cells, order


def _plane(axes, data, weights, boxes, firsts, size, cells, order):
    """`size` by `size` cells, `cells` a box: their moments $u^av^b$ of degree below `order`, one axis at a time."""
    width = boxes.width / cells
    (row, u), (column, v) = (_place(x, width, first, size) for x, first in zip(data.T, firsts, strict=True))
    down, across = (_table(axis, width, boxes.bandwidth, f, size, order) for axis, f in zip(axes, firsts, strict=True))
    cell, power, result = row * size + column, weights, 0.0
    for a in range(order):
        sums = _power_sums(cell, v, power, order - a, size**2)
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


# All pairs of the data: what the choice of a bandwidth needs


def pair_sums(data, bandwidths, order=0):
    r"""$\sum_{i,j} \phi_h^{(r)}(X_i-X_j)$ for each of the `bandwidths` $h$, all pairs of the data, i = j among them.

    $\phi_h^{(r)}$ is the r-th derivative of the normal density with variance $h^2$, r = `order` even; `data`, shape
    (n,). Returns shape (bandwidths,). The sum is $\frac1L\sum_k(i\omega_k)^r|\Phi(\omega_k)|^2e^{-\omega_k^2h^2/2}$,
    $\omega_k=2\pi k/L$, with $\Phi(\omega)=\sum_je^{-i\omega X_j}$ found once for many bandwidths; pairs too far apart
    to count are brought nearer beforehand, so that heavy tails cost little. The relative error is about 1e-12.
    """
    data, bandwidths = alike(data=data, bandwidths=bandwidths)
    data, bandwidths = tensor(data, "data", ndim=1).double(), tensor(bandwidths, "bandwidths", ndim=1).double()
    above_zero(bandwidths, "bandwidths")
    if order not in range(0, 13, 2):
        fail("order", "an even number from 0 to 12", order)
    return _pair_sums(data, bandwidths, order)


def _pair_sums(data, bandwidths, order):
    smallest, largest = (end.item() for end in bandwidths.aminmax())
    decay = math.sqrt(-2 * math.log(TOLERANCE)) + order / 3
    near = _nearer(data, decay * largest)
    low, high = (end.item() for end in near.aminmax())
    period = (high - low) + decay * largest
    highest = math.ceil(period * decay / smallest / (2 * math.pi))
    if highest > len(data) + FEW_FREQUENCIES and smallest < largest:
        small = bandwidths < math.sqrt(smallest * largest)
        found = torch.empty_like(bandwidths)
        found[small] = _pair_sums(data, bandwidths[small], order)
        found[~small] = _pair_sums(data, bandwidths[~small], order)
        return found
    frequency = torch.arange(highest + 1, dtype=torch.float64, device=data.device) * (2 * math.pi / period)
    power = _spectrum(near - low, period, highest, smallest, order) * frequency**order
    power[1:] *= 2
    exponents = -(bandwidths**2) * (math.log2(math.e) / 2)
    blocks = frequency.square().split(CHUNK // len(bandwidths) + 1)
    parts = power.split(CHUNK // len(bandwidths) + 1)
    found = sum(torch.exp2(exponents[:, None] * f) @ p for f, p in zip(blocks, parts, strict=True))
    return found * ((-1) ** (order // 2) / period)


def _nearer(data, reach):
    """The data, with gaps beyond `reach` closed down to it where they make up most of the line."""
    low, high = (end.item() for end in data.aminmax())
    if high - low <= 64 * reach:
        return data
    data = ascending(data, with_order=False)[0]
    return torch.cat([data.new_zeros(1), data.diff().clamp_max(reach).cumsum(0)])


def _spectrum(data, period, highest, smallest, order):
    r"""$|\Phi(2\pi k/L)|^2$ for k = 0, ..., `highest`; data from 0 to L, `smallest` the least bandwidth to be used.

    Derivatives weigh the high frequencies more, where the moments of the cells are less exact."""
    choices = []
    for doubling in range(1, 9):
        cells = 2 ** (highest.bit_length() + doubling)
        moments = _order(TOLERANCE * 10 ** (-order / 2), period / cells / 2 / smallest)
        choices.append((moments * (len(data) + 4 * cells), cells, moments))
    cells, moments = min(choices)[1:]
    cell, place = _place(data, period / cells, 0, cells)
    shift = -2j * math.pi / cells * torch.arange(highest + 1, dtype=torch.float64, device=data.device)
    factor, transform = 1.0, 0.0
    for a, sums in enumerate(_power_sums(cell, place, None, moments, cells)):
        transform = transform + factor * torch.fft.rfft(sums)[: highest + 1]
        factor = factor * shift / (a + 1)
    return transform.abs().square()


# Kernels that are polynomials on [-1, 1]


def polynomial_sum(points, data, bandwidth, coefficients, weights=None):
    r"""$\sum_{i:|u_i|\le1} w_i\sum_a c_a|u_i|^a$ with $u_i = (x-X_i)/h$, at each of the `points`; `coefficients` $c_a$.

    Arguments as for `gaussian_sum`, on the line; returns shape (m,). The data are sorted once; sums of powers of their
    places in cells of width h or more answer for every point. The error is rounding: about $10^{-16}\sum_i|w_i|$.
    """
    points, data, h, weights = _checked(points, data, bandwidth, weights)
    if data.shape[1] > 1:
        fail("data", "points on the line", f"shape {tuple(data.shape)}")
    width = 2.0 ** math.ceil(math.log2(h))
    low, high = _ends(data, width, h)
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


def ascending(x, with_order=True):
    """The vector `x` sorted, and the order that sorts it or None; by NumPy on a CPU, where its sort is the faster."""
    if x.is_cuda:
        return x.sort()
    if not with_order:
        return torch.from_numpy(np.sort(x.numpy())), None
    order = torch.from_numpy(np.argsort(x.numpy()))
    return x[order], order

"""Nearest neighbours: the distance to the k-th, the ball that it spans, and the density estimate made of them."""

import math

import torch
from scipy.spatial import cKDTree

from helpers.densities.order import ascending
from helpers.validation import count, fail, located, not_negative, tensor

__all__ = ["ball_volume", "density", "radius"]

BLOCK = 2**22
TREE = 9  # in more dimensions a k-d tree has to visit nearly all of its leaves, and a plain search is faster


def ball_volume(dimension, radius=1.0):
    r"""$\frac{\pi^{d/2}}{\Gamma(d/2+1)}\,r^d$, the volume of a ball of this `radius`, of any shape, in `dimension` d.

    Raises `ValueError` for a radius below zero. Source: Scornet, (56).
    """
    dimension, radius = count(dimension, "dimension"), tensor(radius, "radius")
    not_negative(radius, "radius")
    log_unit = dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)
    return (math.exp(log_unit / dimension) * radius) ** dimension


def radius(points, data, k):
    r"""$d_k(x)$, the Euclidean distance from each of `points` to the k-th nearest of `data`.

    `data`, shape (n,) or (n, d); `points`, shape (m,) or (m, d); `k` from 1 to n. Returns shape (m,), in the units of
    the data; zero where k data or more lie on the point. On the line the data are sorted once and the window of k
    neighbours is found by bisection; in up to nine dimensions SciPy's k-d tree answers, in more, and on a GPU, a search
    by blocks. Raises `ValueError` for a k outside 1 to n, or points of another dimension.
    """
    points, data = (one.detach() for one in located(points, data))
    k = count(k, "k")
    if k > len(data):
        fail("k", f"at most the number of data, {len(data)}", k)
    if data.shape[1] == 1:
        return _on_the_line(points[:, 0], data[:, 0], k)
    if data.is_cuda or data.shape[1] > TREE:
        distance = _by_blocks(points, data, k)
    else:
        tree = cKDTree(data.cpu().numpy(), balanced_tree=False, compact_nodes=False)
        distance = torch.from_numpy(tree.query(points.cpu().numpy(), [k], workers=-1)[0][:, 0]).to(data)
    if not distance.isfinite().all():
        fail("points, data", "distances with a finite square", distance.max().item())
    return distance


def _by_blocks(points, data, k):
    """By the distance to every datum; as differences, since squares and products would lose near neighbours."""
    blocks = points.split(max(1, BLOCK // len(data)))
    exact = "donot_use_mm_for_euclid_dist"
    nearest = [torch.cdist(block, data, compute_mode=exact).topk(k, largest=False).values[:, -1] for block in blocks]
    return torch.cat(nearest)


def _on_the_line(points, data, k):
    (data, _), (points, order) = ascending(data, with_order=False), ascending(points)
    place = torch.searchsorted(data, points)
    first, last = (place - k).clamp_min(0), place.clamp_max(len(data) - k)
    for _ in range(k.bit_length()):
        middle = (first + last) // 2
        beyond = data[(middle + k).clamp_max(len(data) - 1)]
        drop = (first < last) & (points - data[middle] > beyond - points)
        first, last = torch.where(drop, middle + 1, first), torch.where(drop, last, torch.minimum(middle, last))
    distance = torch.maximum(points - data[first], data[first + k - 1] - points)
    return torch.empty_like(distance).index_copy_(0, order, distance)


def density(points, data, k):
    r"""The nearest-neighbour estimate $\hat f_n(x) = \frac{k}{n\,V_k(x)}$, with $V_k$ the volume of the ball that
    reaches the k-th neighbour.

    Arguments as for `radius`. Returns shape (m,), in units of one over volume; infinite where k data or more lie on
    the point. Source: Scornet, (55).
    """
    points, data = located(points, data)
    return k / (len(data) * ball_volume(data.shape[1], radius(points, data, k)))

"""Integrals of smooth functions, by Gauss-Legendre nodes on panels of the line or of a box."""

from functools import lru_cache, reduce
from math import prod

import numpy as np
import torch

from helpers.validation import a_function, count, fail, positive, tensor

__all__ = ["integrate", "nodes"]

POINTS = 24
MOST = 10**8


def nodes(edges, points=POINTS):
    """Nodes and weights, each of shape (panels * points,), of Gauss-Legendre quadrature between successive `edges`.

    `edges`, shape (panels + 1,), increasing, or a tuple of d such vectors, one for each coordinate: then the nodes are
    those of the box, shape (m, d). Exact for polynomials of degree 2 `points` - 1 on each panel. Raises `ValueError`
    for edges that do not increase, and for more than 1e8 nodes.
    """
    points = count(points, "points")
    if isinstance(edges, tuple) and edges and not np.isscalar(edges[0]):
        axes = [_on_panels(_increasing(one), points) for one in edges]
        number = prod(len(x) for x, _ in axes)
        if number > MOST:
            fail("edges", f"a box of at most {MOST:.0e} nodes", f"{number:.1e}")
        x = torch.stack(torch.meshgrid(*(x for x, _ in axes), indexing="ij"), -1).reshape(number, len(axes))
        return x, reduce(lambda done, w: (done[:, None] * w).flatten(), (w for _, w in axes))
    return _on_panels(_increasing(edges), points)


def _increasing(edges):
    edges = tensor(edges, "edges", ndim=1)
    if len(edges) < 2 or (edges.diff() <= 0).any():
        fail("edges", "two or more increasing numbers", edges.tolist()[:8])
    return edges


def _on_panels(edges, points):
    x, w = (one.to(edges) for one in _rule(points))
    half = edges.diff()[:, None] / 2
    return (edges[:-1, None] + half * (1 + x)).flatten(), (half * w).flatten()


@lru_cache
def _rule(points):
    return tuple(torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(points))


def integrate(function, edges, tolerance=1e-10):
    r"""$\int f(x)\,dx$ from the first to the last of `edges`, shape (panels + 1,), increasing; for a tuple of such
    vectors, over the box between them.

    `function` maps the `nodes`, shape (m,) or (m, d), to values of shape (..., m), smooth on each panel; the result has
    shape (...). The integral is taken again with half the nodes a panel and coordinate: where the two differ by more
    than `tolerance` relative to $\int|f|$, a `ValueError` asks for more panels.
    """
    a_function(function, "function")
    tolerance = positive(tolerance, "tolerance")
    results = []
    for points in (POINTS // 2, POINTS):
        x, w = nodes(edges, points)
        values = tensor(function(x), "function(x)").to(w)
        if values.ndim == 0 or values.shape[-1] != len(x):
            fail("function(x)", f"values along a last axis of {len(x)}", f"shape {tuple(values.shape)}")
        results.append((values @ w, values.abs() @ w))
    (coarse, _), (fine, size) = results
    error = ((fine - coarse).abs() / size.clamp_min(torch.finfo(size.dtype).tiny)).max().item()
    if error > tolerance:
        fail("edges", f"panels fine enough for a relative error of {tolerance:g}", f"an error of about {error:.1e}")
    return fine

"""Integrals of smooth functions on the line, by Gauss-Legendre nodes on panels."""

import numpy as np
import torch

from helpers.validation import a_function, count, fail, positive, tensor

__all__ = ["integrate", "nodes"]

POINTS = 24


def nodes(edges, points=POINTS):
    """Nodes and weights, each of shape (panels * points,), of Gauss-Legendre quadrature between successive `edges`.

    `edges`, shape (panels + 1,), increasing. Exact for polynomials of degree 2 `points` - 1 on each panel.
    """
    edges = tensor(edges, "edges", ndim=1)
    if len(edges) < 2 or (edges.diff() <= 0).any():
        fail("edges", "two or more increasing numbers", edges.tolist()[:8])
    x, w = (torch.from_numpy(a).to(edges) for a in np.polynomial.legendre.leggauss(count(points, "points")))
    half = edges.diff()[:, None] / 2
    return (edges[:-1, None] + half * (1 + x)).flatten(), (half * w).flatten()


def integrate(function, edges, tolerance=1e-10):
    r"""$\int f(x)\,dx$ from the first to the last of `edges`, shape (panels + 1,), increasing.

    `function` maps nodes, shape (m,), to values of shape (..., m), smooth on each panel; the result has shape (...).
    The integral is taken again with half the nodes: where the two differ by more than `tolerance` relative to
    $\int|f|$, a `ValueError` asks for more panels.
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

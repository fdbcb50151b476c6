"""A generic minimiser, blind to any formula for the answer: what closed-form estimators are held against."""

import numpy as np
import torch
from scipy.optimize import minimize
from torch.autograd.functional import hessian, jacobian

from helpers.validation import fail, positive, tensor

__all__ = ["minimise"]

POLISHING_STEPS = 20


def minimise(objective, starts, tolerance=1e-9):
    r"""A local minimiser of `objective` from each of the `starts`, shape (starts, parameters); returns the same shape.

    `objective` maps a vector of parameters, shape (parameters,), to a scalar tensor, by torch operations that can be
    differentiated twice. Newton steps in a trust region (SciPy's `trust-exact`) come near, plain Newton steps on the
    gradient come nearer than values of the objective could tell: until the gradient's norm is at most `tolerance`
    times $\max(1, |objective|)$, at a point where the objective does not bend downwards. Raises `ValueError` where the
    objective is not a finite scalar at a start, and `RuntimeError` where a start does not converge to a minimum.
    """
    starts, tolerance = tensor(starts, "starts", ndim=2), positive(tolerance, "tolerance")
    return torch.stack([_minimise_from(objective, start, tolerance) for start in starts])


def _minimise_from(objective, start, tolerance):
    def at(function):
        return lambda point: function(torch.from_numpy(point).to(start)).detach().cpu().numpy()

    first = objective(start.detach().clone())
    if not isinstance(first, torch.Tensor) or first.ndim or not torch.isfinite(first).all():
        fail("objective(start)", "a finite scalar tensor", first)
    scale = max(1.0, abs(first.item()))
    value = at(lambda point: objective(point).nan_to_num(nan=torch.inf))  # a step out of the domain is no descent
    gradient, curvature = (at(lambda point, f=f: f(objective, point)) for f in (jacobian, hessian))
    near, before = start.detach().cpu().numpy().astype(np.float64), np.inf
    while scale < before / 2:  # the gradient that is small beside a far start is not small beside the minimum
        near = minimize(
            value, near, jac=gradient, hess=lambda point: np.nan_to_num(curvature(point)),
            method="trust-exact", options={"gtol": 1e-6 * scale, "maxiter": 500},
        ).x  # fmt: skip
        before, scale = scale, max(1.0, abs(value(near).item()))
    slope = gradient(near)
    for _ in range(POLISHING_STEPS):
        if np.linalg.norm(slope) <= tolerance * scale:
            break
        closer = near - np.linalg.lstsq(curvature(near), slope, rcond=None)[0]
        flatter = gradient(closer)
        if not np.linalg.norm(flatter) < np.linalg.norm(slope):
            break
        near, slope = closer, flatter
    if not np.linalg.norm(slope) <= tolerance * scale:
        raise RuntimeError(f"no minimum from {start.tolist()}: a gradient of {np.linalg.norm(slope):.1e} is left")
    bends = np.linalg.eigvalsh(curvature(near))
    if bends[0] < -1e-6 * np.abs(bends).max():
        raise RuntimeError(f"no minimum from {start.tolist()}: the objective bends downwards at {near.tolist()}")
    return torch.from_numpy(near).to(start)

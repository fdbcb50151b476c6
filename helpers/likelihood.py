"""Ways to an optimum that know no formula for it: a generic minimiser, and the loop around a step that ascends."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch.autograd.functional import hessian, jacobian

from helpers.validation import a_function, count, fail, not_negative, positive, tensor

__all__ = ["Ascent", "ascend", "minimise"]

POLISHING_STEPS = 20


def minimise(objective, starts, tolerance=1e-9):
    r"""A local minimiser of `objective` from each of the `starts`, shape (starts, parameters); returns the same shape.

    `objective` maps a vector of parameters, shape (parameters,), to a scalar tensor, by torch operations that can be
    differentiated twice. Newton steps in a trust region (SciPy's `trust-exact`) come near, plain Newton steps on the
    gradient come nearer than values of the objective could tell: until the gradient's norm is at most `tolerance`
    times $\max(1, |objective|)$, at a point where the objective does not bend downwards. Raises `ValueError` where the
    objective is not a finite scalar at a start, and `RuntimeError` where a start does not converge to a minimum.
    """
    a_function(objective, "objective")
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


@dataclass(frozen=True, eq=False)
class Ascent:
    """The last `model`, the `values` on the way to it, shape (visited, ...), and which runs have `converged`, (...).

    `values[-1]` is the value of `model`; each value before it that of the model visited then.
    """

    model: object
    values: torch.Tensor
    converged: torch.Tensor


def ascend(step, model, *, steps=1000, tolerance=1e-10):
    r"""Repeat `model, value = step(model)` from this `model` until the value no longer rises: an `Ascent`.

    `step` returns the model that follows, and the value at the model it was given: a tensor of shape (...), of one
    value for each run where a model holds several. A run has converged where its value $v$ rises by no more than
    `tolerance` times $\max(1, |v|)$; at an infinite value it has run away. The loop ends when every run has done
    either, or after so many `steps`. Raises `ValueError` for a value that is NaN, and `RuntimeError` for one that falls
    by more than rounding, $10^{-8}\max(1, |v|)$ or in float32 $10^{-5}$ of it: what is repeated is then no ascent.
    """
    a_function(step, "step", "a model")
    steps, tolerance = count(steps, "steps"), tensor(tolerance, "tolerance", ndim=0)
    not_negative(tolerance, "tolerance")
    values = []
    for taken in range(steps + 1):
        following, value = step(model)
        if not isinstance(value, torch.Tensor) or value.isnan().any():
            fail("step(model)", "a model and a tensor of values that are numbers", repr(value)[:80])
        values.append(value.detach())
        converged = torch.zeros_like(value, dtype=torch.bool)
        if taken:
            finite = value.isfinite()
            rise = torch.where(finite, value - values[-2], 0.0) / value.abs().clamp_min(1)
            if (rise < -(1e-8 if value.dtype == torch.float64 else 1e-5)).any():
                raise RuntimeError(f"no ascent: step {taken} lowers the value by {-rise.min().item():.1e} of its size")
            converged = finite & (rise <= tolerance.item())
        if taken == steps or (converged | ~value.isfinite()).all():
            return Ascent(model, torch.stack(values), converged)
        model = following

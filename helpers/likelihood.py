"""A generic minimiser, blind to any formula for the answer: what closed-form estimators are held against."""

import numpy as np
import torch
from scipy.optimize import minimize
from torch.autograd.functional import hessian, jacobian

from helpers.validation import fail, tensor

__all__ = ["minimise"]


def minimise(objective, starts, tolerance=1e-9):
    r"""A local minimiser of `objective` from each of the `starts`, shape (starts, parameters); returns the same shape.

    `objective` maps a vector of parameters, shape (parameters,), to a scalar tensor, by torch operations that can be
    differentiated twice. Newton steps in a trust region (SciPy's `trust-exact`) go on until the gradient's norm is at
    most `tolerance` times $\max(1, |objective|)$. Raises `ValueError` where the objective is not a finite scalar at a
    start, and `RuntimeError` where a start does not converge.
    """
    starts = tensor(starts, "starts", ndim=2)
    return torch.stack([_minimise_from(objective, start, tolerance) for start in starts]).to(starts)


def _minimise_from(objective, start, tolerance):
    def at(function):
        return lambda point: function(torch.from_numpy(point).to(start)).detach().cpu().numpy()

    first = objective(start.detach().clone())
    if not isinstance(first, torch.Tensor) or first.numel() != 1 or not torch.isfinite(first).all():
        fail("objective(start)", "a finite scalar tensor", first)
    found = minimize(
        at(objective), start.detach().cpu().numpy().astype(np.float64),
        jac=at(lambda point: jacobian(objective, point)), hess=at(lambda point: hessian(objective, point)),
        method="trust-exact", options={"gtol": tolerance * max(1.0, abs(first.item())), "maxiter": 500},
    )  # fmt: skip
    slope = np.linalg.norm(found.jac)
    if slope > tolerance * max(1.0, abs(first.item())):
        raise RuntimeError(f"no minimum from {start.tolist()}: after {found.nit} steps the gradient is {slope:.1e}")
    return torch.from_numpy(found.x)

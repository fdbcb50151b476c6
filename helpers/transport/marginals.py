"""The two laws of a plan: what comes in as weights is looked at once, here."""

import torch

from helpers.validation import fail, not_negative, tensor

__all__ = ["fitting", "marginal"]


def fitting(value, shape, name):
    """`value`, of this `shape` or of its last axis alone, as a tensor of this shape."""
    value = tensor(value, name)
    if value.shape not in (shape, shape[-1:]):
        wanted = " or ".join(dict.fromkeys(str(tuple(one)) for one in (shape, shape[-1:])))
        fail(name, f"shape {wanted}, a number for each point", f"shape {tuple(value.shape)}")
    return value.expand(shape)


def marginal(value, shape, name):
    """`value` as probabilities along the last axis of a tensor of this `shape`, in double precision; uniform ones where
    it is None."""
    shape = torch.Size(shape)
    if value is None:
        return torch.full(shape, 1 / shape[-1], dtype=torch.float64)
    value = fitting(value, shape, name).double()
    not_negative(value, name)
    sums = value.sum(-1, keepdim=True)
    if ((sums - 1).abs() > 1e-6).any():
        fail(name, "numbers that sum to 1", f"sums {sums.flatten().tolist()[:8]}")
    return value / sums

"""What comes into `helpers` is looked at once, here; a refusal names the argument, what was wanted and what came."""

import math

import numpy as np
import torch

__all__ = ["count", "fail", "positive", "probabilities", "tensor"]


def fail(name, wanted, got):
    """Raise the `ValueError` that every refusal in `helpers` raises."""
    raise ValueError(f"{name}: wanted {wanted}, got {got}")


def tensor(value, name, *, ndim=None, shape=None):
    """`value` as a finite, non-empty floating tensor, on its own device.

    Lists, numbers, NumPy arrays and integer tensors become float64; floating tensors keep their precision.
    `ndim` is the number of dimensions wanted, `shape` a tuple in which `None` stands for any size.
    Raises `ValueError` for anything else: text, truth values, complex numbers, NaN, infinities, no elements.
    """
    if not isinstance(value, torch.Tensor):
        try:
            value = torch.from_numpy(np.array(value))
        except (TypeError, ValueError):
            fail(name, "numbers", repr(value)[:80])
    if value.dtype == torch.bool or value.is_complex():
        fail(name, "real numbers", f"dtype {value.dtype}")
    if not value.is_floating_point():
        value = value.to(torch.float64)
    if value.numel() == 0:
        fail(name, "at least one number", f"an empty array of shape {tuple(value.shape)}")
    if not torch.isfinite(value).all():
        broken = value[~torch.isfinite(value)].flatten()[0].item()
        fail(name, "finite numbers", broken)
    if ndim is not None and value.ndim != ndim:
        fail(name, f"{ndim} dimension(s)", f"shape {tuple(value.shape)}")
    if shape is not None and not _fits(value.shape, shape):
        fail(name, f"shape {shape} (None: any size)", f"shape {tuple(value.shape)}")
    return value


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


def positive(value, name):
    """`value` as a finite number above zero."""
    if isinstance(value, bool | np.bool_ | str) or value is None:
        fail(name, "a number above zero", repr(value))
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        fail(name, "a number above zero", repr(value)[:80])
    if not math.isfinite(number) or number <= 0:
        fail(name, "a number above zero", number)
    return number


def count(value, name, minimum=1):
    """`value` as a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        fail(name, f"a whole number of at least {minimum}", repr(value)[:80])
    return int(value)


def probabilities(value, name):
    """`value` as a vector of non-negative numbers that sum to one."""
    value = tensor(value, name, ndim=1)
    if (value < 0).any():
        fail(name, "numbers of at least 0", value.min().item())
    if abs(value.sum().item() - 1) > 1e-6:
        fail(name, "numbers that sum to 1", f"a sum of {value.sum().item():.8g}")
    return value

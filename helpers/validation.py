"""What comes into `helpers` is looked at once, here; a refusal names the argument, what was wanted and what came."""

import math

import numpy as np
import torch

__all__ = [
    "a_device",
    "a_function",
    "above_zero",
    "alike",
    "asymmetric",
    "broadcastable",
    "count",
    "counts",
    "fail",
    "instance",
    "located",
    "moderate",
    "not_negative",
    "number",
    "one_of",
    "positive",
    "probabilities",
    "real",
    "tensor",
]


MODERATE = 1e150


def fail(name, wanted, got):
    """Raise the `ValueError` that every refusal in `helpers` raises."""
    raise ValueError(f"{name}: wanted {wanted}, got {got}")


def real(value, name):
    """`value` as a tensor of real numbers of any kind, NaN and infinities among them, on its own device.

    Arrays may have the bytes of a number in either order. Raises `ValueError` for anything else: text, truth values,
    complex numbers, arrays of which some numbers are masked.
    """
    if not isinstance(value, torch.Tensor):
        parts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
            fail(name, "numbers of which none is masked", "a masked array (`compressed` leaves the masked ones out)")
        try:
            array = np.array(value)
            value = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        except (TypeError, ValueError, RuntimeError):
            fail(name, "numbers", repr(value)[:80])
    if value.dtype == torch.bool or value.is_complex():
        fail(name, "real numbers", f"dtype {value.dtype}")
    return value


def tensor(value, name, *, ndim=None, shape=None):
    """`value` as a finite, non-empty tensor in float64 or float32, on its own device.

    Lists, numbers and integers become float64; floating arrays and tensors keep their precision, but half precision
    becomes float32. `ndim` is the number of dimensions wanted, `shape` a tuple in which `None` stands for any size.
    Raises `ValueError` for anything else: what `real` refuses, NaN, infinities, no elements.
    """
    value = real(value, name)
    if value.dtype not in (torch.float32, torch.float64):
        value = value.to(torch.float32 if value.is_floating_point() else torch.float64)
    if value.numel() == 0:
        fail(name, "at least one number", f"an empty array of shape {tuple(value.shape)}")
    if not math.isfinite(value.detach().sum().item()) and not torch.isfinite(value).all():
        broken = value[~torch.isfinite(value)].flatten()[0].item()
        fail(name, "finite numbers", broken)
    if ndim is not None and value.ndim != ndim:
        fail(name, f"{ndim} dimension(s)", f"shape {tuple(value.shape)}")
    if shape is not None and not _fits(value.shape, shape):
        fail(name, f"shape {shape} (None: any size)", f"shape {tuple(value.shape)}")
    return value


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


def alike(**values):
    """The `values` as by `tensor`, in their order.

    Numbers, lists and NumPy arrays take the device and the precision of the first tensor among them.
    """
    tensors = [tensor(value, name) for name, value in values.items()]
    given = [isinstance(value, torch.Tensor) for value in values.values()]
    if not any(given):
        return tensors
    first = tensors[given.index(True)]
    return [one if is_tensor else one.to(first) for one, is_tensor in zip(tensors, given, strict=True)]


def broadcastable(**values):
    """The `values` as by `alike`, of shapes that can be broadcast against one another."""
    tensors = alike(**values)
    try:
        torch.broadcast_shapes(*(one.shape for one in tensors))
    except RuntimeError:
        shapes = " and ".join(str(tuple(one.shape)) for one in tensors)
        fail(", ".join(values), "shapes that can be broadcast against one another", shapes)
    return tensors


def located(points, data, name="data"):
    """`points` and `data`, each shape (..,) or (.., d), as by `alike`, as shapes (m, d) and (n, d): a vector is on the
    line. A refusal calls the latter by their `name`."""
    points, data = (one[:, None] if one.ndim == 1 else one for one in alike(**{"points": points, name: data}))
    if data.ndim != 2:
        fail(name, "shape (n,) or (n, d)", f"shape {tuple(data.shape)}")
    if points.ndim != 2 or points.shape[1] != data.shape[1]:
        fail("points", f"points in {data.shape[1]} dimension(s), as the {name}", f"shape {tuple(points.shape)}")
    return points, data


def above_zero(value, name):
    """Refuse a tensor of which some number is zero or less."""
    if (value <= 0).any():
        fail(name, "numbers above zero", value.min().item())


def not_negative(value, name):
    """Refuse a tensor of which some number is below zero."""
    if (value < 0).any():
        fail(name, "numbers of at least 0", value.min().item())


def moderate(value, name):
    """Refuse a tensor of which some number has a square beyond the largest one, or nearly so."""
    largest = value.abs().max().item()
    if not largest <= MODERATE:
        fail(name, f"numbers of at most {MODERATE:g} in size, whose squares are finite", largest)


def number(value, name, wanted="a number"):
    """`value` as a finite number."""
    try:
        return tensor(value, name, ndim=0).item()
    except ValueError:
        fail(name, wanted, repr(value)[:80])


def positive(value, name):
    """`value` as a finite number above zero."""
    found = number(value, name, "a number above zero")
    if found <= 0:
        fail(name, "a number above zero", found)
    return found


def a_function(value, name, of="a tensor"):
    """Refuse a `value` that cannot be called."""
    if not callable(value):
        fail(name, f"a function of {of}", repr(value)[:80])


def a_device(value, name):
    """`value`, a `torch.device` or its text, as the former."""
    try:
        return torch.device(value)
    except (TypeError, RuntimeError):
        fail(name, "a device of PyTorch, such as 'cpu' or 'cuda'", repr(value)[:80])


def instance(value, name, *kinds):
    """`value`, which must be of one of these `kinds`."""
    if not isinstance(value, kinds):
        named = [f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}" for kind in kinds]
        fail(name, " or ".join(named), type(value).__name__)
    return value


def one_of(value, name, choices):
    """Refuse a `value` that is not one of the `choices`, which are texts."""
    if not isinstance(value, str) or value not in choices:
        fail(name, "one of " + ", ".join(map(repr, choices)), repr(value)[:80])


def count(value, name, minimum=1):
    """`value` as a whole number of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        fail(name, f"a whole number of at least {minimum}", repr(value)[:80])
    return int(value)


def counts(value, name):
    """`value` as a tuple of whole numbers above zero, one or more of them or none."""
    if not isinstance(value, list | tuple):
        fail(name, "a tuple of whole numbers of at least 1", repr(value)[:80])
    return tuple(count(one, name) for one in value)


def probabilities(value, name, ndim=1):
    """`value` as a vector of non-negative numbers that sum to one; with `ndim=2`, as rows of such."""
    value = tensor(value, name, ndim=ndim)
    not_negative(value, name)
    sums = value.sum(-1)
    if ((sums - 1).abs() > 1e-6).any():
        if ndim == 1:
            fail(name, "numbers that sum to 1", f"a sum of {sums.item():.8g}")
        fail(name, "rows that sum to 1", f"sums {sums.tolist()}")
    return value


def asymmetric(matrices):
    """Which of the `matrices`, shape (..., d, d), are not symmetric, by more than rounding: shape (...).

    The unit of an entry is the geometric mean of the two on the diagonal that belong to it.
    """
    scale = matrices.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    away = (matrices - matrices.mT).abs()
    return (away > 1e-6 * scale[..., None] * scale[..., None, :]).any(-1).any(-1)

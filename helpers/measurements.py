"""Measured numbers with their uncertainty: a mean over replicates, an exponent fitted on a log-log scale."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.validation import fail, tensor

__all__ = ["Exponent", "Replicates", "exponent", "normal_score", "numbers", "replicates"]

SIGMAS = 5


def numbers(value, name):
    """`value` as a finite, non-empty float64 NumPy array."""
    return tensor(value, name).detach().cpu().numpy().astype(np.float64)


@dataclass(frozen=True, eq=False)
class Replicates:
    """Independent repetitions of one measurement: `mean`, `standard_error` (of one shape), `number` of runs."""

    mean: np.ndarray
    standard_error: np.ndarray
    number: int

    def score(self, value):
        """Distance of `value` from the mean, in standard errors, as a standard normal would have it."""
        return normal_score((self.mean - value) / self.standard_error, self.number - 1)


def replicates(values):
    """Mean and standard error, $s/\\sqrt R$, of $R$ independent replicates along the first axis of `values`.

    By Student's t, it takes some thirty replicates before a rival can be rejected. Raises `ValueError` for fewer than
    two, and where all replicates of a component are equal: a quantity without spread is no simulation, and wants an
    exact check.
    """
    values = numbers(values, "values")
    if values.ndim == 0 or len(values) < 2:
        fail("values", "two replicates or more along the first axis", f"shape {values.shape}")
    unit = np.exp2(np.frexp(np.abs(values).max(axis=0))[1] - 1.0)  # in which squares do not overflow
    values = values / unit
    standard_error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    if not (standard_error > 1e-14 * np.abs(values).max(axis=0)).all():
        fail("values", "replicates that differ", "zero variance: use an exact check")
    return Replicates(values.mean(axis=0) * unit, standard_error * unit, len(values))


def normal_score(t, degrees):
    """The standard normal deviate whose tail has the mass of Student's `t` with this many `degrees` of freedom.

    $z = \\frac{8\\nu+1}{8\\nu+3}\\sqrt{\\nu\\log(1+t^2/\\nu)}$ with the sign of $t$ (Wallace, 1959): finite where tail
    probabilities underflow. It errs toward zero: a deviate of 5 is found as 4.97 for ten replicates and
    as 4.68 for three. Nothing is checked.
    """
    size = np.sqrt(degrees * np.log1p(np.square(t) / degrees))
    return np.sign(t) * size * (8 * degrees + 1) / (8 * degrees + 3)


@dataclass(frozen=True)
class Exponent:
    """An exponent `value` and the `half_width` of its interval."""

    value: float
    half_width: float


def exponent(x, y, limit="infinity"):
    """The exponent $a$ in $y \\sim c\\,x^a$ as $x$ tends to infinity or to zero, with its interval.

    `x`, shape (m,), at least six distinct positive numbers; `y`, shape (m,), positive numbers or `Replicates` of them,
    drawn independently for each x.
    The value is the least-squares slope of $\\log y$ on $\\log x$ over the half of the points nearer to the limit. The
    half-width adds what noise can do (five standard errors, by Student's t, where `y` has them) to what curvature can
    do (how far that slope is from the slope of the other half) and to rounding (1e-6).
    Raises `ValueError` for other shapes, values of zero or less, or another `limit`.
    """
    if limit not in ("infinity", "zero"):
        fail("limit", "'infinity' or 'zero'", repr(limit))
    x = numbers(x, "x")
    noisy = isinstance(y, Replicates)
    mean = y.mean if noisy else numbers(y, "y")
    if x.ndim != 1 or len(x) < 6 or mean.shape != x.shape:
        fail("x, y", "vectors of one length, six or more", f"shapes {x.shape} and {mean.shape}")
    if (x <= 0).any() or len(np.unique(x)) < len(x):
        fail("x", "distinct numbers above zero", x)
    if (mean <= 0).any():
        fail("y", "numbers above zero", mean.min())
    order = np.argsort(x if limit == "zero" else -x)
    spread = y.standard_error / mean if noisy else np.zeros(len(x))
    quantile = stats.t.isf(stats.norm.sf(SIGMAS), y.number - 1) if noisy else 0.0
    near, far = np.array_split(order, 2)
    slope, error = _slope(np.log(x[near]), np.log(mean[near]), spread[near])
    other, other_error = _slope(np.log(x[far]), np.log(mean[far]), spread[far])
    half_width = abs(slope - other) + quantile * math.hypot(error, other_error) + 1e-6
    return Exponent(slope, half_width)


def _slope(x, y, spread):
    """Least-squares slope and the standard error that `spread` in `y` gives it."""
    weights = (x - x.mean()) / np.square(x - x.mean()).sum()
    return float(weights @ y), float(np.sqrt(np.square(weights * spread).sum()))

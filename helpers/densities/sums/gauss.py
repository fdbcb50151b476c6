"""Sums of Gaussians at scattered points: on the line by boxes, in more dimensions term by term."""

from helpers.densities.sums.arguments import narrow_to_wide, posed, tolerable
from helpers.densities.sums.boxes import Boxes, many, on_the_line
from helpers.densities.sums.direct import direct
from helpers.validation import alike, tensor

__all__ = ["gaussian_sum", "gaussian_sums"]

TOLERANCE = 1e-12


def gaussian_sum(points, data, bandwidth, weights=None, tolerance=TOLERANCE):
    r"""$S(x) = \sum_i w_i\,e^{-|x-X_i|^2/(2h^2)}$ at each of the `points`.

    `data`, shape (n,) or (n, d); `points`, shape (m,) or (m, d); `bandwidth` $h$, above zero; `weights` $w_i$, shape
    (n,), any numbers (default: ones). Returns shape (m,), float64. On the line the error is at most about
    `tolerance` times $\sum_i|w_i|$ over the data near the point, in memory proportional to n + m; in more dimensions
    every term is summed, block by block. Raises `ValueError` for a bandwidth so small that the data, as floating-point
    numbers, are coarser.
    """
    points, data, h, weights = posed(points, data, bandwidth, weights)
    tolerance = tolerable(tolerance)
    if data.shape[1] > 1:
        return direct(points, data, h, weights)
    return on_the_line(points[:, 0], data[:, 0], h, weights, tolerance)


def gaussian_sums(points, samples, bandwidth, tolerance=1e-6):
    r"""`gaussian_sum` for many samples at the same points: `samples`, shape (R, n), `points`, shape (m,).

    Returns shape (R, m), float64.
    """
    points, samples, h = *alike(points=points, samples=samples), narrow_to_wide(bandwidth)
    points, samples = tensor(points, "points", ndim=1).double(), tensor(samples, "samples", ndim=2).double()
    return many(points, samples, Boxes(h, tolerable(tolerance)))

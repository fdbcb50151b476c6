"""What comes into a sum of kernels is looked at here, once."""

from helpers.validation import alike, fail, located, moderate, positive

__all__ = ["narrow_to_wide", "posed", "tolerable"]


def tolerable(tolerance):
    """`tolerance` as a number from 1e-15 to 0.1."""
    if not 1e-15 <= positive(tolerance, "tolerance") <= 0.1:
        fail("tolerance", "a number from 1e-15 to 0.1", tolerance)
    return float(tolerance)


def narrow_to_wide(bandwidth):
    """`bandwidth` as a number from 1e-300 to 1e300: neither it nor its inverse, times a few hundred, overflows."""
    h = positive(bandwidth, "bandwidth")
    if not 1e-300 <= h <= 1e300:
        fail("bandwidth", "a number from 1e-300 to 1e300", h)
    return h


def posed(points, data, bandwidth, weights):
    """`points` and `data` as by `located`, in float64, `bandwidth` as a number, `weights`, shape (n,), or None."""
    points, data = (one.detach() for one in located(points, data))
    h = narrow_to_wide(bandwidth)
    if weights is not None:
        weights = alike(data=data, weights=weights)[1].to(data.device).double()
        if weights.shape != data.shape[:1]:
            fail("weights", f"one number for each of the {len(data)} data", f"shape {tuple(weights.shape)}")
        moderate(weights, "weights")
    return points.double(), data.double(), h, weights

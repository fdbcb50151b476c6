"""Kernel density estimates: four kernels, the estimate and draws from it, its bias, variance and error by formula."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from helpers import gaussian
from helpers.densities.sums.arguments import tolerable
from helpers.densities.sums.gauss import gaussian_sum, gaussian_sums
from helpers.densities.sums.grid import gaussian_sum_on_grid
from helpers.densities.sums.polynomial import polynomial_sum
from helpers.validation import (
    above_zero,
    broadcastable,
    count,
    fail,
    instance,
    not_negative,
    one_of,
    positive,
    probabilities,
    tensor,
)

__all__ = [
    "EPANECHNIKOV",
    "GAUSSIAN",
    "KERNELS",
    "RECTANGULAR",
    "TRIANGULAR",
    "Kernel",
    "asymptotic_mise",
    "bias",
    "densities",
    "density",
    "density_on_grid",
    "mean",
    "mise",
    "optimal_bandwidth",
    "sample",
    "variance",
]


@dataclass(frozen=True)
class Kernel:
    r"""An even density: $K(u) = \sum_a c_a|u|^a$ for $|u|\le1$ and zero beyond, or the standard normal one."""

    name: str
    coefficients: tuple = ()

    def __call__(self, u):
        """$K(u)$, of the shape of `u`."""
        u = tensor(u, "u").abs()
        if not self.coefficients:
            return torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)
        return torch.where(u <= 1, sum(c * u**a for a, c in enumerate(self.coefficients)), 0.0)

    @property
    def second_moment(self):
        r"""$\int u^2K(u)\,du$."""
        return 2 * sum(c / (a + 3) for a, c in enumerate(self.coefficients)) if self.coefficients else 1.0

    @property
    def roughness(self):
        r"""$\int K(u)^2du$."""
        if not self.coefficients:
            return 1 / (2 * math.sqrt(math.pi))
        terms = list(enumerate(self.coefficients))
        return 2 * sum(c * d / (a + b + 1) for a, c in terms for b, d in terms)

    def draw(self, shape, generator):
        """Independent draws from the kernel, of this `shape`, on the device of `generator`."""
        device = {"device": generator.device, "dtype": torch.float64}
        if not self.coefficients:
            return torch.randn(shape, generator=generator, **device)
        one, two, three = 2 * torch.rand((3, *shape), generator=generator, **device) - 1
        if len(self.coefficients) == 1:
            return one
        if len(self.coefficients) == 2:
            return (one + two) / 2
        largest = (three.abs() >= one.abs()) & (three.abs() >= two.abs())
        return torch.where(largest, two, three)


GAUSSIAN = Kernel("gaussian")
RECTANGULAR = Kernel("rectangular", (1 / 2,))
TRIANGULAR = Kernel("triangular", (1.0, -1.0))
EPANECHNIKOV = Kernel("epanechnikov", (3 / 4, 0.0, -3 / 4))
KERNELS = (GAUSSIAN, RECTANGULAR, TRIANGULAR, EPANECHNIKOV)


def _kernel(kernel):
    """A `Kernel`, given as such or by its name."""
    if isinstance(kernel, Kernel):
        return kernel
    names = {one.name: one for one in KERNELS}
    one_of(kernel, "kernel", names)
    return names[kernel]


def density(points, data, bandwidth, kernel=GAUSSIAN, weights=None, tolerance=1e-12):
    r"""The kernel estimate $\hat f_{n,h}(x) = \frac{1}{nh}\sum_i K\big(\frac{x-X_i}{h}\big)$ at `points`.

    `data`, shape (n,) or (n, d); `points`, shape (m,) or (m, d); `bandwidth` $h$, a number above zero; `kernel`, one of
    KERNELS or its name, "gaussian", "rectangular", "triangular" or "epanechnikov". `weights`, shape (n,), non-negative
    and summing to one, take the place of $\frac1n$. In more than one dimension the kernel is
    Gaussian, the product of one a coordinate, and $h^d$ takes the place of $h$. Returns shape (m,), in float64,
    in units of one over volume. On the line the Gaussian kernel's error is about `tolerance` relative to the data near
    a point (`helpers.densities.sums.gauss` says more); all else is exact up to rounding. Source: Scornet, (35).
    """
    kernel, tolerance = _kernel(kernel), tolerable(tolerance)
    weights = None if weights is None else probabilities(weights, "weights")
    if kernel.coefficients:
        found = polynomial_sum(points, data, bandwidth, kernel.coefficients, weights)
    else:
        found = gaussian_sum(points, data, bandwidth, weights, tolerance)
    return _normalised(found, np.shape(data), bandwidth, kernel, weights)


def _normalised(sums, shape, bandwidth, kernel, weights):
    r"""Sums over data of this `shape`, (n,) or (n, d), made densities: divided by n, where there are no weights, and by
    $h$, or $(h\sqrt{2\pi})^d$ for the Gaussian kernel, in so many steps that none overflows. What rounding leaves below
    zero is zero."""
    unit = float(bandwidth) * (1.0 if kernel.coefficients else math.sqrt(2 * math.pi))
    dimension = shape[1] if len(shape) > 1 else 1
    steps = math.ceil(dimension * abs(math.log2(unit)) / 512) or 1
    found = sums.clamp_min_(0) / (unit ** (dimension / steps) * (shape[0] if weights is None else 1))
    for _ in range(steps - 1):
        found /= unit ** (dimension / steps)
    return found


def densities(points, samples, bandwidth, kernel=GAUSSIAN, tolerance=1e-6):
    """The kernel estimates of many samples at the same points: `samples`, shape (R, n), `points`, shape (m,).

    Returns shape (R, m). Otherwise as `density`.
    """
    kernel, tolerance = _kernel(kernel), tolerable(tolerance)
    if kernel.coefficients:
        return torch.stack([density(points, row, bandwidth, kernel) for row in tensor(samples, "samples", ndim=2)])
    found = gaussian_sums(points, samples, bandwidth, tolerance)
    return _normalised(found, np.shape(samples)[1:], bandwidth, kernel, None)


def density_on_grid(axes, data, bandwidth, weights=None, tolerance=1e-12):
    """The kernel estimate with Gaussian kernel on the grid of d `axes`, vectors, for `data` of shape (n, d).

    Returns shape (len(axes[0]), ..., len(axes[d - 1])); in the plane with an error of about `tolerance`, in more
    dimensions exact up to rounding. Otherwise as `density`.
    """
    weights = None if weights is None else probabilities(weights, "weights")
    found = gaussian_sum_on_grid(axes, data, bandwidth, weights, tolerance)
    return _normalised(found, np.shape(data), bandwidth, GAUSSIAN, weights)


def sample(data, bandwidth, number, generator, kernel=GAUSSIAN):
    """`number` draws from the kernel estimate: a datum picked at random plus h times a draw from the kernel."""
    data, number, kernel = tensor(data, "data"), count(number, "number"), _kernel(kernel)
    instance(generator, "generator", torch.Generator)
    if data.ndim == 0:
        fail("data", "a sample along the first axis", "a single number")
    pick = torch.randint(len(data), (number,), generator=generator, device=generator.device).to(data.device)
    return data[pick] + positive(bandwidth, "bandwidth") * kernel.draw((number, *data.shape[1:]), generator).to(data)


def _smoothed(truth, bandwidth):
    """The mixture `truth` smoothed by a Gaussian kernel."""
    weights, means, variances = truth
    wider = variances + bandwidth * bandwidth
    if not wider.isfinite().all():
        fail("bandwidth, truth", "a finite sum of the variances and the squared bandwidth", wider.max().item())
    return weights, means, wider


def mean(points, truth, bandwidth):
    r"""$\mathbb E\hat f_{n,h}(x) = (K_h*f)(x)$, Gaussian kernel, `truth` a mixture of normal densities.

    `truth`: weights, means and variances, as for `gaussian.overlap`. Source: Scornet, (39).
    """
    points, *truth = gaussian.law(truth, "truth", points=points)
    truth = [tensor(part, "truth", ndim=1).to(points.device) for part in truth]
    return gaussian.mixture_density(points, _smoothed(truth, positive(bandwidth, "bandwidth")))


def bias(points, truth, bandwidth):
    r"""$\mathbb E\hat f_{n,h}(x) - f(x)$, arguments as for `mean`."""
    return mean(points, truth, bandwidth) - gaussian.mixture_density(points, truth)


def variance(points, truth, n, bandwidth):
    r"""$\frac1n\{(K_h^2*f)(x) - (K_h*f)(x)^2\}$, arguments as for `mean`."""
    h, n = positive(bandwidth, "bandwidth"), count(n, "n")
    square = mean(points, truth, h / math.sqrt(2)) / (2 * math.sqrt(math.pi) * h)
    return (square - mean(points, truth, h) ** 2) / n


def mise(truth, n, bandwidth):
    r"""$\frac{1}{2\sqrt\pi\,nh} + (1-\frac1n)\int f_h^2 - 2\int f_hf + \int f^2$, $f_h = K_h * f$: exact for every n.

    Gaussian kernel; `truth` a mixture of normal densities (weights, means, variances); `n`, `bandwidth` numbers or
    tensors of one shape (...). Returns shape (...).
    """
    n, h, *truth = gaussian.law(truth, "truth", n=n, bandwidth=bandwidth)
    n, h = broadcastable(n=n, bandwidth=h)
    above_zero(n, "n")
    above_zero(h, "bandwidth")
    smooth = _smoothed(truth, h[..., None])
    overlap = gaussian.overlap
    return (
        1 / (2 * math.sqrt(math.pi) * n * h)
        + (1 - 1 / n) * overlap(smooth, smooth)
        - 2 * overlap(smooth, truth)
        + overlap(truth, truth)
    )


def asymptotic_mise(n, bandwidth, roughness, kernel=GAUSSIAN):
    r"""$\frac{h^4}{4}\mu_2(K)^2\int f''^2 + \frac{1}{nh}\int K^2$, the leading terms; `roughness` is $\int f''^2$."""
    n, h, roughness = broadcastable(n=n, bandwidth=bandwidth, roughness=roughness)
    kernel = _kernel(kernel)
    above_zero(n, "n")
    above_zero(h, "bandwidth")
    not_negative(roughness, "roughness")
    return h**4 / 4 * kernel.second_moment**2 * roughness + kernel.roughness / (n * h)


def optimal_bandwidth(n, roughness, kernel=GAUSSIAN):
    r"""$h = \Big(\frac{\int K^2}{\mu_2(K)^2\int f''^2\,n}\Big)^{1/5}$, where `asymptotic_mise` is least."""
    n, roughness, kernel = *broadcastable(n=n, roughness=roughness), _kernel(kernel)
    above_zero(n, "n")
    above_zero(roughness, "roughness")
    return (kernel.roughness / (kernel.second_moment**2 * roughness * n)) ** (1 / 5)

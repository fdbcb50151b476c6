"""Sums of Gaussians over all pairs of the data, by their Fourier transform: what the choice of a bandwidth needs."""

import math

import numpy as np
import torch

from helpers.densities.order import ascending
from helpers.densities.sums.cells import placed, power_sums, terms_needed
from helpers.validation import above_zero, alike, fail, tensor

__all__ = ["pair_sums"]

CHUNK = 2**20
TOLERANCE = 1e-12
FEW_FREQUENCIES = 2**16


def pair_sums(data, bandwidths, order=0):
    r"""$\sum_{i,j} \phi_h^{(r)}(X_i-X_j)$ for each of the `bandwidths` $h$, all pairs of the data, i = j among them.

    $\phi_h^{(r)}$ is the r-th derivative of the normal density with variance $h^2$, r = `order` even; `data`, shape
    (n,). Returns shape (bandwidths,). The sum is $\frac1L\sum_k(i\omega_k)^r|\Phi(\omega_k)|^2e^{-\omega_k^2h^2/2}$,
    $\omega_k=2\pi k/L$, with $\Phi(\omega)=\sum_je^{-i\omega X_j}$ found once for many bandwidths; pairs too far apart
    to count are brought nearer beforehand, so that heavy tails cost little. The relative error is about 1e-12.
    """
    data, bandwidths = alike(data=data, bandwidths=bandwidths)
    data, bandwidths = tensor(data, "data", ndim=1).double(), tensor(bandwidths, "bandwidths", ndim=1).double()
    above_zero(bandwidths, "bandwidths")
    if not isinstance(order, int | np.integer) or order not in range(0, 13, 2):
        fail("order", "an even number from 0 to 12", order)
    return _pair_sums(data, bandwidths, int(order))


def _pair_sums(data, bandwidths, order):
    """In units of a power of two near the widest bandwidth, so that none of its powers overflows."""
    unit = 2.0 ** (math.frexp(bandwidths.max().item())[1] - 1)
    original, data, bandwidths = (data, bandwidths), data / unit, bandwidths / unit
    if not data.isfinite().all():
        fail("bandwidths", "numbers in which the data can be measured", unit)
    smallest, largest = (end.item() for end in bandwidths.aminmax())
    decay = math.sqrt(-2 * math.log(TOLERANCE)) + order / 3
    near = _nearer(data, decay * largest)
    low, high = (end.item() for end in near.aminmax())
    period = (high - low) + decay * largest
    highest = period * decay / (2 * math.pi) / smallest if smallest else math.inf
    if highest > len(data) + FEW_FREQUENCIES and smallest < largest:
        data, h = original
        low, high = (end.item() for end in h.aminmax())
        small = (h == low) | (h < math.sqrt(low) * math.sqrt(high)) & (h < high)
        found = torch.empty_like(h)
        found[small], found[~small] = _pair_sums(data, h[small], order), _pair_sums(data, h[~small], order)
        return found
    highest = math.ceil(highest)
    frequency = torch.arange(highest + 1, dtype=torch.float64, device=data.device) * (2 * math.pi / period)
    power = _spectrum(near - low, period, highest, smallest, order) * frequency**order
    power[1:] *= 2
    exponents = -(bandwidths**2) * (math.log2(math.e) / 2)
    blocks = frequency.square().split(CHUNK // len(bandwidths) + 1)
    parts = power.split(CHUNK // len(bandwidths) + 1)
    found = sum(torch.exp2(exponents[:, None] * f) @ p for f, p in zip(blocks, parts, strict=True))
    found = found * ((-1) ** (order // 2) / period)
    for _ in range(order + 1):
        found /= unit
    return found


def _nearer(data, reach):
    """The data, with gaps beyond `reach` closed down to it where they make up most of the line."""
    low, high = (end.item() for end in data.aminmax())
    if high - low <= 64 * reach:
        return data
    data = ascending(data, with_order=False)[0]
    return torch.cat([data.new_zeros(1), data.diff().clamp_max(reach).cumsum(0)])


def _spectrum(data, period, highest, smallest, order):
    r"""$|\Phi(2\pi k/L)|^2$ for k = 0, ..., `highest`; data from 0 to L, `smallest` the least bandwidth to be used.

    Derivatives weigh the high frequencies more, where the moments of the cells are less exact."""
    choices = []
    for doubling in range(1, 9):
        cells = 2 ** (highest.bit_length() + doubling)
        moments = terms_needed(TOLERANCE * 10 ** (-order / 2), period / cells / 2 / smallest)
        choices.append((moments * (len(data) + 4 * cells), cells, moments))
    cells, moments = min(choices)[1:]
    cell, place = placed(data, period / cells, 0, cells)
    shift = -2j * math.pi / cells * torch.arange(highest + 1, dtype=torch.float64, device=data.device)
    factor, transform = 1.0, 0.0
    for a, sums in enumerate(power_sums(cell, place, None, moments, cells)):
        transform = transform + factor * torch.fft.rfft(sums)[: highest + 1]
        factor = factor * shift / (a + 1)
    return transform.abs().square()

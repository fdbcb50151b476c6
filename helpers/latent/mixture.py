"""Mixtures of normal laws in d dimensions, fitted by expectation and maximisation, many starts at once."""

from dataclasses import dataclass
from functools import partial

import torch

from helpers.latent import moments
from helpers.latent.moments import FORMS
from helpers.likelihood import ascend
from helpers.validation import (
    above_zero,
    alike,
    asymmetric,
    count,
    fail,
    instance,
    moderate,
    not_negative,
    one_of,
    tensor,
)

__all__ = ["FORMS", "Mixture", "fit", "log_density", "maximise", "responsibilities", "sample", "start", "step"]


@dataclass(frozen=True, eq=False)
class Mixture:
    r"""$\sum_k \pi_k\,\mathcal N(\mu_k, \Sigma_k)$: `weights`, shape (..., K), `means`, (..., K, d), and `covariances`.

    The covariances are full, shape (..., K, d, d); diagonal, (..., K, d): a variance for each coordinate; or
    spherical, (..., K): one variance $\sigma_k^2$, for $\Sigma_k = \sigma_k^2 I$. Leading axes hold several mixtures,
    which `mixture[i]` picks. Raises `ValueError` for shapes that do not go together, weights that are negative or do
    not sum to one, variances below zero, and matrices that are not symmetric. Source: Scornet, (63), for K = 2 and
    d = 1.
    """

    weights: torch.Tensor
    means: torch.Tensor
    covariances: torch.Tensor

    def __post_init__(self):
        parts = alike(weights=self.weights, means=self.means, covariances=self.covariances)
        weights, means, covariances = parts
        shape, dimension = weights.shape, means.shape[-1:]
        if weights.ndim == 0 or means.shape[:-1] != shape:
            fail("weights, means", "shapes (..., K) and (..., K, d)", f"{tuple(shape)} and {tuple(means.shape)}")
        if covariances.shape not in (shape, shape + dimension, shape + dimension + dimension):
            wanted = "shape (..., K, d, d), (..., K, d) or (..., K)"
            fail("covariances", f"{wanted} beside means of shape {tuple(means.shape)}", tuple(covariances.shape))
        not_negative(weights, "weights")
        if ((weights.sum(-1) - 1).abs() > 1e-6).any():
            fail("weights", "numbers that sum to 1", f"sums {weights.sum(-1).tolist()}")
        for name, part in zip(("weights", "means", "covariances"), parts, strict=True):
            object.__setattr__(self, name, part)
        not_negative(moments.variances(covariances, self.form), "covariances")
        if self.form == "full":
            skew = asymmetric(covariances)
            if skew.any():
                fail("covariances", "symmetric matrices", covariances[skew][0].tolist())

    @property
    def form(self):
        """One of `FORMS`."""
        return FORMS[1 - self.covariances.ndim + self.means.ndim]

    def __getitem__(self, index):
        if self.weights.ndim < 2:
            fail("mixture", "a leading axis of mixtures", f"weights of shape {tuple(self.weights.shape)}")
        return Mixture(self.weights[index], self.means[index], self.covariances[index])


def log_density(points, mixture):
    r"""$\log\sum_k \pi_k\,\phi(x; \mu_k, \Sigma_k)$ at each of the `points`.

    `points`, shape (m,) on the line or (..., m, d), with the leading axes of the mixture or none. Returns shape
    (..., m). Raises `ValueError` for a covariance that is singular. Source: Scornet, (63), (64).
    """
    points = _placed(points, mixture, "points")
    found = [terms.logsumexp(-2) for _, terms in _logarithms(points, mixture)]
    return torch.cat(found, -1).to(points)


def responsibilities(data, mixture):
    r"""$\gamma_{ik} = \frac{\pi_k\,\phi(x_i; \mu_k, \Sigma_k)}{\sum_j \pi_j\,\phi(x_i; \mu_j, \Sigma_j)}$,
    the posterior probability that component k has made $x_i$.

    `data` as the `points` of `log_density`, but none so far away that its density is zero even as a logarithm. Returns
    shape (..., n, K). Source: Scornet, (67), (68).
    """
    data = _placed(data, mixture, "data")
    found = [terms.softmax(-2) for _, terms in _logarithms(data, mixture)]
    found = torch.cat(found, -1).mT.to(data)
    if found.isnan().any():
        moments.too_far()
    return found


def maximise(data, responsibilities, form="full", penalty=0.0):
    r"""The mixture that maximises $\sum_{ik}\gamma_{ik}\log(\pi_k\,\phi(x_i;\mu_k,\Sigma_k))$, the M-step.

    $\pi_k = \frac1n\sum_i\gamma_{ik}$; $\mu_k$ and $\Sigma_k$ are mean and covariance weighted by $\gamma_{ik}$, about
    the new mean, of this `form`. With a `penalty` $\rho$ above zero, in squared units of the data, the maximum is that
    of the sum less $\frac\rho2\sum_k\mathrm{tr}\,\Sigma_k^{-1}$: each $\Sigma_k$ gains $\rho I$ over the component's
    mass. `data`, shape (n,) or (..., n, d); `responsibilities`, shape (..., n, K), of sum one over k. A component
    without mass raises a `ValueError`. Source: Scornet, (69)-(71).
    """
    data, shares = alike(data=data, responsibilities=responsibilities)
    data = data[:, None] if data.ndim == 1 else data
    if data.ndim < 2:
        fail("data", "shape (n,) or (..., n, d)", f"shape {tuple(data.shape)}")
    moderate(data, "data")
    moderate(shares, "responsibilities")
    if shares.ndim < 2 or shares.shape[-2] != data.shape[-2]:
        fail("responsibilities", f"shape (..., {data.shape[-2]}, K)", f"shape {tuple(shares.shape)}")
    if data.shape[:-2] not in ((), shares.shape[:-2]):
        fail("data", f"the leading axes of the responsibilities, {tuple(shares.shape[:-2])}", tuple(data.shape[:-2]))
    not_negative(shares, "responsibilities")
    form, penalty = _form(form), _penalty(penalty)
    mass = shares.sum(-2).double()
    above_zero(mass, "responsibilities, summed over the data")
    means = shares.mT.double() @ data.double() / mass[..., None]
    covariances = moments.covariance(data, shares, means, form, penalty)
    return Mixture(*(part.to(shares) for part in (mass / mass.sum(-1, keepdim=True), means, covariances)))


@torch.no_grad()
def step(data, mixture, penalty=0.0):
    r"""One iteration of EM: the mixture that follows, and the objective at the one that was given, shape (...).

    The objective is $\sum_i\log\sum_k\pi_k\,\phi(x_i;\mu_k,\Sigma_k)$, where there is a `penalty` $\rho$ less
    $\frac\rho2\sum_k\mathrm{tr}\,\Sigma_k^{-1}$; no step lowers it. Without a penalty it has no maximum: where a
    component has collapsed, onto a point or a plane, the objective is infinite (with one, minus infinite) and the
    mixture comes back as it was, as it does where a component has lost all mass. `data` as for `responsibilities`.
    Source: Scornet, (68)-(71).
    """
    data, penalty = _placed(data, mixture, "data"), _penalty(penalty)
    form, batch = mixture.form, mixture.weights.shape[:-1]
    data = data.flatten(0, -3) if data.ndim > 2 else data
    parts = [part.reshape(-1, *part.shape[len(batch) :]).to(torch.float64, copy=True) for part in _parts(mixture)]
    low, high = moments.extremes(data)
    live = ~moments.collapsed(parts[2], form, mixture.means.dtype, high - low)
    value = parts[0].new_full(live.shape, -torch.inf if penalty else torch.inf)
    if live.any():
        chosen = [part[live] for part in parts]
        own = (data, low, high) if data.ndim == 2 else (data[live], low[live], high[live])
        value[live], mass, *new = moments.follow(*own, *chosen, form, penalty)
        if penalty:
            value[live] -= penalty / 2 * moments.trace_of_inverse(chosen[2], data.shape[-1], form)
        kept = (mass >= torch.finfo(mass.dtype).tiny).all(-1)
        for part, found in zip(parts, (mass / mass.sum(-1, keepdim=True), *new), strict=True):
            part[live.nonzero()[kept, 0]] = found[kept]
    new = (part.reshape(old.shape).to(old) for part, old in zip(parts, _parts(mixture), strict=True))
    return Mixture(*new), value.reshape(batch).to(data)


def start(data, components, number=1, *, generator, form="full"):
    r"""Where to begin: `number` mixtures of equal weights, with means among the data, spread out by k-means++.

    Each next mean is drawn with probability proportional to the squared distance to the nearest one so far; the
    covariances are those of the data about their nearest mean, the same for all components. `data`, shape (n,) or
    (n, d). Returns a `Mixture` with a leading axis. Raises `ValueError` for data of fewer distinct points than
    components. Source: Arthur, Vassilvitskii, 2007.
    """
    data = tensor(data, "data")
    data = data[:, None] if data.ndim == 1 else tensor(data, "data", ndim=2)
    components, number, form = count(components, "components"), count(number, "number"), _form(form)
    instance(generator, "generator", torch.Generator)
    moderate(data, "data")
    centred = data - data.mean(0)
    scale = centred.abs().max().clamp_min(torch.finfo(data.dtype).tiny)
    found = [_spread_out(centred / scale, components, generator) for _ in range(number)]
    chosen, spread = (torch.stack(part) for part in zip(*found, strict=True))
    spread = scale * spread * scale
    variances = moments.variances(spread, "full")
    common = {"full": spread, "diagonal": variances, "spherical": variances.mean(-1)}[form][:, None]
    weights = data.new_full((number, components), 1 / components)
    return Mixture(weights, data[chosen], common.expand(-1, components, *common.shape[2:]).clone())


def _spread_out(data, components, generator):
    """Which data are the means of a start, shape (components,), and the covariance of the data about the nearest."""
    chosen = torch.randint(len(data), (1,), generator=generator, device=data.device)
    rest = data - data[chosen]
    nearest = rest.square().sum(-1)
    while len(chosen) < components:
        if not nearest.max() > 0:
            fail("data", f"{components} distinct points or more", len(chosen))
        chosen = torch.cat([chosen, torch.multinomial(nearest, 1, generator=generator)])
        away = data - data[chosen[-1]]
        square = away.square().sum(-1)
        rest = torch.where((square < nearest)[:, None], away, rest)
        nearest = torch.minimum(nearest, square)
    return chosen, rest.T @ rest / len(data)


def fit(data, components, *, generator, form="full", restarts=10, penalty=0.0, steps=1000, tolerance=1e-10):
    """The best mixture that EM finds from `restarts` starts, and its objective.

    The starts climb together, as `helpers.likelihood.ascend` says, with its `steps` and `tolerance`; those that
    collapse are left out. Arguments as for `start` and `step`; a `penalty` widens the starts as it does the mixtures
    that follow. Raises `RuntimeError` where all of them collapse.
    """
    data, penalty, restarts = tensor(data, "data"), _penalty(penalty), count(restarts, "restarts")
    fine = data.double()
    begin = start(fine, components, restarts, generator=generator, form=form)
    wide = moments.widened(begin.covariances, penalty * components / len(data) * torch.ones_like(begin.weights), form)
    begin = Mixture(begin.weights, begin.means, wide)
    ascent = ascend(partial(step, fine, penalty=penalty), begin, steps=steps, tolerance=tolerance)
    values = torch.where(ascent.values[-1].isfinite(), ascent.values[-1], -torch.inf)
    if not values.isfinite().any():
        raise RuntimeError(f"EM: a component has collapsed from each of {restarts} starts; a penalty would prevent it")
    best = int(values.argmax())
    return Mixture(*(part[best].to(data) for part in _parts(ascent.model))), values[best].to(data)


def sample(mixture, number, generator):
    """`number` independent draws from one mixture, shape (number, d), and the component of each, shape (number,)."""
    mixture, number = _regular(mixture), count(number, "number")
    instance(generator, "generator", torch.Generator)
    if mixture.weights.ndim != 1:
        fail("mixture", "one mixture", f"weights of shape {tuple(mixture.weights.shape)}")
    labels = torch.multinomial(mixture.weights, number, replacement=True, generator=generator)
    noise = torch.randn(
        number, mixture.means.shape[-1], generator=generator, dtype=mixture.means.dtype, device=mixture.means.device
    )
    root = moments.root(mixture.covariances, mixture.form)[labels]
    moved = (root @ noise[..., None])[..., 0] if mixture.form == "full" else root * noise
    return mixture.means[labels] + moved, labels


# What comes in


def _form(form):
    one_of(form, "form", FORMS)
    return form


def _penalty(penalty):
    penalty = tensor(penalty, "penalty", ndim=0)
    not_negative(penalty, "penalty")
    moderate(penalty, "penalty")
    return penalty.item()


def _a_mixture(mixture):
    return instance(mixture, "mixture", Mixture)


def _placed(points, mixture, name):
    points = tensor(points, name).to(_a_mixture(mixture).means)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim < 2 or points.shape[-1] != mixture.means.shape[-1]:
        fail(name, f"points in {mixture.means.shape[-1]} dimension(s)", f"shape {tuple(points.shape)}")
    if points.shape[:-2] not in ((), mixture.weights.shape[:-1]):
        fail(name, f"the leading axes of the mixture, {tuple(mixture.weights.shape[:-1])}", tuple(points.shape[:-2]))
    return points


def _logarithms(data, mixture):
    return moments.log_terms(data, *(part.double() for part in _parts(_regular(mixture))), mixture.form)


def _regular(mixture):
    if moments.collapsed(_a_mixture(mixture).covariances.double(), mixture.form, mixture.means.dtype).any():
        fail("covariances", "positive definite matrices", "one that is singular")
    return mixture


def _parts(mixture):
    return mixture.weights, mixture.means, mixture.covariances

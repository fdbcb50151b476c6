"""Mixtures of normal laws: iterations of EM."""

import math
import warnings
from functools import cache, partial

import numpy as np
import torch

from benchmarks.harness import Row, Work, in_double_precision
from helpers.latent.mixture import start, step
from helpers.likelihood import ascend
from helpers.randomness import generator

TITLE = "Mixtures"
STEPS = 5
SHARED = "Ours is at its best on both cores, and there what else runs on the machine decides: other runs gave "
LIMITS = {
    (2, 2): f"{SHARED}0.11 to 0.21.",
    (16, 2): "Most of the time goes into the 153 features of each datum, made anew in each iteration; the products of "
    "scikit-learn need none. Other runs gave 0.51 to 0.66. Differences from the means in the place of features are "
    "slower; features kept in memory save a seventh, for 120 MB.",
    (16, 16): f"{SHARED}0.14 to 0.21.",
}


def clusters(n, d, components):
    """Normal data around points that are themselves normal, three times as far apart."""
    draw = generator(f"benchmarks: clusters {n} {d} {components}")
    centres = 3 * torch.randn(components, d, generator=draw, dtype=torch.float64)
    home = torch.randint(components, (n,), generator=draw)
    return centres[home] + torch.randn(n, d, generator=draw, dtype=torch.float64)


def parts(mixture):
    return mixture.weights.numpy(), mixture.means.numpy(), mixture.covariances.numpy()


# Peers: each function imports its library and returns the call, from data and a start to weights, means, covariances


def numpy_loop():
    """As it is usually written: one component after the other, logarithms, all responsibilities at once."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.special import logsumexp

    def call(data, weights, means, covariances):
        n, d = data.shape
        for _ in range(STEPS):
            log = np.empty((n, len(weights)))
            for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
                root = cholesky(covariance, lower=True)
                white = solve_triangular(root, (data - mean).T, lower=True)
                constant = np.log(weight) - np.log(np.diag(root)).sum() - d / 2 * math.log(2 * math.pi)
                log[:, k] = constant - (white**2).sum(0) / 2
            shares = np.exp(log - logsumexp(log, axis=1, keepdims=True))
            mass = shares.sum(0)
            weights, means, covariances = mass / n, shares.T @ data / mass[:, None], np.empty_like(covariances)
            for k, mean in enumerate(means):
                away = data - mean
                covariances[k] = (away.T * shares[:, k]) @ away / mass[k]
        return weights, means, covariances

    return call


def sklearn_mixture():
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    def call(data, weights, means, covariances):
        begin = dict(weights_init=weights, means_init=means, precisions_init=np.linalg.inv(covariances))
        model = GaussianMixture(len(weights), reg_covar=0, tol=0, max_iter=STEPS, **begin)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data)
        return model.weights_, model.means_, model.covariances_

    return call


def pomegranate_mixture():
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    def call(data, weights, means, covariances):
        data, weights, means, covariances = map(torch.as_tensor, (data, weights, means, covariances))
        laws = [Normal(mean, covariance) for mean, covariance in zip(means.clone(), covariances.clone(), strict=True)]
        with in_double_precision():
            model = GeneralMixtureModel(laws, priors=weights.clone(), tol=-math.inf, max_iter=STEPS).fit(data)
        parts = [[law.means.numpy(), law.covs.numpy()] for law in model.distributions]
        return model.priors.detach().numpy(), *(np.stack(part) for part in zip(*parts, strict=True))

    return call


# The work


def error(data, begins, referee):
    """The largest difference from what the `referee`, who is not timed, makes of these starts, beside the largest."""

    @cache
    def right():
        call = referee()
        return [call(data.numpy(), *parts(begin)) for begin in begins]

    def largest(found):
        pairs = ((a, b) for one, other in zip(found, right(), strict=False) for a, b in zip(one, other, strict=True))
        return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)

    return largest


def iterations(n, d, components, number, peer, referee):
    """From a `number` of starts. As in scikit-learn, and in `fit`, the objective is found once more at the end."""
    data = clusters(n, d, components)
    begin, theirs = start(data, components, number, generator=generator("benchmarks: starts")), peer()
    begins = [begin[i] for i in range(number)]

    def ours():
        model = ascend(partial(step, data), begin, steps=STEPS, tolerance=0).model
        return list(zip(*parts(model), strict=True))

    def loop():
        return [theirs(data.numpy(), *parts(one)) for one in begins]

    return Work(ours, loop, error(data, begins[:4], referee))


# The rows


NUMPY, SKLEARN = "NumPy and SciPy, one component after the other", "scikit-learn `GaussianMixture`"
ROWS = [
    Row(
        f"em-{d}-{components}",
        f"EM, {STEPS} iterations, {components} components in {d} dimensions, n = 10⁵",
        NUMPY if peer is numpy_loop else SKLEARN,
        partial(iterations, 100_000, d, components, 1, peer, referee),
        goal=goal,
        within=1e-10,
        relative="the largest",
        limit=LIMITS.get((d, components), ""),
    )
    for d, peer, referee, goals in (
        (2, numpy_loop, sklearn_mixture, {2: 0.25, 16: 0.12}),
        (16, sklearn_mixture, numpy_loop, {2: 0.6, 16: 0.25}),
    )
    for components, goal in goals.items()
]
ROWS += [
    Row(
        f"em-{d}-{components}-pomegranate",
        f"EM, {STEPS} iterations, {components} components in {d} dimensions, n = 10⁵",
        "pomegranate `GeneralMixtureModel`",
        partial(iterations, 100_000, d, components, 1, pomegranate_mixture, numpy_loop),
        within=1e-10,
        relative="the largest",
    )
    for d, components in ((2, 16), (16, 2))
]
ROWS.append(
    Row(
        "em-restarts",
        f"EM, {STEPS} iterations from 32 starts, 4 components in 2 dimensions, n = 10⁴",
        f"{SKLEARN}, one start after the other",
        partial(iterations, 10_000, 2, 4, 32, sklearn_mixture, numpy_loop),
        goal=0.1,
        within=1e-10,
        relative="the largest",
    )
)

"""Kullback-Leibler divergence, in nats."""

import torch

from helpers.quadrature import integrate
from helpers.validation import a_function, above_zero, alike, asymmetric, broadcastable, fail, not_negative

__all__ = ["kl", "kl_discrete", "kl_gaussians", "kl_multivariate"]


def kl(log_p, log_q, edges, tolerance=1e-10):
    r"""$\mathrm{KL}(p\|q) = \int p\,\log\frac pq$ by quadrature on the panels between `edges`, shape (panels + 1,),
    or, in d dimensions, a tuple of d such vectors.

    `log_p` and `log_q` map nodes, shape (m,) or (m, d), to log densities, shape (..., m). The edges must enclose the
    mass of p; where p = 0 (log_p = -inf) nothing is added. Raises `ValueError` where the panels are too coarse, where
    the mass of p on them is not 1 within 1e-8, and where the divergence is infinite.
    """
    a_function(log_p, "log_p")
    a_function(log_q, "log_q")

    def integrands(x):
        log_density = log_p(x)
        p = log_density.exp()
        terms = torch.where(p > 0, p * (log_density - log_q(x)), 0.0)
        return torch.stack(torch.broadcast_tensors(p, terms))

    mass, divergence = integrate(integrands, edges, tolerance)
    off = (mass - 1).abs()
    if (off > 1e-8).any():
        fail("log_p, edges", "a density whose mass the panels hold", f"a mass of {mass.flatten()[off.argmax()]:.10g}")
    return divergence


def kl_discrete(p, q):
    r"""$\sum_k p_k \log\frac{p_k}{q_k}$ over the last axis of two probability vectors, shape (..., outcomes).

    Outcomes with $p_k = 0$ add nothing; the divergence is infinite where $q_k = 0 < p_k$. Raises `ValueError` for
    negative entries, and where `p` does not sum to one (`q` may lack the mass of outcomes that are not listed).
    """
    p, q = broadcastable(p=p, q=q)
    if p.shape[-1:] != q.shape[-1:] or p.ndim == 0:
        fail("p, q", "vectors of the same outcomes", f"shapes {tuple(p.shape)} and {tuple(q.shape)}")
    not_negative(p, "p")
    not_negative(q, "q")
    if ((p.sum(-1) - 1).abs() > 1e-6).any() or (q.sum(-1) > 1 + 1e-6).any():
        fail("p, q", "sums of 1, and of at most 1", f"{p.sum(-1).tolist()}, {q.sum(-1).tolist()}")
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(-1)


def kl_gaussians(mean_p, variance_p, mean_q, variance_q):
    r"""$\mathrm{KL}(\mathcal N(\mu,\sigma^2)\|\mathcal N(m,s^2))
    = \frac12\left(\frac{\sigma^2}{s^2} - 1 - \log\frac{\sigma^2}{s^2} + \frac{(\mu-m)^2}{s^2}\right)$, elementwise.

    Raises `ValueError` for a variance of zero or less.
    """
    mean_p, variance_p, mean_q, variance_q = broadcastable(
        mean_p=mean_p, variance_p=variance_p, mean_q=mean_q, variance_q=variance_q
    )
    above_zero(variance_p, "variance_p")
    above_zero(variance_q, "variance_q")
    deviation = variance_q.sqrt()
    ratio = variance_p.sqrt() / deviation  # unlike its square, representable
    return 0.5 * (ratio**2 - 1 - 2 * ratio.log() + ((mean_p - mean_q) / deviation) ** 2)


def kl_multivariate(mean_p, covariance_p, mean_q, covariance_q):
    r"""$\mathrm{KL}(\mathcal N(\mu_0,\Sigma_0)\|\mathcal N(\mu_1,\Sigma_1))
    = \frac12\big(\mathrm{tr}(\Sigma_1^{-1}\Sigma_0) + (\mu_1-\mu_0)^\top\Sigma_1^{-1}(\mu_1-\mu_0)
    - d + \log\frac{\det\Sigma_1}{\det\Sigma_0}\big)$ in d dimensions.

    Means, shape (..., d); covariances, shape (..., d, d); leading axes are broadcast. Returns shape (...). Raises
    `ValueError` for a covariance that is not symmetric and positive definite. Source: Scornet, (105), (106).
    """
    mean_p, covariance_p, mean_q, covariance_q = alike(
        mean_p=mean_p, covariance_p=covariance_p, mean_q=mean_q, covariance_q=covariance_q
    )
    root_p, root_q = _root(covariance_p, mean_p, "covariance_p"), _root(covariance_q, mean_q, "covariance_q")
    if mean_p.shape[-1] != mean_q.shape[-1]:
        fail("mean_p, mean_q", "means of one dimension", f"shapes {tuple(mean_p.shape)} and {tuple(mean_q.shape)}")
    broadcastable(mean_p=mean_p, mean_q=mean_q)
    between, shift = _white(root_q, root_p), 2 * _white(root_q, (mean_q / 2 - mean_p / 2)[..., None])
    log_ratio = 2 * (root_q.diagonal(dim1=-2, dim2=-1).log() - root_p.diagonal(dim1=-2, dim2=-1).log()).sum(-1)
    return 0.5 * ((between**2).sum((-2, -1)) + (shift**2).sum((-2, -1)) - mean_p.shape[-1] + log_ratio)


def _white(root, columns):
    r"""$L^{-1}A$, by way of columns whose largest entry is 1: of one that overflows, no other entry becomes NaN."""
    largest = columns.detach().abs().amax((-2, -1), keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return torch.linalg.solve_triangular(root, columns / largest, upper=False) * largest


def _root(covariance, mean, name):
    """The Cholesky factor of a covariance that goes with this `mean`."""
    if mean.ndim == 0 or covariance.shape[-2:] != (mean.shape[-1], mean.shape[-1]):
        shapes = f"{tuple(covariance.shape)} beside a mean of shape {tuple(mean.shape)}"
        fail(name, "shape (..., d, d) beside a mean of shape (..., d)", shapes)
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any() or asymmetric(covariance).any():
        fail(name, "a symmetric, positive definite matrix", covariance.reshape(-1, *covariance.shape[-2:])[0].tolist())
    return root

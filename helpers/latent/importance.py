"""Importance sampling: estimates from log weights, each with its standard error and its bias."""

import math
from dataclasses import dataclass

import torch

from helpers.validation import alike, broadcastable, fail, moderate, real

__all__ = ["Estimate", "effective_size", "log_ratio", "plain", "self_normalised"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate's `value`, its `standard_error`, and its `bias` to first order in 1/L: to be subtracted, if anything.

    Both are themselves estimated from the weights, so they are of no use where the weights have no variance.
    """

    value: torch.Tensor
    standard_error: torch.Tensor
    bias: torch.Tensor


def plain(log_weights, values):
    r"""$\frac1L\sum_l w_l f_l$ for $\mathbb E_p f$, with $w_l = p(z_l)/q(z_l)$ and $z_l\sim q$; without bias.

    `log_weights`, shape (..., L), $\log w_l$ of normalised densities; $-\infty$ where $p(z_l) = 0$. `values`, the
    $f(z_l)$, broadcast against them. Returns an `Estimate` of shape (...), in units of f; its standard error is
    $s/\sqrt L$ with the deviation s of the products. It is infinite where the number itself is beyond the largest one.
    Raises `ValueError` for fewer than two weights, NaN, $+\infty$, a row of weights that are all zero, and values
    beyond 1e150. Source: CEDL, "Importance Sampling".
    """
    logs, values = _weighted(log_weights, values)
    size = logs.shape[-1]
    terms = size * logs.softmax(-1) * values
    mean = terms.mean(-1)
    error = torch.linalg.vector_norm(terms - mean[..., None], dim=-1) / math.sqrt(size * (size - 1))
    level = logs.logsumexp(-1) - math.log(size)
    value = mean.sign() * (level + mean.abs().log()).exp()
    return Estimate(value, (level + error.log()).exp(), torch.zeros_like(value))


def self_normalised(log_weights, values):
    r"""$\hat\mu = \sum_l w_l f_l$ with $w_l = \tilde r_l/\sum_m\tilde r_m$, for $\mathbb E_p f$ where the densities are
    known up to constants.

    `log_weights`, shape (..., L), $\log\tilde r_l = \log\tilde p(z_l) - \log\tilde q(z_l)$; `values`, the $f(z_l)$,
    broadcast against them. Returns an `Estimate` of shape (...), by the delta method: the standard error is
    $\big(\sum_l w_l^2(f_l-\hat\mu)^2\big)^{1/2}$, the bias $-\sum_l w_l^2(f_l-\hat\mu)$, which stands for
    $-\mathbb E_q[w^2(f-\mu)]/L$ with $w = p/q$. Errors as for `plain`. Source: CEDL, "Importance Sampling".
    """
    logs, values = _weighted(log_weights, values)
    shares = logs.softmax(-1)
    value = (shares * values).sum(-1)
    away = shares * (values - value[..., None])
    return Estimate(value, torch.linalg.vector_norm(away, dim=-1), -(shares * away).sum(-1))


def log_ratio(log_weights):
    r"""$\log\frac1L\sum_l\tilde r_l$, for $\log(Z_p/Z_q)$, in nats.

    `log_weights`, shape (..., L), $\log\tilde r_l$, as for `self_normalised`. Returns an `Estimate` of shape (...), by
    the delta method: with $v$ the relative variance of the weights, the standard error is $\sqrt{v/L}$, and the bias of
    the logarithm $-v/2L$; the ratio itself has none. Errors as for `plain`. Source: CEDL, "Importance Sampling".
    """
    logs = _weights(log_weights)
    size = logs.shape[-1]
    error = torch.linalg.vector_norm(size * logs.softmax(-1) - 1, dim=-1) / math.sqrt(size * (size - 1))
    return Estimate(logs.logsumexp(-1) - math.log(size), error, -(error**2) / 2)


def effective_size(log_weights):
    r"""$\big(\sum_l w_l\big)^2/\sum_l w_l^2$, from 1, where one weight is all, to L, where all are equal.

    `log_weights`, shape (..., L), up to a constant. Returns shape (...); its share of L tends to
    $1/(1+\chi^2(p\|q))$, where $\chi^2(p\|q) = \int(p-q)^2/q$. Errors as for `plain`.
    """
    return 1 / _weights(log_weights).softmax(-1).square().sum(-1)


def _weights(log_weights, **beside):
    """The log weights, a row of which may be zero in part; and what is given `beside`, as by `broadcastable`."""
    logs = real(log_weights, "log_weights")
    impossible = logs == -torch.inf
    finite = torch.where(impossible, torch.zeros_like(logs), logs)
    finite = finite if isinstance(log_weights, torch.Tensor) else finite.numpy()
    (logs, *beside) = broadcastable(log_weights=finite, **beside) if beside else alike(log_weights=finite)
    if logs.ndim == 0 or logs.shape[-1] < 2:
        fail("log_weights", "two or more along the last axis", f"shape {tuple(logs.shape)}")
    logs = logs.masked_fill(impossible.to(logs.device), -torch.inf)
    if (logs == -torch.inf).all(-1).any():
        fail("log_weights", "a weight above zero in every row", "weights that are all zero")
    return (logs, *beside) if beside else logs


def _weighted(log_weights, values):
    logs, values = _weights(log_weights, values=values)
    moderate(values, "values")
    return torch.broadcast_tensors(logs, values)

"""The Gaussian linear model, $y = X\\beta + \\varepsilon$ with $\\varepsilon \\sim \\mathcal N(0, \\sigma^2 I_n)$."""

import math

import torch

from helpers.validation import alike, fail, positive, tensor

__all__ = ["maximum_likelihood", "negative_log_likelihood"]


def negative_log_likelihood(design, response, coefficients, variance):
    r"""$\frac n2\log(2\pi\sigma^2) + \frac{1}{2\sigma^2}\|y - X\beta\|^2$ in nats.

    `design`, shape (n, d); `response`, shape (n,); `coefficients`, shape (d,); `variance`, a number above zero.
    """
    design, response, coefficients, variance = alike(
        design=design, response=response, coefficients=coefficients, variance=variance
    )
    design, response = _data(design, tensor(response, "response", ndim=1))
    coefficients = tensor(coefficients, "coefficients", shape=(design.shape[1],))
    variance = tensor(variance, "variance", ndim=0)
    positive(variance, "variance")
    squares = (response - design @ coefficients).square().sum()
    return len(response) / 2 * torch.log(2 * math.pi * variance) + squares / (2 * variance)


def maximum_likelihood(design, response):
    r"""$\hat\beta = (X^\top X)^{-1}X^\top y$ and $\hat\sigma^2 = \frac1n\|y - X\hat\beta\|^2$.

    `design`, shape (n, d), of rank d; `response`, shape (..., n), each row a data set on the same design. Returns
    tensors of shape (..., d) and (...). Raises `ValueError` for a design of lower rank (the maximiser is not unique)
    and for a response that the design fits exactly (the likelihood is unbounded). Source: Scornet, Exercise 2.
    """
    design, response = _data(design, response)
    unit = design.abs().amax(0)  # of each column, so that its size is no matter of rank
    design = design / torch.where(unit > 0, unit, 1.0)
    rank = torch.linalg.matrix_rank(design).item()
    if rank < design.shape[1]:
        fail("design", f"rank {design.shape[1]}, so that the maximiser is unique", f"rank {rank}")
    solution = torch.linalg.lstsq(design, response.reshape(-1, len(design)).mT).solution.mT
    coefficients = solution.reshape(*response.shape[:-1], design.shape[1])
    residuals = response - coefficients @ design.mT
    variance = residuals.square().mean(-1)
    terms = response.abs() + coefficients.abs() @ design.abs().mT
    rounding = torch.finfo(response.dtype).eps * terms.amax(-1)
    if (variance.sqrt() <= 8 * rounding).any():
        fail("response", "one that the design does not fit exactly", "residuals of zero")
    return coefficients / unit, variance


def _data(design, response):
    design, response = alike(design=design, response=response)
    design = tensor(design, "design", ndim=2)
    if response.ndim == 0 or response.shape[-1] != len(design):
        fail(
            "response",
            f"a last axis of {len(design)}, one number a row of the design",
            f"shape {tuple(response.shape)}",
        )
    return design, response

"""Scores of dependence, one pair or all pairs of bits at once, and chains of logistic regressions."""

from functools import cache, partial

import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.harness import Row, Work
from helpers.densities import autoregressive, dependence
from helpers.randomness import generator

TITLE = "Dependence and autoregressive models"
BLOCK = 500
PENALTIES = (0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0)


def pair(n):
    """Two numbers with a correlation of one half."""
    x, noise = torch.randn(2, n, generator=generator(f"benchmarks: a pair {n}"), dtype=torch.float64)
    return x, (x + 3**0.5 * noise) / 2


def all_pairs_of_data(x, y):
    """The mean-square statistic, each datum beside all others, in blocks that stay in the cache."""
    n, total = len(x), 0.0
    for start in range(0, n, BLOCK):
        left, lower = x <= x[start : start + BLOCK, None], y <= y[start : start + BLOCK, None]
        both = np.count_nonzero(left & lower, 1) / n
        total += np.square(both - np.count_nonzero(left, 1) * np.count_nonzero(lower, 1) / n**2).sum()
    return total


def mean_square(n):
    x, y = pair(n)
    theirs = partial(all_pairs_of_data, x.numpy(), y.numpy())
    right = cache(theirs)
    return Work(partial(dependence.mean_square, x, y), theirs, lambda found: abs(float(found) / right() - 1))


def with_pyvinecopulib(n):
    from pyvinecopulib.utils import wdm

    x, y = pair(n)
    theirs = partial(wdm, x.numpy(), y.numpy(), "hoeffding")

    def ours():
        return dependence.mean_square(x, y), dependence.hoeffding(x, y)

    right = cache(theirs)
    return Work(ours, theirs, lambda found: abs(float(found[1] if isinstance(found, tuple) else found) - right()))


@cache
def bits():
    return torch.tensor((load_digits().data >= 8).astype(float))


def tables():
    """Every pair of columns, by its table of two by two."""
    columns, found = bits().numpy().astype(int).T, np.ones((64, 64))
    varied = [j for j in range(64) if 0 < columns[j].sum() < len(columns[j])]
    for place, j in enumerate(varied):
        for m in varied[:place]:
            table = np.bincount(2 * columns[j] + columns[m], minlength=4).reshape(2, 2)
            found[j, m] = stats.chi2_contingency(table, correction=False).pvalue
    return found


def all_pairs():
    data, right = bits(), cache(tables)

    def ours():
        return dependence.binary_supremum(data).numpy(), dependence.binary_p_values(data).numpy()

    def error(found):
        return np.abs(np.tril((found[1] if isinstance(found, tuple) else found) - right(), -1)).max()

    return Work(ours, tables, error)


def regressions(data, penalties):
    """One regression for each column and penalty, with a column of ones so that the constant is penalised alike."""
    x, found = data.numpy(), np.zeros((len(penalties), 64, 65))
    for weights, penalty in zip(found, penalties, strict=True):
        for j in range(64):
            if not 0 < x[:, j].sum() < len(x):
                continue
            features = np.column_stack([np.ones(len(x)), x[:, :j]])
            model = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-6, max_iter=1000)
            weights[j, : j + 1] = model.fit(features, x[:, j]).coef_[0]
    return found


def chains(number):
    """Under one mask or seven, which differ in their penalties; columns that vary alone are compared."""
    data = bits()[:1400]
    penalties = torch.tensor(PENALTIES[2:3] if number == 1 else PENALTIES, dtype=torch.float64)
    masks = autoregressive.predecessors(range(64)).expand(number, 64, 64)
    varied = (data.sum(0) > 0) & (data.sum(0) < len(data))

    def objective(weights):
        a = torch.cat([torch.ones(len(data), 1), data], -1) @ weights.mT
        losses = (torch.nn.functional.softplus(a) - data * a).sum(-2)
        return ((losses + penalties[:, None] / 2 * weights.square().sum(-1)) * varied).sum(-1)

    @cache
    def right():
        return objective(torch.from_numpy(regressions(data, penalties.tolist())))

    def ours():
        found = autoregressive.fit(data, masks, penalties)
        return torch.cat([found.bias[..., None], found.weights], -1)

    def error(found):
        return (objective(torch.as_tensor(found)) / right() - 1).clamp_min(0).max().item()

    return Work(ours, partial(regressions, data, penalties.tolist()), error)


# The rows


LIMITS = {
    "vine": "The counts take one pass over the data for each bit of n, ten operations of NumPy each; the peer is one "
    "loop in C++.",
    "chains": "Half of the time is one product of matrices a step, at the speed of the machine.",
}
KINDS = {1: "one mask", 7: "seven masks"}
ROWS = [
    Row(
        "dependence-square",
        "Mean-square statistic, n = 10⁴",
        "NumPy, every datum beside every other",
        partial(mean_square, 10_000),
        goal=1 / 80,
        within=1e-12,
        relative="the statistic",
    )
]
ROWS += [
    Row(
        f"dependence-hoeffding-{n}",
        f"Mean-square statistic and Hoeffding's D, n = 10{power}",
        "pyvinecopulib `wdm`, which finds D alone",
        partial(with_pyvinecopulib, n),
        goal=goal,
        within=1e-12,
        relative="one",
        limit=LIMITS["vine"],
    )
    for n, power, goal in ((10_000, "⁴", 1.3), (100_000, "⁵", 1.4))
]
ROWS.append(
    Row(
        "dependence-bits",
        "Scores and p-values of all pairs of 64 columns of bits, n = 1797",
        "SciPy `chi2_contingency`, pair by pair where neither column is constant",
        all_pairs,
        goal=1 / 50,
        within=1e-12,
        relative="one",
    )
)
ROWS += [
    Row(
        f"chain-{number}",
        f"Ridge logistic chain, 1400 × 64, {KINDS[number]}",
        "scikit-learn `LogisticRegression`, one a column",
        partial(chains, number),
        goal=goal,
        within=1e-7,
        relative="the objective of the peer",
        limit=LIMITS["chains"],
    )
    for number, goal in ((1, 0.6), (7, 0.4))
]

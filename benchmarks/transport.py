"""Optimal transport: the line, entropic plans."""

from functools import partial

import numpy as np
import torch

from benchmarks.harness import Row, Work
from helpers.randomness import generator
from helpers.transport.entropic import sinkhorn, sinkhorn_points
from helpers.transport.line import wasserstein

TITLE = "Optimal transport"
WEIGHTED = (
    "Two sorts that also give the order, a merge of the levels, and a dozen passes over 2·10⁵ numbers, one of them for "
    "what rounding loses in the sums of the weights. POT merges in one pass of compiled code."
)
BATCH = (
    "All problems go on until the slowest has arrived: one has a point so far off that it takes 6778 iterations, where "
    "each of the others takes less than a hundred. POT stops each by itself, and at an error of 10⁻⁷ in L², which "
    "comes sooner than in L¹."
)


def normal(name, *shape):
    return torch.randn(shape, generator=generator(f"benchmarks: {name} {shape}"), dtype=torch.float64)


def shares(name, n):
    weights = torch.rand(n, generator=generator(f"benchmarks: {name} {n}"), dtype=torch.float64) + 0.1
    return weights / weights.sum()


def relative(value):
    """The relative error of a result, one number or several, against this value."""
    return lambda result: float((torch.as_tensor(result) / value - 1).abs().max())


def line(n, m, weighted=False):
    """W₁ of two samples, POT's call for samples of this kind."""
    import ot

    x, y = normal("line x", n), 1.3 * normal("line y", m) + 0.2
    a, b = (shares(name, size) if weighted else None for name, size in (("a", n), ("b", m)))
    arrays = [one if one is None else one.numpy() for one in (x, y, a, b)]
    expected = float(ot.wasserstein_1d(*arrays, p=1))
    return Work(
        lambda: wasserstein(x, y, 1.0, a, b).item(),
        lambda: ot.emd2_1d(*arrays, metric="cityblock") if n == m else ot.wasserstein_1d(*arrays, p=1),
        relative(expected),
    )


def many_lines():
    """Each pair by a call of its own, as SciPy has it."""
    from scipy.stats import wasserstein_distance

    x, y = normal("many x", 1000, 1000), normal("many y", 1000, 1000) + 0.5
    pairs = list(zip(x.numpy(), y.numpy(), strict=True))

    def theirs():
        return np.array([wasserstein_distance(one, other) for one, other in pairs])

    return Work(lambda: wasserstein(x, y), theirs, relative(torch.from_numpy(theirs())))


def scattered():
    """Two samples in the plane and their squared distances."""
    x, y = normal("sinkhorn x", 1000, 2), 0.7 * normal("sinkhorn y", 1000, 2) + 0.5
    return x, y, torch.cdist(x, y) ** 2


def entropic(reg):
    """To an error of 1e-7 in L¹; the plan against one that was carried on to 1e-12."""
    import ot

    _, _, cost = scattered()
    cost = cost / cost.mean()
    table, weights = cost.numpy(), np.full(1000, 1e-3)
    plan = sinkhorn(cost, reg, tolerance=1e-12, iterations=100_000).plan
    return Work(
        lambda: sinkhorn(cost, reg, tolerance=1e-7, iterations=100_000, relaxation=None).plan,
        lambda: ot.sinkhorn(weights, weights, table, reg, stopThr=1e-7, numItermax=100_000),
        lambda result: (torch.as_tensor(result) - plan).abs().sum().item(),
    )


def in_jax(reg=0.05):
    """OTT's kernel iterations with a relaxation, the fastest of its settings that were tried; compiled beforehand."""
    import jax
    from ott.geometry.geometry import Geometry
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.acceleration import Momentum
    from ott.solvers.linear.sinkhorn import Sinkhorn

    jax.config.update("jax_enable_x64", True)
    _, _, cost = scattered()
    cost = cost / cost.mean()
    plan = sinkhorn(cost, reg, tolerance=1e-12, iterations=100_000).plan
    options = {"threshold": 1e-7, "max_iterations": 100_000, "lse_mode": False, "momentum": Momentum(value=1.5)}
    solver, table = Sinkhorn(norm_error=1, **options), jax.numpy.asarray(cost.numpy())
    solve = jax.jit(lambda table: solver(LinearProblem(Geometry(cost_matrix=table, epsilon=reg))).matrix)
    solve(table).block_until_ready()
    return Work(
        lambda: sinkhorn(cost, reg, tolerance=1e-7, iterations=100_000, relaxation=None).plan,
        lambda: np.array(solve(table)),
        lambda result: (torch.as_tensor(result) - plan).abs().sum().item(),
    )


def by_annealing(reg=0.05):
    """To the error of the sums that geomloss leaves with its steps of .9."""
    from geomloss import SamplesLoss

    x, y, cost = scattered()
    cost = cost / 2
    epsilon = reg * cost.mean().item()
    options = {"p": 2, "blur": epsilon**0.5, "scaling": 0.9, "debias": False, "potentials": True}
    loss = SamplesLoss("sinkhorn", backend="tensorized", **options)

    def theirs():
        f, g = loss(x, y)
        return ((f.reshape(-1, 1) + g.reshape(1, -1) - cost) / epsilon).exp() / cost.numel()

    def error(plan):
        return sum((plan.sum(axis) - 1 / plan.shape[0]).abs().sum().item() for axis in (0, 1))

    left = error(theirs())
    return Work(lambda: sinkhorn(cost, epsilon, tolerance=left, relaxation=None).plan, theirs, error)


def batch():
    """Sixteen problems at once, against a loop."""
    import ot

    x, y = normal("batch x", 16, 200, 2), normal("batch y", 16, 200, 2) + 0.5
    cost = torch.cdist(x, y) ** 2
    weights, tables = np.full(200, 5e-3), cost.numpy()
    plans = sinkhorn(cost, 0.2, tolerance=1e-11, iterations=100_000, relaxation=None).plan

    def theirs():
        return np.stack(
            [ot.sinkhorn(weights, weights, table, 0.2, stopThr=1e-7, numItermax=100_000) for table in tables]
        )

    return Work(
        lambda: sinkhorn(cost, 0.2, tolerance=1e-7, relaxation=None).plan,
        theirs,
        lambda result: (torch.as_tensor(result) - plans).abs().sum((-2, -1)).max().item(),
    )


def without_a_table():
    """The largest error of a row sum's share, from a block of rows of the plan."""
    n = 20_000
    x, y = normal("points x", n, 3), 0.8 * normal("points y", n, 3) + 0.3
    reg = 0.05 * float((x**2).sum(1).mean() + (y**2).sum(1).mean())

    def error(result):
        f, g, _ = result
        rows = ((f[:200, None] + g - torch.cdist(x[:200], y) ** 2) / reg).exp().sum(1)
        return (rows * n - 1).abs().max().item()

    return Work(lambda: sinkhorn_points(x, y, reg, tolerance=1e-6, relaxation=None), None, error)


def on_the_line(key, work, peer, goal, limit="", **sizes):
    name, work = f"transport-line-{key}", f"W₁ on the line, {work}"
    return Row(name, work, peer, partial(line, **sizes), goal, 1e-12, limit=limit)


def by_scaling(reg, goal):
    work = f"Sinkhorn to 10⁻⁷ in L¹, 1000 × 1000, ε = {reg:g} of the mean cost"
    return Row(
        f"transport-sinkhorn-{reg:g}", work, "POT `sinkhorn`", partial(entropic, reg), goal, 1e-4, relative="mass"
    )


ROWS = [
    on_the_line("equal", "n = m = 10⁵", "POT `emd2_1d`", 0.6, n=10**5, m=10**5),
    on_the_line("unequal", "n = 10⁵, m = 7·10⁴", "POT `wasserstein_1d`", 0.75, n=10**5, m=70_000),
    on_the_line("weighted", "n = m = 10⁵, weighted", "POT `emd2_1d`", 0.5, WEIGHTED, n=10**5, m=10**5, weighted=True),
    Row(
        "transport-line-many",
        "W₁ on the line, 1000 pairs of 1000",
        "SciPy `wasserstein_distance`, a loop",
        many_lines,
        0.2,
        1e-12,
    ),
    by_scaling(0.05, 0.7),
    by_scaling(0.01, 0.45),
    Row(
        "transport-sinkhorn-jax",
        "Sinkhorn to 10⁻⁷ in L¹, 1000 × 1000, ε = 0.05 of the mean cost",
        "OTT `Sinkhorn`, compiled, relaxed",
        in_jax,
        0.7,
        1e-4,
        relative="mass",
    ),
    Row(
        "transport-sinkhorn-annealed",
        "Sinkhorn to the error of sums that the peer leaves, 1000 × 1000, ε = 0.05 of the mean cost",
        "geomloss `SamplesLoss`, tables, scaling .9, and the plan",
        by_annealing,
        0.7,
        5e-2,
        relative="mass",
    ),
    Row(
        "transport-sinkhorn-batch",
        "Sinkhorn to 10⁻⁷ in L¹, 16 problems of 200 × 200",
        "POT `sinkhorn`, a loop",
        batch,
        0.7,
        1e-4,
        relative="mass",
        limit=BATCH,
    ),
    Row(
        "transport-points",
        "Sinkhorn to 10⁻⁶ in L¹, 2·10⁴ × 2·10⁴ points in space, no table",
        "",
        without_a_table,
        quantity="seconds",
    ),
]

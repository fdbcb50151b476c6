"""Density estimation: kernel sums, the choice of a bandwidth, histograms, nearest neighbours."""

import math
from functools import cache, partial

import numpy as np
import torch

from benchmarks.harness import Row, Work
from helpers.densities import bandwidth, histogram, kernel, neighbours
from helpers.randomness import generator

TITLE = "Density estimation"
REFERENCES = 300
GIB = 2**30


# Data


def normal(*shape):
    return torch.randn(shape, generator=generator(f"benchmarks: normal {shape}"), dtype=torch.float64)


def uniform(number, low, high):
    draws = torch.rand(number, generator=generator(f"benchmarks: uniform {number}"), dtype=torch.float64)
    return low + (high - low) * draws


def cauchy(number):
    return torch.tan(uniform(number, -math.pi / 2, math.pi / 2))


def covering(data, number):
    """An even grid a little wider than the data, as FFTKDE wants it."""
    return torch.linspace(data.min() - 0.5, data.max() + 0.5, number, dtype=torch.float64)


def whitened(data):
    """The data with covariance one: SciPy's kernel has theirs, so that it then is ours."""
    data = data - data.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(data.T.cov()), data.T, upper=False).T.contiguous()


# What is right: sums in float64, term by term, at some of the points


def away_from(right, places=slice(None)):
    """The largest error of a result at these `places`, relative to the largest value of `right()`, of the same places.

    What is right is found when it is first asked for: after the calls have been timed, and their memory read.
    """
    right = cache(right)
    return lambda found: ((torch.as_tensor(found)[places] - right()).abs().max() / right().abs().max()).item()


def some(points, number=REFERENCES):
    return slice(None, None, max(1, len(points) // number))


def direct_error(points, data, h, shape=kernel.GAUSSIAN, number=REFERENCES):
    """The error of densities at `points`, beside the sum over all data at a `number` of them, relative to the peak."""

    def density(point):
        u = (data - point) / h
        if data.ndim == 1:
            return shape(u).mean() / h
        return (-u.square().sum(1) / 2).exp().mean() / (h * math.sqrt(2 * math.pi)) ** data.shape[1]

    chosen = some(points, number)
    return away_from(lambda: torch.stack([density(point) for point in points[chosen]]), chosen)


# Peers of the kernel estimate: each function imports its library and returns the call


def scipy_kde():
    from scipy.stats import gaussian_kde

    def call(points, data, h):
        spread = data.std(ddof=1) if data.ndim == 1 else 1.0
        return gaussian_kde(data.T, bw_method=h / spread)(points.T)

    return call


def sklearn_kde(name="gaussian", **options):
    from sklearn.neighbors import KernelDensity

    def call(points, data, h):
        estimate = KernelDensity(bandwidth=h, kernel=name, **options).fit(data[:, None])
        return np.exp(estimate.score_samples(points[:, None]))

    return call


def fftkde():
    from KDEpy import FFTKDE

    return lambda points, data, h: FFTKDE(kernel="gaussian", bw=h).fit(data).evaluate(points)


def keops_kde():
    """A sum over all pairs in compiled code, never held as a matrix; the code is compiled before the clock starts."""
    from pykeops.numpy import LazyTensor

    def call(points, data, h):
        x, y = LazyTensor(points[:, None] / h), LazyTensor(data[None] / h)
        sums = (-((x - y) ** 2).sum(-1) / 2).exp().sum(1)[:, 0]
        return sums / (len(data) * (h * math.sqrt(2 * math.pi)) ** data.shape[1])

    return call


# Kernel estimates


def on_the_line(peer, n, m, h, shape=kernel.GAUSSIAN, grid=False, **options):
    data = normal(n)
    points, theirs = covering(data, m) if grid else uniform(m, -4, 4), peer()
    return Work(
        ours=lambda: kernel.density(points, data, h, shape, **options),
        theirs=lambda: theirs(points.numpy(), data.numpy(), h),
        error=direct_error(points, data, h, shape),
    )


def in_space(peer, dimension, h):
    data, points, theirs = whitened(normal(10_000, dimension)), normal(2_000, dimension), peer()
    return Work(
        ours=lambda: kernel.density(points, data, h),
        theirs=lambda: theirs(points.numpy(), data.numpy(), h),
        error=direct_error(points, data, h),
    )


def on_a_grid(h):
    """Every fifth line of the peer's grid of 496 by 496 is one of our grid of 100 by 100."""
    data, theirs = normal(100_000, 2), fftkde()
    fine = covering(data, 496)
    axis, nodes, few = fine[::5], torch.cartesian_prod(fine, fine).numpy(), slice(1, None, 8)
    error = direct_error(torch.cartesian_prod(axis[few], axis[few]), data, h)
    return Work(
        ours=lambda: kernel.density_on_grid([axis, axis], data, h, tolerance=1e-6),
        theirs=lambda: theirs(nodes, data.numpy(), h).reshape(496, 496)[::5, ::5],
        error=lambda found: error(torch.as_tensor(found)[few, few].flatten()),
    )


def in_memory(draw, shape=kernel.GAUSSIAN):
    data, points, h = draw(10_000_000), uniform(1_000_000, -4, 4), 0.1
    error = direct_error(points, data, h, shape, number=20)
    return Work(ours=lambda: kernel.density(points, data, h, shape), theirs=None, error=error)


def squared_errors():
    """The integral is the sum over the 512 points, on both sides."""
    samples, h = normal(1000, 10_000), 0.17
    axis, theirs = covering(samples, 512), fftkde()
    truth, step = kernel.GAUSSIAN(axis), (axis[1] - axis[0]).item()

    def ours():
        return (kernel.densities(axis, samples, h, tolerance=4e-5) - truth).square_().sum(1) * step

    def loop():
        points, density, found = axis.numpy(), truth.numpy(), np.empty(len(samples))
        for i, sample in enumerate(samples.numpy()):
            away = theirs(points, sample, h) - density
            found[i] = away @ away * step
        return found

    def right():
        found = [kernel.GAUSSIAN((axis[:, None] - sample) / h).mean(1) / h for sample in samples[few]]
        return (torch.stack(found) - truth).square().sum(1) * step

    few = some(samples, 4)
    return Work(ours, loop, away_from(right, few))


# The choice of a bandwidth


BANDWIDTHS = torch.logspace(math.log10(0.03), 0, 50, dtype=torch.float64)


def cross_validation(peer):
    data, few = normal(1_000), some(BANDWIDTHS, 7)

    def total(h):
        return kernel.GAUSSIAN((data[:, None] - data) / h).sum() / (len(data) * h)

    return Work(
        ours=lambda: bandwidth.cross_validation(data, BANDWIDTHS),
        theirs=lambda: peer(data.numpy(), BANDWIDTHS.numpy()),
        error=away_from(lambda: scores(total, len(data), BANDWIDTHS[few]), few),
    )


def large_cross_validation():
    """Too many pairs for a plain sum: the reference is the estimate at the data, which itself is held to plain sums."""
    data, few = normal(100_000), some(BANDWIDTHS, 7)

    def total(h):
        return kernel.density(data, data, h, tolerance=1e-15).sum()

    error = away_from(lambda: scores(total, len(data), BANDWIDTHS[few]), few)
    return Work(lambda: bandwidth.cross_validation(data, BANDWIDTHS), None, error)


def scores(total, n, bandwidths):
    """Cross-validation from `total(h)`, the sum of the estimate over the n data."""
    at_zero = 1 / math.sqrt(2 * math.pi)
    return torch.stack(
        [total(math.sqrt(2) * h) / n - 2 * (total(h) - at_zero / h) / (n - 1) for h in bandwidths.tolist()]
    )


def all_pairs(data, bandwidths):
    """As it is usually written: n by n exponentials, twice a bandwidth."""
    n, squares, found = len(data), np.subtract.outer(data, data) ** 2, []
    for h in bandwidths:
        wide = np.exp(-squares / (4 * h**2)).sum() / math.sqrt(4 * math.pi)
        pairs = (np.exp(-squares / (2 * h**2)).sum() - n) / math.sqrt(2 * math.pi)
        found.append(wide / (n * n * h) - 2 * pairs / (n * (n - 1) * h))
    return np.array(found)


def half_of_the_pairs(data, bandwidths, block=2**14):
    """The best we know in NumPy: each pair once, block by block in cache, and one exponential for both kernels."""
    n, (i, j) = len(data), np.triu_indices(len(data), 1)
    squares, buffer = (data[i] - data[j]) ** 2, np.empty(block)
    wide, pairs = np.zeros(len(bandwidths)), np.zeros(len(bandwidths))
    for start in range(0, len(squares), block):
        part = squares[start : start + block]
        values = buffer[: len(part)]
        for k, h in enumerate(bandwidths):
            np.multiply(part, -1 / (4 * h**2), out=values)
            np.exp(values, out=values)
            wide[k] += values.sum()
            pairs[k] += values @ values
    wide = (n + 2 * wide) / math.sqrt(4 * math.pi)
    return wide / (n * n * bandwidths) - 4 * pairs / (math.sqrt(2 * math.pi) * n * (n - 1) * bandwidths)


# Histograms


def histogram_errors(cells=50):
    """Samples of the density 2x on the unit interval."""
    samples = uniform(10_000_000, 0, 1).sqrt().view(1000, 10_000)
    edges = torch.linspace(0, 1, cells + 1, dtype=torch.float64)
    masses, few = edges.square().diff(), some(samples)

    def errors(counts):
        return histogram.integrated_squared_error(counts, masses, 1 / cells, square_integral=4 / 3)

    def loop():
        return errors(np.stack([np.histogram(one, bins=cells, range=(0.0, 1.0))[0] for one in samples.numpy()]))

    def right():
        below = [torch.searchsorted(one.sort().values, edges) for one in samples[few]]
        return errors(torch.stack(below).diff())

    return Work(lambda: errors(histogram.counts(samples, cells)), loop, away_from(right, few))


def histogram_mise(cells=75, n=10_000, number=1000):
    """Normal observations; the cells reach to six standard deviations, and those at the ends hold what is beyond."""
    width, square_integral = 12 / cells, 1 / (2 * math.sqrt(math.pi))
    edges = torch.linspace(-6, 6, cells + 1, dtype=torch.float64)
    edges[0], edges[-1] = -math.inf, math.inf
    masses = torch.special.ndtr(edges).diff()

    def mean_error(counts):
        return histogram.integrated_squared_error(counts, masses, width, square_integral).mean()

    def draw_and_count():
        source, row = generator("benchmarks: draws"), torch.empty(n, dtype=torch.float32)
        place, counts = row.numpy(), np.empty((number, cells))
        for target in counts:
            row.normal_(generator=source)
            np.add(place, 6, out=place)
            np.multiply(place, 1 / width, out=place)
            np.clip(place, 0, cells - 1, out=place)
            target[:] = np.bincount(place.astype(np.intp), minlength=cells)
        return mean_error(counts)

    return Work(
        ours=lambda: mean_error(histogram.draw_counts(masses, n, number, generator("benchmarks: counts"))),
        theirs=draw_and_count,
        error=away_from(lambda: histogram.mise(masses, n, width, square_integral), ...),
    )


# Nearest neighbours


def faiss_search(k):
    """Exhaustive, by products of matrices, in float32: the library knows no other precision."""
    from faiss import IndexFlatL2

    def call(points, data):
        index = IndexFlatL2(data.shape[1])
        index.add(data)
        return np.sqrt(index.search(points, k)[0][:, -1])

    return call


def tree_search(k):
    from scipy.spatial import cKDTree

    def call(points, data):
        tree = cKDTree(data, balanced_tree=False, compact_nodes=False)
        return tree.query(points, [k], workers=-1)[0][:, 0]

    return call


def nearest(m, k=50):
    data, points = normal(2, 100_000)
    points, few, theirs = points[:m], some(points[:m]), tree_search(k)

    def right():
        return torch.stack([(data - point).abs().kthvalue(k).values for point in points[few]])

    given = points.numpy()[:, None], data.numpy()[:, None]
    return Work(lambda: neighbours.radius(points, data, k), lambda: theirs(*given), away_from(right, few))


def nearest_in_space(peer, dimension, dtype=torch.float64, m=1000, k=50):
    data, points, theirs = normal(100_000, dimension), normal(m, dimension), peer(k)
    given, few = [one.to(dtype).numpy() for one in (points, data)], some(points, 50)

    def right():
        return torch.stack([(data - point).square().sum(1).kthvalue(k).values.sqrt() for point in points[few]])

    return Work(lambda: neighbours.radius(points, data, k), lambda: theirs(*given), away_from(right, few))


# The rows


SCIPY, SKLEARN, FFT = "SciPy `gaussian_kde`", "scikit-learn `KernelDensity`", "KDEpy `FFTKDE`"
PASSES = "`np.bincount` takes about a nanosecond a datum for each sum, and does not share them between threads."
LIMITS = {
    "tree": "At so narrow a bandwidth the tree visits few data and needs a second; ours takes 2 ms at any bandwidth.",
    "grid": f"Five sums over the data are half of our time: {PASSES} The exchange among 450 boxes is a quarter; boxes "
    "twice as wide were tried and cost as much.",
    "coarse": f"Two sums over the data are a third of our time: {PASSES} The rest is some eighty array operations on "
    "vectors that fit the cache.",
    "small": "Some eighty array operations on short vectors take 0.35 ms whatever the bandwidth, while SciPy is faster "
    "at wide ones.",
    "compact": "Sorting takes 3.8 ms on this machine, half of our time, and took 0.4 ms on another; each of two to "
    "five look-ups of all windows takes 0.2 ms, whatever the bandwidth; "
    "NumPy's sort and search were tried and are faster than PyTorch's. At narrow bandwidths the peer's time is the "
    "building of its tree, and with the rectangular kernel it takes whole branches at once.",
    "space": "Ours is at its best on both cores, and there what else runs on the machine decides: other runs gave 0.11 "
    "to 0.19.",
    "many": f"Three sums over each sample are half of our time: {PASSES}",
    "counts": "Counting alone takes 11 of the peer's 72 µs a sample; finding the cells and the check that all data are "
    "inside take as long again.",
}
SIZES = "n = 10⁵, m = 10⁴"

ROWS = []

for h in (0.02, 0.1, 0.3):
    work = f"Gaussian kernel on the line, {SIZES} points anywhere, h = {h}"
    goal = dict(goal=1 / 2000, within=1e-12)
    call = partial(on_the_line, n=100_000, m=10_000, h=h)
    tree = partial(sklearn_kde, rtol=1e-8, leaf_size=200)
    ROWS += [
        Row(f"line-scipy-{h}", work, SCIPY, partial(call, scipy_kde), **goal),
        Row(f"line-sklearn-{h}", work, f"{SKLEARN}, `rtol=1e-8`", partial(call, tree), **goal, limit=LIMITS["tree"]),
    ]

for h in (0.02, 0.1, 0.3):
    work = f"Gaussian kernel on the line, {SIZES} points of a grid, h = {h}"
    call = partial(on_the_line, fftkde, 100_000, 10_000, h, grid=True)
    ROWS += [
        Row(f"grid-{h}", work, FFT, partial(call, tolerance=1e-10), 1.6, 1e-12, limit=LIMITS["grid"]),
        Row(
            f"grid-coarse-{h}",
            f"{work}, coarsely",
            FFT,
            partial(call, tolerance=3e-5),
            0.7,
            1e-6,
            limit=LIMITS["coarse"],
        ),
    ]

for h in (0.02, 0.1, 0.3):
    work = f"Gaussian kernel on the line, n = 1000, m = 500, h = {h}"
    call = partial(on_the_line, scipy_kde, 1000, 500, h)
    ROWS.append(Row(f"small-{h}", work, SCIPY, call, goal=0.1, within=1e-12, limit=LIMITS["small"]))

for shape, name in (kernel.RECTANGULAR, "tophat"), (kernel.TRIANGULAR, "linear"), (kernel.EPANECHNIKOV, "epanechnikov"):
    for h in (1e-4, 1e-2, 0.5):
        work = f"{shape.name.capitalize()} kernel on the line, {SIZES}, h = {h}"
        leaf_size = 200 if h == 0.5 and name != "tophat" else 40  # whichever is the faster
        tree = partial(sklearn_kde, name, rtol=0, breadth_first=False, leaf_size=leaf_size)
        call = partial(on_the_line, tree, 100_000, 10_000, h, shape)
        ROWS.append(Row(f"{shape.name}-{h}", work, SKLEARN, call, 1 / 80, 1e-11, limit=LIMITS["compact"]))

for dimension, h in ((2, 0.3), (8, 0.6)):
    work = f"Gaussian kernel in {dimension} dimensions, n = 10⁴, m = 2000, h = {h}"
    goal = {"goal": 0.15, "within": 1e-12, "limit": LIMITS["space"]}
    ROWS += [
        Row(f"space-{dimension}", work, SCIPY, partial(in_space, scipy_kde, dimension, h), **goal),
        Row(f"space-{dimension}-keops", work, "PyKeOps `LazyTensor`", partial(in_space, keops_kde, dimension, h)),
    ]

for h in (0.1, 0.2, 0.3):
    work = f"Gaussian kernel on a grid of 100 × 100, n = 10⁵, h = {h}"
    ROWS.append(Row(f"plane-{h}", work, f"{FFT} on 496 × 496", partial(on_a_grid, h), goal=0.6, within=1e-6))

ROWS += [
    Row(
        "squared-errors",
        "Squared errors of 1000 kernel estimates from 10⁴ data each, on 512 points",
        f"{FFT}, one after the other",
        squared_errors,
        goal=0.3,
        within=1e-6,
        relative="the largest",
        limit=LIMITS["many"],
    ),
    Row(
        "lscv-plain",
        "Cross-validation at 50 bandwidths, n = 1000",
        "NumPy, all pairs",
        partial(cross_validation, all_pairs),
        goal=1 / 100,
        within=1e-10,
        relative="the largest",
    ),
    Row(
        "lscv-best",
        "Cross-validation at 50 bandwidths, n = 1000",
        "NumPy, each pair once, in cache",
        partial(cross_validation, half_of_the_pairs),
        goal=None,
        within=1e-10,
        relative="the largest",
    ),
    Row(
        "lscv-large",
        "Cross-validation at 50 bandwidths, n = 10⁵",
        "",
        large_cross_validation,
        goal=5e-3,
        within=1e-10,
        quantity="seconds",
        relative="the largest",
    ),
    Row(
        "histogram-errors",
        "Squared errors of 1000 histograms from 10⁴ data each",
        "`np.histogram`, one after the other",
        histogram_errors,
        goal=0.25,
        within=1e-12,
        relative="the largest",
        limit=LIMITS["counts"],
    ),
    Row(
        "histogram-mise",
        "Their mean where no data are given: 1000 draws of the counts of 10⁴ normals",
        "PyTorch and NumPy, drawing and counting 10⁷ normals in float32",
        histogram_mise,
        goal=0.1,
        within=0.03,
        relative="the exact mean",
    ),
]

for m, text in ((100_000, "10⁵"), (10_000, "10⁴")):
    work = f"Distance to the 50th neighbour on the line, n = 10⁵, m = {text}"
    ROWS.append(
        Row(f"knn-{m}", work, "SciPy `cKDTree`", partial(nearest, m), goal=0.25, within=0, relative="the largest")
    )

for dimension in (8, 16):
    work = f"Distance to the 50th neighbour in {dimension} dimensions, n = 10⁵, m = 1000"
    for key, peer, name, dtype in (
        ("scipy", tree_search, "SciPy `cKDTree`", torch.float64),
        ("faiss", faiss_search, "faiss `IndexFlatL2`, in float32", torch.float32),
    ):
        ROWS.append(Row(f"knn-{key}-{dimension}", work, name, partial(nearest_in_space, peer, dimension, dtype)))

for name, draw, shape in (
    ("Gaussian kernel, normal data", normal, kernel.GAUSSIAN),
    ("Epanechnikov kernel, normal data", normal, kernel.EPANECHNIKOV),
    ("Gaussian kernel, Cauchy data", cauchy, kernel.GAUSSIAN),
):
    key = "-".join(["memory", shape.name, draw.__name__])
    call = partial(in_memory, draw, shape)
    ROWS.append(Row(key, f"{name}, n = 10⁷, m = 10⁶, h = 0.1", "", call, goal=2 * GIB, within=1e-12, quantity="memory"))

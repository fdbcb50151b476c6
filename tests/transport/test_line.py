"""Transport on the line: beside exact transport, SciPy and closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from helpers.transport.exact import transport
from helpers.transport.line import wasserstein

POINTS = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=1, max_size=6)


@pytest.mark.parametrize("p", [1, 1.5, 2, 7])
@pytest.mark.parametrize(("n", "m", "weighted"), [(8, 8, False), (8, 5, False), (1, 6, True), (7, 7, True)])
def test_it_is_exact_transport(normal, p, n, m, weighted):
    x, y = normal("x", 3, n), normal("y", 3, m)
    a, b = ((normal(name, 3, size).exp() if weighted else torch.ones(3, size).double()) for name, size in zip(
        "ab", (n, m), strict=True))  # fmt: skip
    a, b = a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    found = wasserstein(x, y, p, *((a, b) if weighted else ()))
    for i in range(3):
        exact = transport((x[i, :, None] - y[i]).abs() ** p, a[i], b[i]).value ** (1 / p)
        assert found[i].item() == pytest.approx(exact.item(), rel=1e-12)


@given(POINTS, POINTS)
def test_it_is_scipys_distance(x, y):
    assert wasserstein(x, y).item() == pytest.approx(wasserstein_distance(x, y), abs=1e-12)


@given(POINTS, POINTS, st.floats(1, 6))
def test_it_is_a_distance_that_grows_with_p(x, y, p):
    assert wasserstein(x, x, p) == 0
    assert wasserstein(x, y, p).item() == pytest.approx(wasserstein(y, x, p).item(), abs=1e-12)
    assert wasserstein(x, y, p) >= wasserstein(x, y) - 1e-12


def test_a_shift_costs_its_length():
    x = torch.tensor([1.0, 3.0, 7.0], dtype=torch.float64)
    for p in (1, 2, 30):
        assert wasserstein(x, x + 2.5, p).item() == pytest.approx(2.5)
    assert wasserstein([0.0, 0.0], [1e200, 1e200], 3).item() == pytest.approx(1e200)


@pytest.mark.parametrize("p", [1, 2, 7, 30, 300])
def test_rounded_levels_and_points_without_mass_count_for_nothing(p):
    assert wasserstein([0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0, 2.0, 2.0], p) == 0
    tenths = [0.1] * 10
    assert wasserstein([0.0] * 10 + [1e9], [1.0], p, [*tenths, 0.0], [1.0]).item() == pytest.approx(1, rel=1e-14)
    assert wasserstein([-1e9] + [0.0] * 10, [1.0], p, [0.0, *tenths], [1.0]).item() == pytest.approx(1, rel=1e-14)
    points = torch.arange(10_000.0).double()
    shares = torch.full((10_000,), 1e-4, dtype=torch.float64)
    assert wasserstein(points, points.repeat_interleave(3), p, shares, shares.repeat_interleave(3) / 3) == 0


def test_single_precision_keeps_its_levels(normal):
    x, y = normal("x", 30_000), normal("y", 29_000) + 1
    single = wasserstein(x.float(), y.float(), 2)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(wasserstein(x, y, 2).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0], [2.0], 0.5), "p"),
        (([1.0, float("inf")], [2.0]), "x"),
        (([[1.0]], [2.0]), "x, y"),
        (([1.7e308], [-1.7e308]), "x, y"),
        (([1.0, 2.0], [2.0], 1, [0.5, 0.6]), "x_weights"),
        (([1.0, 2.0], [2.0], 1, [1.5, -0.5]), "x_weights"),
        (([1.0, 2.0], [2.0], 1, None, [0.5, 0.5]), "y_weights"),
    ],
)
def test_bad_input_is_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        wasserstein(*arguments)

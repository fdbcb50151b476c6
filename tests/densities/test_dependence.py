import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.densities.dependence import (
    binary_p_values,
    binary_supremum,
    hoeffding,
    limit_survival,
    mean_square,
    p_value,
    supremum,
)
from helpers.randomness import generator

PAIRS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-3, 3).map(float), min_size=n, max_size=n)] * 2)
)
# Part of the table in Blum, Kiefer and Rosenblatt (1961), of the law of half of pi^4 n B
TABLE = {
    1.1: 0.5297, 1.2: 0.4565, 1.5: 0.2924, 2.0: 0.1453, 2.5: 0.0762, 2.85: 0.0496, 3.0: 0.0414, 3.5: 0.0230,
    4.0: 0.0130, 4.25: 0.0098, 4.5: 0.0074, 5.0: 0.0042, 5.5: 0.0025, 6.0: 0.0014, 7.0: 0.0005, 8.5: 0.0001,
}  # fmt: skip


def gaps(x, y):
    """The difference of the distribution functions at every pair of numbers of the data, and at the data."""
    x, y = np.asarray(x), np.asarray(y)
    left, lower = x <= x[:, None], y <= y[:, None]  # by (where, which datum)
    both = left.astype(float) @ lower.T / len(x)
    grid = both - left.mean(1)[:, None] * lower.mean(1)
    return grid, grid.diagonal()


@settings(deadline=None, max_examples=200)
@given(PAIRS)
def test_both_statistics_are_those_of_the_definition_with_ties_too(pair):
    x, y = pair
    grid, at_data = gaps(x, y)
    assert supremum(x, y).item() == pytest.approx(math.sqrt(len(x)) * np.abs(grid).max(), abs=1e-12)
    assert mean_square(x, y).item() == pytest.approx((at_data**2).sum(), abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 65, 500])
def test_both_statistics_of_continuous_data(normal, n):
    x, y = normal("x", n), normal("y", n)
    grid, at_data = gaps(x, y)
    assert supremum(x, y).item() == pytest.approx(math.sqrt(n) * np.abs(grid).max(), rel=1e-12, abs=1e-14)
    assert mean_square(x, y).item() == pytest.approx((at_data**2).sum(), rel=1e-12, abs=1e-14)


def test_the_supremum_may_stand_where_no_datum_is():
    x, y = [1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 2.0, 3.0]
    grid, at_data = gaps(x, y)
    assert np.abs(at_data).max() < np.abs(grid).max()
    assert supremum(x, y).item() == pytest.approx(2 * np.abs(grid).max(), rel=1e-14)


@pytest.mark.parametrize("statistic", [supremum, mean_square, hoeffding])
def test_a_score_knows_ranks_alone_and_no_order_of_the_two(normal, statistic):
    x, y = normal("x", 3, 60), normal("y", 3, 60)
    found = statistic(x, y)
    assert torch.equal(statistic(x.exp(), y**3), found)
    torch.testing.assert_close(statistic(y, x), found, rtol=1e-13, atol=0)


@pytest.mark.parametrize("statistic", [supremum, mean_square, hoeffding, p_value])
def test_leading_axes_hold_pairs(normal, statistic):
    x, y = normal("x", 4, 3, 30), normal("y", 4, 3, 30)
    found = statistic(x, y)
    assert (found.shape, found.dtype) == ((4, 3), torch.float64)
    assert found[2, 1] == statistic(x[2, 1], y[2, 1])
    assert statistic(x[0, 0].float(), y[0, 0].float()).dtype == torch.float32


def test_hoeffdings_d_is_the_mean_over_all_orders_of_five(normal):
    """Of the kernel that he defines it by."""
    n = 8
    x, y = normal("x", n).numpy(), normal("y", n).numpy()
    five = np.array([p for p in np.ndindex(*(n,) * 5) if len(set(p)) == 5])
    above = [x[five[:, :1]] >= x[five], y[five[:, :1]] >= y[five]]
    first, second = ((a[:, 1] * 1.0 - a[:, 2]) * (a[:, 3] * 1.0 - a[:, 4]) for a in above)
    assert hoeffding(x, y).item() == pytest.approx(30 / 4 * (first * second).mean(), rel=1e-12)


def test_hoeffdings_d_of_equal_and_of_opposite_ranks():
    x = torch.arange(50.0)
    assert hoeffding(x, x).item() == pytest.approx(1, rel=1e-12)
    assert hoeffding(x, -x).item() == pytest.approx(1, rel=1e-12)


def test_pairs_of_bits_by_one_product():
    data = (torch.rand(3, 200, 5, generator=generator("bits")) < 0.3).double()
    found = binary_supremum(data)
    for k in range(3):
        for j in range(5):
            for m in range(5):
                assert found[k, j, m].item() == pytest.approx(supremum(data[k, :, j], data[k, :, m]).item(), abs=1e-14)


def test_p_values_of_bits_are_those_of_scipy():
    draw = generator("p-values")
    data = (torch.rand(300, 6, generator=draw) < 0.3).double()
    data[:, 1] = torch.where(torch.rand(300, generator=draw) < 0.2, 1 - data[:, 0], data[:, 0])
    found = binary_p_values(data)
    for j in range(6):
        for m in range(6):
            table = [[((data[:, j] == a) & (data[:, m] == b)).sum().item() for b in (0, 1)] for a in (0, 1)]
            right = stats.chi2_contingency(table, correction=False).pvalue
            assert found[j, m].item() == pytest.approx(right, rel=1e-11, abs=1e-300)


def test_a_constant_column_has_no_score_and_is_not_rejected():
    data = torch.tensor([[0.0, 1, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]])
    assert binary_supremum(data)[1].tolist() == [0, 0, 0]
    assert binary_p_values(data)[1].tolist() == [1, 1, 1]


def test_the_limit_law_is_that_of_the_printed_table():
    values = np.array(list(TABLE))
    found = limit_survival(values * 2 / math.pi**4).numpy()
    np.testing.assert_allclose(found, list(TABLE.values()), atol=0.6e-4)


def test_the_limit_law_has_the_moments_of_its_weights():
    """Mean (pi^2 / 6)^2 / pi^4 = 1/36, variance 2 (pi^4 / 90)^2 / pi^8 = 1/4050, by integrals of the survival."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t, w = (nodes + 1) / 2 * 0.5, weights / 4
    beyond = limit_survival(t).numpy()
    mean, square = w @ beyond, 2 * w @ (t * beyond)
    assert mean == pytest.approx(1 / 36, rel=1e-9)
    assert square - mean**2 == pytest.approx(1 / 4050, rel=1e-9)


def test_the_limit_law_far_out_has_the_tail_of_its_largest_weight():
    """exp(-t / 2w) over the root of t, times a constant, where w is the largest weight: a quotient of two."""
    t = torch.tensor([6.0, 12.0], dtype=torch.float64)
    found = limit_survival(t).log()
    expected = -(math.pi**4) / 2 * 6 - 0.5 * math.log(2)
    assert (found[1] - found[0]).item() == pytest.approx(expected, abs=1e-3)


def test_the_limit_law_at_its_ends():
    assert limit_survival([1e-300, 1e-4, 1e300, 20.0]).tolist() == pytest.approx([1, 1, 0, 0], abs=1e-12)


def test_p_values_of_independent_data_are_spread_evenly():
    draw = generator("even")
    x, y = torch.rand(2, 2000, 200, generator=draw, dtype=torch.float64)
    assert stats.kstest(p_value(x, y).numpy(), "uniform").statistic < 0.06


def test_data_whose_statistic_is_zero_have_the_p_value_one():
    assert p_value([1.0, 2.0], [2.0, 1.0]).item() == pytest.approx(1.0, abs=1e-12)
    assert p_value([1.0], [1.0]).item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: supremum([1.0, 2.0], [1.0]), "x, y"),
        (lambda: mean_square(1.0, 1.0), "x, y"),
        (lambda: hoeffding([1.0, 2, 3, 4], [1.0, 2, 3, 4]), "x, y"),
        (lambda: hoeffding([1.0, 2, 3, 4, 4], [1.0, 2, 3, 4, 5]), "x"),
        (lambda: p_value([1.0, 2, 3], [1.0, 1, 2]), "y"),
        (lambda: limit_survival([0.0]), "t"),
        (lambda: binary_supremum([[0.0, 2.0]]), "data"),
        (lambda: binary_p_values([0.0, 1.0]), "data"),
    ],
)
def test_what_is_no_pair_is_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name}: wanted"):
        call()

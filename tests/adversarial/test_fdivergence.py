import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from torch.distributions import Normal

from helpers.adversarial.fdivergence import GAN, TABLE, between_densities, discrete
from helpers.divergence import kl_gaussians

ROWS = [pytest.param(row, id=name) for name, row in TABLE.items()]
SMOOTH = [pytest.param(row, id=name) for name, row in TABLE.items() if row.curvature < math.inf]
GAMES = [pytest.param(GAN, id="GAN")]
LINE = torch.linspace(-40, 40, 161, dtype=torch.float64)
SYMPY = {
    "Kullback-Leibler": "u*log(u)",
    "reverse Kullback-Leibler": "-log(u)",
    "Jensen-Shannon": "(u*log(u) - (u + 1)*log((u + 1)/2))/2",
    "Pearson": "(u - 1)**2",
    "squared Hellinger": "(sqrt(u) - 1)**2",
    "Neyman": "(u - 1)**2/u",
    "Jeffreys": "(u - 1)*log(u)",
    "total variation": "Abs(u - 1)/2",
}
ENDS = {  # f(0) and f'(∞)
    "Kullback-Leibler": (0, math.inf),
    "reverse Kullback-Leibler": (math.inf, 0),
    "Jensen-Shannon": (math.log(2) / 2, math.log(2) / 2),
    "Pearson": (1, math.inf),
    "squared Hellinger": (1, 1),
    "Neyman": (math.inf, 1),
    "Jeffreys": (math.inf, math.inf),
    "total variation": (0.5, 0.5),
}


def bell(mean, deviation):
    return Normal(torch.tensor(mean, dtype=torch.float64), deviation).log_prob


def power(order, mean_p, s, mean_q, t):
    """The integral of p^a q^(1-a) for normal laws, a closed form where it is finite."""
    precision = order / s**2 + (1 - order) / t**2
    assert precision > 0
    centre = order * mean_p / s**2 + (1 - order) * mean_q / t**2
    rest = order * mean_p**2 / s**2 + (1 - order) * mean_q**2 / t**2
    return math.exp((centre**2 / precision - rest) / 2) / (s**order * t ** (1 - order) * math.sqrt(precision))


@pytest.mark.parametrize("row", ROWS)
def test_f_slope_and_curvature_are_those_of_the_formula(row):
    u = sympy.Symbol("u", positive=True)
    f = sympy.sympify(SYMPY[row.name], {"u": u})
    at = torch.tensor([0.01, 0.3, 0.9, 1.7, 40.0], dtype=torch.float64)
    values = [[float(one.subs(u, k)) for k in at.tolist()] for one in (f, sympy.diff(f, u))]
    np.testing.assert_allclose(row.f(at), values[0], rtol=1e-12)
    np.testing.assert_allclose(row.derivative(at), values[1], rtol=1e-12)
    assert row.f(1.0).item() == 0
    if row.curvature < math.inf:
        assert row.curvature == pytest.approx(float(sympy.diff(f, u, 2).subs(u, 1)))


@pytest.mark.parametrize("row", ROWS)
def test_both_ends(row):
    assert (row.at_zero, row.at_infinity) == pytest.approx(ENDS[row.name])
    assert row.f(0.0).item() == pytest.approx(row.at_zero)
    if row.at_infinity < math.inf:
        assert row.f(1e12).item() / 1e12 == pytest.approx(row.at_infinity, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_the_conjugate_is_a_supremum(row):
    u = torch.linspace(-40, 40, 400_001, dtype=torch.float64).exp()
    for t in (-5.0, -2.5, -1.0, -0.4, 0.0, 0.2, 0.34, 0.49, 0.9):
        found, largest = row.conjugate(t).item(), (t * u - row.f(u)).max().item()
        if found < math.inf:
            assert largest == pytest.approx(found, abs=1e-7)
        else:
            assert t >= row.domain[1]
            assert (t * u - row.f(u)).diff()[-100:].min() > 0


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_equality_of_young_at_the_derivative(row):
    u = torch.tensor([0.05, 0.6, 1.0, 2.5, 30.0], dtype=torch.float64)
    t = row.derivative(u)
    torch.testing.assert_close(row.conjugate(t), t * u - row.f(u), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("row", SMOOTH + GAMES)
def test_the_conjugate_can_be_differentiated(row):
    u = torch.tensor([0.05, 0.6, 1.0, 2.5, 30.0], dtype=torch.float64)
    t = row.derivative(u).requires_grad_()
    (slope,) = torch.autograd.grad(row.conjugate(t).sum(), t)
    torch.testing.assert_close(slope, u, rtol=1e-10, atol=0)


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_activations_increase_into_the_domain(row):
    v = torch.linspace(-15, 15, 301, dtype=torch.float64)
    t = row.activation(v)
    assert (t.diff() > 0).all()
    assert (t >= row.domain[0]).all()
    assert (t <= row.domain[1]).all()
    assert row.conjugate(t).isfinite().all()


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_a_pair_is_an_activation_and_its_conjugate_also_where_the_former_is_rounded(row):
    v = torch.linspace(-15, 15, 61, dtype=torch.float64)
    for one in (row, row.scaled(3)):
        T, dual = one.pair(v)
        torch.testing.assert_close(T, one.activation(v), rtol=0, atol=0)
        torch.testing.assert_close(dual, one.conjugate(T), rtol=1e-8, atol=1e-8)
    v = torch.tensor([-30.0, -20.0, 20.0, 30.0], requires_grad=True)  # in single precision
    T, dual = row.pair(v)
    (slope,) = torch.autograd.grad((T - dual).sum(), v)
    assert dual.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_a_multiple_is_a_row(row):
    twice, u = row.scaled(2), torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64)
    t = twice.derivative(u)
    torch.testing.assert_close(twice.f(u), 2 * row.f(u))
    torch.testing.assert_close(twice.conjugate(t), t * u - twice.f(u), rtol=1e-12, atol=1e-12)
    assert twice.curvature == 2 * row.curvature
    assert twice.name == f"2 × {row.name}"
    with pytest.raises(ValueError, match="factor: wanted a number above zero, got 0"):
        row.scaled(0)


def test_the_game_is_twice_jensen_shannon_less_log_4():
    p, q = torch.tensor([[0.1, 0.5, 0.4, 0.0], [0.3, 0.0, 0.6, 0.1]], dtype=torch.float64)
    expected = 2 * discrete(TABLE["Jensen-Shannon"], p, q) - math.log(4)
    torch.testing.assert_close(discrete(GAN, p, q), expected, rtol=1e-14, atol=0)
    v = torch.tensor([-30.0, -2.0, 0.0, 3.0, 30.0], dtype=torch.float64)
    torch.testing.assert_close(GAN.conjugate(GAN.activation(v)), torch.nn.functional.softplus(v))
    assert (GAN.at_zero, GAN.at_infinity) == (0, 0)


@pytest.mark.parametrize("row", ROWS + GAMES)
def test_f_and_the_terms_can_be_differentiated_at_equal_laws_and_where_one_has_no_mass(row):
    u = torch.tensor([0.05, 0.4, 0.9, 1.0, 1.1, 2.5, 30.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(row.f(u).sum(), u, create_graph=True)
    torch.testing.assert_close(slope, row.derivative(u.detach()), rtol=1e-12, atol=1e-14)
    if row.curvature < math.inf:
        (bend,) = torch.autograd.grad(slope.sum(), u)
        assert bend[3].item() == pytest.approx(row.curvature, rel=1e-12)
    ends = torch.tensor([[-math.inf, math.log(0.3), -math.inf], [math.log(0.3), -math.inf, -math.inf]])
    log_p, log_q = ends.double().requires_grad_()
    found = row.terms(log_p, log_q)
    counts = torch.tensor([row.at_zero, row.at_infinity, 0.0], dtype=torch.float64)
    finite = counts < math.inf
    slopes = torch.autograd.grad(found[finite].sum(), (log_p, log_q))
    torch.testing.assert_close((slopes[0] + slopes[1])[finite], 0.3 * counts[finite], rtol=1e-6, atol=1e-12)


WEIGHTS = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


@settings(deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_discrete_laws_against_scipy_and_sums(p, q):
    p, q = np.array(p) / np.sum(p), np.array(q) / np.sum(q)
    known = {
        "Kullback-Leibler": stats.entropy(p, q),
        "reverse Kullback-Leibler": stats.entropy(q, p),
        "Jensen-Shannon": jensenshannon(p, q) ** 2,
        "Pearson": ((p - q) ** 2 / q).sum(),
        "squared Hellinger": ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
        "Neyman": ((p - q) ** 2 / p).sum(),
        "Jeffreys": stats.entropy(p, q) + stats.entropy(q, p),
        "total variation": np.abs(p - q).sum() / 2,
    }
    for name, row in TABLE.items():
        assert discrete(row, p, q).item() == pytest.approx(known[name], rel=1e-9, abs=1e-12), name


@settings(deadline=None)
@given(WEIGHTS, WEIGHTS)
def test_no_divergence_is_below_zero_or_grows_when_outcomes_are_merged(p, q):
    p, q = (torch.tensor(one, dtype=torch.float64) / sum(one) for one in (p, q))
    merged = [torch.stack([one[:2].sum(), one[2:].sum()]) for one in (p, q)]
    for row in TABLE.values():
        fine, coarse = discrete(row, p, q).item(), discrete(row, *merged).item()
        assert fine >= coarse - 1e-12, row.name
        assert coarse >= -1e-15, row.name


@pytest.mark.parametrize("row", ROWS)
def test_outcomes_of_one_law_alone(row):
    found = discrete(row, [[0.0, 1.0], [0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    half, twice = row.f(0.5).item(), row.f(2.0).item()
    assert found.tolist() == pytest.approx([0, half + row.at_infinity / 2, (row.at_zero + twice) / 2])


@pytest.mark.parametrize("row", ROWS)
def test_disjoint_supports_and_a_swap(row):
    assert discrete(row, [1.0, 0.0], [0.0, 1.0]).item() == pytest.approx(row.at_zero + row.at_infinity)
    assert torch.equal(discrete(row, [0.3, 0.7], [[0.3, 0.7]] * 2), torch.zeros(2, dtype=torch.float64))


def test_normal_laws_against_closed_forms(device):
    s, t, gap = 1.1, 1.3, 0.7

    def p(x):
        return Normal(torch.tensor(0.0, dtype=torch.float64, device=device), s).log_prob(x)

    def q(x):
        return Normal(torch.tensor([[gap], [-gap]], dtype=torch.float64, device=device), t).log_prob(x)

    forward, reverse = (kl_gaussians(*one).item() for one in ((0, s**2, gap, t**2), (gap, t**2, 0, s**2)))
    known = {
        "Kullback-Leibler": forward,
        "reverse Kullback-Leibler": reverse,
        "Pearson": power(2, 0, s, gap, t) - 1,
        "Neyman": power(-1, 0, s, gap, t) - 1,
        "squared Hellinger": 2 - 2 * power(0.5, 0, s, gap, t),
        "Jeffreys": forward + reverse,
    }
    for name, value in known.items():
        found = between_densities(TABLE[name], p, q, LINE.to(device))
        assert found.device.type == device.type
        assert found.tolist() == pytest.approx([value] * 2, rel=1e-10), name


def test_total_variation_of_normal_laws_has_no_error_of_the_kink():
    gaps = torch.tensor([[0.01], [0.5], [1.0], [3.0], [12.0]], dtype=torch.float64)
    found = between_densities(TABLE["total variation"], bell(0.0, 1.0), Normal(gaps, 1.0).log_prob, LINE, 1e-12)
    np.testing.assert_allclose(found, 2 * stats.norm.cdf(gaps[:, 0] / 2) - 1, rtol=1e-12)
    wide = between_densities(TABLE["total variation"], bell(0.0, 1.0), bell(0.0, 2.0), LINE, 1e-12).item()
    cross = 2 * math.sqrt(2 * math.log(2) / 3)
    assert wide == pytest.approx(2 * (stats.norm.cdf(cross) - stats.norm.cdf(cross / 2)), rel=1e-12)


def test_laws_that_cross_at_a_node_or_nowhere():
    row, edges = TABLE["total variation"], torch.tensor([-9.0, 0.0, 9.0], dtype=torch.float64)
    fine = torch.linspace(-9, 9, 19, dtype=torch.float64)
    assert between_densities(row, bell(-0.25, 1.0), bell(0.25, 1.0), fine).item() == pytest.approx(
        2 * stats.norm.cdf(0.25) - 1, rel=1e-11
    )
    assert between_densities(row, bell(0.0, 1.0), bell(0.0, 1.0), edges, 1e-2).item() == 0


def test_laws_that_are_nearly_equal_keep_their_digits():
    for row in (TABLE[name] for name in ("Jensen-Shannon", "Jeffreys", "Pearson", "squared Hellinger")):
        near = between_densities(row, bell(0.0, 1.0), bell(1e-4, 1.0), LINE).item()
        assert near == pytest.approx(row.curvature / 2 * 1e-8, rel=1e-6)
        assert between_densities(row, bell(0.0, 1.0), bell(0.0, 1.0), LINE).item() == 0


def uniform(low, high):
    return lambda x: torch.where((x > low) & (x < high), -math.log(high - low), -math.inf)


@pytest.mark.parametrize("row", ROWS)
def test_uniform_laws_that_overlap_in_half(row):
    found = between_densities(row, uniform(0.0, 2.0), uniform(1.0, 3.0), [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    assert found.item() == pytest.approx((row.at_zero + row.at_infinity) / 2)


def test_an_infinite_pair_leaves_the_others_finite():
    def q(x):
        return torch.stack([uniform(0.0, 1.0)(x), uniform(-1.0, 3.0)(x)])

    found = between_densities(TABLE["Kullback-Leibler"], uniform(0.0, 2.0), q, [-1.0, 0.0, 1.0, 2.0, 3.0])
    assert found.tolist() == pytest.approx([math.inf, math.log(2)])


@pytest.mark.parametrize(("shift", "named"), [(0.1, "log_q"), (-0.1, "log_q")])
def test_a_density_of_another_mass_is_refused(shift, named):
    with pytest.raises(ValueError, match=f"{named}, edges: wanted a density whose mass the panels hold, got a mass of"):
        between_densities(TABLE["Pearson"], bell(0.0, 1.0), lambda x: bell(0.0, 1.0)(x) + shift, LINE)


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        ([0.5, 0.4], [0.5, 0.5], "p: wanted numbers that sum to 1, got a sum of 0.9"),
        ([0.5, 0.5], [0.5, 0.6], "q: wanted numbers that sum to 1, got a sum of 1.1"),
        ([-0.5, 1.5], [0.5, 0.5], "p: wanted numbers of at least 0, got -0.5"),
        ([0.5, 0.5], [1.0], "p, q: wanted vectors of the same outcomes"),
        (1.0, 1.0, "p, q: wanted vectors of the same outcomes"),
    ],
)
def test_what_is_no_law_is_refused(p, q, message):
    with pytest.raises(ValueError, match=message):
        discrete(TABLE["Pearson"], p, q)


def test_a_name_is_no_row():
    with pytest.raises(ValueError, match="divergence: wanted a FDivergence, got str"):
        discrete("Pearson", [0.5, 0.5], [0.5, 0.5])


@pytest.mark.parametrize("row", ROWS)
def test_bad_numbers_are_refused_by_name(row):
    for method, name, bad in (("f", "u", -1.0), ("derivative", "u", 0.0), ("conjugate", "t", math.nan)):
        with pytest.raises(ValueError, match=f"{name}: wanted "):
            getattr(row, method)(bad)
    for huge in (1e300, -1e300, 1e-300):
        assert not row.conjugate(huge).isnan()
        assert not row.activation(huge).isnan()
        assert not row.f(abs(huge)).isnan()


SMOOTH = [row for row in TABLE.values() if row.curvature != math.inf]


@pytest.mark.parametrize("row", SMOOTH, ids=lambda row: row.name)
def test_in_the_plane_the_divergence_of_laws_that_share_a_coordinate_is_that_of_the_other(row):
    def lift(log_density):
        return lambda x: log_density(x[:, 0]) + bell(0.5, 1.0)(x[:, 1])

    p, q = bell(0.0, 1.0), bell(0.5, 1.2)
    line = torch.linspace(-11, 11, 12, dtype=torch.float64)
    found = between_densities(row, lift(p), lift(q), (line, line))
    assert found.item() == pytest.approx(between_densities(row, p, q, line).item(), rel=1e-10)


def test_a_kink_in_a_box_is_refused():
    with pytest.raises(ValueError, match="^divergence: wanted one without a kink, in a box, got .*total variation"):
        between_densities(TABLE["total variation"], bell(0.0, 1.0), bell(0.5, 1.0), ([-1.0, 1.0], [-1.0, 1.0]))

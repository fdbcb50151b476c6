import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.mixture import GaussianMixture
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.latent import moments
from helpers.latent.mixture import FORMS, Mixture, fit, log_density, maximise, responsibilities, sample, start, step
from helpers.likelihood import ascend
from helpers.randomness import generator

PEERS = {"full": "full", "diagonal": "diag", "spherical": "spherical"}
BY_FORM = pytest.mark.parametrize("form", FORMS)
NAN, INF = float("nan"), float("inf")


def parts(mixture):
    return [part.cpu().double().numpy() for part in (mixture.weights, mixture.means, mixture.covariances)]


def matrices(mixture):
    """Weights, means and covariances, the latter as matrices, of one mixture."""
    weights, means, covariances = parts(mixture)
    d = means.shape[-1]
    if mixture.form == "full":
        return weights, means, covariances
    return weights, means, np.stack([np.diag(np.broadcast_to(one, d)) for one in covariances])


def log_terms(data, mixture):
    """By SciPy."""
    weights, *others = matrices(mixture)
    laws = (stats.multivariate_normal(m, c) for m, c in zip(*others, strict=True))
    with np.errstate(divide="ignore"):
        return np.log(weights) + np.stack([np.reshape(law.logpdf(data), -1) for law in laws], -1)


def plain_step(data, mixture, penalty=0.0):
    """An iteration by the formulas, one component after the other, and the objective before it."""
    data, terms, d = np.asarray(data), log_terms(data, mixture), data.shape[-1]
    total = special.logsumexp(terms, 1, keepdims=True)
    shares = np.exp(terms - total)
    mass, spread = shares.sum(0), []
    means = shares.T @ data / mass[:, None]
    for k, mean in enumerate(means):
        away = data - mean
        full = ((away.T * shares[:, k]) @ away + penalty * np.eye(d)) / mass[k]
        spread.append({"full": full, "diagonal": np.diag(full), "spherical": np.trace(full) / d}[mixture.form])
    inverses = sum(np.trace(np.linalg.inv(one)) for one in matrices(mixture)[2])
    return Mixture(mass / len(data), means, np.stack(spread)), total.sum() - penalty / 2 * inverses


def climb(data, mixture, number, by=step, **options):
    """The mixture after a `number` of steps, and the values on the way."""
    values = []
    for _ in range(number):
        mixture, value = by(data, mixture, **options)
        values.append(torch.as_tensor(value))
    return mixture, torch.stack(values)


def close(found, expected, tolerance=1e-9):
    for one, other in zip(parts(found), parts(expected) if isinstance(expected, Mixture) else expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


def clusters(normal, name, d=3, far=3.0, number=240):
    """Data around the origin and around two other points, on two sides of it, so `far` away."""
    data = normal(name, number, d) @ (torch.eye(d).double() + 0.3 * torch.ones(d, d).double().triu(1))
    data[number // 3 :] += far
    data[3 * number // 4 :] -= 2.5 * far
    return data


def some(normal, form, K=3, d=2, batch=()):
    """Some mixture of that form."""
    name = f"some {form} {K} {d} {batch}"
    root = normal(name, *batch, K, d, d)
    full = root @ root.mT + 0.3 * torch.eye(d).double()
    variances = full.diagonal(dim1=-2, dim2=-1)
    covariances = {"full": full, "diagonal": variances, "spherical": variances[..., 0]}[form]
    return Mixture(
        normal(f"{name} weights", *batch, K).softmax(-1), 2 * normal(f"{name} means", *batch, K, d), covariances
    )


# The density and the responsibilities


@pytest.mark.parametrize("d", [1, 2, 5])
@BY_FORM
def test_densities_and_responsibilities_are_those_of_scipy(normal, form, d):
    mixture, points = some(normal, form, d=d), 5 * normal(f"points {d}", 50, d)
    terms = log_terms(points, mixture)
    np.testing.assert_allclose(log_density(points, mixture), special.logsumexp(terms, 1), rtol=1e-11)
    shares = responsibilities(points, mixture)
    assert shares.shape == (50, 3)
    np.testing.assert_allclose(shares, special.softmax(terms, 1), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-14)


@BY_FORM
def test_each_of_several_mixtures_has_its_own_data_or_shares_them(normal, form):
    mixtures, data = some(normal, form, batch=(2, 3)), 2 * normal("batch", 2, 3, 40, 2)
    for at in [(i, j) for i in range(2) for j in range(3)]:
        for points, own in ((data, data[at]), (data[0, 0], data[0, 0])):
            for function in (log_density, responsibilities):
                torch.testing.assert_close(
                    function(points, mixtures)[at], function(own, mixtures[at]), rtol=1e-12, atol=0
                )
            for one, alone in zip(step(points, mixtures, 0.1), step(own, mixtures[at], 0.1), strict=True):
                if isinstance(one, Mixture):
                    close(one[at], alone, 1e-12)
                    shares = responsibilities(points, mixtures)
                    close(maximise(points, shares, form, 0.1)[at], alone, 1e-12)
                else:
                    torch.testing.assert_close(one[at], alone, rtol=1e-12, atol=0)


def test_a_vector_is_data_on_the_line(normal):
    data = normal("a vector", 30)
    for form in FORMS:
        mixture = some(normal, form, d=1)
        for function in (log_density, responsibilities):
            assert torch.equal(function(data, mixture), function(data[:, None], mixture))
        shares = responsibilities(data, mixture)
        close(maximise(data, shares, form), maximise(data[:, None], shares, form), 0)
        close(step(data, mixture)[0], maximise(data, shares, form), 1e-12)
    draw = partial(generator, "a vector")
    for function in (start, lambda *args, **kw: fit(*args, penalty=0.1, restarts=3, steps=9, **kw)[0]):
        close(function(data, 2, generator=draw()), function(data[:, None], 2, generator=draw()), 0)


@BY_FORM
def test_far_outliers_belong_to_somebody(normal, form):
    mixture, far = some(normal, form), np.array([[1e5, 0.0], [-1e7, 1e7], [0.0, 1e100], [1e120, -1e100]])
    shares = responsibilities(far, mixture)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-14)
    assert log_density(far, mixture).isfinite().all()
    data = np.concatenate([normal("near", 50, 2), far[:2]])
    new, value = step(data, mixture)
    close(new, plain_step(data, mixture)[0])
    assert value.isfinite()


@BY_FORM
def test_points_out_of_reach_have_no_density_and_no_component(normal, form):
    mixture = some(normal, form)
    for far in ([1e200, 0.0], [0.0, -1e200], [1.7e308, -1.7e308]):
        assert log_density([[0.0, 0.0], far], mixture)[1].item() == -INF
        aside = Mixture(mixture.weights, mixture.means + torch.tensor(far, dtype=torch.float64), mixture.covariances)
        for function, data, law in ((responsibilities, [[0.0, 0.0], far], mixture), (step, [[0.0, 0.0]], aside)):
            with pytest.raises(ValueError, match="data: wanted points with a finite log density, got one so far"):
                function(data, law)


def test_the_density_can_be_differentiated(normal):
    mixture, points = some(normal, "full"), normal("gradient", 5, 2).requires_grad_()
    (score,) = torch.autograd.grad(log_density(points, mixture).sum(), points)
    _, means, spread = (torch.from_numpy(part) for part in matrices(mixture))
    pull = torch.linalg.solve(spread, (means - points.detach()[:, None])[..., None])[..., 0]
    torch.testing.assert_close(score, (responsibilities(points.detach(), mixture)[..., None] * pull).sum(1))


# Iterations


@pytest.mark.parametrize("far", [2.0, 30.0, 300.0, 1e6])
@BY_FORM
def test_iterates_and_objective_are_those_of_scikit_learn(normal, form, far):
    """At 1e6, scikit-learn's diagonal and spherical variances, means of squares less squared means, are off by 1e-3."""
    data = clusters(normal, "clusters", far=far, number=600)
    begin = start(data, 3, 3, generator=generator(f"iterates {form} {far}"), form=form)
    found, values = climb(data, begin, 12)
    for i in range(3):
        close(found[i], climb(data, begin[i], 12, by=plain_step)[0])
        if far == 1e6 and form != "full":
            continue
        weights, means, covariances = parts(begin[i])
        precisions = np.linalg.inv(covariances) if form == "full" else 1 / covariances
        peer = GaussianMixture(
            3, covariance_type=PEERS[form], reg_covar=0, tol=0, max_iter=12, weights_init=weights, means_init=means,
            precisions_init=precisions,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(data.numpy())
        close(found[i], (peer.weights_, peer.means_, peer.covariances_))
        assert values[-1, i].item() / len(data) == pytest.approx(peer.lower_bound_, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("way", [-1.0, 0.5, INF])
@BY_FORM
def test_every_way_to_the_moments_leads_to_the_same_iterates(normal, monkeypatch, form, way, d):
    """By differences from old means and new, by those from old means alone where they are near, by features."""
    data = clusters(normal, f"ways {d}", d=d)
    begin = start(data, 4, 2, generator=generator("ways"), form=form)
    monkeypatch.setattr(moments, "FAR", way)
    monkeypatch.setattr(moments, "BLOCK", 1000)
    found, values = climb(data, begin, 10, penalty=0.01)
    for i in range(2):
        expected, objective = climb(data, begin[i], 10, by=partial(plain_step, penalty=0.01))
        close(found[i], expected)
        torch.testing.assert_close(values[:, i], objective, rtol=1e-10, atol=0)


def test_features_serve_near_means_and_differences_far_ones(normal, monkeypatch):
    used = []
    for name in ("_by_features", "_by_differences"):
        real = getattr(moments, name)
        monkeypatch.setattr(
            moments, name, lambda *args, real=real, name=name: used.append((name, len(args[1]))) or real(*args)
        )
    data = clusters(normal, "near or far", d=1)
    near, far = ([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0]), ([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1e-6])
    both = Mixture(*(torch.tensor([one, other]).double() for one, other in zip(near, far, strict=True)))
    step(data, both[:1])
    assert used == [("_by_features", 1)]
    used.clear()
    step(data, both)
    assert used[:2] == [("_by_features", 1), ("_by_differences", 1)]


@pytest.mark.parametrize("penalty", [0.0, 0.1])
@BY_FORM
def test_the_m_step_is_the_maximum(normal, form, penalty):
    """Nothing near is better: the derivative vanishes there."""
    data, shares = normal("m-step", 40, 2), normal("m-step shares", 40, 3).softmax(-1)
    found = maximise(data, shares, form, penalty)
    logits, means = found.weights.log().requires_grad_(), found.means.clone().requires_grad_()
    spread = found.covariances.clone().requires_grad_()
    full = spread if form == "full" else (spread if form == "diagonal" else spread[:, None].expand(3, 2)).diag_embed()
    away = data[:, None] - means
    square = (away * torch.linalg.solve(full, away[..., None])[..., 0]).sum(-1)
    terms = logits.log_softmax(-1) - (square + torch.logdet(full)) / 2
    value = (shares * terms).sum() - penalty / 2 * torch.linalg.inv(full).diagonal(dim1=-2, dim2=-1).sum()
    for slope in torch.autograd.grad(value, (logits, means, spread)):
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-10)


def test_with_one_component_a_step_ends_at_mean_and_covariance(normal):
    data = 1e3 + normal("one component", 60, 3) @ normal("one component: mixed", 3, 3)
    found, _ = step(data, Mixture([1.0], [[0.0, 0.0, 0.0]], [np.eye(3)]))
    close(found, ([1.0], data.mean(0)[None].numpy(), np.cov(data.T, bias=True)[None]), 1e-12)
    labels = torch.arange(60) % 2
    split = maximise(data, torch.nn.functional.one_hot(labels).double())
    for k in range(2):
        np.testing.assert_allclose(split.covariances[k], np.cov(data[labels == k].T, bias=True), rtol=1e-9)


PROBLEMS = st.tuples(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.sampled_from(FORMS))


def problem(seed, d, components, form):
    """Random data, lumpy ones at times, and a random start."""
    draw = torch.Generator().manual_seed(seed)
    data = torch.randn(30, d, generator=draw, dtype=torch.float64)
    data = data * (1 + 10 * torch.rand(30, 1, generator=draw, dtype=torch.float64) ** 8)
    data = data.round() if seed % 3 == 0 else data
    return data, start(data, components, 3, generator=draw, form=form)


@settings(deadline=None, max_examples=25)
@given(PROBLEMS, st.sampled_from([0.0, 1e-3, 1.0]))
def test_no_step_lowers_the_objective(problem_, penalty):
    data, mixture = problem(*problem_)
    _, values = climb(data, mixture, 15, penalty=penalty)
    for one in values.T:
        rises = one[one.isfinite()].diff() / one[one.isfinite()][1:].abs().clamp_min(1)
        assert (rises >= -1e-10).all()
        assert one.isfinite().all() or (penalty == 0 and (one[one.isfinite().sum() :] == INF).all())


@settings(deadline=None, max_examples=25)
@given(PROBLEMS, st.integers(0, 2**32))
def test_steps_follow_affine_maps_and_the_order_of_data_and_components(problem_, seed):
    data, mixture = problem(*problem_)
    draw, (d, components) = torch.Generator().manual_seed(seed), mixture.means.shape[:0:-1]
    if moments.collapsed(mixture.covariances, mixture.form, torch.float64).any():
        return
    new, value = step(data, mixture)
    shuffled, order = torch.randperm(len(data), generator=draw), torch.randperm(components, generator=draw)
    swapped = Mixture(mixture.weights[:, order], mixture.means[:, order], mixture.covariances[:, order])
    found, same = step(data[shuffled], swapped)
    close(found, (new.weights[:, order].numpy(), new.means[:, order].numpy(), new.covariances[:, order].numpy()))
    torch.testing.assert_close(same, value, rtol=1e-10, atol=1e-9)
    if mixture.form == "full":
        turn = torch.linalg.qr(torch.randn(d, d, generator=draw, dtype=torch.float64)).Q
        turn, shift = turn * (1 + torch.arange(d)), torch.randn(d, generator=draw, dtype=torch.float64)
        moved = Mixture(mixture.weights, mixture.means @ turn.T + shift, turn @ mixture.covariances @ turn.T)
        found, other = step(data @ turn.T + shift, moved)
        close(
            found,
            (new.weights.numpy(), (new.means @ turn.T + shift).numpy(), (turn @ new.covariances @ turn.T).numpy()),
        )
        torch.testing.assert_close(other, value - len(data) * math.lgamma(d + 1), rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("shape", [(1, 1), (63, 1), (64, 1), (65, 1), (100, 2), (64, 3), (3, 70), (2, 50, 2)])
def test_extremes_are_those_of_each_coordinate(normal, shape):
    data = normal("extremes", *shape).float()
    low, high = moments.extremes(data)
    assert torch.equal(low, data.double().amin(-2))
    assert torch.equal(high, data.double().amax(-2))


class Largest(TorchDispatchMode):
    """Notes the most numbers that any tensor made under it has."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else [found]:
            if isinstance(one, torch.Tensor):
                self.numel = max(self.numel, one.untyped_storage().nbytes() // 8)
        return found


@pytest.mark.parametrize("way", [-1.0, INF])
@BY_FORM
def test_nothing_is_larger_than_a_block_or_the_data(normal, monkeypatch, form, way):
    monkeypatch.setattr(moments, "FAR", way)
    monkeypatch.setattr(moments, "BLOCK", 2**12)
    data = normal("memory", 2500, 4)
    mixture = start(data, 8, 2, generator=generator("memory"), form=form)
    with Largest() as made:
        step(data, mixture)
        start(data, 8, 2, generator=generator("memory"), form=form)
    assert made.numel == data.numel()


# Collapse


def test_a_component_on_a_point_has_no_bound():
    data = [0.0, 1.0, 1.5, 3.0, 10.0]
    ascent = ascend(partial(step, data), Mixture([0.5, 0.5], [[0.0], [3.0]], [1e-3, 4.0]))
    assert ascent.values[-1].item() == INF
    assert not ascent.converged
    assert ascent.model.covariances[0] < 1e-28
    again, value = step(data, ascent.model)
    assert value == INF
    close(again, ascent.model, 0)


@BY_FORM
def test_neighbours_of_a_collapsed_mixture_climb_on(normal, form):
    data = clusters(normal, "neighbours", d=2)
    data[:20] = data[0]
    begin = start(data, 3, 3, generator=generator("neighbours"), form=form)
    weights, means, covariances = (part.clone() for part in (begin.weights, begin.means, begin.covariances))
    means[1, 0], covariances[1, 0] = data[0], covariances[1, 0] * 1e-8
    found, values = climb(data, Mixture(weights, means, covariances), 8)
    assert values[-1].isinf().tolist() == [False, True, False]
    for i in (0, 2):
        close(found[i], climb(data, begin[i], 8)[0], 1e-12)


@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_a_component_on_a_line_in_the_plane_has_no_bound(normal, turn):
    along = normal("a line", 100)
    line = torch.stack([along * math.cos(turn), along * math.sin(turn)], 1)
    data = torch.cat([line, normal("beside the line", 100, 2) + 8])
    begin = Mixture([0.5, 0.5], [[0.0, 0.0], [8.0, 8.0]], [np.eye(2), np.eye(2)])
    ascent = ascend(partial(step, data), begin)
    assert ascent.values[-1].item() == INF
    close(step(data, ascent.model)[0], ascent.model, 0)
    for form in ("diagonal", "spherical") if turn else ("spherical",):
        other = Mixture(begin.weights, begin.means, [[1.0, 1.0]] * 2 if form == "diagonal" else [1.0, 1.0])
        assert ascend(partial(step, data), other).converged
    assert ascend(partial(step, data, penalty=0.1), begin).converged


@BY_FORM
def test_a_singular_mixture_comes_back_as_it_was(form):
    flat = {"full": [[[1.0, 1.0], [1.0, 1.0]]], "diagonal": [[1.0, 0.0]], "spherical": [0.0]}[form]
    mixture = Mixture([1.0], [[0.0, 0.0]], flat)
    for penalty, limit in ((0.0, INF), (0.1, -INF)):
        found, value = step([[0.0, 0.0], [1.0, 2.0]], mixture, penalty)
        assert value == limit
        close(found, mixture, 0)


def test_a_component_that_loses_its_mass_stops_the_run(normal):
    data = normal("lost", 20, 1)
    for mixture in (
        Mixture([1.0, 0.0], [[0.0], [1.0]], [1.0, 1.0]),
        Mixture([0.5, 0.5], [[0.0], [1e4]], [1.0, 1.0]),
        Mixture([0.5, 0.5], [[0.0], [38.0]], [1.0, 1.0]),
    ):
        found, value = step(data, mixture)
        close(found, mixture, 0 if mixture.means[1] != 38 else INF)
        assert value.item() == pytest.approx(special.logsumexp(log_terms(data, mixture), 1).sum(), rel=1e-12)


# Starts


def test_starts_are_spread_out_as_k_means_plus_plus_says():
    data, number = torch.tensor([0.0, 1.0, 3.0, 7.0]).double(), 4000
    means = start(data, 2, number, generator=generator("k-means++")).means[..., 0]
    squares = (data[:, None] - data).square()
    law = squares / squares.sum(1, keepdim=True) / 4
    places = torch.stack([(means == x).double() for x in data])
    counts = torch.einsum("irk,jrk->ij", places[..., :1], places[..., 1:])
    assert counts.sum() == number
    assert counts.diagonal().sum() == 0
    apart = law > 0
    assert ((counts - number * law)[apart].square() / (number * law[apart])).sum() < stats.chi2(11).isf(1e-7)


@BY_FORM
def test_a_start_has_the_covariances_of_the_data_about_their_nearest_mean(normal, form):
    data = 100 + clusters(normal, "a start", d=2)
    begin = start(data, 3, 4, generator=generator("a start"), form=form)
    assert (begin.form, begin.weights.shape) == (form, (4, 3))
    assert (begin.weights == 1 / 3).all()
    for one in (begin[i] for i in range(4)):
        gaps = np.linalg.norm(data[:, None] - one.means, axis=-1)
        assert (gaps.min(0) == 0).all()
        rest = data - one.means[gaps.argmin(1)]
        full = rest.T @ rest / len(data)
        expected = {"full": full, "diagonal": full.diagonal(), "spherical": full.trace() / 2}[form]
        for spread in one.covariances:
            torch.testing.assert_close(spread, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
def test_duplicates_and_any_scale_start(scale):
    data = scale * torch.tensor([[0.0, 0.0]] * 50 + [[1.0, 0.0]] * 3 + [[0.0, 1.0]]).double()
    means = start(data, 3, 5, generator=generator("duplicates"), form="spherical").means
    assert (means.flatten(1).sort().values == scale * torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]).double()).all()
    with pytest.raises(ValueError, match="data: wanted 4 distinct points or more, got 3"):
        start(data, 4, generator=generator("duplicates"))


# Fits


@BY_FORM
def test_a_fit_is_the_best_of_its_runs(normal, form):
    data = clusters(normal, "fit", d=2)
    found, value = fit(data, 3, generator=generator("fit"), form=form, restarts=5)
    runs = ascend(partial(step, data), start(data, 3, 5, generator=generator("fit"), form=form))
    finite = runs.values[-1][runs.values[-1].isfinite()]
    assert found.form == form
    assert value.item() == pytest.approx(finite.max().item(), rel=1e-12)
    assert log_density(data, found).sum().item() == pytest.approx(value.item(), rel=1e-10)


def test_a_fit_finds_far_clusters(normal):
    data = clusters(normal, "far clusters", far=1e6)
    found, _ = fit(data, 3, generator=generator("far clusters"))
    for members in (data[:80], data[80:180], data[180:]):
        k = (found.means - members.mean(0)).norm(dim=1).argmin()
        np.testing.assert_allclose(found.means[k], members.mean(0), rtol=1e-12)
        np.testing.assert_allclose(found.covariances[k], np.cov(members.T, bias=True), rtol=1e-9)


def test_where_all_runs_collapse_a_fit_is_refused_and_a_penalty_helps(normal):
    line = normal("collapsed", 20)
    data = torch.stack([line, 2 * line], 1)
    with pytest.raises(RuntimeError, match="EM: a component has collapsed from each of 4 starts; a penalty would"):
        fit(data, 2, generator=generator("collapsed"), restarts=4)
    found, value = fit(data, 2, generator=generator("collapsed"), restarts=4, penalty=0.1)
    assert value.isfinite()
    assert step(data, found, 0.1)[1].item() == pytest.approx(value.item(), rel=1e-12)
    points = fit([0.0, 1.0, 5.0], 3, generator=generator("points"), penalty=0.01)[0]
    assert points.covariances.min() >= 0.01 / 3


def test_few_steps_leave_a_fit_on_its_way(normal):
    data = clusters(normal, "few steps")
    early, late = (fit(data, 3, generator=generator("few"), steps=n, restarts=3, tolerance=0)[1] for n in (1, 30))
    assert early < late


# Draws


@BY_FORM
def test_draws_have_the_moments_of_their_component(normal, form):
    mixture, number = some(normal, form), 60_000
    found, labels = sample(mixture, number, generator(f"draws {form}"))
    assert (found.shape, labels.shape) == ((number, 2), (number,))
    weights, means, spread = matrices(mixture)
    for k in range(3):
        own = found[labels == k].numpy()
        assert abs(len(own) - number * weights[k]) < 6 * math.sqrt(number * weights[k] * (1 - weights[k]))
        white = np.linalg.solve(np.linalg.cholesky(spread[k]), (own - means[k]).T)
        assert np.abs(white.mean(1)).max() < 6 / math.sqrt(len(own))
        assert np.abs(white @ white.T / len(own) - np.eye(2)).max() < 6 * math.sqrt(2 / len(own))


# Input


@pytest.mark.parametrize("own", [False, True])
@BY_FORM
def test_results_stay_on_the_device_and_the_precision_of_the_mixture(normal, form, own, device):
    data, begin = clusters(normal, "precision", d=2), some(normal, form, batch=(2,))
    data = torch.stack([data, data + 1]) if own else data
    expected, values = climb(data, begin, 5)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
        mixture = Mixture(*(part.to(device, dtype) for part in (begin.weights, begin.means, begin.covariances)))
        for points in (data.to(device, dtype), data.to(device), data.numpy(), data.tolist()):
            found, value = climb(points, mixture, 5)
            close(found, expected, tolerance)
            torch.testing.assert_close(value.cpu().double(), values, rtol=tolerance, atol=0)
        shares = responsibilities(points, mixture)
        again = maximise(data.to(shares), shares, form)
        close(again, step(points, mixture)[0], tolerance)
        everything = [
            found.weights,
            found.means,
            found.covariances,
            value,
            shares,
            log_density(points, mixture),
            again.means,
        ]
        draws = sample(mixture[0], 5, generator("precision", device))
        everything.append(draws[0])
        single = data[0] if own else data
        for options in ({"restarts": 2, "steps": 3}, {"restarts": 2, "penalty": 0.1}):
            best, objective = fit(
                single.to(device, dtype), 2, generator=generator("best", device), form=form, **options
            )
            everything += [best.means, best.covariances, objective]
        everything += [start(single.to(device, dtype), 2, generator=generator("begin", device), form=form).covariances]
        assert {(one.dtype, one.device.type) for one in everything} == {(dtype, device.type)}


def test_single_precision_far_from_the_origin_is_as_good_as_its_data(normal):
    data = (clusters(normal, "single", d=2) + 1000).float()
    begin = start(data.double(), 3, generator=generator("single"))
    single = Mixture(*(part.float() for part in (begin.weights, begin.means, begin.covariances)))
    expected, _ = climb(
        data.double(), Mixture(*(part.double() for part in (single.weights, single.means, single.covariances))), 1
    )
    found, _ = climb(data, single, 1)
    np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-6, atol=1e-6)


def test_lists_make_a_mixture_of_float64():
    mixture = Mixture([0.5, 0.5], np.zeros((2, 1)), [1, 4])
    assert {one.dtype for one in (mixture.weights, mixture.means, mixture.covariances)} == {torch.float64}
    assert (mixture.form, Mixture([1], [[0]], [[[1]]]).form, Mixture([1], [[0]], [[1]]).form) == (
        "spherical",
        *FORMS[:2],
    )
    new, _ = step([0, 1, 5], mixture)
    close(new, plain_step(np.array([[0.0], [1.0], [5.0]]), mixture)[0])


def test_several_mixtures_are_picked_apart(normal):
    several = some(normal, "full", batch=(4,))
    close(several[1], [part[1] for part in parts(several)], 0)
    close(several[1:3][1], several[2], 0)
    with pytest.raises(ValueError, match=r"mixture: wanted a leading axis of mixtures, got weights of shape \(3,\)"):
        several[0][0]


ONE = Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0])
ANY = torch.Generator()
PLANE = Mixture([1.0], [[0.0, 0.0]], [1.0])
BAD = [
    (lambda: Mixture([0.5, 0.6], [[0.0], [1.0]], [1.0, 1.0]), r"weights: wanted numbers that sum to 1, got sums 1\.1"),
    (lambda: Mixture([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0]), r"weights: wanted numbers of at least 0, got -0\.5"),
    (lambda: Mixture([0.5, NAN], [[0.0], [1.0]], [1.0, 1.0]), "weights: wanted finite numbers, got nan"),
    (lambda: Mixture([1.0], [[INF]], [1.0]), "means: wanted finite numbers, got inf"),
    (lambda: Mixture([1.0], [[0.0]], [-1.0]), r"covariances: wanted numbers of at least 0, got -1\.0"),
    (lambda: Mixture([1.0], [[0.0]], [[[-2.0]]]), r"covariances: wanted numbers of at least 0, got -2\.0"),
    (lambda: Mixture(1.0, [0.0], 1.0), r"weights, means: wanted shapes .*, got \(\) and \(1,\)"),
    (lambda: Mixture([1.0], [0.0], [1.0]), r"weights, means: wanted shapes .*, got \(1,\) and \(1,\)"),
    (lambda: Mixture([0.5, 0.5], [[0.0]], [1.0]), r"weights, means: wanted shapes .*, got \(2,\) and \(1, 1\)"),
    (lambda: Mixture([1.0], [[0.0, 0.0]], [1.0, 1.0]), r"covariances: .* means of shape \(1, 2\), got \(2,\)"),
    (lambda: Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.4, 1.0]]]), r"covariances: wanted symmetric .*, got \[\[1"),
    (lambda: log_density([NAN], ONE), "points: wanted finite numbers, got nan"),
    (lambda: log_density([], ONE), "points: wanted at least one number"),
    (lambda: log_density(1.0, ONE), r"points: wanted points in 1 dimension\(s\), got shape \(\)"),
    (lambda: log_density([[1.0, 2.0]], ONE), r"points: wanted points in 1 dimension\(s\), got shape \(1, 2\)"),
    (lambda: log_density([1.0], PLANE), r"points: wanted points in 2 dimension\(s\), got shape \(1, 1\)"),
    (lambda: log_density([[[1.0]]], ONE), r"points: wanted the leading axes of the mixture, \(\), got \(1,\)"),
    (lambda: log_density([1.0], "one"), "mixture: wanted a Mixture, got str"),
    (lambda: log_density([1.0], Mixture([1.0], [[0.0]], [0.0])), "covariances: wanted positive .*, got one"),
    (lambda: responsibilities([INF], ONE), "data: wanted finite numbers, got inf"),
    (lambda: responsibilities([1.0], PLANE), r"data: wanted points in 2 dimension\(s\)"),
    (lambda: responsibilities([[0.0, 1.0]], Mixture([1.0], [[0.0, 0.0]], np.ones((1, 2, 2)))), "that is singular"),
    (lambda: step([NAN], ONE), "data: wanted finite numbers, got nan"),
    (lambda: step([1.0], (1, 2, 3)), "mixture: wanted a Mixture, got tuple"),
    (lambda: step([1.0], ONE, -1.0), r"penalty: wanted numbers of at least 0, got -1\.0"),
    (lambda: step([1.0], ONE, [1.0]), r"penalty: wanted 0 dimension\(s\), got shape \(1,\)"),
    (lambda: step([1.0], ONE, NAN), "penalty: wanted finite numbers, got nan"),
    (lambda: maximise([1.0, 2.0], [[1.0]]), r"responsibilities: wanted shape \(\.\.\., 2, K\), got shape \(1, 1\)"),
    (lambda: maximise([1.0, 2.0], [1.0, 1.0]), r"responsibilities: wanted shape \(\.\.\., 2, K\), got shape \(2,\)"),
    (lambda: maximise([[[1.0], [2.0]]], [[1.0], [1.0]]), r"data: wanted the leading .*, \(\), got \(1,\)"),
    (lambda: maximise([1.0, 2.0], [[1.1, -0.1], [1.0, 0.0]]), r"responsibilities: wanted .* at least 0, got -0\.1"),
    (lambda: maximise([1.0, 2.0], [[1.0, 0.0], [1.0, 0.0]]), r"responsibilities, summed .* above zero, got 0"),
    (lambda: maximise([1.0], [[1.0]], "round"), r"form: wanted one of 'full', .*, got 'round'"),
    (lambda: maximise([1.0], [[1.0]], "full", -2.0), r"penalty: wanted numbers of at least 0, got -2\.0"),
    (lambda: start([1.0, 2.0], 0, generator=ANY), "components: wanted a whole number of at least 1, got 0"),
    (lambda: start([1.0, 2.0], 1, 0, generator=ANY), "number: wanted a whole number of at least 1, got 0"),
    (lambda: start([1.0, 2.0], 1, generator=ANY, form="tied"), r"form: wanted one of .*, got 'tied'"),
    (lambda: start([[[1.0]]], 1, generator=ANY), r"data: wanted 2 dimension\(s\), got shape \(1, 1, 1\)"),
    (lambda: start([1.0, 1.0], 2, generator=ANY), "data: wanted 2 distinct points or more, got 1"),
    (lambda: start([1.0, NAN], 1, generator=ANY), "data: wanted finite numbers, got nan"),
    (lambda: fit([1.0, 2.0], 1, generator=ANY, restarts=0), "restarts: wanted a whole number of at least 1, got 0"),
    (lambda: fit([1.0, 2.0], 1, generator=ANY, steps=0), "steps: wanted a whole number of at least 1, got 0"),
    (lambda: fit([1.0, 2.0], 1, generator=ANY, penalty=-1), "penalty: wanted numbers of at least 0, got -1"),
    (lambda: fit([1.0, 2.0], 1, generator=ANY, tolerance=-1), "tolerance: wanted numbers of at least 0, got -1"),
    (lambda: fit([1.0, 1.0], 2, generator=ANY), "data: wanted 2 distinct points or more, got 1"),
    (lambda: sample(ONE, 0, ANY), "number: wanted a whole number of at least 1, got 0"),
    (lambda: sample(ONE, 1, None), "generator: wanted a Generator, got NoneType"),
    (lambda: start([1.0, 2.0], 1, generator=3), "generator: wanted a Generator, got int"),
    (lambda: start([1e200, 2.0], 1, generator=ANY), r"data: wanted .* of at most 1e\+150 .*, got 1e\+200"),
    (lambda: sample(None, 1, None), "mixture: wanted a Mixture, got NoneType"),
    (lambda: sample(Mixture([1.0], [[0.0]], [0.0]), 1, None), "covariances: wanted positive definite matrices"),
    (lambda: sample(Mixture([[1.0]], [[[0.0]]], [[1.0]]), 1, ANY), r"mixture: wanted one .*, got .* \(1, 1\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

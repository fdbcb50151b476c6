import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from helpers.latent import helmholtz
from helpers.latent.helmholtz import (
    HelmholtzMachine,
    elbo,
    log_bound,
    log_evidence,
    log_normaliser,
    log_sum,
    overlaps,
    reweighted,
    states,
)
from helpers.randomness import generator

NAN, INF = float("nan"), float("inf")
SHAPES = [(3, 2), (4, 3, 2), (2, 3, 1, 2)]
EXACT = {"rtol": 1e-13, "atol": 1e-13}


def machine(sizes=(4, 3, 2), models=2, *, spread=1.0, device="cpu", **options):
    """One whose parameters are all away from zero."""
    draws = generator(f"machine {sizes} {models}", device)
    made = HelmholtzMachine(sizes, models, generator=draws, **{"dtype": torch.float64, **options})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += spread * torch.randn(parameter.shape, generator=draws, dtype=parameter.dtype, device=device)
    return made


def tables(made):
    r"""$\log p(x, h)$ and $\log q(h|x)$ of all images and hidden states, shape (models, images, hidden states), written
    out by matrices and logarithms of probabilities, a model and a state at a time."""
    layers = [states(units).numpy() for units in made.sizes]
    shape = [len(one) for one in layers]
    log_p, log_q = np.empty((2, made.models, *shape))
    number = lambda one, model: one[model].detach().numpy()  # noqa: E731
    for model in range(made.models):
        down = [(number(net.weights[0], model), number(net.biases[0], model)[0]) for net in made.down]
        up = [(number(net.weights[0], model), number(net.biases[0], model)[0]) for net in made.up]
        for index in np.ndindex(*shape):
            h = [layer[i] for layer, i in zip(layers, index, strict=True)]
            p = chance(number(made.prior, model)[0], h[-1])
            q = 1.0
            for level in range(len(h) - 1):
                p *= chance(h[level + 1] @ down[level][0] + down[level][1], h[level])
                q *= chance(h[level] @ up[level][0] + up[level][1], h[level + 1])
            log_p[(model, *index)], log_q[(model, *index)] = math.log(p), math.log(q)
    flat = made.models, shape[0], -1
    return torch.from_numpy(log_p).reshape(flat), torch.from_numpy(log_q).reshape(flat)


def chance(odds, layer):
    return (1 / (1 + np.exp(np.where(layer == 1, -odds, odds)))).prod()


def everything(made):
    """All images and all hidden states beside one another, as `log_joint` takes them."""
    rows = [torch.arange(2**units) for units in made.sizes]
    grid = [one.flatten() for one in torch.meshgrid(*rows, indexing="ij")]
    x, *hidden = (states(units)[one] for units, one in zip(made.sizes, grid, strict=True))
    return x, [one.expand(made.models, 1, -1, -1) for one in hidden]


# Laws


@pytest.mark.parametrize("sizes", SHAPES)
def test_both_laws_are_those_of_the_table(sizes):
    made = machine(sizes)
    log_p, log_q = tables(made)
    x, hidden = everything(made)
    torch.testing.assert_close(made.log_joint(x, hidden)[:, 0], log_p.flatten(1), **EXACT)
    torch.testing.assert_close(made.log_inference(x, hidden)[:, 0], log_q.flatten(1), **EXACT)
    own = x.expand(2, -1, -1), [one.expand(2, 5, -1, -1) for one in hidden]
    assert made.log_joint(*own).shape == made.log_inference(*own).shape == (2, 5, len(x))
    one = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(made.log_joint(x, hidden).exp().sum((1, 2)), one, **EXACT)


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 0), (0, 1), (2, -1), (0.3, 0.7)])
def test_sums_by_layer_are_those_of_the_table(sizes, a, b):
    made = machine(sizes)
    log_p, log_q = tables(made)
    wanted = (a * log_p + b * log_q).logsumexp(-1)
    torch.testing.assert_close(log_sum(made, states(sizes[0]), a, b), wanted, **EXACT)


@pytest.mark.parametrize("sizes", SHAPES)
def test_evidence_bounds_and_normaliser_are_those_of_the_table(sizes):
    made = machine(sizes)
    log_p, log_q = tables(made)
    x, bound = states(sizes[0]), 2 * ((log_p + log_q) / 2).logsumexp(-1)
    torch.testing.assert_close(log_evidence(made, x), log_p.logsumexp(-1), **EXACT)
    torch.testing.assert_close(log_bound(made, x), bound, **EXACT)
    torch.testing.assert_close(elbo(made, x), (log_q.exp() * (log_p - log_q)).sum(-1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_normaliser(made), bound.logsumexp(-1) / 2, **EXACT)
    assert (elbo(made, x) <= log_bound(made, x)).all()
    assert (log_bound(made, x) <= log_evidence(made, x)).all()
    assert (log_normaliser(made) < 0).all()


def test_units_that_are_nearly_certain_keep_their_digits():
    made = machine((3, 2, 2))
    with torch.no_grad():
        for net in (*made.down, *made.up):
            net.biases[0].fill_(23.0)
    log_p, log_q = tables(made)
    for a, b in ((1, 0), (0.5, 0.5)):
        wanted = (a * log_p + b * log_q).logsumexp(-1)[:, -1]
        found = log_sum(made, states(3), a, b)[:, -1]
        torch.testing.assert_close(found, wanted, **EXACT)


def test_the_laws_of_images_sum_to_one():
    made, x = machine((12, 5, 3)), states(12)
    one = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(log_evidence(made, x).exp().sum(-1), one, rtol=1e-12, atol=0)
    star = log_bound(made, x) - 2 * log_normaliser(made)[:, None]
    torch.testing.assert_close(star.exp().sum(-1), one, rtol=1e-12, atol=0)


def test_blocks_change_nothing(monkeypatch):
    made, x = machine((4, 5, 3)), states(4)
    whole = [function(made, x) for function in (log_evidence, log_bound, elbo)]
    monkeypatch.setattr(helmholtz, "BLOCK", 100)
    for one, other in zip(whole, (log_evidence(made, x), log_bound(made, x), elbo(made, x)), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_every_model_may_have_images_of_its_own():
    made = machine()
    x = torch.stack([states(4)[:3], states(4)[5:8]])
    both = torch.stack([log_bound(made, one)[i] for i, one in enumerate(x)])
    torch.testing.assert_close(log_bound(made, x), both, **EXACT)
    hidden = made.infer(x, 2, generator("own"))
    torch.testing.assert_close(made.log_joint(x, hidden)[1], made.log_joint(x[1], hidden)[1], **EXACT)


def test_large_layers_neither_overflow_nor_vanish():
    made = machine((300, 8, 4))
    x = torch.cat([torch.zeros(1, 300), torch.ones(1, 300)])
    for function in (log_evidence, log_bound, elbo):
        found = function(made, x)
        assert found.isfinite().all()
        assert (found < -60).all()


def test_the_states_are_all_there_once():
    assert states(1).tolist() == [[0.0], [1.0]]
    assert states(3)[5].tolist() == [1.0, 0.0, 1.0]
    assert len(states(6).unique(dim=0)) == 64


# Samples


def is_drawn_from(index, probabilities):
    """Whether counts of the outcomes agree with their probabilities, by a chi-square that fails once in a million; rare
    outcomes are counted as one."""
    expected, found = probabilities * len(index), torch.bincount(index, minlength=len(probabilities)).double()
    rare = expected < 10
    expected, found = (torch.cat([one[~rare], one[rare].sum()[None]]) for one in (expected, found))
    statistic = ((found - expected) ** 2 / expected.clamp_min(1)).sum()
    return chi2.sf(statistic.item(), len(expected) - 1) > 1e-6


def index_of(layers):
    bits = torch.cat(layers, -1).long()
    return (bits << torch.arange(bits.shape[-1] - 1, -1, -1)).sum(-1)


@pytest.mark.parametrize("sizes", SHAPES)
def test_generated_images_and_layers_have_the_law_p(sizes):
    made = machine(sizes)
    log_p, _ = tables(made)
    x, hidden = made.generate(20_000, generator("generate"))
    index = index_of([x, *(one[:, 0] for one in hidden)])
    for one, law in zip(index, log_p.flatten(1).exp(), strict=True):
        assert is_drawn_from(one, law)


@pytest.mark.parametrize("sizes", SHAPES)
def test_inferred_layers_have_the_law_q(sizes):
    made = machine(sizes)
    _, log_q = tables(made)
    index = index_of(made.infer(states(sizes[0])[1:3], 20_000, generator("infer")))
    for model in range(2):
        for row in range(2):
            assert is_drawn_from(index[model, :, row], log_q[model, row + 1].exp())


def test_the_mean_overlap_is_the_square_of_the_normaliser():
    made = machine()
    found = overlaps(made, 40_000, generator("overlaps"))
    exact, error = (2 * log_normaliser(made)).exp(), found.std(1) / 200
    assert ((found >= 0) & (found <= 1)).all()
    assert ((found.mean(1) - exact).abs() < 5 * error).all()


def exact_gradient(made, x, power):
    r"""$\sum_h\tilde\omega\,\nabla\log pq$ with weights from the table: that of infinitely many samples."""
    states_of_all, hidden = everything(made)
    rows = (states_of_all == x[0]).all(-1)
    x, hidden = states_of_all[rows], [one[:, :, rows] for one in hidden]
    log_p, log_q = (function(x, hidden)[:, 0] for function in (made.log_joint, made.log_inference))
    weights = (power * log_p + (1 - power) * log_q).detach().softmax(-1)
    return torch.autograd.grad((weights * (log_p + log_q)).sum(), list(made.parameters()))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_gradient_tends_to_that_of_all_hidden_states(power):
    made, x = machine(spread=0.3), states(4)[6:7]
    parameters, draws, runs = list(made.parameters()), generator(f"gradient {power}"), []
    for _ in range(60):
        value = reweighted(made, x, 400, draws, power)
        assert value.shape == (2, 1)
        runs.append(torch.cat([one.flatten() for one in torch.autograd.grad(value.sum(), parameters)]))
    runs, exact = torch.stack(runs), torch.cat([one.flatten() for one in exact_gradient(made, x, power)])
    error = runs.std(0) / 60**0.5
    assert ((runs.mean(0) - exact).abs() < 6 * error + 0.02).all()
    if power == 0.5:
        whole = torch.autograd.grad(log_bound(made, x).sum(), parameters)
        torch.testing.assert_close(torch.cat([one.flatten() for one in whole]), exact, rtol=1e-12, atol=1e-12)


def test_one_seed_gives_one_answer():
    made, x = machine(), states(4)
    for function in (lambda g: reweighted(made, x, 3, g), lambda g: overlaps(made, 9, g)):
        assert torch.equal(function(generator("same")), function(generator("same")))


# Kinds


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_come_in_any_kind_and_answers_in_the_precision_of_the_machine(dtype):
    made, x = machine(dtype=dtype), states(4)
    for kind in (torch.Tensor.float, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.long):
        assert torch.equal(log_bound(made, kind(x)), log_bound(made, x))
    assert log_bound(made, x).dtype == overlaps(made, 3, generator("kind")).dtype == dtype
    torch.testing.assert_close(log_bound(made, x), log_bound(made.double(), x).to(dtype), rtol=1e-5, atol=1e-5)


def test_everything_stays_on_the_device_of_the_machine(device):
    made, draws = machine(device=device), generator("device", device)
    found = [log_bound(made, states(4)), elbo(made, states(4)), reweighted(made, states(4), 3, draws)]
    found += [overlaps(made, 5, draws), log_normaliser(made), *made.infer(states(4), 2, draws)]
    assert {one.device.type for one in found} == {device.type}


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": (4, 0, 2)}, "sizes: wanted a whole number of at least 1, got 0"),
        ({"sizes": (4,)}, r"sizes: wanted two whole numbers or more, got \(4,\)"),
        ({"sizes": 4}, "sizes: wanted a tuple of whole numbers of at least 1, got 4"),
        ({"models": 0}, "models: wanted a whole number of at least 1, got 0"),
        ({"generator": 3}, "generator: wanted a Generator, got int"),
    ],
)
def test_what_makes_no_machine_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        HelmholtzMachine(**{"sizes": (4, 2), "generator": generator("refused"), **arguments})


@pytest.mark.parametrize("function", [log_sum, log_evidence, log_bound, elbo])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0.0, 1.0, 0.5, 1.0]], "x: wanted units that are 0 or 1, got 0.5"),
        ([[0.0, 1.0, 2.0, 1.0]], "x: wanted units that are 0 or 1, got 2.0"),
        ([[0.0, 1.0, NAN, 1.0]], "x: wanted finite numbers, got nan"),
        ([[0.0, 1.0]], r"x: wanted shape \(n, 4\) or \(2, n, 4\), got shape \(1, 2\)"),
        ([0.0, 1.0, 1.0, 1.0], r"x: wanted shape \(n, 4\) or \(2, n, 4\), got shape \(4,\)"),
        (np.zeros((3, 5, 4)), r"x: wanted shape \(n, 4\) or \(2, n, 4\), got shape \(3, 5, 4\)"),
        ([], r"x: wanted at least one number, got an empty array of shape \(0,\)"),
    ],
)
def test_images_that_are_none_are_named(function, x, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(machine(), x)


def test_too_many_states_are_refused_with_their_number():
    with pytest.raises(
        ValueError, match=r"^units: wanted at most 20 units, 1048576 states, got 21 units, 2\^21 states$"
    ):
        states(21)
    with pytest.raises(ValueError, match="^units: wanted at most 20 units"):
        log_normaliser(machine((21, 2)))
    message = r"^machine: wanted hidden layers of at most 20 units, two neighbours of at most 24, got \[{}\] units$"
    for hidden in ((21,), (13, 12), (2, 21)):
        with pytest.raises(ValueError, match=message.format(", ".join(map(str, hidden)))):
            log_bound(machine((4, *hidden)), states(4))


def test_hidden_layers_that_do_not_fit_are_named():
    made, x = machine(), states(4)[:5]
    good = made.infer(x, 3, generator("hidden"))
    for bad, message in (
        (good[:1], "hidden: wanted a list of 2 layers"),
        (good[0], "hidden: wanted a list of 2 layers"),
        ([good[0], good[1][:, :2]], r"hidden: wanted shape \(2, 3, 5, 2\), got shape \(2, 2, 5, 2\)"),
        ([good[0][:, :, :4], good[1]], r"hidden: wanted shape \(2, 3, 5, 3\), got shape"),
        ([good[0][0], good[1]], r"hidden: wanted shape \(2, samples, 5, 3\), got shape"),
        ([good[0] * 0.3, good[1]], "hidden: wanted units that are 0 or 1, got 0.3"),
    ):
        for function in (made.log_joint, made.log_inference):
            with pytest.raises(ValueError, match=f"^{message}"):
                function(x, bad)


def test_numbers_of_samples_and_powers_that_are_none_are_named():
    made, x, draws = machine(), states(4), generator("refused")
    for call, message in (
        (lambda: made.infer(x, 0, draws), "samples: wanted a whole number of at least 1, got 0"),
        (lambda: reweighted(made, x, 0, draws), "samples: wanted a whole number of at least 1, got 0"),
        (lambda: made.generate(2.5, draws), "number: wanted a whole number of at least 1, got 2.5"),
        (lambda: overlaps(made, 0, draws), "number: wanted a whole number of at least 1, got 0"),
        (lambda: reweighted(made, x, 2, draws, NAN), "power: wanted a number, got nan"),
        (lambda: reweighted(made, x, 2, draws, 1e4), "power: wanted a number of at most 1000 in size, got 10000.0"),
        (lambda: log_sum(made, x, INF), "power_p: wanted a number, got inf"),
        (lambda: log_sum(made, x, 1, -2e3), "power_q: wanted a number of at most 1000 in size, got -2000.0"),
        (lambda: reweighted(made, x, 2, None), "generator: wanted a Generator, got NoneType"),
        (lambda: log_bound(torch.nn.Linear(2, 2), x), "machine: wanted a HelmholtzMachine, got Linear"),
        (lambda: log_normaliser(3), "machine: wanted a HelmholtzMachine, got int"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            call()

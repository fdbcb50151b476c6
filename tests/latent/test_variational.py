import copy
import importlib.util
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions
from torch.nn.functional import binary_cross_entropy_with_logits

from helpers.divergence import kl_gaussians
from helpers.latent import variational
from helpers.latent.variational import Autoencoder, Training, elbo, gaussian_kl, importance_weighted, log_weights
from helpers.randomness import generator

NAN, INF = float("nan"), float("inf")
DEVIATIONS = ["shared", "pixels", "network", 0.7, [0.5, 2.0]]
LIKELIHOODS = [("bernoulli", "shared", 0.0)] + [("gaussian", one, floor) for one in DEVIATIONS for floor in (0.0, 0.3)]


def autoencoder(pixels=3, latent=2, hidden=(4,), models=2, *, name="autoencoder", device="cpu", **options):
    """One whose parameters are all away from where they start."""
    draws = generator(f"{name} {pixels} {latent} {hidden} {models}", device)
    options = {"dtype": torch.float64, "generator": draws, **options}
    made = Autoencoder(pixels, latent, hidden, models=models, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=draws, dtype=parameter.dtype, device=device)
    return made


def pixel_deviation(made, output):
    """The deviation of each pixel, from what the decoder's network put out."""
    if made.deviation == "fixed":
        return made.spread.exp()
    log = output.chunk(2, -1)[1] if made.deviation == "network" else made.spread
    return (made.floor**2 + (2 * log).exp()).sqrt()


# The decoder


@pytest.mark.parametrize(("likelihood", "deviation", "floor"), LIKELIHOODS)
def test_the_likelihood_is_that_of_torch(normal, likelihood, deviation, floor):
    made = autoencoder(likelihood=likelihood, deviation=deviation, floor=floor)
    z, x = normal("codes", 2, 6, 2), normal("pixels", 6, 3).sigmoid()
    output = made.decoder(z)
    if likelihood == "bernoulli":
        referee = -binary_cross_entropy_with_logits(output, x.expand(2, 6, 3), reduction="none")
        mean, spread = output.sigmoid(), distributions.Bernoulli(logits=output).stddev
    else:
        mean, spread = output[..., :3], pixel_deviation(made, output).expand(2, 6, 3)
        referee = distributions.Normal(mean, spread).log_prob(x)
    found = made.log_likelihood(x, z)
    torch.testing.assert_close(found, referee.sum(-1), rtol=1e-12, atol=1e-13)
    for one, other in zip(made.decode(z), (mean, spread), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    many = z[:, None].expand(2, 4, 6, 2)
    torch.testing.assert_close(made.log_likelihood(x, many), found[:, None].expand(2, 4, 6), rtol=1e-13, atol=1e-14)
    assert made.decode(many)[1].shape == (2, 4, 6, 3)
    pairs = made.log_likelihood(x[:, None], z[:, None])
    assert pairs.shape == (2, 6, 6)
    torch.testing.assert_close(pairs.diagonal(dim1=1, dim2=2), found, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("likelihood", "deviation", "floor"), LIKELIHOODS)
def test_every_parameter_has_the_gradient_of_the_likelihood_of_torch(normal, likelihood, deviation, floor):
    made = autoencoder(likelihood=likelihood, deviation=deviation, floor=floor)
    z, x = normal("codes", 2, 6, 2), normal("pixels", 6, 3).sigmoid()
    output = made.decoder(z)
    if likelihood == "bernoulli":
        referee = x * output - output.exp().log1p()
    else:
        referee = distributions.Normal(output[..., :3], pixel_deviation(made, output)).log_prob(x)
    learned = [one for key, one in made.named_parameters() if not key.startswith("encoder")]
    assert len(learned) == 4 + (deviation in ("shared", "pixels") and likelihood == "gaussian")
    slopes = torch.autograd.grad(made.log_likelihood(x, z).sum(), learned)
    for one, other in zip(slopes, torch.autograd.grad(referee.sum(), learned), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_a_deviation_never_falls_below_its_floor(normal):
    z = normal("codes", 2, 5, 2)
    for deviation in ("shared", "pixels", "network"):
        made = autoencoder(deviation=deviation, floor=0.25)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(0)
            at_start = made.decode(z)[1]
            (made.decoder.biases[-1] if deviation == "network" else made.spread).fill_(-400)
        torch.testing.assert_close(at_start, torch.full_like(at_start, math.sqrt(1 + 0.25**2)))
        torch.testing.assert_close(made.decode(z)[1].detach(), torch.full_like(at_start, 0.25), rtol=1e-14, atol=0)


def test_draws_have_the_moments_of_the_decoder(normal):
    made = autoencoder(hidden=(), deviation="pixels")
    x = made.sample(20_000, generator("draws"))
    assert x.shape == (2, 20_000, 3)
    for model in range(2):
        weights, mean = made.decoder.weights[0][model], made.decoder.biases[0][model, 0]
        covariance = weights.T @ weights + torch.diag((2 * made.spread[model, 0]).exp())
        away = x[model] - mean
        products = away[:, :, None] * away[:, None, :]
        assert (away.mean(0).abs() < 5 * (covariance.diagonal() / 20_000).sqrt()).all()
        assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / math.sqrt(20_000)).all()


def test_draws_of_bernoulli_pixels_are_zeros_and_ones_as_often_as_the_decoder_says():
    made = autoencoder(likelihood="bernoulli", hidden=())
    with torch.no_grad():
        made.decoder.weights[0].zero_()
    x, p = made.sample(20_000, generator("bits")), made.decoder.biases[0].sigmoid()
    assert set(x.unique().tolist()) == {0, 1}
    assert ((x.mean(1, keepdim=True) - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt()).all()


# The divergence

VECTORS = st.lists(st.tuples(st.floats(-20, 20), st.floats(-5, 5)), min_size=1, max_size=6).map(
    lambda pairs: torch.tensor(pairs, dtype=torch.float64).T.unbind()
)


@settings(deadline=None)
@given(VECTORS)
def test_the_divergence_is_the_sum_over_the_numbers_of_a_code(vectors):
    mean, log_deviation = vectors
    found = gaussian_kl(mean, log_deviation)
    referee = kl_gaussians(mean, (2 * log_deviation).exp(), 0.0, 1.0).sum()
    torch.testing.assert_close(found, referee, rtol=1e-12, atol=1e-12)
    q = distributions.Normal(mean, log_deviation.exp())
    of_torch = distributions.kl_divergence(q, distributions.Normal(torch.zeros_like(mean), 1.0)).sum()
    torch.testing.assert_close(found, of_torch, rtol=1e-12, atol=1e-12)
    assert found >= -1e-12


def test_the_slope_of_the_divergence(normal):
    mean, log_deviation = (normal(name, 2, 5, 3).requires_grad_() for name in ("mean", "log deviation"))
    slopes = torch.autograd.grad(gaussian_kl(mean, log_deviation).sum(), (mean, log_deviation))
    torch.testing.assert_close(slopes[0], mean.detach(), rtol=1e-13, atol=0)
    torch.testing.assert_close(slopes[1], torch.expm1(2 * log_deviation.detach()), rtol=1e-12, atol=1e-14)
    assert torch.autograd.gradcheck(gaussian_kl, (mean, log_deviation))
    assert gaussian_kl(torch.zeros(2, 4), torch.zeros(2, 4)).tolist() == [0, 0]


# The bounds


GRID = torch.linspace(-40, 40, 8001, dtype=torch.float64)
STEP = (GRID[1] - GRID[0]).item()


def one_number_codes(**options):
    """An autoencoder with one number for a code, and q wider than the posterior."""
    made = autoencoder(latent=1, **options)
    with torch.no_grad():
        made.encoder.weights[-1].mul_(0.3)
        made.encoder.biases[-1].mul_(0.3)[..., 1:] += 0.5
    return made


@torch.no_grad()
def by_quadrature(made, x):
    """log p(x), the bound, and KL(q || posterior), of each datum and model, by sums over a grid of codes."""
    z = GRID.expand(made.models, len(x), -1).mT[..., None]
    log_joint = made.log_likelihood(x, z) + distributions.Normal(0.0, 1.0).log_prob(GRID)[:, None]
    mean, log_deviation = made.encode(x)
    log_q = distributions.Normal(mean[:, None, :, 0], log_deviation[:, None, :, 0].exp()).log_prob(GRID[:, None])
    log_p = log_joint.logsumexp(1) + math.log(STEP)
    bound = (log_q.exp() * (log_joint - log_q)).sum(1) * STEP
    apart = (log_q.exp() * (log_q - log_joint + log_p[:, None])).sum(1) * STEP
    return log_p, bound, apart


def consistent(draws, exact):
    """The mean of draws, along the last axis, is within five standard errors of what it should be."""
    return ((draws.mean(-1) - exact).abs() < 5 * draws.std(-1) / math.sqrt(draws.shape[-1])).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bounds_are_unbiased_and_below_the_likelihood(normal, likelihood):
    made, number = one_number_codes(likelihood=likelihood), 4000
    x = normal("data", 3, 3).sigmoid()
    log_p, bound, apart = by_quadrature(made, x)
    assert (bound < log_p).all()
    torch.testing.assert_close(log_p - bound, apart, rtol=1e-9, atol=1e-11)
    noise = made.noise(number, 3, generator("unbiased"))
    weights = log_weights(made, x, noise).detach()
    assert weights.shape == (2, number, 3)
    assert consistent(weights.mT, bound)
    assert torch.equal(elbo(made, x, noise, analytic=False), weights.mean(1))
    alone = elbo(made, x.repeat_interleave(number, 0), noise.transpose(1, 2).reshape(2, 1, -1, 1)).detach()
    alone = alone.view(2, 3, number)
    assert consistent(alone, bound)
    torch.testing.assert_close(elbo(made, x, noise).detach(), alone.mean(-1), rtol=1e-11, atol=1e-11)


def test_many_samples_come_near_the_likelihood(normal):
    made, x = one_number_codes(), normal("data", 3, 3).sigmoid()
    log_p, bound, _ = by_quadrature(made, x)
    noise = made.noise(40_000, 3, generator("importance"))
    found, relative = importance_weighted(made, x, noise), (log_weights(made, x, noise) - log_p[:, None]).exp()
    assert ((found - log_p).abs() < 5 * relative.std(1) / 200 + 1e-9).all()
    assert (found > bound).all()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 2**31))
def test_more_samples_never_lower_the_mean_of_the_weighted_bound(parts, seed):
    """For any noise: the logarithm of a mean is at least the mean of logarithms of the means of its parts."""
    made, draws = autoencoder(), torch.Generator().manual_seed(seed)
    x, noise = torch.rand(4, 3, generator=draws, dtype=torch.float64), made.noise(12, 4, draws)
    whole = importance_weighted(made, x, noise)
    means = torch.stack([importance_weighted(made, x, part) for part in noise.split(12 // parts, 1)]).mean(0)
    assert (means <= whole + 1e-12).all()
    if parts == 12:
        torch.testing.assert_close(means, elbo(made, x, noise, analytic=False), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole, importance_weighted(made, x, noise.flip(1)), rtol=1e-12, atol=1e-12)


def test_samples_in_parcels_give_the_same(normal, monkeypatch):
    made, x = autoencoder(), normal("data", 5, 3)
    noise = made.noise(17, 5, generator("parcels"))
    whole = importance_weighted(made, x, noise)
    for rows in (1, 20, 35):
        monkeypatch.setattr(variational, "ROWS", rows)
        torch.testing.assert_close(importance_weighted(made, x, noise), whole, rtol=1e-12, atol=1e-12)


def with_the_exact_posterior(deviation):
    """An affine decoder, each model's posterior as its encoder, and its law of the data."""
    made = autoencoder(4, 2, (), deviation=deviation, name="exact")
    laws = []
    with torch.no_grad():
        for model in range(2):
            variance = (2 * made.spread[model, 0]).exp().expand(4)
            axes = torch.linalg.qr(made.decoder.weights[0][model].T)[0]  # at right angles, once they are whitened
            loadings = variance.sqrt()[:, None] * axes * torch.tensor([0.8, 1.7])
            made.decoder.weights[0][model] = loadings.T
            precision = 1 + (loadings.square() / variance[:, None]).sum(0)
            mean, weights = made.decoder.biases[0][model, 0], loadings / variance[:, None] / precision
            made.encoder.weights[0][model] = torch.cat([weights, torch.zeros_like(weights)], 1)
            made.encoder.biases[0][model, 0] = torch.cat([-mean @ weights, -precision.log() / 2])
            laws.append(distributions.MultivariateNormal(mean, loadings @ loadings.T + torch.diag(variance)))
    return made, laws


@pytest.mark.parametrize("deviation", ["shared", "pixels"])
def test_with_the_exact_posterior_every_weight_is_the_likelihood(normal, deviation):
    made, laws = with_the_exact_posterior(deviation)
    x = normal("data", 2, 5, 4)
    log_p = torch.stack([law.log_prob(own) for law, own in zip(laws, x, strict=True)])
    noise = 2 * made.noise(7, 5, generator("exact"))
    weights = log_weights(made, x, noise)
    torch.testing.assert_close(weights, log_p[:, None].expand(2, 7, 5), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(elbo(made, x, noise, analytic=False), log_p, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(importance_weighted(made, x, noise), log_p, rtol=1e-11, atol=1e-11)
    number = 4000
    noise = made.noise(1, 5 * number, generator("exact: many"))
    estimates = elbo(made, x.repeat_interleave(number, 1), noise).detach().view(2, 5, number)
    assert consistent(estimates, log_p)


def test_data_may_be_shared_or_each_models_own(normal):
    made, x = autoencoder(), normal("data", 5, 3)
    noise = made.noise(4, 5, generator("shared"))
    for function in (log_weights, elbo, importance_weighted):
        found = function(made, x, noise)
        torch.testing.assert_close(function(made, x.expand(2, 5, 3), noise), found, rtol=1e-14, atol=1e-14)
        own = function(made, torch.stack([x, x + 1]), noise)
        assert torch.equal(own[0], found[0])
        assert not torch.equal(own[1], found[1])


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_bound_and_its_gradients_are_those_of_the_laws_of_torch(normal, likelihood, analytic):
    made, x = autoencoder(likelihood=likelihood), normal("data", 5, 3).sigmoid()
    noise, learned = made.noise(4, 5, generator("laws")), list(made.parameters())
    mean, log_deviation = (one[:, None] for one in made.encoder(x).chunk(2, -1))
    q, prior = distributions.Normal(mean, log_deviation.exp()), distributions.Normal(torch.zeros(()).double(), 1.0)
    z = mean + log_deviation.exp() * noise
    output = made.decoder(z)
    if likelihood == "bernoulli":
        log_p = x * output - output.exp().log1p()
    else:
        log_p = distributions.Normal(output, made.spread[:, None].exp()).log_prob(x)
    apart = distributions.kl_divergence(q, prior) if analytic else q.log_prob(z) - prior.log_prob(z)
    referee = (log_p.sum(-1) - apart.sum(-1)).mean(1)
    found = elbo(made, x, noise, analytic=analytic)
    torch.testing.assert_close(found, referee, rtol=1e-12, atol=1e-12)
    slopes = (torch.autograd.grad(one.square().sum(), learned) for one in (found, referee))
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_lists_and_arrays_take_the_precision_and_the_device_of_the_model(normal, device):
    x, noise = normal("lists", 4, 3), normal("lists: noise", 2, 3, 4, 2)
    exact = [function(autoencoder(), x, noise) for function in (log_weights, elbo, importance_weighted)]
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-12)):
        made = autoencoder().to(device, dtype)
        for kind in (torch.Tensor.float, torch.Tensor.double, torch.Tensor.numpy, torch.Tensor.tolist):
            loose = max(tolerance, 1e-5 if kind is torch.Tensor.float else 0)
            for function, referee in zip((log_weights, elbo, importance_weighted), exact, strict=True):
                found = function(made, kind(x), kind(noise))
                assert (found.dtype, found.device.type) == (dtype, device.type)
                torch.testing.assert_close(found.cpu().double(), referee, rtol=loose, atol=loose)
        draws = generator("draws", device)
        assert {made.noise(1, 2, draws).dtype, made.sample(2, draws).dtype} == {dtype}


# Training


def data(normal, n=40, pixels=3):
    return normal(f"training data {n} {pixels}", n, pixels).sigmoid()


def training(normal, *, dtype=torch.float32, name="training", models=2, **options):
    made = autoencoder(models=models, dtype=dtype)
    options = {"batch": 16, "rate": 0.01, **options}
    return Training(made, data(normal), data(normal, 9), name=name, **options)


def same(one, other):
    """Whether two runs are at one place, to the last bit."""
    pairs = [(one.model.state_dict(), other.model.state_dict()), (one.best().state_dict(), other.best().state_dict())]
    pairs.append((one.history, other.history))
    return all(torch.equal(first[key], second[key]) for first, second in pairs for key in first | second)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("way", [lambda state: state, through_a_file], ids=["memory", "file"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_run_that_was_resumed_is_the_run_that_was_not(normal, way, dtype):
    options = {"dtype": dtype, "jitter": 0.1, "samples": 2, "penalty": [0.5, 2.0]}
    whole = training(normal, **options).run(4)
    first = training(normal, **options).run(2)
    state = way(first.state_dict())
    first.run(1)
    second = training(normal, **options)
    second.load_state_dict(state)
    assert not same(second, whole)
    assert same(second.run(2), whole)
    assert same(first.run(1), whole)


def test_the_name_of_a_run_makes_its_randomness(normal):
    assert same(training(normal).run(2), training(normal).run(2))
    assert not same(training(normal).run(2), training(normal, name="another").run(2))


def test_the_best_weights_are_those_of_the_best_epoch(normal):
    run, epochs, kept = training(normal, rate=0.3, dtype=torch.float64), 12, []
    assert same_weights(run.best(), run.model)
    for _ in range(epochs):
        kept.append(copy.deepcopy(run.run(1).model))
    assert {key: one.shape for key, one in run.history.items()} == dict.fromkeys(("training", "held_out"), (12, 2))
    held_out = data(normal, 9)
    noise = run.model.noise(1, 9, generator("training: held out"))
    referee = torch.stack([elbo(made, held_out, noise).mean(1) for made in kept]).detach()
    torch.testing.assert_close(run.history["held_out"], referee, rtol=1e-12, atol=1e-12)
    best = run.best()
    for model, epoch in enumerate(referee.argmax(0).tolist()):
        for one, other in zip(best.parameters(), kept[epoch].parameters(), strict=True):
            assert torch.equal(one[model], other[model])
    with torch.no_grad():
        best.encoder.biases[0].zero_()
    assert not same_weights(run.best(), best)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_step_takes_no_more_data_than_there_are(normal):
    assert training(normal, batch=1000).batch == 40
    for batch in (1, 7, 40, 1000):
        assert training(normal, batch=batch).run(1).history["training"].isfinite().all()


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("penalty", [0.5, [0.0, 3.0]])
def test_the_training_bound_is_that_of_the_whole_data_with_the_models_own_penalty(normal, samples, penalty):
    run = training(normal, rate=1e-30, dtype=torch.float64, samples=samples, penalty=penalty)
    found = run.run(60).history["training"]
    made, x = autoencoder(), data(normal)
    noise = made.noise(2000, len(x), generator("whole"))
    divergence = gaussian_kl(*made.encode(x)).mean(1)
    likelihood = elbo(made, x, noise).mean(1) + divergence
    exact = likelihood - torch.as_tensor(penalty) * divergence
    assert consistent(found.T, exact.detach())


def test_a_larger_penalty_brings_the_codes_nearer_to_the_prior(normal):
    run = training(normal, rate=0.05, penalty=[0.0, 100.0]).run(20)
    with torch.no_grad():
        free, bound = gaussian_kl(*run.model.encode(data(normal).float())).mean(1)
    assert bound < 0.05 < free


def test_copies_of_the_data_for_each_model_make_the_very_run_of_shared_ones(normal):
    x, new, options = data(normal), data(normal, 9), {"name": "copies", "batch": 16, "jitter": 0.1}
    shared = Training(autoencoder(), x, new, **options).run(3)
    assert same(shared, Training(autoencoder(), x.expand(2, -1, -1), new.expand(2, -1, -1), **options).run(3))


def test_each_model_learns_from_its_own_data_and_is_measured_on_its_own(normal):
    x, new, options = data(normal), data(normal, 9), {"name": "own", "batch": 16, "rate": 0.01}
    other = torch.stack([x, x + 1]), torch.stack([new, new + 1])
    own, shared = (Training(autoencoder(), *pair, **options).run(3) for pair in (other, (x, new)))
    for key, history in own.history.items():
        assert torch.equal(history[:, 0], shared.history[key][:, 0])
        assert not torch.isclose(history[:, 1], shared.history[key][:, 1]).any()
    moved = Training(autoencoder(), x + 1, new + 1, **options).run(3)
    assert torch.equal(moved.history["held_out"][:, 1], own.history["held_out"][:, 1])


def test_jitter_is_uniform_and_new_each_time_and_for_the_training_alone():
    made = autoencoder(5, 1, (), deviation=1.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    x = torch.zeros(50, 5, dtype=torch.float64)
    run = Training(made, x, x, name="jitter", batch=20, rate=1e-30, jitter=0.5).run(40)
    constant = -5 / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(run.history["held_out"], torch.full((40, 2), constant, dtype=torch.float64))
    squares = -2 * (run.history["training"] - constant) / 5  # the mean of 250 squares of uniform numbers on [0, 1/2)
    assert squares.unique().numel() == 80
    exact, deviation = 0.25 / 3, 0.25 * math.sqrt(4 / 45 / 250 / 80)
    assert abs(squares.mean().item() - exact) < 5 * deviation
    assert not run.data.any()


def test_an_affine_autoencoder_finds_the_likelihood_of_principal_components(normal):
    """Its optimum is known: Tipping and Bishop (1999)."""
    x = normal("factors", 400, 1) @ torch.tensor([[1.0, -0.5, 0.5]]).double() + 0.5 * normal("errors", 400, 3)
    variances = torch.linalg.eigvalsh((x - x.mean(0)).T @ (x - x.mean(0)) / len(x))
    best = -(3 * math.log(2 * math.pi) + variances[2].log() + 2 * variances[:2].mean().log() + 3) / 2
    made = Autoencoder(3, 1, (), models=2, generator=generator("affine"), dtype=torch.float64)
    with torch.no_grad():
        made.encoder.weights[0].zero_()
    model = Training(made, x, x, name="affine", batch=100, rate=0.03).run(60).best()
    decoder = model.decoder.weights[0], model.decoder.biases[0][:, 0], model.spread
    for weights, mean, spread in zip(*decoder, strict=True):
        law = distributions.MultivariateNormal(mean, weights.T @ weights + (2 * spread).exp() * torch.eye(3))
        assert best - 0.05 < law.log_prob(x).mean() <= best + 1e-9


def test_data_are_taken_as_lists_arrays_and_in_another_precision(normal):
    x = data(normal)
    for dtype in (torch.float32, torch.float64):
        runs = [
            Training(autoencoder(dtype=dtype), kind(x), kind(x), name="kinds", batch=16).run(2)
            for kind in (torch.Tensor.double, torch.Tensor.numpy, torch.Tensor.tolist)
        ]
        assert all(same(runs[0], other) for other in runs)
        assert {one.dtype for one in (*runs[0].history.values(), *runs[0].model.parameters())} == {dtype}


def test_a_run_takes_the_device_of_its_data(normal, device):
    run = Training(autoencoder(), data(normal).to(device), data(normal, 9), name="device", samples=2, jitter=0.1).run(3)
    tensors = [*run.history.values(), *run.model.parameters(), *run.best().parameters(), run.model.noise(1, 2, None)]
    assert {one.device.type for one in tensors} == {device.type}
    again = Training(autoencoder(), data(normal).to(device), data(normal, 9), name="device", samples=2, jitter=0.1)
    again.load_state_dict(through_a_file(run.state_dict()))
    assert same(run, again)


@pytest.mark.parametrize(("delay", "silenced", "seen"), [(0, "", True), (0, "1", False), (60, "", False)])
def test_a_long_run_shows_how_far_it_is_unless_silenced(normal, monkeypatch, capsys, delay, silenced, seen):
    monkeypatch.setenv("TQDM_DISABLE", silenced)
    spec = importlib.util.find_spec("tqdm.std")  # it reads the environment when it is loaded
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    monkeypatch.setattr(variational, "tqdm", fresh.tqdm)
    monkeypatch.setattr(variational, "DELAY", delay)
    training(normal).run(3)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("training: " in shown.err, "/3 [" in shown.err) == (seen, seen)
    assert "\n" not in shown.err
    assert seen or shown.err == ""


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixels": 0}, "pixels: wanted a whole number of at least 1, got 0"),
        ({"latent": 2.0}, "latent: wanted a whole number of at least 1, got 2.0"),
        ({"hidden": (4, 0)}, "hidden: wanted a whole number of at least 1, got 0"),
        ({"models": 0}, "models: wanted a whole number of at least 1, got 0"),
        ({"likelihood": "normal"}, "likelihood: wanted one of 'gaussian', 'bernoulli', got 'normal'"),
        ({"deviation": "own"}, "deviation: wanted one of .*, or a number above zero, got 'own'"),
        ({"deviation": 0.0}, "deviation: wanted a number above zero, got 0.0"),
        ({"deviation": [1.0, -1.0]}, "deviation: wanted a number above zero, got -1.0"),
        ({"deviation": NAN}, "deviation: wanted finite numbers, got nan"),
        ({"deviation": [1.0, 2.0, 3.0]}, r"deviation: wanted shape \(2,\) .*, got shape \(3,\)"),
        ({"floor": -0.1}, "floor: wanted numbers of at least 0, got -0.1"),
        ({"floor": INF}, "floor: wanted finite numbers, got inf"),
        ({"floor": [0.1, 0.2]}, r"floor: wanted 0 dimension\(s\), got shape \(2,\)"),
        ({"activation": None}, "activation: wanted a function of a tensor, got None"),
        ({"generator": 0}, "generator: wanted a Generator, got int"),
    ],
)
def test_what_makes_no_autoencoder_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Autoencoder(**{"pixels": 3, "latent": 2, "models": 2, "generator": generator("refused"), **arguments})


@pytest.mark.parametrize("function", [log_weights, elbo, importance_weighted])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((4, 2))}, r"x: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(4, 2\)"),
        ({"x": np.zeros(3)}, r"x: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(3,\)"),
        ({"x": np.zeros((3, 4, 3))}, r"x: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(3, 4, 3\)"),
        ({"x": [[0.0, NAN, 0.0]] * 4}, "x: wanted finite numbers, got nan"),
        ({"x": []}, r"x: wanted at least one number, got an empty array of shape \(0,\)"),
        ({"noise": np.zeros((2, 5, 3, 2))}, r"noise: wanted shape \(2, None, 4, 2\) .*, got shape \(2, 5, 3, 2\)"),
        ({"noise": np.zeros((2, 4, 2))}, r"noise: wanted shape \(2, None, 4, 2\) .*, got shape \(2, 4, 2\)"),
        ({"noise": np.full((2, 1, 4, 2), INF)}, "noise: wanted finite numbers, got inf"),
    ],
)
def test_what_has_no_bound_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(autoencoder(), **{"x": np.zeros((4, 3)), "noise": np.zeros((2, 5, 4, 2)), **arguments})


@pytest.mark.parametrize(
    ("samples", "n", "message"),
    [
        (0, 2, "samples: wanted a whole number of at least 1, got 0"),
        (1, 2.5, "n: wanted a whole number of at least 1, got 2.5"),
    ],
)
def test_a_number_of_codes_that_is_none_is_named(samples, n, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        autoencoder().noise(samples, n, generator("refused"))
    with pytest.raises(ValueError, match="^n: wanted a whole number of at least 1, got 0$"):
        autoencoder().sample(0, generator("refused"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": torch.nn.Linear(3, 3)}, "model: wanted an Autoencoder, got Linear"),
        ({"data": [[0.0, NAN, 0.0]]}, "data: wanted finite numbers, got nan"),
        ({"data": [[0.0, 1.0]]}, r"data: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(1, 2\)"),
        ({"data": np.zeros((3, 4, 3))}, r"data: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(3, 4, 3\)"),
        ({"held_out": [[0.0, INF, 0.0]]}, "held_out: wanted finite numbers, got inf"),
        ({"held_out": [0.0, 1.0, 2.0]}, r"held_out: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(3,\)"),
        ({"held_out": np.zeros((1, 4, 3))}, r"held_out: wanted shape \(n, 3\) or \(2, n, 3\), got shape \(1, 4, 3\)"),
        ({"name": ""}, "name: wanted a text that names the stream, got ''"),
        ({"batch": 0}, "batch: wanted a whole number of at least 1, got 0"),
        ({"rate": 0}, "rate: wanted a number above zero, got 0.0"),
        ({"rate": NAN}, "rate: wanted a number above zero, got nan"),
        ({"samples": 0}, "samples: wanted a whole number of at least 1, got 0"),
        ({"penalty": [1.0, 2.0, 3.0]}, r"penalty: wanted a number, or shape \(2,\), got shape \(3,\)"),
        ({"penalty": NAN}, "penalty: wanted finite numbers, got nan"),
        ({"jitter": -1.0}, "jitter: wanted numbers of at least 0, got -1.0"),
        ({"jitter": [0.0, 1.0]}, r"jitter: wanted 0 dimension\(s\), got shape \(2,\)"),
    ],
)
def test_what_makes_no_training_is_named(arguments, message):
    sound = {"model": autoencoder(), "data": np.zeros((5, 3)), "held_out": np.ones((2, 3)), "name": "refused"}
    with pytest.raises(ValueError, match=f"^{message}$"):
        Training(**{**sound, **arguments})


@pytest.mark.parametrize("epochs", [0, 1.5, None])
def test_a_number_of_epochs_that_is_none_is_named(normal, epochs):
    with pytest.raises(ValueError, match=f"^epochs: wanted a whole number of at least 1, got {epochs}$"):
        training(normal).run(epochs)


def test_a_run_that_diverges_names_its_models(normal):
    broken = training(normal, models=3, name="broken")
    with torch.no_grad():
        broken.model.spread[1] = -1e4
    message = r"^broken: the training bound of model\(s\) \[1\] is not finite after epoch 1; a smaller rate or"
    with pytest.raises(RuntimeError, match=message):
        broken.run(1)
    wild = training(normal, rate=1e30, batch=40)
    message = r"^training: the held-out bound of model\(s\) \[0, 1\] is not finite after epoch 1; a smaller rate or"
    with pytest.raises(RuntimeError, match=message):
        wild.run(2)

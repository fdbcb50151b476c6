"""Variational autoencoders: a network that encodes, one that decodes, and the bounds on the likelihood that train them.

Every tensor has the axis of the models first, so that several seeds, or several settings, train at the cost of few.
"""

import copy
import math

import torch
from torch import nn
from torch.nn.functional import mse_loss, softplus
from tqdm import tqdm

from helpers.montecarlo import DELAY
from helpers.networks import MLP
from helpers.randomness import generator as named_generator
from helpers.validation import count, counts, fail, instance, not_negative, one_of, positive, tensor

__all__ = ["Autoencoder", "Training", "elbo", "gaussian_kl", "importance_weighted", "log_weights"]

ROWS = 2**17  # so many codes are decoded at a time
LIKELIHOODS = ("gaussian", "bernoulli")
DEVIATIONS = ("shared", "pixels", "network")


class Autoencoder(nn.Module):
    r"""`models` variational autoencoders with prior $\mathcal N(0, I)$ on codes of `latent` numbers: the encoder
    $q_\lambda(z|x) = \mathcal N(\mu(x,\lambda), \mathrm{diag}\,\sigma^2(x,\lambda))$, and a decoder $p_\theta(x|z)$ of
    `pixels` independent numbers.

    `hidden` are the sizes of the encoder's hidden layers, and in reverse of the decoder's; without any, both are
    affine. The decoder is by `likelihood`

    - "bernoulli": each pixel, from 0 to 1, has a log odds, or
    - "gaussian": each pixel has a mean from the network and a `deviation`: "shared", one learned number a model (as
      in probabilistic PCA); "pixels", one learned number a pixel (as in factor analysis); "network", one a pixel that
      depends on the code; or a fixed number above zero, or one for each model, shape (models,). Learned deviations
      start near one. Their square is $\mathtt{floor}^2$ and a part that is learned: with `floor=0`, the default, the
      likelihood of the data is in general unbounded.

    The weights start as in `helpers.networks.MLP`, drawn from `generator`, the encoder's first. Raises `ValueError` for
    sizes that are no whole numbers above zero, an unknown likelihood or deviation, a floor below zero or not finite.
    Source: Scornet, slides on the variational autoencoder; Kingma and Welling (2014).
    """

    def __init__(
        self, pixels, latent, hidden=(64,), *, likelihood="gaussian", deviation="shared", floor=0.0, models=1,
        activation=torch.tanh, generator, dtype=torch.float32,
    ):  # fmt: skip
        super().__init__()
        self.pixels, self.latent = count(pixels, "pixels"), count(latent, "latent")
        self.models, hidden = count(models, "models"), counts(hidden, "hidden")
        one_of(likelihood, "likelihood", LIKELIHOODS)
        fixed = not isinstance(deviation, str)
        if not fixed and deviation not in DEVIATIONS:
            fail("deviation", f"one of {DEVIATIONS}, or a number above zero", repr(deviation)[:80])
        floor = tensor(floor, "floor", ndim=0)
        not_negative(floor, "floor")
        self.likelihood, self.deviation, self.floor = likelihood, "fixed" if fixed else deviation, floor.item()
        outputs = self.pixels * (1 + (likelihood == "gaussian" and self.deviation == "network"))
        options = {"models": models, "activation": activation, "generator": generator, "dtype": dtype}
        self.encoder = MLP((self.pixels, *hidden, 2 * self.latent), **options)
        self.decoder = MLP((self.latent, *reversed(hidden), outputs), **options)
        if fixed:
            values = tensor(deviation, "deviation")
            values = tensor(values.expand(models) if values.ndim == 0 else values, "deviation", shape=(models,))
            values = torch.stack([values.new_tensor(positive(one, "deviation")).log() for one in values])
            self.register_buffer("spread", values[:, None, None].to(self.decoder.biases[0]))
        elif likelihood == "gaussian" and deviation != "network":
            width = 1 if deviation == "shared" else self.pixels
            self.spread = nn.Parameter(self.decoder.biases[0].new_zeros(models, 1, width))

    def encode(self, x):
        """Mean and log deviation of q(z|x), each of shape (models, n, latent), for `x` of shape (n, pixels), or
        (models, n, pixels) where each model gets its own."""
        return self.encoder(x).chunk(2, -1)

    def decode(self, z):
        """Mean and deviation of each pixel given `z`, shape (models, ..., latent); each of shape (models, ..., pixels).

        A Bernoulli pixel of mean p has the deviation $\\sqrt{p(1-p)}$.
        """
        if self.likelihood == "bernoulli":
            mean = self.decoder(z).sigmoid()
            return mean, (mean * (1 - mean)).sqrt()
        mean, log_deviation = self._gaussian(z)
        return mean, log_deviation.exp().expand_as(mean)

    def _gaussian(self, z):
        """Mean and log deviation given `z`; the latter broadcasts against the former."""
        output = self.decoder(z)
        if self.deviation == "network":
            mean, spread = output.chunk(2, -1)
        else:
            mean, spread = output, self.spread if z.ndim == 3 else self.spread[:, None]
        if self.floor and self.deviation != "fixed":
            spread = torch.logaddexp(2 * spread, spread.new_tensor(2 * math.log(self.floor))) / 2
        return mean, spread

    def log_likelihood(self, x, z):
        """log p(x|z) in nats, shape (models, ...), for `z` of shape (models, ..., latent) and `x` that broadcasts
        against (models, ..., pixels)."""
        if self.likelihood == "bernoulli":
            odds = self.decoder(z)
            return (x * odds - softplus(odds)).sum(-1)
        mean, spread = self._gaussian(z)
        constant = spread.sum(-1) * -(self.pixels // spread.shape[-1]) - self.pixels / 2 * math.log(2 * math.pi)
        if self.deviation == "network":
            return torch.sub(constant, ((x - mean) * (-spread).exp()).square().sum(-1), alpha=0.5)
        squares, precision = mse_loss(*torch.broadcast_tensors(mean, x), reduction="none"), (-2 * spread).exp()
        if spread.shape[-1] == 1:
            return torch.addcmul(constant, squares.sum(-1), precision.squeeze(-1), value=-0.5)
        return torch.sub(constant, (squares * precision).sum(-1), alpha=0.5)

    def noise(self, samples, n, generator):
        """Standard normal numbers of shape (models, samples, n, latent): what `elbo` and its kin take for `noise`."""
        shape = self.models, count(samples, "samples"), count(n, "n"), self.latent
        weights = self.encoder.weights[0]
        return torch.randn(shape, generator=generator, dtype=weights.dtype, device=weights.device)

    @torch.no_grad()
    def sample(self, number, generator):
        """New data, shape (models, number, pixels): a code from the prior, then pixels from the decoder."""
        mean, deviation = self.decode(self.noise(1, number, generator)[:, 0])
        draw = torch.rand if self.likelihood == "bernoulli" else torch.randn
        new = draw(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return (new < mean).to(mean) if self.likelihood == "bernoulli" else mean + deviation * new


def gaussian_kl(mean, log_deviation):
    r"""$\mathrm{KL}(\mathcal N(\mu,\mathrm{diag}\,\sigma^2)\|\mathcal N(0,I))
    = \frac12\sum_j(\sigma_j^2 + \mu_j^2 - 1 - \log\sigma_j^2)$ over the last axis, in nats.

    `mean` and `log_deviation` have one shape (..., latent). Nothing is checked: this is the inside of a training loop,
    and `helpers.divergence.kl_gaussians` the careful twin. Source: Scornet, (106).
    """
    return -_minus_kl(mean, log_deviation, log_deviation.exp())


def _minus_kl(mean, log_deviation, deviation):
    terms = log_deviation.addcmul(mean, mean, value=-0.5).addcmul(deviation, deviation, value=-0.5)
    return terms.sum(-1) + mean.shape[-1] / 2


def log_weights(model, x, noise):
    r"""$\log p_\theta(x_i,z_{i,l}) - \log q_\lambda(z_{i,l}|x_i)$ in nats, with
    $z_{i,l} = \mu(x_i,\lambda)+\sigma(x_i,\lambda)\odot\varepsilon_{i,l}$; shape (models, samples, n).

    `x`, shape (n, pixels), or (models, n, pixels) where each model gets its own data; `noise`, shape (models, samples,
    n, latent), standard normal, as from `model.noise`. `x` takes the precision and the device of the model. Raises
    `ValueError` for other shapes, and for numbers that are not finite.
    """
    return _log_weights(model, *_input(model, x, noise))


def _log_weights(model, x, noise):
    (_, log_deviation, _), z = _codes(model, x, noise)
    prior_less_q = (noise.square() - z.square()).sum(-1) / 2 + log_deviation.sum(-1)[:, None]
    return model.log_likelihood(_rows(x), z) + prior_less_q


def elbo(model, x, noise, analytic=True):
    r"""An unbiased estimate of the ELBO of each datum, shape (models, n), in nats.

    $\frac1L\sum_l\log p_\theta(x_i|z_{i,l}) - \mathrm{KL}(q_\lambda(z|x_i)\|p(z))$ with the closed form of the
    divergence; with `analytic=False` the mean of `log_weights`, which takes no closed form. Arguments and errors as
    for `log_weights`. Source: Scornet, (103); Kingma and Welling (2014), estimators B and A.
    """
    x, noise = _input(model, x, noise)
    return _bound(model, x, noise) if analytic else _log_weights(model, x, noise).mean(1)


def _bound(model, x, noise, penalty=1.0):
    """The mean over the samples; `noise` may lack their axis where there is one."""
    q, z = _codes(model, x, noise)
    likelihood = model.log_likelihood(x, z) if noise.ndim == 3 else model.log_likelihood(_rows(x), z).mean(1)
    return likelihood + penalty * _minus_kl(*q)


def importance_weighted(model, x, noise):
    r"""$\log\frac1L\sum_l\exp(\texttt{log\_weights})$, shape (models, n), in nats: in the mean between the ELBO, which
    it is for L = 1, and $\log p_\theta(x_i)$, which it tends to as L grows.

    Arguments and errors as for `log_weights`. Source: Burda, Grosse and Salakhutdinov (2016).
    """
    x, noise = _input(model, x, noise)
    parcels = noise.split(max(1, ROWS // (noise.shape[0] * noise.shape[2])), 1)
    sums = [_log_weights(model, x, parcel).logsumexp(1) for parcel in parcels]
    return torch.stack(sums).logsumexp(0) - math.log(noise.shape[1])


def _input(model, x, noise):
    weights = instance(model, "model", Autoencoder).encoder.weights[0]
    x, noise = (tensor(tensor(one, name).to(weights), name) for one, name in ((x, "x"), (noise, "noise")))
    x = _data(model, x, "x")
    return x, tensor(noise, "noise", shape=(model.models, None, x.shape[-2], model.latent))


def _data(model, x, name):
    """The tensor `x` as data that all models share, or of which each gets its own."""
    if x.ndim not in (2, 3) or x.shape[-1] != model.pixels or (x.ndim == 3 and x.shape[0] != model.models):
        wanted = f"shape (n, {model.pixels}) or ({model.models}, n, {model.pixels})"
        fail(name, wanted, f"shape {tuple(x.shape)}")
    return x


def _codes(model, x, noise):
    """Mean, log deviation and deviation of q, and codes of the shape of `noise`."""
    mean, log_deviation = model.encode(x)
    deviation = log_deviation.exp()
    z = torch.addcmul(mean, deviation, noise) if noise.ndim == 3 else mean[:, None] + deviation[:, None] * noise
    return (mean, log_deviation, deviation), z


def _rows(x):
    """Data with an axis for the samples."""
    return x[:, None] if x.ndim == 3 else x


class Training:
    r"""Gradient ascent on the ELBO of `data`, by Adam, all models at once; the best weights of each model are kept.

    Each step takes for each model `batch` data, in an order and with noise of its own, and climbs the mean of
    $\frac1L\sum_l\log p_\theta(x_i|z_{i,l}) - \beta\,\mathrm{KL}(q_\lambda(z|x_i)\|p(z))$ with L = `samples` and the
    weight $\beta$ = `penalty`, a number or one for each model, shape (models,). To each datum that is used, uniform
    noise on [0, `jitter`) is added, new each time: for pixels that were whole numbers. After each epoch the ELBO
    ($\beta=1$) of `held_out` is measured, always with the same noise, and the weights of a model are kept where it is
    the best so far.

    `data` and `held_out`, shape (n, pixels), or (models, n, pixels) where each model gets its own, are kept in memory
    in the precision of the model; the model is moved to the device of `data`, and all randomness comes from
    `generator(name)` of `helpers.randomness` on that device. On the CPU a run that was saved and resumed, see
    `state_dict`, is the very run that was not. Raises `ValueError` for data of another shape or not finite, and
    settings out of range; `run` raises `RuntimeError` where a bound is no longer finite. Source: Scornet, (103), (104);
    Kingma and Welling (2014), algorithm 1.
    """

    def __init__(
        self, model, data, held_out, *, name, batch=128, rate=1e-3, samples=1, penalty=1.0, jitter=0.0
    ):  # fmt: skip
        instance(model, "model", Autoencoder)
        data = _data(model, tensor(data, "data"), "data")
        held_out = _data(model, tensor(held_out, "held_out"), "held_out")
        self.name, self.model = name, model.to(data.device)
        weights = model.encoder.weights[0]
        self.data, self.held_out = data.to(weights.dtype), held_out.to(weights)
        self.batch, self.samples = min(count(batch, "batch"), data.shape[-2]), count(samples, "samples")
        penalty, jitter = tensor(penalty, "penalty").to(weights), tensor(jitter, "jitter", ndim=0)
        if penalty.ndim and penalty.shape != (model.models,):
            fail("penalty", f"a number, or shape ({model.models},)", f"shape {tuple(penalty.shape)}")
        not_negative(jitter, "jitter")
        self.penalty, self.jitter = penalty.expand(model.models)[:, None], jitter.item()
        self.generator = named_generator(name, data.device)
        self.held_noise = model.noise(1, held_out.shape[-2], named_generator(f"{name}: held out", data.device))
        self.optimiser = torch.optim.Adam(model.parameters(), lr=positive(rate, "rate"), fused=True)
        self.history = {"training": weights.new_empty(0, model.models), "held_out": weights.new_empty(0, model.models)}
        self._best = copy.deepcopy(model)

    def run(self, epochs):
        """Train for `epochs` more; returns itself. A progress bar appears on stderr after three seconds, unless the
        environment has `TQDM_DISABLE=1` when Python starts."""
        epochs = count(epochs, "epochs")
        for _ in tqdm(range(epochs), self.name, delay=DELAY, leave=False, unit="epoch"):
            measured = {"training": self._epoch(), "held_out": self._score()}
            before = self.history["held_out"]
            for key, value in measured.items():
                if not torch.isfinite(value).all():
                    which = (~torch.isfinite(value)).nonzero().flatten().tolist()
                    raise RuntimeError(
                        f"{self.name}: the {key.replace('_', '-')} bound of model(s) {which} is not finite after epoch "
                        f"{len(before) + 1}; a smaller rate or a larger floor may help"
                    )
                self.history[key] = torch.cat([self.history[key], value[None]])
            self._keep(measured["held_out"] > before.max(0).values if len(before) else slice(None))
        return self

    def _epoch(self):
        """One pass over the data; each model's mean bound, shape (models,)."""
        model, generator, data, models = self.model, self.generator, self.data, self.model.models
        n, rows = data.shape[-2], data.flatten(0, -2)
        orders = [torch.randperm(n, generator=generator, device=data.device) for _ in range(models)]
        orders = torch.stack([order + n * i for i, order in enumerate(orders)] if data.ndim == 3 else orders)
        total, parameters = data.new_zeros(models), list(model.parameters())
        for index in orders.split(self.batch, -1):
            size = index.shape[1]
            x = rows.index_select(0, index.flatten()).view(models, size, -1)
            if self.jitter:
                x += self.jitter * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            noise = model.noise(self.samples, size, generator)
            bound = _bound(model, x, noise[:, 0] if self.samples == 1 else noise, self.penalty)
            for parameter in parameters:
                parameter.grad = None
            bound.backward(torch.full_like(bound, -1 / size))
            self.optimiser.step()
            total += bound.detach().sum(-1)
        return total / n

    @torch.no_grad()
    def _score(self):
        return _bound(self.model, self.held_out, self.held_noise).mean(-1)

    @torch.no_grad()
    def _keep(self, better):
        for kept, now in zip(self._best.parameters(), self.model.parameters(), strict=True):
            kept[better] = now[better]

    def best(self):
        """A copy of the model with the weights of each model's best epoch so far (before any: those it has)."""
        return copy.deepcopy(self._best)

    def state_dict(self):
        """All that a run depends on beyond its arguments, as tensors and plain data, for `torch.save`."""
        state = {"model": self.model, "best": self._best, "optimiser": self.optimiser}
        state = {key: copy.deepcopy(one.state_dict()) for key, one in state.items()}
        return state | {"generator": self.generator.get_state(), "history": dict(self.history)}

    def load_state_dict(self, state):
        """Go on where the run that gave `state` stopped; this one must have been made with the same arguments."""
        for key, one in {"model": self.model, "best": self._best, "optimiser": self.optimiser}.items():
            one.load_state_dict(state[key])
        self.generator.set_state(state["generator"].cpu())
        self.history = dict(state["history"])

"""Critics of bounded slope, and the game in which a generator learns from one: many pairs of networks at once."""

import math

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from helpers.alternation import Alternation, Losses
from helpers.networks import MLP
from helpers.validation import count, fail, instance, one_of, positive, tensor

__all__ = ["Game", "clip", "gradient_penalty", "normalise", "slope_bound", "slopes"]

LOSSES = {  # what the critic climbs at data, and at fakes; what the generator descends
    "wasserstein": (lambda f: f, lambda f: -f, lambda f: -f),
    "saturating": (logsigmoid, lambda f: logsigmoid(-f), lambda f: logsigmoid(-f)),
    "non-saturating": (logsigmoid, lambda f: logsigmoid(-f), lambda f: -logsigmoid(f)),
}
CONSTRAINTS = ("clip", "penalty", "spectral", "none")


def clip(network, bound):
    r"""$w \leftarrow \min(\max(w,-c),c)$ for every weight and bias of `network`, an `MLP`, in place.

    c = `bound`, above zero, one number or one for each model. Raises `ValueError` for other bounds. Source: Mikayelyan,
    Algorithm 1, line 7; Arjovsky, Chintala and Bottou (2017).
    """
    bound = _each(bound, instance(network, "network", MLP), "bound")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.clamp(-bound, bound))


def slope_bound(network):
    r"""$\prod_l\|W_l\|_2$, the product of the largest singular values of the layers of `network`, an `MLP`, shape
    (models,): no slope of the network is larger, if none of the activation exceeds one."""
    layers = instance(network, "network", MLP).weights
    return math.prod(torch.linalg.matrix_norm(weights.detach(), 2) for weights in layers)


def normalise(network, vectors=None, rounds=1):
    r"""$W_l \leftarrow W_l/\|W_l\|_2$ for every layer of `network`, an `MLP`, in place, so that `slope_bound` is one.

    The norm comes from `rounds` rounds of power iteration, $u\leftarrow W v/|Wv|$, $v\leftarrow W^\top u/|W^\top u|$,
    that begin at `vectors`, the list of v which an earlier call has returned, else at the exact ones. Biases stay as
    they are. Returns the vectors, one tensor (models, size of the output, 1) a layer. Raises `ValueError` for
    other vectors and where a layer has no weight but zero. Source: Miyato et al., Spectral normalization for generative
    adversarial networks (2018), who differentiate through the norm as well.
    """
    rounds, layers, ends = count(rounds, "rounds"), instance(network, "network", MLP).weights, []
    if vectors is not None and (not isinstance(vectors, list | tuple) or len(vectors) != len(layers)):
        fail("vectors", f"a list of {len(layers)} tensors", repr(vectors)[:80])
    with torch.no_grad():
        for layer, weights in enumerate(layers):
            if vectors is None:
                v = torch.linalg.svd(weights, full_matrices=False).Vh[:, :1].mT
            else:
                v = tensor(vectors[layer], "vectors", shape=(len(weights), weights.shape[2], 1)).to(weights)
            for _ in range(rounds):
                u = nn.functional.normalize(weights @ v, dim=1)
                v = nn.functional.normalize(weights.mT @ u, dim=1)
            norm = (u.mT @ weights @ v).abs()
            if not (norm > torch.finfo(norm.dtype).tiny).all():
                fail("network", "a weight other than zero in every layer", "a norm of zero")
            weights.div_(norm)
            ends.append(v)
    return ends


def slopes(network, points):
    r"""$|\nabla f(x)|$ at each of the `points`, shape (models, n), for a `network` with one output.

    `points`, shape (n, d): every model gets the same, or (models, n, d). Raises `ValueError` for another shape and for
    a network with another number of outputs, and where the gradient overflows.
    """
    points = tensor(tensor(points, "points").to(_critic(network).weights[0]), "points").detach()
    if points.shape[-1:] != network.sizes[:1] or points.shape[:-2] not in ((), (network.models,)) or points.ndim < 2:
        wanted = f"shape (n, {network.sizes[0]}) or ({network.models}, n, {network.sizes[0]})"
        fail("points", wanted, f"shape {tuple(points.shape)}")
    found = _gradients(network, points).norm(dim=-1)
    if not torch.isfinite(found).all():
        fail("points", "points where the gradient is finite", points.abs().max().item())
    return found


def gradient_penalty(network, x, y, shares):
    r"""$\frac1n\sum_i\big(|\nabla f(u_i)|-1\big)^2$ at $u_i=t_ix_i+(1-t_i)y_i$, for each model, shape (models,): with
    its gradient in the weights.

    `x` and `y`, shape (models, n, d); t = `shares`, shape (models, n, 1), numbers in [0, 1], as a rule uniform. Raises
    `ValueError` for other shapes and where it overflows. Source: Gulrajani et al., Improved training of Wasserstein
    GANs (2017).
    """
    weights = _critic(network).weights[0]
    x = tensor(tensor(x, "x", shape=(network.models, None, network.sizes[0])).to(weights), "x")
    y = tensor(tensor(y, "y", shape=tuple(x.shape)).to(weights), "y")
    shares = tensor(shares, "shares", shape=(*x.shape[:2], 1)).to(weights)
    if (shares < 0).any() or (shares > 1).any():
        fail("shares", "numbers from 0 to 1", f"{shares.min().item():g} to {shares.max().item():g}")
    found = _penalty(network, torch.lerp(y, x, shares))
    if not torch.isfinite(found).all():
        fail("x, y", "points between which the gradient is finite", max(x.abs().max().item(), y.abs().max().item()))
    return found


def _penalty(network, points):
    return (_gradients(network, points, create_graph=True).norm(dim=-1) - 1).square().mean(-1)


def _gradients(network, points, create_graph=False):
    """The gradient of the output at each point, shape (models, n, d)."""
    if points.ndim == 2:
        points = points.expand(network.models, *points.shape)
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        return torch.autograd.grad(network(points).sum(), points, create_graph=create_graph)[0]


def _critic(network, name="network"):
    if instance(network, name, MLP).sizes[-1] != 1:
        fail(name, "one output", network.sizes[-1])
    return network


def _each(value, network, name):
    """A number above zero, or one for each model, as a tensor that broadcasts against the parameters."""
    value = tensor(value, name).to(network.weights[0])
    value = value.expand(network.models) if value.ndim == 0 else tensor(value, name, shape=(network.models,))
    for one in value:
        positive(one, name)
    return value[:, None, None]


class Game(Alternation):
    r"""A `generator` and a `critic`, two `MLP`s of as many models, that learn against each other: Mikayelyan's
    Algorithm 1, and what is tried beside it.

    One step: `critic_steps` times draw a batch of data and a batch of fakes $g_\theta(z)$, $z\sim\mathcal N(0,I)$, and
    let the critic climb its objective; then draw a batch of fakes and let the generator descend its own.

    ==================  ==========================================  ==========================
    loss                the critic climbs the mean of               the generator descends
    ==================  ==========================================  ==========================
    "wasserstein"       f(x) - f(g(z))                              the mean of -f(g(z))
    "saturating"        log σ(f(x)) + log σ(-f(g(z)))               the mean of log σ(-f(g(z)))
    "non-saturating"    the same                                    the mean of -log σ(f(g(z)))
    ==================  ==========================================  ==========================

    `constraint` holds the critic's slope: "clip" cuts its parameters to [-`bound`, `bound`] after each step, "penalty"
    subtracts `penalty` times the `gradient_penalty` from its objective, "spectral" divides its layers by their norms
    after each step, "none" does nothing. `momentum` None: both players step by RMSProp, $w + \alpha\,g/(\sqrt
    v+10^{-8})$ with $v\leftarrow.99v+.01g^2$; a number $\beta_1$ from 0 to below 1: by Adam with $(\beta_1, .999)$.
    `rate` ($\alpha$) and `bound` (c) are numbers above zero, or one for each model.

    `draw(shape, generator)` gives data of the shape (*shape, d), where `shape` is (models, `batch`): every model sees
    data and noise of its own, from `generator(name)` of `helpers.randomness`. `history` holds the critic's objective
    on its last batch of each step, without penalty, shape (steps, models). Both networks are changed in place. Raises
    `ValueError` for settings out of range and data of another shape; `run` raises `RuntimeError` where a parameter is
    no longer finite.
    """

    def __init__(
        self, generator, critic, draw, *, name, loss="wasserstein", constraint="clip", bound=0.01, penalty=10.0,
        rate=5e-5, batch=64, critic_steps=5, momentum=None,
    ):  # fmt: skip
        one_of(loss, "loss", tuple(LOSSES))
        one_of(constraint, "constraint", CONSTRAINTS)
        self.constraint, self.weight = constraint, positive(penalty, "penalty")
        self.bound = _each(bound, _critic(critic, "critic"), "bound")
        up, down, descent = LOSSES[loss]

        def of_critic(critic, real, fake):
            ups, downs = critic(torch.cat([real, fake], 1))[..., 0].split([real.shape[1], fake.shape[1]], 1)
            return -(up(ups).mean(-1) + down(downs).mean(-1))

        def of_generator(critic, real, fake):
            return descent(critic(fake)[..., 0]).mean(-1)

        super().__init__(
            generator, critic, draw, Losses(of_critic, of_generator), name=name, batch=batch,
            critic_steps=critic_steps, rate=rate, momentum=momentum,
        )  # fmt: skip
        self._vectors = normalise(critic) if constraint == "spectral" else None

    def _slope_penalty(self, critic, real, fake):
        if self.constraint != "penalty":
            return None
        shares = torch.rand(*real.shape[:2], 1, generator=self.random, dtype=real.dtype, device=real.device)
        return self.weight * _penalty(critic, torch.lerp(fake, real, shares))

    def _restrain(self):
        if self.constraint == "clip":
            with torch.no_grad():
                for parameter in self.critic.parameters():
                    torch.clamp(parameter, -self.bound, self.bound, out=parameter)
        elif self.constraint == "spectral":
            self._vectors = normalise(self.critic, self._vectors)

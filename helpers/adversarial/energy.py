r"""Energies in the place of a discriminator's probabilities: reconstruction errors, a hinge, and codes that repel."""

import torch
from torch import nn

from helpers.alternation import Losses
from helpers.networks import MLP
from helpers.validation import alike, count, counts, fail, moderate, not_negative, number, positive, tensor

__all__ = ["Autoencoder", "critic_loss", "hinge", "losses", "pull_away", "reconstruction", "welch_bound"]


def reconstruction(x, decoded):
    r"""$D(x)=\|\mathrm{Dec}(\mathrm{Enc}(x))-x\|$, the energy of an auto-encoder: a length, not its square.

    `x` and `decoded`, of one shape (..., d), are points and what became of them; the answer has the shape (...). Where
    the two agree its gradient counts as zero. Raises `ValueError` for other shapes, and for numbers beyond 1e150 in
    size. Source: Zhao, Mathieu and LeCun, Energy-based generative adversarial network (2017), section 2.3.
    """
    x, decoded = alike(x=x, decoded=decoded)
    if x.ndim == 0 or x.shape != decoded.shape:
        fail("x, decoded", "points of one shape (..., d)", f"shapes {tuple(x.shape)} and {tuple(decoded.shape)}")
    moderate(x, "x")
    moderate(decoded, "decoded")
    return _reconstruction(x, decoded)


def _reconstruction(x, decoded):
    return torch.linalg.vector_norm(decoded - x, dim=-1)


def hinge(energies, margin):
    r"""$[m-D]^+=\max(0,m-D)$ for `energies` D of any shape, at least 0, and a `margin` m above zero.

    Its derivative is -1 below the margin and zero from there on, the margin included. Raises `ValueError` for energies
    below zero and for a margin of zero or less.
    """
    energies, margin = tensor(energies, "energies"), positive(margin, "margin")
    not_negative(energies, "energies")
    return _hinge(energies, margin)


def _hinge(energies, margin):
    return torch.relu(margin - energies)


def critic_loss(real, fake, margin):
    r"""$\frac1n\sum_iD(x_i)+\frac1k\sum_j[m-D(y_j)]^+$: what the critic descends, a hinge for each fake.

    `real` and `fake`, shapes (..., n) and (..., k), are the energies of data and of fakes; the answer has the shape
    (...). For energies that may be any function its least mean is $m(1-\mathrm{TV})$. What the generator descends is
    the mean of `fake`, without a hinge. Raises `ValueError` for leading axes that differ, energies below zero, and a
    `margin` m of zero or less. Source: Zhao, Mathieu and LeCun (2017), equations 1 and 2 and Theorem 1.
    """
    (real, fake), margin = alike(real=real, fake=fake), positive(margin, "margin")
    if real.ndim == 0 or real.shape[:-1] != fake.shape[:-1] or fake.ndim == 0:
        shapes = f"shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        fail("real, fake", "energies along the last axis, with leading axes alike", shapes)
    not_negative(real, "real")
    not_negative(fake, "fake")
    return _critic_loss(real, fake, margin)


def _critic_loss(real, fake, margin):
    return real.mean(-1) + _hinge(fake, margin).mean(-1)


def pull_away(codes):
    r"""$\frac1{n(n-1)}\sum_i\sum_{j\ne i}\Big(\frac{S_i^\top S_j}{\|S_i\|\|S_j\|}\Big)^2$, the pull-away term.

    `codes`, shape (..., n, d): a batch of n codes S in d dimensions; the answer has the shape (...), from 0, where any
    two codes are at right angles, to 1, where all are on one line through the origin. A code of norm zero has no
    direction: its cosines count as zero, and so does its gradient. All squares together are the squared size of the
    Gram matrix of the directions, of their second moments where those are fewer: $O(nd\min(n,d))$. Raises `ValueError`
    for a batch of one, which has no pairs. Source: Zhao, Mathieu and LeCun (2017), section 2.4.
    """
    codes = tensor(codes, "codes")
    if codes.ndim < 2 or codes.shape[-2] < 2:
        fail("codes", "shape (..., n, d) with two codes or more, as one makes no pair", f"shape {tuple(codes.shape)}")
    return _pull_away(codes)


def _pull_away(codes):
    size = codes.detach().abs().amax(-1, keepdim=True)
    there = size > 0
    scaled = codes / size.where(there, 1)  # so that no square is lost or too large
    directions = scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True).where(there, 1)
    n, d = codes.shape[-2:]
    products = directions.mT @ directions if d < n else directions @ directions.mT
    with_themselves = there.sum((-2, -1))
    return ((products.square().sum((-2, -1)) - with_themselves) / (n * (n - 1))).clamp_min(0)


def welch_bound(batch, dimension):
    r"""$\max\big(0,\frac{n-d}{d(n-1)}\big)$: the least `pull_away` of n = `batch` codes, none zero, in `dimension` d.

    Reached by the codes whose directions have the second moments $\frac1n\sum uu^\top=\frac1dI$ and, for $n\le d$, by
    those at right angles. Raises `ValueError` for a batch below two or a dimension below one. Source: Welch, Lower
    bounds on the maximum cross correlation of signals (1974).
    """
    batch, dimension = count(batch, "batch", 2), count(dimension, "dimension")
    return max(0.0, (batch - dimension) / (dimension * (batch - 1)))


class Autoencoder(nn.Module):
    r"""`models` auto-encoders, as one batched model that answers with its energy $\|\mathrm{Dec}(\mathrm{Enc}(x))-x\|$.

    The encoder is an `MLP` of sizes (`inputs`, *`hidden`, `code`), the decoder one of the reverse; `activation`,
    `generator` and `dtype` are theirs. Raises `ValueError` for sizes that are no whole numbers above zero, and what the
    `MLP` refuses.
    """

    outputs = 1

    def __init__(self, inputs, code, hidden, models=1, *, activation=torch.relu, generator, dtype=torch.float32):
        super().__init__()
        sizes = (count(inputs, "inputs"), *counts(hidden, "hidden"), count(code, "code"))
        options = {"activation": activation, "generator": generator, "dtype": dtype}
        self.inputs, self.models = sizes[0], count(models, "models")
        self.encoder, self.decoder = (MLP(one, models, **options) for one in (sizes, sizes[::-1]))

    def forward(self, x):
        """The energies of `x`, shape (n, inputs) or (models, ..., inputs), as shape (models, ..., 1)."""
        return _reconstruction(x, self.decoder(self.encoder(x)))[..., None]


def losses(margin, weight=0.0):
    r"""What the two players of an energy-based GAN descend, as `Losses` for `helpers.adversarial.training`.

    The critic, an `Autoencoder`, descends its `critic_loss` with this `margin`; the generator the mean energy of its
    fakes and `weight`, a number of at least 0, times the `pull_away` of their codes. Energies and codes are not looked
    at: the trainer stops where a loss is no longer finite. Raises `ValueError` for a margin of zero or less and a
    weight below zero, and, at a positive weight, for a batch of one.
    """
    margin, weight = positive(margin, "margin"), number(weight, "weight", "a number of at least 0")
    if weight < 0:
        fail("weight", "a number of at least 0", weight)

    def of_critic(critic, real, fake):
        energies = critic(torch.cat([real, fake], 1))[..., 0]
        return _critic_loss(*energies.split([real.shape[1], fake.shape[1]], 1), margin)

    def of_generator(critic, real, fake):
        codes = critic.encoder(fake)
        energy = _reconstruction(fake, critic.decoder(codes)).mean(-1)
        if weight == 0:
            return energy
        if fake.shape[1] < 2:
            fail("batch", "two or more at a positive weight, as one code makes no pair", fake.shape[1])
        return energy + weight * _pull_away(codes)

    return Losses(of_critic, of_generator)

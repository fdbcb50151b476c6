r"""Generators that learn from a critic, by any f-divergence or any pair of losses, many pairs of networks at once.

Every tensor has the axis of the models first, so that several seeds, and several divergences, train at the cost of few.
"""

from itertools import groupby

import torch
from torch import nn

from helpers.adversarial.fdivergence import FDivergence
from helpers.alternation import Alternation, Losses
from helpers.validation import alike, count, fail, instance, one_of

__all__ = ["Losses", "Training", "estimate"]

LOSSES = ("saturating", "non-saturating")


def estimate(divergence, real, fake):
    r"""$\frac1n\sum_iT(x_i)-\frac1m\sum_jf^*(T(y_j))$ with $T=g_f(V)$: what a critic says of a divergence.

    `divergence` is a row of `helpers.adversarial.fdivergence`; `real` and `fake`, shapes (..., n) and (..., m), are the
    outputs V of the critic at draws from P and from Q. Returns shape (...). For a critic that has not seen the draws
    its mean is at most $D_f(P\|Q)$. Raises `ValueError` for leading axes that differ, and where the estimate is not
    finite. Source: Derkach, Variational Divergence Minimization; Nowozin, Cseke and Tomioka (2016).
    """
    instance(divergence, "divergence", FDivergence)
    real, fake = alike(real=real, fake=fake)
    if real.ndim == 0 or real.ndim != fake.ndim or real.shape[:-1] != fake.shape[:-1]:
        shapes = f"shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        fail("real, fake", "outputs along the last axis, with leading axes alike", shapes)
    found = _estimate(divergence, real, fake)
    if not torch.isfinite(found).all():
        fail(
            "real, fake", "outputs at which the estimate is finite", [real.abs().max().item(), fake.abs().max().item()]
        )
    return found


def _estimate(divergence, real, fake):
    return divergence.squash(real).mean(-1) - divergence.squashed_dual(fake).mean(-1)


class Training(Alternation):
    r"""A `generator` and a `critic` that learn in turn, see `Alternation`, by `losses` of any kind, or by those of
    $\min_\theta\max_\omega\mathbb E_PT_\omega-\mathbb E_{Q_\theta}f^*(T_\omega)$ with $T_\omega=g_f(V_\omega)$.

    `losses` is a pair, `Losses`, or a row of `helpers.adversarial.fdivergence` (of its `TABLE`, or `GAN`), or rows, one
    for each model. By rows, and then the critic has one output, it climbs the `estimate` on a batch of data and a batch
    of fakes, and the generator descends the mean of $-f^*(T)$ at its fakes ("saturating", the default) or of $-T$
    (`loss="non-saturating"`); a part of a gradient that overflows counts as zero, so that a model that runs away stands
    still and leaves the others alone. The other settings are those of `Alternation`, with Adam.
    `history` holds the estimate of the critic's last batch of each step, before it moved, shape (steps, models).

    Raises `ValueError` for settings out of range and data of another shape, `RuntimeError` where weights are no longer
    finite, or a loss or gradient of a pair. Source: Derkach, Variational Divergence Minimization; Goodfellow et al.
    (2014); Nowozin, Cseke and Tomioka (2016).
    """

    def __init__(
        self, generator, critic, draw, losses, *, name, batch=128, rate=1e-3, ratio=1.0, momentum=0.5,
        critic_steps=1, loss="saturating", noise=None, unroll=0, through=True, penalty=None,
    ):  # fmt: skip
        one_of(loss, "loss", LOSSES)
        if not isinstance(losses, Losses):
            losses = self._of_rows(losses, instance(critic, "critic", nn.Module), loss)
        if momentum is None:
            fail("momentum", "a number from 0 to below 1, or one for each model", None)
        super().__init__(
            generator, critic, draw, losses, name=name, batch=batch, critic_steps=critic_steps, rate=rate, ratio=ratio,
            momentum=momentum, noise=noise, unroll=unroll, through=through, penalty=penalty,
        )  # fmt: skip

    def _of_rows(self, losses, critic, loss):
        """The pair of losses of one row, or of one for each model."""
        models, outputs = (getattr(critic, key, None) for key in ("models", "outputs"))
        rows = list(losses) if isinstance(losses, list | tuple) else [losses] * count(models, "critic.models")
        if len(rows) != models:
            fail("losses", f"`Losses`, a row, or one for each of {models} model(s)", f"{len(rows)} rows")
        if outputs != 1:
            fail("critic", "one output, where the losses are those of f-divergences", outputs)
        runs = [(row, len(list(run))) for row, run in groupby(instance(row, "losses", FDivergence) for row in rows)]
        self._rows, self._sizes = zip(*runs, strict=True)

        def descent(row, v):
            return (row.squashed_dual if loss == "saturating" else row.squash)(v).mean(-1)

        def of_critic(critic, real, fake):
            outputs = critic(torch.cat([real, fake], 1))[..., 0]
            return -self._by_row(_estimate, *outputs.split([real.shape[1], fake.shape[1]], 1))

        def of_generator(critic, real, fake):
            return -self._by_row(descent, critic(fake)[..., 0])

        return Losses(of_critic, of_generator, may_overflow=True)

    @torch.no_grad()
    def estimate(self, number):
        """What the critic climbs, minus its loss, on `number` new data and as many new fakes, shape (models,): the
        `estimate` of each row."""
        return -self.losses.critic(self.critic, self._data(count(number, "number")), self.sample(number))

    def _by_row(self, function, *outputs):
        """`function` of each row and the outputs of its models, for all models."""
        if len(self._rows) == 1:
            return function(self._rows[0], *outputs)
        parts = zip(self._rows, *(one.split(self._sizes) for one in outputs), strict=True)
        return torch.cat([function(*part) for part in parts])

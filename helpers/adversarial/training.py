r"""Variational divergence minimisation: generators that learn from a critic, by any f-divergence, many pairs at once.

Every tensor has the axis of the models first, so that several seeds, and several divergences, train at the cost of few.
"""

import copy
from itertools import groupby

import torch

from helpers.adversarial.fdivergence import FDivergence
from helpers.alternation import Alternation
from helpers.validation import alike, count, fail, instance, number, one_of, positive

__all__ = ["Training", "estimate"]

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
    return divergence.squash(real).mean(-1) - divergence.pair(fake)[1].mean(-1)


class Training(Alternation):
    r"""A `generator` and a `critic`, two `MLP`s of as many models: $\min_\theta\max_\omega
    \mathbb E_PT_\omega-\mathbb E_{Q_\theta}f^*(T_\omega)$ with $T_\omega=g_f(V_\omega)$, by alternating steps of Adam.

    `divergence` is a row of `helpers.adversarial.fdivergence` (of its `TABLE`, or `GAN`), or a sequence of rows, one
    for each model. In one step the critic climbs `critic_steps` times the `estimate` on a batch of data and a batch of
    fakes $G_\theta(z)$, $z\sim\mathcal N(0,I)$; then the generator descends, on another batch, the mean of
    $-f^*(T)$ ("saturating", the default) or of $-T$ (`loss="non-saturating"`).

    `draw(shape, generator)` gives data of the shape (*shape, d), where `shape` is (models, `batch`): every model sees
    data and noise of its own, from `generator(name)` of `helpers.randomness` on the device of the critic. `rate` is
    the critic's rate of learning and, times `ratio`, the generator's; `momentum` is Adam's first decay. `history` holds
    the estimate on the critic's last batch of each step, before it moved, shape (steps, models). Both networks are
    changed in place. A part of a gradient that overflows counts as zero, so that a model that runs away stands still
    and leaves the others alone. A run that was saved and resumed, see `state_dict`, is the very run that was not.
    Raises `ValueError` for settings out of range and data of another shape; `run` raises `RuntimeError` where a weight
    is no longer finite. Source: Derkach, Variational Divergence Minimization; Nowozin, Cseke and Tomioka (2016).
    """

    def __init__(
        self, generator, critic, draw, divergence, *, name, batch=128, rate=1e-3, ratio=1.0, momentum=0.5,
        critic_steps=1, loss="saturating",
    ):  # fmt: skip
        super().__init__(generator, critic, draw, name=name, batch=batch, critic_steps=critic_steps)
        models = generator.models
        rows = list(divergence) if isinstance(divergence, list | tuple) else [divergence] * models
        if len(rows) != models:
            fail("divergence", f"a row, or one for each of {models} model(s)", f"{len(rows)} rows")
        runs = [(row, len(list(run))) for row, run in groupby(instance(row, "divergence", FDivergence) for row in rows)]
        self._rows, self._sizes = zip(*runs, strict=True)
        if not 0 <= number(momentum, "momentum", "a number from 0 to below 1") < 1:
            fail("momentum", "a number from 0 to below 1", momentum)
        one_of(loss, "loss", LOSSES)
        self.loss = loss
        rates = positive(rate, "rate") * positive(ratio, "ratio"), positive(rate, "rate")
        self._optimisers = [
            torch.optim.Adam(network.parameters(), lr=one, betas=(float(momentum), 0.999), fused=True)
            for network, one in zip((generator, critic), rates, strict=True)
        ]

    def _check(self):
        weights = [*self.generator.parameters(), *self.critic.parameters()]
        finite = torch.stack([torch.isfinite(one).flatten(1).all(1) for one in weights]).all(0)
        if not finite.all():
            which = (~finite).nonzero().flatten().tolist()
            raise RuntimeError(f"{self.name}: weights of model(s) {which} are not finite; a smaller rate may help")

    @torch.no_grad()
    def estimate(self, number):
        """The `estimate` of each model on `number` new data and as many new fakes, shape (models,)."""
        real = self._data(count(number, "number"))
        return self._by_row(_estimate, self.critic(real)[..., 0], self.critic(self.sample(number))[..., 0])

    def _by_row(self, function, *outputs):
        """`function` of each row and the outputs of its models, for all models."""
        parts = zip(self._rows, *(one.split(self._sizes) for one in outputs), strict=True)
        return torch.cat([function(*part) for part in parts])

    def _improve_critic(self):
        """One step of the critic; the estimate before it, shape (models,)."""
        outputs = self.critic(torch.cat([self._data(self.batch), self.sample(self.batch)], 1))[..., 0]
        value = self._by_row(_estimate, *outputs.chunk(2, 1))
        self._step(1, -value)
        return value.detach()

    def _improve_generator(self):
        self.critic.requires_grad_(False)
        outputs = self.critic(self.generator(self._noise(self.batch)))[..., 0]
        part = 1 if self.loss == "saturating" else 0
        self._step(0, -self._by_row(lambda row, v: row.pair(v)[part].mean(-1), outputs))
        self.critic.requires_grad_(True)

    def _step(self, player, losses):
        """One step down of the generator, 0, or the critic, 1."""
        optimiser = self._optimisers[player]
        optimiser.zero_grad()
        losses.sum().backward()
        for parameter in optimiser.param_groups[0]["params"]:
            parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        optimiser.step()

    def state_dict(self):
        """All that a run depends on beyond its arguments, as tensors and plain data, for `torch.save`."""
        parts = [self.generator, self.critic, *self._optimisers]
        return {
            "parts": [copy.deepcopy(one.state_dict()) for one in parts],
            "random": self.random.get_state(),
            "history": self.history,
        }

    def load_state_dict(self, state):
        """Go on where the run that gave `state` stopped; this one must have been made with the same arguments."""
        for one, kept in zip([self.generator, self.critic, *self._optimisers], state["parts"], strict=True):
            one.load_state_dict(kept)
        self.random.set_state(state["random"].cpu())
        self.history = state["history"]

"""Draws from a law that has no sampler of its own: the Rosenblatt map, and rejection under an envelope."""

from dataclasses import dataclass

import torch

from helpers.validation import a_function, alike, count, fail, instance, not_negative, one_of, positive, tensor

__all__ = ["Rejection", "rejection", "rosenblatt"]

ROUNDING = 1e-9


def rosenblatt(u, quantiles):
    r"""$x_1 = F_1^{-1}(u_1)$, $x_2 = F_{2,x_1}^{-1}(u_2)$, and so on: what turns uniform numbers into draws of any law.

    `u`, shape (n, d), strictly between 0 and 1. `quantiles`, a list of d functions, one a coordinate: each maps its
    `u_j`, shape (n,), and the coordinates before it, shape (n, j - 1), to $F_{j|x_1,\dots,x_{j-1}}^{-1}(u_j)$, shape
    (n,), with $F^{-1}(u) = \inf\{x: F(x)\ge u\}$. Returns shape (n, d). From standard normal numbers $Z$, take
    $u = \Phi(Z)$. Raises `ValueError` for other shapes, numbers u outside (0, 1), and quantiles that are not finite.
    Source: Scornet, (83) to (86); Rosenblatt, Annals of Mathematical Statistics 23 (1952).
    """
    u = tensor(u, "u", ndim=2)
    if not (u.min() > 0 and u.max() < 1):
        fail("u", "numbers between 0 and 1, both excluded", f"numbers from {u.min().item()} to {u.max().item()}")
    if len(instance(quantiles, "quantiles", list, tuple)) != u.shape[1]:
        fail("quantiles", f"a function for each of {u.shape[1]} columns of u", f"{len(quantiles)}")
    x = u[:, :0]
    for j, quantile in enumerate(quantiles):
        a_function(quantile, f"quantiles[{j}]", "u and the coordinates before it")
        column = tensor(quantile(u[:, j], x), f"quantiles[{j}](u, x)", shape=(len(u),))
        x = torch.cat([x, column[:, None].to(u)], 1)
    return x


@dataclass(frozen=True, eq=False)
class Rejection:
    r"""Proposals and what became of them: `proposed`, shape (number, ...); the `heights` $u_0$ under $kq(z_0)$, shape
    (number,); which of them are `accepted`; and the `ratio` $\tilde p(z_0)/kq(z_0)$ at each, above one where the
    envelope is violated. A height is infinite where it is beyond the largest number."""

    proposed: torch.Tensor
    heights: torch.Tensor
    accepted: torch.Tensor
    ratio: torch.Tensor

    @property
    def draws(self):
        """The accepted ones, shape (accepted, ...)."""
        return self.proposed[self.accepted]

    @property
    def rate(self):
        """The share of the proposals that was accepted."""
        return self.accepted.double().mean().item()

    @property
    def violations(self):
        """At how many proposals the envelope lies below the target, by more than rounding."""
        return (self.ratio > 1 + ROUNDING).sum().item()


def rejection(target, proposal, draw, k, number, *, generator, violated="refuse"):
    r"""Rejection sampling with `number` proposals $z_0\sim q$: $u_0$ uniform on $[0, kq(z_0))$, accepted where
    $u_0 < \tilde p(z_0)$. A `Rejection`.

    `target` is $\tilde p$, up to a constant, `proposal` the density $q$: each maps proposals, shape (number, ...), to
    numbers of at least zero, shape (number,). `draw(number, generator)` returns the proposals. $k$ is right if
    $kq\ge\tilde p$ everywhere; then the draws have the law $\tilde p/Z_p$, and the chance to be accepted is
    $Z_p/k$. The envelope is tried at each proposal, and no further. Where it is below the target, draws have the law
    $\propto\min(\tilde p, kq)$: with `violated="refuse"` a `ValueError` says where, with `violated="count"` the result
    has the number of `violations`. Raises `ValueError` for a k of zero or less, negative densities, a proposal density
    of zero at one of its own draws, and other shapes. Source: CEDL, "Rejection Sampling".
    """
    a_function(target, "target")
    a_function(proposal, "proposal")
    a_function(draw, "draw", "a number and a generator")
    k, number = positive(k, "k"), count(number, "number")
    instance(generator, "generator", torch.Generator)
    one_of(violated, "violated", ("refuse", "count"))
    proposed = tensor(draw(number, generator), "draw(number, generator)")
    if proposed.ndim == 0 or len(proposed) != number:
        fail("draw(number, generator)", f"{number} proposals along the first axis", f"shape {tuple(proposed.shape)}")
    p, q = (_density(one(proposed), name, number) for one, name in ((target, "target"), (proposal, "proposal")))
    p, q = alike(p=p, q=q)
    if not q.min() > 0:
        fail("proposal", "a density above zero at its own draws", f"0 at {proposed[q.argmin()].tolist()}")
    ratio = p / k / q
    worst = ratio.argmax()
    if violated == "refuse" and ratio[worst] > 1 + ROUNDING:
        at = f"target / (k proposal) = {ratio[worst].item():.6g} at {proposed[worst].tolist()}"
        fail("k", "an envelope, k times the proposal at least the target", at)
    level = torch.rand(number, generator=generator, dtype=ratio.dtype, device=ratio.device)
    return Rejection(proposed, level * q * k, level < ratio, ratio)


def _density(values, name, number):
    values = tensor(values, f"{name}(z)", shape=(number,))
    not_negative(values, f"{name}(z)")
    return values

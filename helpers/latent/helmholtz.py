r"""Helmholtz machines: binary layers, a law that generates downwards and one that infers upwards, and the law between.

For images $x = h_0$ and hidden layers $h_1, \dots, h_L$ of units that are 0 or 1,

$$p(x, h) = p(h_L)\prod_{l<L}p(h_l|h_{l+1}), \qquad q(h|x) = \prod_{l<L}q(h_{l+1}|h_l),$$

$$p^*(x, h) = \frac1Z\sqrt{p(x, h)\,q(h|x)\,p^*(x)}, \qquad \tilde p^*(x) = \Big(\sum_h\sqrt{p(x, h)\,q(h|x)}\Big)^2.$$

Every tensor has the axis of the models first, so that several seeds train at the cost of few. Exact sums go from layer
to layer, for all states of two neighbours at a time: never over the joint table. Source: Bornschein, Shabanian, Fischer
and Bengio, Bidirectional Helmholtz machines (2016).
"""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from helpers.networks import MLP
from helpers.validation import count, counts, fail, instance, number, tensor

__all__ = [
    "HelmholtzMachine",
    "elbo",
    "log_bound",
    "log_evidence",
    "log_normaliser",
    "log_sum",
    "overlaps",
    "reweighted",
    "states",
]

UNITS, PAIR = 20, 24  # of one layer whose states are enumerated, of two neighbouring hidden layers
BLOCK = 2**22  # states of pairs at a time
POWER = 1e3


class HelmholtzMachine(nn.Module):
    r"""`models` Helmholtz machines of one shape, with sigmoid units: given its neighbour, the units of a layer are
    independent, and the log odds of each are affine in the neighbour.

    `sizes`, two whole numbers or more: pixels, then the units of each hidden layer. `down[l]` gives the log odds of
    layer l from layer l + 1 and `up[l]` those of layer l + 1 from layer l, each a `helpers.networks.MLP` without hidden
    layers, of its start; `prior`, shape (models, 1, sizes[-1]), are the log odds of the last layer, and start at zero.
    Weights are drawn from `generator`, a `torch.Generator`, on its device and in this `dtype`: those of `down` first.
    Raises `ValueError` for sizes or a number of models that are no whole numbers above zero.
    """

    def __init__(self, sizes, models=1, *, generator, dtype=torch.float32):
        super().__init__()
        self.sizes, self.models = counts(sizes, "sizes"), count(models, "models")
        if len(self.sizes) < 2:
            fail("sizes", "two whole numbers or more", self.sizes)
        instance(generator, "generator", torch.Generator)
        options = {"models": self.models, "generator": generator, "dtype": dtype}
        pairs = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        self.down = nn.ModuleList(MLP((above, below), **options) for below, above in pairs)
        self.up = nn.ModuleList(MLP((below, above), **options) for below, above in pairs)
        self.prior = nn.Parameter(self.up[0].biases[0].new_zeros(self.models, 1, self.sizes[-1]))

    def log_joint(self, x, hidden):
        r"""$\log p(x, h)$, shape (models, samples, n), for images `x`, shape (n, pixels) or (models, n, pixels), and
        `hidden`, a list of one tensor a layer, each of shape (models, samples, n, units)."""
        x = _images(self, x)
        return self._log_joint(x, _layers(self, hidden, x.shape[1]))

    def log_inference(self, x, hidden):
        r"""$\log q(h|x)$; arguments and shape as for `log_joint`."""
        x = _images(self, x)
        hidden = _layers(self, hidden, x.shape[1])
        first = self.up[0](x)[:, None].expand_as(hidden[0])
        odds = [first, *(net(low) for net, low in zip(self.up[1:], hidden[:-1], strict=True))]
        return sum(_bernoulli(one, layer) for one, layer in zip(odds, hidden, strict=True))

    @torch.no_grad()
    def infer(self, x, samples, generator):
        r"""Hidden layers drawn from $q(h|x)$: a list, each of shape (models, samples, n, units)."""
        x, samples = _images(self, x), count(samples, "samples")
        return self._infer(x, samples, instance(generator, "generator", torch.Generator))[0]

    @torch.no_grad()
    def generate(self, number, generator):
        r"""Images drawn from $p(x)$, shape (models, number, pixels), and the hidden layers they came from: a list, each
        of shape (models, 1, number, units)."""
        number, layers = count(number, "number"), []
        instance(generator, "generator", torch.Generator)
        odds = self.prior.expand(-1, number, -1)
        for net in reversed(self.down):
            layers.insert(0, _draw(odds, generator))
            odds = net(layers[0])
        return _draw(odds, generator), [layer[:, None] for layer in layers]

    def _log_joint(self, x, hidden):
        layers = [x[:, None].expand(-1, hidden[0].shape[1], -1, -1), *hidden]
        odds = [net(high) for net, high in zip(self.down, hidden, strict=True)]
        odds.append(self.prior[:, None].expand_as(hidden[-1]))
        return sum(_bernoulli(one, layer) for one, layer in zip(odds, layers, strict=True))

    def _infer(self, x, samples, generator):
        """Hidden layers, and the logarithm of their probability, through which gradients go."""
        odds, hidden, total = self.up[0](x)[:, None].expand(-1, samples, -1, -1), [], 0.0
        for net in [*self.up[1:], None]:
            hidden.append(_draw(odds.detach(), generator))
            total = total + _bernoulli(odds, hidden[-1])
            odds = net(hidden[-1]) if net else None
        return hidden, total


def states(units):
    r"""All $2^{units}$ states of so many binary units, shape (2**units, units), in the order of binary numbers.

    Raises `ValueError` for more than 20 units, with the number of their states.
    """
    units = count(units, "units")
    if units > UNITS:
        fail("units", f"at most {UNITS} units, {2**UNITS} states", f"{units} units, 2^{units} states")
    return (torch.arange(2**units)[:, None] >> torch.arange(units - 1, -1, -1) & 1).double()


def log_sum(machine, x, power_p=0.5, power_q=0.5):
    r"""$\log\sum_h p(x, h)^a\,q(h|x)^b$ of each image, shape (models, n), with $a$ = `power_p` and $b$ = `power_q`.

    $a = b = \frac12$ gives $\frac12\log\tilde p^*(x)$, $(1, 0)$ gives $\log p(x)$. `x`, shape (n, pixels) or (models,
    n, pixels), takes the precision and the device of the machine. Raises `ValueError` for images that are not binary,
    powers beyond 1000, and hidden layers with too many states: more than 20 units in one, or than 24 in two neighbours.
    """
    a, b = _power(power_p, "power_p"), _power(power_q, "power_q")
    return _downwards(machine, x, a, lambda log_p, log_q, above: (a * log_p + b * log_q + above).logsumexp(-1))


def log_evidence(machine, x):
    r"""$\log p(x) = \log\sum_h p(x, h)$, shape (models, n); arguments and errors as for `log_sum`."""
    return log_sum(machine, x, 1.0, 0.0)


def log_bound(machine, x):
    r"""$\log\tilde p^*(x) = 2\log\sum_h\sqrt{p(x, h)\,q(h|x)}$, shape (models, n): at most $\log p^*(x)$ and at most
    $\log p(x)$. Arguments and errors as for `log_sum`."""
    return 2 * log_sum(machine, x)


def elbo(machine, x):
    r"""$\mathbb E_{q(h|x)}[\log p(x, h) - \log q(h|x)]$, shape (models, n); arguments and errors as for `log_sum`."""
    return _downwards(machine, x, 1.0, lambda log_p, log_q, above: (log_q.exp() * (log_p - log_q + above)).sum(-1))


def log_normaliser(machine):
    r"""$\log Z = \frac12\log\sum_x\tilde p^*(x)$, shape (models,), over all images: at most 20 pixels.

    $-\log Z$ is the Bhattacharyya distance of $p(x, h)$ and $p^*(x)\,q(h|x)$. Raises `ValueError` as `log_sum` does,
    and for more pixels.
    """
    pixels = states(instance(machine, "machine", HelmholtzMachine).sizes[0])
    return log_bound(machine, pixels).logsumexp(-1) / 2


@torch.no_grad()
def overlaps(machine, number, generator):
    r"""$\tilde p^*(x)/p(x) = \big(\sum_h\sqrt{p(h|x)\,q(h|x)}\big)^2$ of images drawn from $p(x)$, shape (models,
    number): numbers from 0 to 1, whose mean is an unbiased estimate of $Z^2$, with a deviation of at most 1/2.

    Raises `ValueError` for hidden layers with too many states, as `log_sum` does.
    """
    instance(machine, "machine", HelmholtzMachine)
    x, _ = machine.generate(number, generator)
    return (log_bound(machine, x) - log_evidence(machine, x)).exp().clamp_max(1)


def reweighted(machine, x, samples, generator, power=0.5):
    r"""$\sum_k\tilde\omega_k\log\big(p(x, h^{(k)})\,q(h^{(k)}|x)\big)$ with $h^{(k)}$ from $q(h|x)$ and normalised
    weights $\tilde\omega_k \propto (p(x, h^{(k)})/q(h^{(k)}|x))^a$, shape (models, n); $a$ = `power`, K = `samples`.

    Its gradient, in which weights and samples are held fixed, is for $a = \frac12$ the estimate of the gradient of
    $\log\tilde p^*(x)$, with a bias of order 1/K; for $a = 1$ that of the wake phases of reweighted wake-sleep. Raises
    `ValueError` for images that are not binary, and a power beyond 1000. Source: Bornschein et al. (2016), algorithm 1;
    Bornschein and Bengio, Reweighted wake-sleep (2015).
    """
    x, power = _images(machine, x), _power(power, "power")
    hidden, log_q = machine._infer(x, count(samples, "samples"), instance(generator, "generator", torch.Generator))
    log_p = machine._log_joint(x, hidden)
    weights = (power * (log_p - log_q)).detach().softmax(1)
    return (weights * (log_p + log_q)).sum(1)


def _bernoulli(odds, layer):
    """Log probability of the binary `layer` with these log odds, over its units."""
    return -binary_cross_entropy_with_logits(odds, layer, reduction="none").sum(-1)


def _draw(odds, generator):
    chance = torch.rand(odds.shape, generator=generator, dtype=odds.dtype, device=odds.device)
    return (chance < odds.sigmoid()).to(odds)


def _downwards(machine, x, power, fold):
    r"""$m_0(x)$ of each image, where $m_L(h_L) = $ `power` $\cdot\log p(h_L)$, and $m_l(h_l)$ folds over all $h_{l+1}$
    what comes from $\log p(h_l|h_{l+1})$, $\log q(h_{l+1}|h_l)$ and $m_{l+1}(h_{l+1})$."""
    x = _images(machine, x)
    _, *hidden = machine.sizes
    crowded = max(a + b for a, b in zip(hidden, [*hidden[1:], 0], strict=True))
    if max(hidden) > UNITS or crowded > PAIR:
        fail("machine", f"hidden layers of at most {UNITS} units, two neighbours of at most {PAIR}", f"{hidden} units")
    above = None
    for layer in reversed(range(len(hidden))):
        high = states(hidden[layer]).to(x)
        if above is None:
            above = power * _of_states(machine.prior, high)[:, 0]
        low = states(hidden[layer - 1]).to(x).expand(machine.models, -1, -1) if layer else x
        blocks = low.split(max(1, BLOCK // (machine.models * len(high))), 1)
        above = torch.cat([fold(*_pair(machine, layer, block, high), above[:, None]) for block in blocks], 1)
    return above


def _pair(machine, layer, low, high):
    r"""$\log p(h_l|h_{l+1})$ and $\log q(h_{l+1}|h_l)$, shape (models, rows, states), for rows of $h_l$, shape (models,
    rows, units), and all states of $h_{l+1}$."""
    odds = machine.down[layer](high)
    log_p = torch.baddbmm(-_log_partition(odds)[:, None], low, odds.mT)
    return log_p, _of_states(machine.up[layer](low), high)


def _of_states(odds, high):
    """Log probability of each of the states `high` under units with these log odds, shape (models, rows, states)."""
    return odds @ high.T - _log_partition(odds)[..., None]


def _log_partition(odds):
    r"""$\sum_j\log(1 + e^{a_j})$; by default, PyTorch rounds this to $a_j$ from 20 on."""
    return softplus(odds, threshold=40).sum(-1)


def _images(machine, x):
    """Binary images, shape (models, n, pixels), in the precision of the machine."""
    prior = instance(machine, "machine", HelmholtzMachine).prior
    x = tensor(x, "x").to(prior)
    pixels, models = machine.sizes[0], machine.models
    if x.ndim not in (2, 3) or x.shape[-1] != pixels or (x.ndim == 3 and len(x) != models):
        fail("x", f"shape (n, {pixels}) or ({models}, n, {pixels})", f"shape {tuple(x.shape)}")
    return _binary(x, "x").expand(models, -1, -1)


def _layers(machine, hidden, rows):
    """The hidden layers, all of shape (models, samples, n, units), in the precision of the machine."""
    if not isinstance(hidden, list | tuple) or len(hidden) != len(machine.sizes) - 1:
        fail("hidden", f"a list of {len(machine.sizes) - 1} layers", repr(hidden)[:80])
    found = [_binary(tensor(one, "hidden").to(machine.prior), "hidden") for one in hidden]
    for layer, units in zip(found, machine.sizes[1:], strict=True):
        wanted = machine.models, found[0].shape[1] if found[0].ndim == 4 else "samples", rows, units
        if layer.shape != wanted:
            fail("hidden", "shape (" + ", ".join(map(str, wanted)) + ")", f"shape {tuple(layer.shape)}")
    return found


def _binary(value, name):
    if not ((value == 0) | (value == 1)).all():
        fail(name, "units that are 0 or 1", value[(value != 0) & (value != 1)].flatten()[0].item())
    return value


def _power(value, name):
    value = number(value, name)
    if abs(value) > POWER:
        fail(name, f"a number of at most {POWER:g} in size", value)
    return value

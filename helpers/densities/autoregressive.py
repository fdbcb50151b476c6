r"""Autoregressive models of binary vectors: $\log p(x)=\sum_j\log p(x_j\,|\,\text{its predecessors})$, exact for any x.

A mask says which coordinates another one may see: `mask[j, l]` is 1 where the law of $x_j$ may depend on $x_\ell$. It
has no cycle, so that there is an order in which each coordinate sees earlier ones alone. Models are batched: leading
axes hold several masks, several penalties, several seeds.
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import softplus
from tqdm import tqdm

from helpers.montecarlo import DELAY
from helpers.randomness import generator as named_generator
from helpers.validation import count, fail, instance, not_negative, positive, tensor

__all__ = [
    "Chain", "Network", "Training", "fit", "log_likelihood", "log_probabilities", "order_of", "predecessors", "sample",
    "states",
]  # fmt: skip

MOST = 16  # coordinates whose states are all listed
STEPS = 100
ROWS = 256  # so many regressions take a step at a time
HALVINGS = 30


def states(dimension):
    """All binary vectors, shape (2^d, d), in the order of the numbers that they write, the first coordinate the
    leading bit. Raises `ValueError` for more than 16 coordinates, of 65536 states."""
    dimension = count(dimension, "dimension")
    if dimension > MOST:
        fail("dimension", f"at most {MOST}, of which {2**MOST} states can be listed", f"{dimension}, of 2^{dimension}")
    bits = torch.arange(dimension - 1, -1, -1)
    return ((torch.arange(2**dimension)[:, None] >> bits) & 1).double()


def predecessors(order):
    """The mask by which each coordinate sees all that come before it in `order`, shape (..., d, d).

    `order`, shape (..., d): each of the numbers from 0 to d - 1 once. Raises `ValueError` for anything else.
    """
    order = tensor(order, "order")
    if order.ndim == 0 or not (order.sort(-1).values == torch.arange(order.shape[-1]).to(order)).all():
        fail("order", "each number from 0 to d - 1 once", order.tolist())
    place = order.argsort(-1)
    return (place[..., None, :] < place[..., :, None]).double()


def order_of(mask):
    """An order in which every coordinate comes after those that it sees, shape (..., d), of whole numbers.

    `mask`, zeros and ones, shape (..., d, d). Of the coordinates that could come next, the one of the lowest number
    does. Raises `ValueError` for a mask in which a coordinate sees itself, directly or round a cycle.
    """
    mask = _a_mask(mask)
    waiting = mask > 0
    placed = torch.zeros(mask.shape[:-1], dtype=torch.bool, device=mask.device)
    order = []
    for _ in range(mask.shape[-1]):
        free = ~waiting.any(-1) & ~placed
        if not free.any(-1).all():
            fail("mask", "one without a cycle", "a coordinate that sees itself, directly or through others")
        order.append(free.int().argmax(-1))
        placed = placed.scatter(-1, order[-1][..., None], True)
        waiting = waiting & ~placed[..., None, :]
    return torch.stack(order, -1)


def _a_mask(mask):
    mask = mask.double() if isinstance(mask, torch.Tensor) and mask.dtype == torch.bool else tensor(mask, "mask")
    if mask.ndim < 2 or mask.shape[-1] != mask.shape[-2]:
        fail("mask", "shape (..., d, d)", f"shape {tuple(mask.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        fail("mask", "zeros and ones", mask[(mask != 0) & (mask != 1)][0].item())
    return mask


@dataclass(frozen=True, eq=False)
class Chain:
    r"""Logistic chains: $\mathbb P(X_j=1\,|\,x)=\sigma(b_j+\sum_\ell w_{j\ell}x_\ell)$.

    `weights`, shape (..., d, d), with zeros where j does not see l; `bias`, (..., d). Raises `ValueError` for shapes
    that do not go together, and where the weights that are not zero let a coordinate see itself. Source: Scornet, slide
    "Logistic Autoregressive Bayesian Network"; Frey (1998).
    """

    weights: torch.Tensor
    bias: torch.Tensor

    def __post_init__(self):
        weights, bias = tensor(self.weights, "weights"), tensor(self.bias, "bias")
        if weights.ndim < 2 or weights.shape[-2] != weights.shape[-1] or bias.shape != weights.shape[:-1]:
            shapes = f"{tuple(weights.shape)} and {tuple(bias.shape)}"
            fail("weights, bias", "shapes (..., d, d) and (..., d)", shapes)
        try:
            order_of(weights != 0)
        except ValueError:
            fail("weights", "zeros on the diagonal and no cycle", "a coordinate that sees itself")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", bias.to(weights))

    @property
    def mask(self):
        """Which weights are not zero."""
        return (self.weights != 0).to(self.weights)

    def logits(self, x):
        """The log odds of every coordinate given the others, shape (..., n, d), for `x` of shape (n, d)."""
        return x @ self.weights.mT + self.bias[..., None, :]


def fit(data, mask, penalty=1.0):
    r"""The logistic chain under this `mask` that minimises
    $-\sum_i\log p(x_i)+\frac\rho2\big(\sum_jb_j^2+\sum_{j\ell}w_{j\ell}^2\big)$.

    `data`, zeros and ones, shape (n, d); `mask`, shape (..., d, d), and the `penalty` $\rho$, one number or one for
    each mask, broadcast against each other: all of them are fitted at once, each coordinate by Newton's steps of its
    own, halved where they overshoot. With a penalty above zero the objective is strictly convex and has one minimum.
    Without one it need not have any, as where a column is constant, and `RuntimeError` says so. Raises `ValueError` for
    data that are not binary, a mask in which a coordinate sees itself, a penalty below zero.
    """
    data = _binary(data, "data", 2)
    mask, penalty = _a_mask(mask), tensor(penalty, "penalty")
    not_negative(penalty, "penalty")
    order_of(mask)
    if mask.shape[-1] != data.shape[1]:
        fail("mask", f"shape (..., {data.shape[1]}, {data.shape[1]})", f"shape {tuple(mask.shape)}")
    try:
        batch = torch.broadcast_shapes(mask.shape[:-2], penalty.shape)
    except RuntimeError:
        fail("penalty", f"one number, or one for each of {tuple(mask.shape[:-2])} masks", tuple(penalty.shape))
    d, fine = data.shape[1], data.double()
    mask = mask.double().to(fine.device).expand(*batch, d, d).reshape(-1, d, d)
    penalty = penalty.double().to(fine.device).expand(batch).reshape(-1, 1, 1)
    found = _newton(fine, torch.cat([torch.ones_like(mask[..., :1]), mask], -1), penalty)
    found = found.reshape(*batch, d, d + 1).to(data)
    return Chain(found[..., 1:], found[..., 0])


def _newton(data, mask, penalty):
    """Coefficients of shape (masks, d, 1 + d), the constant's first: a problem for each row, all of them in one go.

    A step costs a product with all products of two features, which are formed once; rows that have arrived leave. Where
    the penalty is well above what single precision loses of the curvature, that is enough for it: gradients are exact,
    and steps a little off still arrive."""
    features = torch.cat([torch.ones_like(data[:, :1]), data], -1)
    shape, size = mask.shape, features.shape[1]
    target = data.T.expand(shape[0], -1, -1).flatten(0, 1)
    penalty = penalty.expand(*shape[:2], 1).flatten(0, 1)
    mask = mask.flatten(0, 1)
    row, column = torch.triu_indices(size, size, device=data.device)
    place = torch.empty(size, size, dtype=torch.long, device=data.device)
    place[row, column] = place[column, row] = torch.arange(len(row), device=data.device)
    enough = penalty.min() >= 1e-5 * len(data)
    wide = features.T.to(torch.float32 if enough else torch.float64).contiguous()
    products = (wide[row] * wide[column]).T
    found = torch.zeros_like(mask)
    found[:, 0] = ((data.sum(0) + 0.5) / (len(data) + 1)).logit().repeat(shape[0])
    active = torch.arange(len(mask), device=data.device)
    for _ in range(STEPS):
        arrived = []
        for part in active.split(ROWS):
            problem = features, target[part], mask[part], penalty[part]
            step, decrement = _step(*problem, found[part], products, place)
            found[part], value = _shortened(*problem, found[part], step)
            small = step.abs().amax(-1) <= 1e-3 * (1 + found[part].abs().amax(-1))
            arrived.append(small & (decrement <= 1e-8 * (1 + value)))  # steps converge quadratically
        active = active[~torch.cat(arrived)]
        if not len(active):
            return found.reshape(shape)
    _no_minimum()


def _no_minimum():
    raise RuntimeError("no minimum is reached: a penalty above zero, or a larger one, would give one")


def _step(features, target, mask, penalty, w, products, place):
    """Newton's step for each row, and what it would gain twice over if the objective were a parabola."""
    p = (w @ features.T).sigmoid()
    slope = ((p - target) @ features + penalty * w) * mask
    bend = ((p * (1 - p)).to(products) @ products).to(p)[:, place.flatten()].unflatten(-1, place.shape)
    bend *= mask[:, None, :] * mask[:, :, None]
    bend.diagonal(dim1=-2, dim2=-1).add_(penalty * mask + 1 - mask)
    factor, failed = torch.linalg.cholesky_ex(bend)
    if failed.any():
        _no_minimum()
    step = torch.cholesky_solve(slope[..., None], factor)[..., 0]
    return step, (slope * step).sum(-1)


def _shortened(features, target, mask, penalty, w, step):
    """The row after its step, halved until it does not climb, and the objective there."""

    def objective(w):
        a = w @ features.T
        return (softplus(a) - target * a).sum(-1) + (penalty * w.square()).sum(-1) / 2

    before, length = objective(w), torch.ones_like(w[:, :1])
    for _ in range(HALVINGS):
        new = w - length * step
        value = objective(new)
        high = value > before + 1e-12 * (1 + before)
        if not high.any():
            break
        length = torch.where(high[:, None], length / 2, length)
    return new, value


class Network(nn.Module):
    r"""Networks of Bengio and Bengio, as one batched model: a hidden group of `width` units for every coordinate that
    sees another, $h_j=\tanh(c_j+\sum_\ell V_{j\ell}x_\ell)$ over the $\ell$ that j sees, and the log odds
    $a_j=b_j+\sum_kW_{jk}h_k$ over k = j and the k that j sees.

    `mask`, shape (d, d) or (models, d, d): a pair is connected in both layers, so an output sees also what the groups
    see that it is connected with, which is in the mask again where the mask is that of an order. The weights start
    uniform with mean 0 and variance one over the number of connections into the unit; drawn from `generator`, on its
    device, in this `dtype`; the constants start at zero. Raises `ValueError` for a mask in which a coordinate sees
    itself. Source: Scornet, slides "Core idea" and "Two more ingredients"; Bengio and Bengio (2000).
    """

    def __init__(self, mask, width, *, generator, dtype=torch.float32):
        super().__init__()
        mask = _a_mask(mask)
        mask = mask[None] if mask.ndim == 2 else mask
        if mask.ndim != 3:
            fail("mask", "shape (d, d) or (models, d, d)", f"shape {tuple(mask.shape)}")
        self.order = order_of(mask)
        self.width = count(width, "width")
        instance(generator, "generator", torch.Generator)
        mask = mask.to(generator.device, dtype)
        self.models, self.dimension = mask.shape[:2]
        live = mask.any(-1).to(dtype)  # a coordinate that sees none has no hidden group
        own = torch.eye(self.dimension, dtype=dtype, device=mask.device)
        into, out = mask * live[..., None], (mask + own) * live[:, None, :]
        self.register_buffer("mask", mask)
        self.register_buffer("into", into.mT.repeat_interleave(self.width, -1))
        self.register_buffer("out", out.mT.repeat_interleave(self.width, -2))
        self.V, self.W = (self._start(part, generator) for part in (self.into, self.out))
        self.c = nn.Parameter(torch.zeros_like(self.into[:, :1]))
        self.b = nn.Parameter(torch.zeros_like(self.mask[:, :1]))

    def _start(self, connected, generator):
        uniform = torch.rand(connected.shape, generator=generator, dtype=connected.dtype, device=connected.device)
        inputs = connected.sum(-2, keepdim=True).clamp_min(1)
        return nn.Parameter((2 * uniform - 1) * (3 / inputs).sqrt() * connected)

    def logits(self, x):
        """The log odds of every coordinate, shape (models, n, d), for `x` of shape (n, d) or (models, n, d)."""
        x = x.expand(self.models, *x.shape) if x.ndim == 2 else x
        hidden = torch.baddbmm(self.c, x, self.V * self.into).tanh()
        return torch.baddbmm(self.b, hidden, self.W * self.out)

    def forward(self, x):
        """As `logits`."""
        return self.logits(x)

    def parameter_number(self):
        """How many numbers each model has: weights of connections, a constant for each unit that is connected, and one
        for each output; shape (models,)."""
        units = self.into.any(-2).sum(-1)
        return self.into.sum((-2, -1)) + self.out.sum((-2, -1)) + units + self.dimension


def log_likelihood(model, x):
    r"""$\log p(x)=\sum_j\big(x_ja_j-\log(1+e^{a_j})\big)$ in nats, shape (..., n): exact, no integral is wanted.

    `model`, a `Chain` or a `Network`; `x`, zeros and ones, shape (n, d). Raises `ValueError` for other data.
    """
    instance(model, "model", Chain, Network)
    bias = model.bias if isinstance(model, Chain) else model.b
    x = _binary(x, "x", 2).to(bias)
    if x.shape[-1] != bias.shape[-1]:
        fail("x", f"shape (n, {bias.shape[-1]})", f"shape {tuple(x.shape)}")
    return _log_likelihood(model, x)


def _log_likelihood(model, x):
    a = model.logits(x)
    return (x * a - softplus(a)).sum(-1)


def log_probabilities(model):
    """The `log_likelihood` of all `states`, shape (..., 2^d). Raises `ValueError` beyond 16 coordinates."""
    instance(model, "model", Chain, Network)
    return log_likelihood(model, states(model.mask.shape[-1]))


@torch.no_grad()
def sample(model, number, generator):
    """`number` independent draws from each model, shape (..., number, d): one coordinate after another, in an order in
    which each comes after those that it sees. `generator`, a `torch.Generator` on the device of the model."""
    instance(model, "model", Chain, Network)
    number = count(number, "number")
    instance(generator, "generator", torch.Generator)
    mask = model.mask
    batch, d = mask.shape[:-2], mask.shape[-1]
    order = order_of(mask)
    uniform = torch.rand((*batch, number, d), generator=generator, dtype=mask.dtype, device=mask.device)
    x = torch.zeros_like(uniform)
    for place in range(d):
        now = order[..., place, None, None].expand(*batch, number, 1)
        odds = model.logits(x).gather(-1, now)
        x = x.scatter(-1, now, (uniform.gather(-1, now) < odds.sigmoid()).to(x))
    return x


class Training:
    r"""Gradient ascent on the log likelihood of `data` by Adam, all models at once; the best weights of each are kept.

    Each step takes for each model `batch` data, in an order of its own; after each epoch the log likelihood of
    `held_out` is measured, and the weights of a model are kept where it is the best so far. `decay` shrinks the weights
    at each step by this share of the `rate`. `data` and `held_out` are zeros and ones, shape (n, d); all randomness is
    from `generator(name)` of `helpers.randomness`. Raises `ValueError` for other data and settings out of range.
    """

    def __init__(self, model, data, held_out, *, name, batch=100, rate=3e-3, decay=0.0):
        self.model, self.name = instance(model, "model", Network), name
        self.data, self.held_out = (self._taken(one, key) for one, key in ((data, "data"), (held_out, "held_out")))
        self.batch = min(count(batch, "batch"), len(self.data))
        decay = tensor(decay, "decay", ndim=0)
        not_negative(decay, "decay")
        rate = positive(rate, "rate")
        self.generator = named_generator(name, self.data.device)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay.item(), fused=True)
        self.history = self.model.b.new_empty(0, model.models)
        self._best = copy.deepcopy(model)

    def _taken(self, value, name):
        value = _binary(value, name, 2)
        if value.shape[1] != self.model.dimension:
            fail(name, f"shape (n, {self.model.dimension})", f"shape {tuple(value.shape)}")
        return value.to(self.model.b)

    def run(self, epochs):
        """Train for `epochs` more; returns itself."""
        for _ in tqdm(range(count(epochs, "epochs")), self.name, delay=DELAY, leave=False, unit="epoch"):
            self._epoch()
            with torch.no_grad():
                now = _log_likelihood(self.model, self.held_out).mean(-1)
                better = now > self.history.max(0).values if len(self.history) else torch.ones_like(now, dtype=bool)
                self.history = torch.cat([self.history, now[None]])
                for kept, new in zip(self._best.parameters(), self.model.parameters(), strict=True):
                    kept[better] = new[better]
        return self

    def _epoch(self):
        models, n = self.model.models, len(self.data)
        orders = [torch.randperm(n, generator=self.generator, device=self.data.device) for _ in range(models)]
        for index in torch.stack(orders).split(self.batch, -1):
            self.optimiser.zero_grad()
            value = _log_likelihood(self.model, self.data[index])
            value.backward(torch.full_like(value, -1 / index.shape[1]))
            self.optimiser.step()

    def best(self):
        """A copy of the model with the weights of each model's best epoch so far."""
        return copy.deepcopy(self._best)


def _binary(value, name, ndim):
    value = tensor(value, name, ndim=ndim)
    if not ((value == 0) | (value == 1)).all():
        fail(name, "zeros and ones", value[(value != 0) & (value != 1)][0].item())
    return value

r"""Remedies for the training of a GAN: closeness of a minibatch's members, virtual batch norm, historical averages,
matched features, smoothed labels.

Every tensor has the axis of the models first, or any leading axes where it says (...).
"""

import math
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from helpers.networks import MLP
from helpers.validation import alike, count, counts, fail, instance, moderate, not_negative, number, positive, tensor

__all__ = [
    "HistoricalAverage",
    "MinibatchCritic",
    "NormalisedMLP",
    "feature_matching",
    "minibatch_features",
    "smoothed_loss",
    "virtual_batch_norm",
]

BLOCK = 2**17  # numbers of a block that stays in cache
LOG2E = math.log2(math.e)
FLOOR = 1e-5


class _Closeness(torch.autograd.Function):
    r"""$\sum_je^{-\lVert m_i-m_j\rVert_1}$ from `m` of shape (C, pairs of model and kernel, n), pair by pair of points.

    What is kept for the gradient are the n by n exponentials of each model and kernel; the n by n by C differences are
    made anew, a block that fits in cache at a time.
    """

    @staticmethod
    def forward(ctx, m):
        close = m.new_empty(m.shape[1], m.shape[2], m.shape[2])
        for rows, part, difference in _blocks(m, close):
            torch.sub(m[0, rows, :, None], m[0, rows, None], out=part).abs_()
            for one in m[1:, rows]:
                part.add_(torch.sub(one[:, :, None], one[:, None], out=difference).abs_())
            part.mul_(-LOG2E).exp2_()
        ctx.save_for_backward(m, close)
        return close.sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        m, close = ctx.saved_tensors
        found = torch.empty_like(m)
        for rows, part, difference in _blocks(m, close):
            pull = (gradient[rows, :, None] + gradient[rows, None]).mul_(part)
            for one, target in zip(m[:, rows], found[:, rows], strict=True):
                torch.sub(one[:, None], one[:, :, None], out=difference).sign_().mul_(pull)
                torch.sum(difference, -1, out=target)
        return found


def _blocks(m, close):
    """Slices of the second axis of `m`, the same rows of `close`, and room for one table of differences."""
    step = max(1, BLOCK // m.shape[2] ** 2)
    room = m.new_empty(min(step, m.shape[1]), m.shape[2], m.shape[2])
    for start in range(0, m.shape[1], step):
        part = close[start : start + step]
        yield slice(start, start + step), part, room[: len(part)]


def minibatch_features(projections):
    r"""$o_{ib}=\sum_{j=1}^n\exp\big(-\sum_c\lvert M_{ibc}-M_{jbc}\rvert\big)$: how close each member of a batch is to
    all of them, j = i included.

    `projections` $M$, shape (..., n, B, C): n members, B kernels on C coordinates each. Returns shape (..., n, B), from
    1 for a member that is alone to n where all are one. It can be differentiated once; where two coordinates are equal
    their part of the gradient is zero. The n by n by B by C differences are never held at once. Raises `ValueError`
    for fewer than three axes and for what is not finite. Source: Salimans et al. (2016), section 3.2.
    """
    projections = tensor(projections, "projections")
    if projections.ndim < 3:
        fail("projections", "shape (..., n, B, C)", f"shape {tuple(projections.shape)}")
    *leading, n, kernels, width = projections.shape
    m = projections.reshape(-1, n, kernels, width).permute(3, 0, 2, 1).reshape(width, -1, n).contiguous()
    return _Closeness.apply(m).view(-1, kernels, n).mT.reshape(*leading, n, kernels)


class MinibatchCritic(nn.Module):
    r"""`models` critics that see whole batches: beside its last hidden layer $h(x_i)$ the last layer of an `MLP` of
    these `sizes` reads the `minibatch_features` of $M_i=h(x_i)T$, of `kernels` kernels on `width` coordinates each.

    `sizes`, three whole numbers or more; `activation` and `generator` as of `MLP`. The tensor T has the shape (models,
    sizes[-2], kernels · width) and starts uniform with mean 0 and variance 1 / sizes[-2]. Calling it on x, shape
    (models, n, sizes[0]), one batch a model, gives (models, n, sizes[-1]). Data and fakes are batches of their own, to
    be shown one after the other. Raises `ValueError` for sizes that are too few or no counts. Source: Salimans et al.
    (2016), section 3.2.
    """

    def __init__(self, sizes, models=1, *, kernels=8, width=4, activation=torch.tanh, generator, dtype=torch.float32):
        super().__init__()
        self.sizes, self.models = counts(sizes, "sizes"), count(models, "models")
        if len(self.sizes) < 3:
            fail("sizes", "three whole numbers or more", self.sizes)
        self.shape = count(kernels, "kernels"), count(width, "width")
        options = {"activation": activation, "generator": generator, "dtype": dtype}
        self.body = MLP(self.sizes[:-1], self.models, **options)
        self.projection = MLP((self.sizes[-2], kernels * width), self.models, **options).weights[0]
        self.head = MLP((self.sizes[-2] + kernels, self.sizes[-1]), self.models, **options)
        self.inputs, self.outputs = self.sizes[0], self.sizes[-1]

    def forward(self, x):
        hidden = self.body.activation(self.body(x))
        features = minibatch_features((hidden @ self.projection).unflatten(-1, self.shape))
        return self.head(torch.cat([hidden, features], -1))


def virtual_batch_norm(x, reference, *, floor=FLOOR):
    r"""$(x-\mu_x)/\sqrt{v_x+\varsigma}$ with the mean $\mu_x$ and the variance $v_x$ (divisor r + 1) of the r members
    of the reference batch and of x itself, coordinate by coordinate.

    `x`, shape (..., n, d), and `reference`, shape (..., r, d); `floor` $\varsigma$, above zero, in units of x squared.
    With mean m and variance v of the reference alone, $x-\mu_x=\frac r{r+1}(x-m)$ and
    $v_x=\frac r{r+1}v+\frac r{(r+1)^2}(x-m)^2$, so that no output exceeds $\sqrt r$ in size, and none depends on the
    rest of the batch. Returns the shape of `x`. Raises `ValueError` for shapes that do not go together, numbers whose
    squares overflow and a floor of zero or less. Source: Salimans et al. (2016), section 3.5.
    """
    x, reference = alike(x=x, reference=reference)
    if x.ndim < 2 or reference.ndim != x.ndim or (*x.shape[:-2], x.shape[-1]) != (
        *reference.shape[:-2], reference.shape[-1],
    ):  # fmt: skip
        shapes = f"shapes {tuple(x.shape)} and {tuple(reference.shape)}"
        fail("x, reference", "shapes (..., n, d) and (..., r, d)", shapes)
    _fits(x, "x")
    _fits(reference, "reference")
    return _normalise(x, reference, positive(floor, "floor"))


def _fits(value, name):
    """Refuse numbers whose squares overflow in their own precision."""
    if value.dtype == torch.float32 and not value.abs().max().item() <= 1e18:
        fail(name, "numbers of at most 1e+18 in size in float32, whose squares are finite", value.abs().max().item())
    moderate(value, name)


def _normalise(x, reference, floor):
    r = reference.shape[-2]
    variance, mean = torch.var_mean(reference, -2, correction=0, keepdim=True)
    away = x - mean
    return away * (r / (r + 1)) / (variance * (r / (r + 1)) + away.square() * (r / (r + 1) ** 2) + floor).sqrt()


class NormalisedMLP(nn.Module):
    r"""An `MLP` of these `sizes` for as many models as `reference` has, whose hidden layers are normalised before their
    activation, with a scale and a shift of their own for each coordinate.

    `reference`, shape (models, r, sizes[0]), is the batch whose members pass through the layers beside x, and by whose
    statistics and its own each x is normalised: see `virtual_batch_norm`. With `virtual=False` it is ordinary batch
    norm in training mode, by the mean and the variance of the batch of x itself. Calling it on x, shape (models, n,
    sizes[0]), gives (models, n, sizes[-1]). Raises `ValueError` for sizes that are no counts and a reference of another
    shape. Source: Salimans et al. (2016), section 3.5; Ioffe and Szegedy (2015).
    """

    def __init__(self, sizes, reference, *, virtual=True, activation=torch.tanh, generator, dtype=torch.float32):
        super().__init__()
        self.sizes = counts(sizes, "sizes")
        if len(self.sizes) < 2:
            fail("sizes", "two whole numbers or more", self.sizes)
        reference = tensor(reference, "reference", shape=(None, None, self.sizes[0]))
        _fits(reference, "reference")
        self.virtual = instance(virtual, "virtual", bool)
        self.models, self.inputs, self.outputs = len(reference), self.sizes[0], self.sizes[-1]
        start = MLP(self.sizes, self.models, activation=activation, generator=generator, dtype=dtype)
        self.weights, self.activation = start.weights, start.activation
        self.shifts = start.biases  # that of a hidden layer comes after its norm, whose mean would take it away
        self.scales = nn.ParameterList(torch.ones_like(one) for one in start.biases[:-1])
        self.register_buffer("reference", reference.to(self.weights[0]))

    def forward(self, x):
        beside = self.reference
        for weights, scale, shift in zip(self.weights[:-1], self.scales, self.shifts[:-1], strict=True):
            x = x @ weights
            if self.virtual:
                beside = beside @ weights
                x, beside = _normalise(x, beside, FLOOR), _ordinary(beside)
                beside = self.activation(scale * beside + shift)
            else:
                x = _ordinary(x)
            x = self.activation(scale * x + shift)
        return x @ self.weights[-1] + self.shifts[-1]


def _ordinary(x):
    variance, mean = torch.var_mean(x, -2, correction=0, keepdim=True)
    return (x - mean) / (variance + FLOOR).sqrt()


class HistoricalAverage:
    r"""$\lambda\big\lVert\theta-\frac1t\sum_{i\le t}\theta^{(i)}\big\rVert^2$, a penalty of a player on the distance of
    its parameters from their average over all moments at which it was asked, the present one included.

    `weight` $\lambda$, at least 0. Calling it with a network, whose parameters have the axis of the models first, takes
    these parameters into the average, which counts as constant in the gradient, and returns shape (models,). Each
    network has an average of its own, which is no part of a trainer's `state_dict`: a run that is resumed with a new
    penalty starts it anew. `step` is not looked at. Source: Salimans et al. (2016), section 3.3.
    """

    def __init__(self, weight):
        self.weight = number(weight, "weight", "a number of at least 0")
        not_negative(torch.tensor(self.weight), "weight")
        self._past = WeakKeyDictionary()

    def __call__(self, network, step=None):
        moving = [one for one in instance(network, "network", nn.Module).parameters() if one.requires_grad]
        times, means = self._past.get(network, (0, [torch.zeros_like(one) for one in moving]))
        times += 1
        with torch.no_grad():
            for mean, one in zip(means, moving, strict=True):
                mean.lerp_(one, 1 / times)
        self._past[network] = times, means
        squares = [(one - mean).square().flatten(1).sum(1) for mean, one in zip(means, moving, strict=True)]
        return self.weight * torch.stack(squares).sum(0)


def feature_matching(real, fake):
    r"""$\big\lVert\frac1n\sum_if(x_i)-\frac1m\sum_jf(y_j)\big\rVert^2$ from the features of data and of fakes.

    `real`, shape (..., n, k), and `fake`, shape (..., m, k), hold k features each. Returns shape (...). Its mean over
    batches exceeds the squared distance of the means by $\frac1n\mathrm{tr\,Cov}f(x)+\frac1m\mathrm{tr\,Cov}f(y)$.
    Raises `ValueError` for shapes that do not go together and numbers whose squares overflow. Source: Salimans et al.
    (2016), section 3.1.
    """
    real, fake = alike(real=real, fake=fake)
    if real.ndim < 2 or real.ndim != fake.ndim or real[..., 0, :].shape != fake[..., 0, :].shape:
        shapes = f"shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        fail("real, fake", "shapes (..., n, k) and (..., m, k)", shapes)
    _fits(real, "real")
    _fits(fake, "fake")
    return (real.mean(-2) - fake.mean(-2)).square().sum(-1)


def smoothed_loss(real, fake, label=0.9, other=0.0):
    r"""$-\mathbb E_P\big[\alpha\log D+(1-\alpha)\log(1-D)\big]-\mathbb E_Q\big[\beta\log D+(1-\beta)\log(1-D)\big]$,
    $D=\sigma(V)$: what a discriminator descends whose labels are $\alpha$ for data and $\beta$ for fakes.

    `real` and `fake`, shapes (..., n) and (..., m), are its outputs V; `label` $\alpha$ is in (0, 1] and `other`
    $\beta$, zero where labels are smoothed on one side alone, in [0, 1). Returns shape (...). Raises `ValueError` for
    labels out of range and leading axes that differ. Source: Salimans et al. (2016), section 3.4.
    """
    real, fake = alike(real=real, fake=fake)
    if real.ndim == 0 or real.ndim != fake.ndim or real.shape[:-1] != fake.shape[:-1]:
        shapes = f"shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        fail("real, fake", "outputs along the last axis, with leading axes alike", shapes)
    if not 0 < number(label, "label", "a number above 0 and at most 1") <= 1:
        fail("label", "a number above 0 and at most 1", label)
    if not 0 <= number(other, "other", "a number from 0 to below 1") < 1:
        fail("other", "a number from 0 to below 1", other)
    _fits(real, "real")
    _fits(fake, "fake")
    return (softplus(real) - float(label) * real).mean(-1) + (softplus(fake) - float(other) * fake).mean(-1)

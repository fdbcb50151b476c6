"""Small networks, several at once: as they share every operation, many of one shape cost little more than one."""

import math

import torch
from torch import nn

from helpers.validation import a_function, count, counts, fail, instance

__all__ = ["MLP"]


class _Tanh(torch.autograd.Function):
    r"""The hyperbolic tangent in the place of its argument, as $2\sigma(2x)-1$: on a CPU, PyTorch's sigmoid is several
    times as fast as its tangent."""

    @staticmethod
    def forward(ctx, x):
        x.mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return torch.ops.aten.tanh_backward(gradient, *ctx.saved_tensors)


IN_PLACE = {torch.tanh: _Tanh.apply, torch.relu: torch.relu_, torch.sigmoid: torch.sigmoid_}  # saves time


class MLP(nn.Module):
    r"""`models` independent multilayer perceptrons of one shape, as one batched model:
    $x \mapsto W_L\,a(\cdots a(W_1x + b_1)\cdots) + b_L$, with the activation $a$ on every layer but the last.

    `sizes`, two whole numbers or more: of the input, of each hidden layer, of the output. `activation` maps a tensor to
    one of its shape. The weights of layer l have the shape (models, sizes[l], sizes[l + 1]), the biases (models, 1,
    sizes[l + 1]), the axis of the models also where there is one. `inputs` and `outputs` are sizes[0] and sizes[-1].
    They start uniform with mean 0 and variance
    1 / sizes[l], so that a layer keeps the size of its input, and at zero; drawn from `generator`, a
    `torch.Generator`, in the order of the layers, on its device and in this `dtype`. Raises `ValueError` for sizes or
    a number of models that are no whole numbers above zero, an activation that cannot be called, and a generator that
    is none. Source of the initialisation: LeCun et al., Efficient backprop (1998), section 4.6.
    """

    def __init__(self, sizes, models=1, *, activation=torch.tanh, generator, dtype=torch.float32):
        super().__init__()
        self.sizes = counts(sizes, "sizes")
        self.models = count(models, "models")
        if len(self.sizes) < 2:
            fail("sizes", "two whole numbers or more", self.sizes)
        self.inputs, self.outputs = self.sizes[0], self.sizes[-1]
        a_function(activation, "activation")
        instance(generator, "generator", torch.Generator)
        self.activation = IN_PLACE.get(activation, activation)
        options = {"dtype": dtype, "device": generator.device}
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for start, end in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            weights = torch.rand(self.models, start, end, generator=generator, **options)
            self.weights.append((2 * weights - 1) * math.sqrt(3 / start))
            self.biases.append(torch.zeros(self.models, 1, end, **options))

    def forward(self, x):
        """Every model's answer, shape (models, ..., sizes[-1]).

        `x`, shape (n, sizes[0]): every model gets the same rows; or (models, ..., sizes[0]): each gets its own. Raises
        `ValueError` for another shape.
        """
        if x.ndim < 2 or x.shape[-1] != self.sizes[0] or (x.ndim > 2 and x.shape[0] != self.models):
            wanted = f"shape (n, {self.sizes[0]}) or ({self.models}, ..., {self.sizes[0]})"
            fail("x", wanted, f"shape {tuple(x.shape)}")
        if x.ndim == 2:
            x = x.expand(self.models, *x.shape)
        rows, last = x.shape[1:-1], len(self.weights) - 1
        if len(rows) > 1:
            x = x.flatten(1, -2)
        layers = zip(self.weights.parameters(), self.biases.parameters(), strict=True)  # faster than the lists
        for layer, (weights, bias) in enumerate(layers):
            x = torch.baddbmm(bias, x, weights)
            if layer < last:
                x = self.activation(x)
        return x.unflatten(1, rows) if len(rows) > 1 else x

r"""Small convolutional networks, several at once, each layer lowered to one product of matrices for each model.

On images of a few pixels a grouped convolution spends its time on bookkeeping. A convolution is a linear map, and a
small one: its matrix is put together from the kernel, and the images of a whole batch go through it at once.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from helpers.validation import a_function, count, counts, fail, instance, one_of, tensor

__all__ = ["Network", "kernel", "matrix", "taps"]

RESAMPLE = ("strides", "pooling")
EPSILON, MOMENTUM = 1e-5, 0.1  # of batch normalisation, as in PyTorch


def kernel(start, end, resample="strides"):
    r"""The `size`, `stride`, `padding` of the convolution from images of side `start` to such of side `end`, and
    whether it is transposed.

    From or to a single pixel the kernel is as large as the image: every pixel sees every other. Sides that differ by
    the factor 2 have a kernel of $4\times4$ with stride 2 and padding 1, transposed where the image grows
    (`resample="strides"`); or, with "pooling", one of $3\times3$ with padding 1 on the larger of the two images, before
    the maximum over blocks of $2\times2$, or after each pixel has been repeated in such a block. Equal sides have
    $3\times3$, too. Raises `ValueError` for other sides. Source: Radford, Metz and Chintala (2016), section 3.
    """
    start, end = count(start, "start"), count(end, "end")
    one_of(resample, "resample", RESAMPLE)
    if 1 in (start, end):
        return max(start, end), 1, 0, end > start
    if start == end or (resample == "pooling" and 2 in (start / end, end / start)):
        return 3, 1, 1, False
    if 2 * start == end or start == 2 * end:
        return 4, 2, 1, end > start
    fail("end", f"1, or {start} times or divided by 1 or 2", end)


def taps(start, end, resample="strides"):
    r"""Which entry of the kernel links which pixels: zeros and ones, shape (size², start², end²), for `kernel`.

    With "pooling", images that grow are repeated first, and for those that shrink the pixels are those before the
    maximum: shape (9, start², start²). Raises `ValueError` as `kernel` does.
    """
    size, stride, padding, transposed = kernel(start, end, resample)
    repeat = end // start if size == 3 and end > start else 1
    units = torch.eye(start**2).view(-1, 1, start, start).repeat_interleave(repeat, 2).repeat_interleave(repeat, 3)
    convolve = functional.conv_transpose2d if transposed else functional.conv2d
    each = torch.eye(size**2).view(-1, 1, 1, size, size)
    return torch.stack([convolve(units, one, stride=stride, padding=padding).flatten(1) for one in each])


def matrix(weights, start, end, resample="strides"):
    r"""The matrices of the convolutions with the kernels `weights`, shape (models, size², c, c'), from images of side
    `start` to such of side `end`: shape (models, start² c, end² c'), for rows of images on the left.

    Pixels come first, row by row, and the channels of a pixel are neighbours. (With "pooling", for images that shrink,
    the matrix leads to what the maximum is taken of.) Raises `ValueError` for another number of entries in a kernel,
    and as `kernel` does.
    """
    links, weights = taps(start, end, resample), tensor(weights, "weights", ndim=4)
    if weights.shape[1] != len(links):
        fail("weights", f"shape (models, {len(links)}, c, c')", f"shape {tuple(weights.shape)}")
    return _matrix(weights, links.to(weights))


def _matrix(weights, links):
    models, _, inputs, outputs = weights.shape
    blocks = links.flatten(1).mT @ weights.flatten(2)  # for each pair of pixels, the channels' matrix
    blocks = blocks.view(models, *links.shape[1:], inputs, outputs)
    return blocks.transpose(2, 3).reshape(models, links.shape[1] * inputs, links.shape[2] * outputs)


class Network(nn.Module):
    r"""`models` independent convolutional networks of one shape, as one batched model.

    `shapes`, two or more, are the (channels, side) of the input, of each hidden layer and of the output, all of square
    images; from one to the next leads the convolution of `kernel`, by `resample`. So ((16, 1), (32, 2), (16, 4),
    (1, 8)) is a generator and ((1, 8), (16, 4), (32, 2), (1, 1)) a critic of DCGAN's kind, and with all sides 1 the
    network is a perceptron. Each layer is

    - the convolution, and with "pooling" the maximum over blocks of $2\times2$ where the image shrinks; a number for
      each channel, the bias, is added, except in the layers of `batch_norm`, where it would be taken away again;
    - in the layers of `batch_norm`, numbered from 0, *batch normalisation*: with mean $\mu$ and variance $\sigma^2$ of
      a channel over the batch and the pixels, of each model by itself, $\gamma\frac{x-\mu}{\sqrt{\sigma^2+10^{-5}}}
      +\beta$ with learned $\gamma$ and $\beta$; after `eval()` running averages stand for $\mu$ and $\sigma^2$;
    - `activation`, or in the last layer `output` where it is given; each maps a tensor to one of its shape.

    The weights of a layer have the shape (models, size², c, c'); they start uniform with mean 0 and the variance
    $1/(\text{inputs of a pixel})$, as in `helpers.networks.MLP`, drawn from `generator`, on its device and in this
    `dtype`. Raises `ValueError` for shapes between which there is no `kernel`, layers that there are not, and what is
    no function. Source: Radford, Metz and Chintala (2016); Ioffe and Szegedy (2015).
    """

    def __init__(
        self, shapes, models=1, *, activation=torch.relu, output=None, batch_norm=(), resample="strides", generator,
        dtype=torch.float32,
    ):  # fmt: skip
        super().__init__()
        if not isinstance(shapes, list | tuple) or len(shapes) < 2:
            fail("shapes", "two (channels, side) or more", repr(shapes)[:80])
        self.shapes = tuple(counts(one, "shapes") for one in shapes)
        if any(len(one) != 2 for one in self.shapes):
            fail("shapes", "two whole numbers each: (channels, side)", self.shapes)
        self.models = count(models, "models")
        a_function(activation, "activation")
        if output is not None:
            a_function(output, "output")
        one_of(resample, "resample", RESAMPLE)
        instance(generator, "generator", torch.Generator)
        layers = len(self.shapes) - 1
        self.batch_norm = _layers(batch_norm, layers)
        self.activation, self.output, self.resample = activation, output, resample
        options = {"dtype": dtype, "device": generator.device}
        self.weights, self.biases, self.scales = nn.ParameterList(), nn.ParameterList(), nn.ParameterDict()
        for layer, ((inputs, start), (outputs, end)) in enumerate(zip(self.shapes, self.shapes[1:], strict=False)):
            try:
                links = taps(start, end, resample).to(**options)
            except ValueError as error:
                fail("shapes", f"sides between which there is a kernel ({error})"[:150], f"{start} and {end}")
            reach = inputs * links.sum((0, 1)).max().item()
            weights = torch.rand(self.models, len(links), inputs, outputs, generator=generator, **options)
            self.weights.append((2 * weights - 1) * math.sqrt(3 / reach))
            self.biases.append(torch.zeros(self.models, 1, outputs, **options))
            self.register_buffer(f"links{layer}", links, persistent=False)
            if layer in self.batch_norm:
                self.scales[str(layer)] = torch.ones(self.models, 1, outputs, **options)
                self.register_buffer(f"mean{layer}", torch.zeros(self.models, 1, outputs, **options))
                self.register_buffer(f"variance{layer}", torch.ones(self.models, 1, outputs, **options))

    @property
    def inputs(self):
        """How many numbers go in: channels times pixels."""
        return self.shapes[0][0] * self.shapes[0][1] ** 2

    @property
    def outputs(self):
        """How many numbers come out."""
        return self.shapes[-1][0] * self.shapes[-1][1] ** 2

    def forward(self, x):
        """Every model's answer, shape (models, n, outputs), with the channels of a pixel beside each other.

        `x`, shape (n, inputs): every model gets the same rows; or (models, n, inputs): each gets its own. Raises
        `ValueError` for another shape.
        """
        if x.ndim not in (2, 3) or x.shape[-1] != self.inputs or (x.ndim == 3 and x.shape[0] != self.models):
            fail("x", f"shape (n, {self.inputs}) or ({self.models}, n, {self.inputs})", f"shape {tuple(x.shape)}")
        x = x.expand(self.models, -1, -1)
        for layer, weights in enumerate(self.weights):
            x = self._layer(layer, x, weights)
        return x

    def _layer(self, layer, x, weights):
        rows, (outputs, end) = x.shape[1], self.shapes[layer + 1]
        x = torch.bmm(x, _matrix(weights, getattr(self, f"links{layer}")))
        before = math.isqrt(x.shape[-1] // outputs)
        if before > end:
            x = x.view(self.models, rows, end, 2, end, 2, outputs)
            x = torch.maximum(x[:, :, :, 0], x[:, :, :, 1])
            x = torch.maximum(x[..., 0, :], x[..., 1, :])
        x = x.reshape(self.models, -1, outputs)
        x = self._normalised(layer, x) if layer in self.batch_norm else x + self.biases[layer]
        x = x.view(self.models, rows, -1)
        function = self.activation if layer < len(self.weights) - 1 else self.output
        return x if function is None else function(x)

    def _normalised(self, layer, x):
        mean, variance = getattr(self, f"mean{layer}"), getattr(self, f"variance{layer}")
        if self.training:
            if x.shape[1] < 2:
                fail("x", "two numbers or more for each channel, in training", f"{x.shape[1]}")
            old_mean, old_variance = mean, variance
            variance, mean = torch.var_mean(x, 1, keepdim=True, correction=0)
            with torch.no_grad():
                old_mean.lerp_(mean, MOMENTUM)
                old_variance.lerp_(variance * (x.shape[1] / (x.shape[1] - 1)), MOMENTUM)
        scale = self.scales[str(layer)] * (variance + EPSILON).rsqrt()
        return torch.addcmul(self.biases[layer] - mean * scale, x, scale)


def _layers(batch_norm, layers):
    if not isinstance(batch_norm, list | tuple) or not all(isinstance(one, int) for one in batch_norm):
        fail("batch_norm", "a tuple of numbers of layers", repr(batch_norm)[:80])
    chosen = tuple(count(one, "batch_norm", 0) for one in batch_norm)
    if any(one >= layers for one in chosen):
        fail("batch_norm", f"numbers of layers below {layers}", chosen)
    return frozenset(chosen)

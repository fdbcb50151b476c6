from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers.adversarial.convolution import Network, kernel, matrix
from helpers.randomness import generator

GENERATOR, CRITIC = ((5, 1), (4, 2), (3, 4), (2, 8)), ((2, 8), (3, 4), (4, 2), (1, 1))
leaky = partial(functional.leaky_relu, negative_slope=0.2)


def network(shapes, models=2, **options):
    return Network(shapes, models, generator=generator("convolution"), dtype=torch.float64, **options)


def of_pytorch(one, model):
    """The same network, one model of it, of PyTorch's layers."""
    layers = []
    for layer, ((inputs, start), (outputs, end)) in enumerate(zip(one.shapes, one.shapes[1:], strict=False)):
        size, stride, padding, transposed = kernel(start, end, one.resample)
        if size == 3 and end > start:
            layers.append(nn.Upsample(scale_factor=2))
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        layers.append(kind(inputs, outputs, size, stride, padding).double())
        weights = one.weights[layer][model].detach().permute(*(1, 2, 0) if transposed else (2, 1, 0))
        layers[-1].weight.data = weights.reshape(*weights.shape[:2], size, size).contiguous()
        layers[-1].bias.data = one.biases[layer][model, 0].detach()
        if size == 3 and end < start:
            layers.append(nn.MaxPool2d(2))
        if layer in one.batch_norm:
            layers[-1 - (size == 3 and end < start)].bias.data.zero_()
            layers.append(nn.BatchNorm2d(outputs).double())
            layers[-1].weight.data = one.scales[str(layer)][model, 0].detach()
            layers[-1].bias.data = one.biases[layer][model, 0].detach()
        function = one.activation if layer < len(one.weights) - 1 else one.output
        layers += [] if function is None else [_Function(function)]
    return nn.Sequential(*layers)


class _Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def as_images(x, channels):
    side = round((x.shape[-1] / channels) ** 0.5)
    return x.unflatten(-1, (side, side, channels)).movedim(-1, -3)


CASES = {
    "generator": (GENERATOR, {"batch_norm": (0, 1), "output": torch.sigmoid}),
    "critic": (CRITIC, {"batch_norm": (1,), "activation": leaky}),
    "generator, repeated": (GENERATOR, {"resample": "pooling"}),
    "critic, pooled": (CRITIC, {"resample": "pooling", "batch_norm": (0, 1)}),
    "perceptron": (((5, 1), (7, 1), (3, 1)), {"batch_norm": (0, 1)}),
    "of one side": (((2, 4), (3, 4), (1, 4)), {}),
    "alone": (((2, 4), (1, 8)), {}),
}


@pytest.mark.parametrize(("shapes", "options"), CASES.values(), ids=CASES)
def test_every_model_is_the_network_of_pytorch(shapes, options):
    ours = network(shapes, **options)
    for scales in ours.scales.values():
        scales.data += torch.rand(scales.shape, generator=generator("convolution: scales"), dtype=torch.float64)
    for bias in ours.biases:
        bias.data += torch.rand(bias.shape, generator=generator("convolution: biases"), dtype=torch.float64)
    x = torch.randn(2, 6, ours.inputs, generator=generator("convolution: x"), dtype=torch.float64)
    theirs = [of_pytorch(ours, model) for model in range(2)]
    for train in (True, False):
        ours.train(train)
        found = ours(x)
        assert found.shape == (2, 6, ours.outputs)
        for model, one in enumerate(theirs):
            one.train(train)
            wanted = one(as_images(x[model], shapes[0][0]))
            torch.testing.assert_close(as_images(found[model], shapes[-1][0]), wanted, rtol=0, atol=1e-12)


def test_gradients_are_those_of_pytorch():
    ours = network(CRITIC, activation=leaky, batch_norm=(1,))
    x = torch.randn(6, ours.inputs, generator=generator("convolution: x"), dtype=torch.float64)
    one = of_pytorch(ours, 1)
    ours(x).square().sum().backward()
    one(as_images(x, 2)).square().sum().backward()
    first = ours.weights[0].grad[1].permute(2, 1, 0).reshape(3, 2, 4, 4)
    torch.testing.assert_close(first, one[0].weight.grad, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.scales["1"].grad[1, 0], one[3].weight.grad, rtol=1e-10, atol=1e-10)


def test_models_do_not_see_each_other():
    ours = network(GENERATOR, 3, batch_norm=(0, 1))
    x = torch.randn(3, 6, 5, generator=generator("convolution: x"), dtype=torch.float64)
    before, changed = ours(x), x.clone()
    changed[1] *= 3
    after = ours(changed)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.allclose(before[1], after[1])


def test_running_averages_make_images_independent_of_the_batch():
    ours = network(GENERATOR, batch_norm=(0, 1))
    x = torch.randn(2, 6, 5, generator=generator("convolution: x"), dtype=torch.float64)
    together, alone = ours(x), ours(x[:, :3])
    assert not torch.allclose(together[:, :3], alone)
    ours.eval()
    torch.testing.assert_close(ours(x)[:, :3], ours(x[:, :3]), rtol=0, atol=1e-14)


def test_a_matrix_is_the_transpose_of_the_other_direction():
    weights = torch.randn(2, 16, 3, 1, generator=generator("convolution: weights"), dtype=torch.float64)
    there = matrix(weights, 4, 8)
    back = matrix(weights.transpose(2, 3), 8, 4)
    torch.testing.assert_close(there, back.mT, rtol=0, atol=0)


def test_a_layer_keeps_the_size_of_its_input():
    ours = Network(((8, 2), (8, 4)), 50, generator=generator("convolution: size"))
    ratio = ours(torch.randn(200, ours.inputs, generator=generator("convolution: in"))).var().item()
    assert 0.5 < ratio < 1.5


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 8), (4, 3)), {}, "shapes: wanted sides between which there is a kernel"),
        (((1, 8),), {}, r"shapes: wanted two \(channels, side\) or more"),
        (((1, 8, 1), (4, 4)), {}, "shapes: wanted two whole numbers each"),
        (((1, 8), (0, 4)), {}, "shapes: wanted a whole number of at least 1, got 0"),
        (CRITIC, {"batch_norm": (3,)}, "batch_norm: wanted numbers of layers below 3"),
        (CRITIC, {"batch_norm": True}, "batch_norm: wanted a tuple of numbers of layers"),
        (CRITIC, {"resample": "max"}, "resample: wanted one of 'strides', 'pooling'"),
    ],
)
def test_what_is_no_network_is_refused(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        network(shapes, **options)


def test_a_batch_of_one_pixel_has_no_variance():
    with pytest.raises(ValueError, match="x: wanted two numbers or more for each channel"):
        network(((3, 1), (2, 1)), batch_norm=(0,))(torch.zeros(2, 1, 3, dtype=torch.float64))

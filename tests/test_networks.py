import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.networks import MLP
from helpers.randomness import generator

ACTIVATIONS = {torch.tanh: nn.Tanh, torch.relu: nn.ReLU, torch.sigmoid: nn.Sigmoid, nn.functional.silu: nn.SiLU}
SIZES = [(3, 2), (4, 7, 2), (3, 6, 5, 1)]


def network(sizes, models=1, **options):
    """One whose biases are not zero."""
    options = {"dtype": torch.float64, "generator": generator(f"network {sizes}"), **options}
    made = MLP(sizes, models, **options)
    with torch.no_grad():
        for bias in made.biases:
            bias += torch.randn(bias.shape, generator=options["generator"], dtype=bias.dtype, device=bias.device)
    return made


def stack(made, model, activation=torch.tanh):
    """One of the models, made of PyTorch's own layers."""
    layers = []
    for weights, bias in zip(made.weights, made.biases, strict=True):
        linear = nn.Linear(*weights.shape[1:], dtype=weights.dtype, device=weights.device)
        linear.weight.data, linear.bias.data = weights[model].T.detach().clone(), bias[model, 0].detach().clone()
        layers += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


# Values


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("models", [1, 3])
def test_each_model_is_a_stack_of_layers(normal, activation, sizes, models):
    made = network(sizes, models, activation=activation)
    shared = normal("shared", 6, sizes[0])
    for x in (shared, normal("own", models, 6, sizes[0]), normal("samples", models, 2, 6, sizes[0])):
        found = made(x)
        assert found.shape == (models, *x.shape[x.ndim > 2 : -1], sizes[-1])
        for model in range(models):
            referee = stack(made, model, activation)(x if x.ndim == 2 else x[model])
            torch.testing.assert_close(found[model], referee, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", SIZES)
def test_each_model_has_the_gradients_of_a_stack_of_layers(normal, activation, sizes):
    made, x = network(sizes, 2, activation=activation), normal("gradients", 2, 5, sizes[0]).requires_grad_()
    slopes = normal("slopes", 2, 5, sizes[-1])
    (made(x) * slopes).sum().backward()
    for model in range(2):
        own = x[model].detach().clone().requires_grad_()
        referee = stack(made, model, activation)
        (referee(own) * slopes[model]).sum().backward()
        torch.testing.assert_close(x.grad[model], own.grad, rtol=1e-11, atol=1e-13)
        linear = [layer for layer in referee if isinstance(layer, nn.Linear)]
        for weights, bias, layer in zip(made.weights, made.biases, linear, strict=True):
            torch.testing.assert_close(weights.grad[model], layer.weight.grad.T, rtol=1e-11, atol=1e-13)
            torch.testing.assert_close(bias.grad[model, 0], layer.bias.grad, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid, nn.functional.silu])
def test_gradients_have_gradients(normal, activation):
    made, x = network((2, 3, 2), 2, activation=activation), normal("twice", 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(made, (x,))
    assert torch.autograd.gradgradcheck(made, (x,))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_the_tangent_is_exact_to_rounding_in_both_precisions(places):
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-15)):
        made = MLP((1, 1, 1), generator=generator("tangent"), dtype=dtype)
        with torch.no_grad():
            for weights in made.weights:
                weights.fill_(1)
            x = torch.tensor(places, dtype=dtype)[:, None]
            assert (made(x)[0].double() - x.double().tanh()).abs().max() <= tolerance


def test_what_is_given_is_left_as_it_was(normal):
    for activation in ACTIVATIONS:
        made, x = network((2, 2, 2), activation=activation), normal("left", 1, 4, 2)
        before = x.clone(), copy.deepcopy(made.state_dict())
        made(x).sum().backward()
        assert torch.equal(x, before[0])
        assert all(torch.equal(one, made.state_dict()[key]) for key, one in before[1].items())


def test_a_copy_computes_the_same(normal):
    made, x = network((2, 5, 1), 2), normal("copy", 4, 2)
    assert torch.equal(copy.deepcopy(made)(x), made(x))


# The models are independent


@pytest.mark.parametrize("sizes", SIZES)
def test_a_change_in_one_model_leaves_the_others_as_they_are(normal, sizes):
    made, x = network(sizes, 4), normal("independent", 4, 6, sizes[0])
    before = made(x)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter[1] += 0.5
    x[1] += 0.5
    equal = [torch.equal(one, other) for one, other in zip(before, made(x), strict=True)]
    assert equal == [True, False, True, True]


def test_a_model_has_no_gradient_in_another(normal):
    made = network((2, 4, 3), 3)
    made(normal("apart", 5, 2))[2].square().sum().backward()
    for parameter in made.parameters():
        assert [bool(one.any()) for one in parameter.grad] == [False, False, True]


# The start


@pytest.mark.parametrize("start", [4, 50, 400])
def test_weights_start_uniform_with_the_variance_of_one_over_the_input(start):
    made = MLP((start, 30, 5), 100_000 // (30 * start) + 1, generator=generator(f"start {start}"), dtype=torch.float64)
    for weights, size in zip(made.weights, (start, 30), strict=True):
        squares = (weights * math.sqrt(size)).square()  # of a uniform number on [-√3, √3]: mean 1, variance 4/5
        assert squares.max() <= 3
        assert abs(squares.mean() - 1).item() < 6 * math.sqrt(0.8 / weights.numel())
        assert abs(weights.mean()).item() < 6 / math.sqrt(size * weights.numel())
        quarters = torch.histc(weights.detach() * math.sqrt(size / 3), 4, -1, 1) / weights.numel()
        assert (quarters - 0.25).abs().max().item() < 6 * math.sqrt(3 / 16 / weights.numel())
    assert not any(bias.any() for bias in made.biases)


def test_weights_are_drawn_in_the_order_of_the_layers():
    made, again = (MLP((3, 4, 2), 2, generator=generator("order"), dtype=torch.float64) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(made.parameters(), again.parameters(), strict=True))
    draws = generator("order")
    for weights in made.weights:
        uniform = torch.rand(weights.shape, generator=draws, dtype=torch.float64)
        torch.testing.assert_close(weights.detach() * math.sqrt(weights.shape[1] / 3), 2 * uniform - 1)
    assert not torch.equal(made.weights[0][0], made.weights[0][1])


def test_shapes_precision_and_device(device):
    for dtype in (torch.float32, torch.float64):
        made = MLP([np.int64(3), 4, 2], np.int32(5), generator=generator("shapes", device), dtype=dtype)
        assert (made.sizes, made.models) == ((3, 4, 2), 5)
        assert [tuple(one.shape) for one in made.weights] == [(5, 3, 4), (5, 4, 2)]
        assert [tuple(one.shape) for one in made.biases] == [(5, 1, 4), (5, 1, 2)]
        found = made(torch.ones(6, 3, dtype=dtype, device=device))
        assert (found.shape, found.dtype, found.device.type) == ((5, 6, 2), dtype, device.type)
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        for model in range(5):
            referee = stack(made, model)(torch.ones(6, 3, dtype=dtype, device=device))
            torch.testing.assert_close(found[model], referee, rtol=tolerance, atol=tolerance)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": (3,)}, r"sizes: wanted two whole numbers or more, got \(3,\)"),
        ({"sizes": ()}, r"sizes: wanted two whole numbers or more, got \(\)"),
        ({"sizes": (3, 0)}, "sizes: wanted a whole number of at least 1, got 0"),
        ({"sizes": (3, 2.5, 1)}, "sizes: wanted a whole number of at least 1, got 2.5"),
        ({"sizes": (True, 2)}, "sizes: wanted a whole number of at least 1, got True"),
        ({"models": 0}, "models: wanted a whole number of at least 1, got 0"),
        ({"models": 1.0}, "models: wanted a whole number of at least 1, got 1.0"),
        ({"activation": "tanh"}, "activation: wanted a function of a tensor, got 'tanh'"),
        ({"generator": 3}, "generator: wanted a Generator, got int"),
        ({"generator": None}, "generator: wanted a Generator, got NoneType"),
    ],
)
def test_what_makes_no_network_is_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        MLP(**{"sizes": (3, 2), "generator": generator("refused"), **arguments})


@pytest.mark.parametrize("shape", [(3,), (), (5, 2), (2, 5, 2), (3, 5, 3), (1, 5, 3), (3, 4, 5, 3)])
def test_an_input_of_another_shape_is_named(shape):
    wanted = r"x: wanted shape \(n, 3\) or \(2, \.\.\., 3\), got shape "
    with pytest.raises(ValueError, match=f"^{wanted}") as refusal:
        MLP((3, 2), 2, generator=generator("refused"))(torch.zeros(shape))
    assert str(refusal.value).endswith(f"got shape {shape}")

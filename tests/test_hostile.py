"""One sweep of hostile input over the public functions of all topic modules: right, infinite, or refused by name.

Each argument in turn takes a value of a wrong type, scale or shape, beside sound ones. Nothing may be NaN, and whatever
is refused is refused by a `ValueError` that names the argument.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import helpers
from helpers.adversarial import pyramids
from helpers.adversarial.fdivergence import TABLE
from helpers.adversarial.training import Losses
from helpers.densities.autoregressive import Chain, Network, predecessors
from helpers.latent.helmholtz import HelmholtzMachine
from helpers.latent.markov import Categorical, HiddenMarkov
from helpers.latent.mixture import Mixture
from helpers.latent.variational import Autoencoder
from helpers.networks import MLP
from helpers.randomness import generator

FOUNDATIONS = {"cards", "checks", "claims", "device", "figures", "randomness", "validation"}  # of the book, no topic
UNCHECKED = "looks? at the input|Nothing is checked|comes into a sum"  # so says the docstring of what is inside
ANYTHING = {"analytic", "folder of images", "model of ascend"}  # taken as they are
NUMBER_OR_TEXT = {"deviation"}
RAGGED = {"axes"}  # vectors of any lengths
INFINITE = {"log_emissions", "log_weights"}  # at -inf, what is impossible


def random():
    return generator("hostile")


def autoencoder():
    return Autoencoder(3, 1, (2,), generator=random())


def critic(sizes=(1, 3, 1)):
    return MLP(sizes, 2, generator=random(), dtype=torch.float64)


SCRATCH = tempfile.TemporaryDirectory()


def mnist_folder():
    folder = Path(SCRATCH.name)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(bytes([0, 0, 8, 3] + [0, 0, 0, 2] * 3 + [9] * 8))
    return folder


def chain():
    return HiddenMarkov([0.5, 0.5], [[0.7, 0.3], [0.2, 0.8]], Categorical([[0.6, 0.4], [0.1, 0.9]]))


def helmholtz_machine():
    return HelmholtzMachine((3, 2, 1), 2, generator=random(), dtype=torch.float64)


def logistic_chain():
    return Chain([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, -1.0, 0.0]], [0.1, 0.2, 0.3])


def visible_network():
    return Network(predecessors([0, 1, 2]), 2, generator=random())


def quadratic(point):
    return ((point - 1) ** 2).sum()


def climb(x):
    return (x + 1) / 2, torch.as_tensor(-((x - 1) ** 2)).sum()


def log_normal(x):
    return -(x**2) / 2 - math.log(2 * math.pi) / 2


TRUTH = ([0.4, 0.6], [-1.0, 1.5], [0.5, 1.0])
PLANE = [[0.3, 0.1], [-1.2, 0.4], [2.0, -0.6], [0.7, 1.0], [1.1, -2.0]]
COVARIANCE = [[1.0, 0.3], [0.3, 2.0]]
BITS = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
SEEN = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
COST = [[0.3, 1.0, 2.0], [1.5, 0.2, 0.9]]
SOUND = {
    "activation": torch.tanh,
    "analytic": True,
    "axes": [[0.0, 1.0], [0.5, 1.5]],
    "bandwidth": 0.5,
    "bandwidths": [0.3, 1.0],
    "batch": 2,
    "batch_norm": (0,),
    "bound": 0.1,
    "bias": [0.1, -0.2, 0.3],
    "cells": 4,
    "code": 2,
    "codes": [[1.0, 0.5], [0.2, -1.0], [0.3, 0.3]],
    "coefficients": [1.0, -1.0],
    "components": 2,
    "constant": 3.0,
    "constraint": "clip",
    "cost": COST,
    "critic_steps": 2,
    "counts": [2.0, 1.0, 2.0],
    "covariance_p": COVARIANCE,
    "covariance_q": COVARIANCE,
    "covariances": [1.0, 2.0],
    "data": [0.3, -1.2, 2.0, 0.7, 1.1],
    "decay": 0.1,
    "decoded": [[0.1, 0.8], [0.3, -0.9]],
    "degrees": 5,
    "depth": 1,
    "design": [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 4.0]],
    "deviation": "shared",
    "device": "cpu",
    "dimension": 2,
    "down": pyramids.down,
    "draw": lambda size, generator: torch.randn(size, generator=generator),
    "divergence": TABLE["Jensen-Shannon"],
    "edges": [-9.0, -4.0, -1.0, 1.0, 4.0, 9.0],
    "end": 4,
    "emissions": Categorical([[0.6, 0.4], [0.1, 0.9]]),
    "energies": [0.5, 1.5],
    "fake": [0.2, -0.1],
    "first": TRUTH,
    "floor": 0.1,
    "form": "full",
    "function": torch.cos,
    "held_out": [[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]],
    "hidden": (2,),
    "high": 3.0,
    "images": [[0.3, 1.0], [0.2, -1.0]],
    "initial": [0.5, 0.5],
    "inputs": 2,
    "iterations": 200,
    "jitter": 0.1,
    "k": 2,
    "kernels": 2,
    "kernel": "gaussian",
    "label": 0.9,
    "latent": 1,
    "length": 3,
    "levels": [[[0.3, 1.0], [0.2, -1.0]]],
    "likelihood": "gaussian",
    "limit": "infinity",
    "log_emissions": [[-0.5, -1.0], [-2.0, -0.1], [-0.7, -0.7]],
    "log_p": log_normal,
    "log_q": log_normal,
    "log_weights": [-0.5, -1.0, 0.3],
    "loss": "wasserstein",
    "losses": TABLE["Jensen-Shannon"],
    "low": -3.0,
    "machine": helmholtz_machine,
    "margin": 1.0,
    "mask": SEEN,
    "masses": [0.2, 0.5, 0.3],
    "mean": 0.5,
    "mean_p": 0.2,
    "mean_q": 1.0,
    "means": [[-1.0], [1.0]],
    "mixture": Mixture([0.5, 0.5], [[-1.0], [1.0]], [1.0, 2.0]),
    "models": 2,
    "momentum": 0.5,
    "n": 10,
    "network": lambda: critic(),
    "name": "hostile",
    "noise": torch.zeros(1, 2, 4, 1),
    "number": 3,
    "objective": quadratic,
    "observations": [0, 1, 1, 0],
    "order": 2,
    "other": 0.1,
    "origin": 0.1,
    "output": torch.sigmoid,
    "p": 2.0,
    "penalty": 0.1,
    "pixels": 3,
    "plan": [[0.2, 0.2, 0.1], [0.1, 0.2, 0.2]],
    "points": [0.0, 0.5, 1.5],
    "power": 0.5,
    "power_p": 0.5,
    "power_q": 0.5,
    "potential": [0.3, 0.7],
    "probabilities": [[0.6, 0.4], [0.1, 0.9]],
    "projections": [[[0.3, -0.1]], [[1.0, 0.2]], [[-2.0, 0.4]]],
    "proposal": lambda z: log_normal(z).exp(),
    "q": [0.5, 0.5],
    "quantiles": [lambda u, x: torch.special.ndtri(u), lambda u, x: u * x[:, 0]],
    "radius": [1.0, 2.0],
    "ratio": 0.5,
    "real": [0.3, -0.7, 1.1],
    "rate": 0.01,
    "reference": PLANE,
    "regularisation": 0.5,
    "relaxation": 1.5,
    "resample": "strides",
    "response": [0.0, 1.5, 1.0, 4.0],
    "responsibilities": [[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7], [0.6, 0.4]],
    "restarts": 2,
    "roughness": 0.2,
    "rounds": 2,
    "samples": [[0.3, 1.0], [0.2, -1.0]],
    "second": TRUTH,
    "sizes": (2, 3, 1),
    "source": [0.4, 0.6],
    "shape": (3, 4),
    "shapes": ((1, 4), (2, 2), (1, 1)),
    "shares": [[[0.2], [0.7]]] * 2,
    "square_integral": 0.8,
    "start": [0.1, -0.2, 0.3],
    "starts": [[0.0, 2.0]],
    "step": climb,
    "steps": 20,
    "support": [0.0, 1.0, 3.0],
    "t": [0.5, -2.0],
    "target": [0.3, 0.3, 0.4],
    "tolerance": 1e-6,
    "transitions": [[0.7, 0.3], [0.2, 0.8]],
    "truth": TRUTH,
    "u": [[0.2, 0.7], [0.5, 0.1]],
    "units": 3,
    "up": pyramids.up,
    "values": [0.0, 1.0, 2.0],
    "variance": 1.5,
    "variance_p": 1.5,
    "variance_q": 0.5,
    "variances": [1.0, 2.0],
    "violated": "count",
    "virtual": True,
    "volume": 0.5,
    "weights": [0.1, 0.2, 0.3, 0.2, 0.2],
    "width": 0.5,
    "x": [0.3, -1.2, 2.0, 0.7, 1.1],
    "x_weights": [0.1, 0.2, 0.3, 0.2, 0.2],
    "y": [0.0, 1.0],
    "y_weights": [0.4, 0.6],
    "generator": random,
    "model": autoencoder,
}
PLACES = {"points": [[0.0, 0.0], [0.5, 1.0]], "data": PLANE}
IMAGES = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]
PAIR = {"y": [1.0, 0.0, 3.0, 2.5, -1.0]}
APART = Losses(lambda critic, x, y: (critic(y) - critic(x)).mean((1, 2)), lambda critic, x, y: critic(y).mean((1, 2)))
SETTINGS = {"ratio": [0.5, 2.0], "noise": lambda steps: 0.1, "unroll": 1, "through": True, "penalty": lambda *seen: 0.0}
CLOUDS = {
    "samples": [PLANE[:4], PLANE[1:]],
    "centres": PLANE[:3],
    "data": [PLANE, PLANE[::-1]],
    "training": PLANE[:2],
    "held_out": PLANE[2:],
}
SHARES = {"shares": [[0.2, 0.7], [0.1, 0.0]]}
PLAYERS = {
    "generator": lambda: critic((2, 3, 1)),
    "critic": lambda: critic(),
    "draw": lambda shape, generator: torch.randn(*shape, 1, generator=generator),
}
BATCHES = [PLANE[:3], PLANE[2:]]
OWN = {  # where an argument means something else, and further cases worth a sweep of their own
    "adversarial.convolution.kernel": [{"start": 2}],
    "adversarial.convolution.matrix": [{"start": 2, "weights": torch.ones(2, 16, 2, 1).tolist()}],
    "adversarial.convolution.taps": [{"start": 2}],
    "adversarial.energy.critic_loss": [{"real": [0.3, 0.7], "fake": [0.5, 1.5]}],
    "adversarial.energy.reconstruction": [{"x": [[0.0, 1.0], [0.5, -1.0]]}],
    "adversarial.fdivergence.discrete": [{"p": [0.2, 0.8]}, {"p": [0.2, 0.8], "divergence": TABLE["Pearson"]}],
    "adversarial.fdivergence.between_densities": [{}, {"divergence": TABLE["total variation"]}],
    "adversarial.mnist.images": [{"folder": mnist_folder, "part": "test"}],
    "adversarial.mnist.read": [{"path": lambda: mnist_folder() / "t10k-images-idx3-ubyte.gz"}],
    "adversarial.remedies.MinibatchCritic": [{"width": 2}],
    "adversarial.remedies.NormalisedMLP": [{"reference": BATCHES}],
    "adversarial.remedies.HistoricalAverage": [{"weight": 0.5}],
    "adversarial.remedies.feature_matching": [{"real": PLANE, "fake": PLANE[:3]}],
    "adversarial.remedies.virtual_batch_norm": [{"x": PLANE[:3]}],
    "adversarial.samples.energy_distance": [CLOUDS],
    "adversarial.samples.frechet_distance": [CLOUDS | {"data": PLANE}],
    "adversarial.samples.modes": [CLOUDS | {"deviation": 0.5}],
    "adversarial.samples.nearest_ratio": [CLOUDS],
    "adversarial.samples.covered": [SHARES],
    "adversarial.samples.effective_modes": [SHARES],
    "adversarial.samples.near": [SHARES],
    "adversarial.samples.ring": [{"deviation": 0.1, "radius": 2.0, "modes": 8}],
    "adversarial.samples.ring_centres": [{"modes": 8, "radius": 2.0}],
    "adversarial.training.Training": [
        PLAYERS | {"loss": "saturating", "noise": lambda steps: 0.1, "penalty": lambda *seen: 0.0},
        PLAYERS | SETTINGS | {"loss": "saturating", "losses": APART},
    ],
    "alternation.Alternation": [PLAYERS | SETTINGS | {"losses": APART}],
    "densities.autoregressive.Chain": [{"weights": SEEN}],
    "densities.autoregressive.Network": [{"width": 2}],
    "densities.autoregressive.Training": [{"model": visible_network, "data": BITS, "held_out": BITS}],
    "densities.autoregressive.fit": [{"data": BITS}],
    "densities.autoregressive.log_likelihood": [{"model": logistic_chain, "x": BITS}],
    "densities.autoregressive.log_probabilities": [{"model": logistic_chain}],
    "densities.autoregressive.predecessors": [{"order": [2, 0, 1]}],
    "densities.autoregressive.sample": [{"model": logistic_chain}, {"model": visible_network}],
    "densities.dependence.binary_p_values": [{"data": BITS}],
    "densities.dependence.binary_supremum": [{"data": BITS}],
    "densities.dependence.hoeffding": [PAIR],
    "densities.dependence.limit_survival": [{"t": [0.03, 0.2]}],
    "densities.dependence.mean_square": [PAIR],
    "densities.dependence.p_value": [PAIR],
    "densities.dependence.supremum": [PAIR],
    "densities.histogram.density": [{}, PLACES],
    "densities.kernel.density": [{}, {"kernel": "epanechnikov"}, PLACES],
    "densities.kernel.densities": [{}, {"kernel": "triangular"}],
    "densities.kernel.density_on_grid": [{"data": PLANE}],
    "densities.kernel.sample": [{}, {"data": PLANE}],
    "densities.linear.negative_log_likelihood": [{}],
    "densities.neighbours.density": [{}, PLACES],
    "densities.neighbours.radius": [{}, PLACES, {"points": [[0.0] * 10], "data": np.eye(10).tolist()}],
    "densities.sums.gauss.gaussian_sum": [{}, PLACES],
    "densities.sums.grid.gaussian_sum_on_grid": [{"data": PLANE}],
    "divergence.kl_discrete": [{"p": [0.2, 0.8]}],
    "divergence.kl_multivariate": [{"mean_p": [0.2, 1.0], "mean_q": [1.0, 0.0]}],
    "gaussian.mixture_density": [{"mixture": TRUTH}],
    "latent.helmholtz.elbo": [{"x": IMAGES}],
    "latent.helmholtz.log_bound": [{"x": IMAGES}],
    "latent.helmholtz.log_evidence": [{"x": IMAGES}],
    "latent.helmholtz.log_sum": [{"x": IMAGES}],
    "latent.helmholtz.reweighted": [{"x": IMAGES, "samples": 2}],
    "latent.markov.Normal": [{"means": [-1.0, 1.0]}],
    "latent.markov.log_likelihood": [{"model": chain}],
    "latent.markov.sample": [{"model": chain}],
    "latent.markov.step": [{"model": chain}],
    "latent.mixture.Mixture": [
        {"weights": [0.4, 0.6]},
        {"weights": [0.4, 0.6], "means": [[0.0, 1.0], [1.0, 0.0]], "covariances": [COVARIANCE, COVARIANCE]},
    ],
    "latent.mixture.fit": [{}, {"data": PLANE}],
    "latent.mixture.maximise": [{}, {"data": PLANE}, {"form": "spherical"}],
    "latent.mixture.start": [{}, {"data": PLANE, "form": "diagonal"}],
    "latent.mixture.step": [{}],
    "latent.sampling.rejection": [{"target": lambda z: (-z.abs()).exp(), "k": 3.0}],
    "latent.variational.Autoencoder": [{}, {"likelihood": "bernoulli"}, {"deviation": 0.5}],
    "latent.variational.Training": [{"data": [[0.1, 0.2, 0.3]] * 4, "samples": 2}],
    "latent.variational.elbo": [{"x": [[0.1, 0.2, 0.3]] * 4}],
    "latent.variational.importance_weighted": [{"x": [[0.1, 0.2, 0.3]] * 4}],
    "latent.variational.log_weights": [{"x": [[0.1, 0.2, 0.3]] * 4}],
    "likelihood.ascend": [{"model": lambda: torch.tensor(0.0)}],
    "measurements.exponent": [{"x": [1.0, 2, 4, 8, 16, 32], "y": [1.0, 4, 16, 64, 256, 1024]}],
    "measurements.replicates": [{"values": [[0.1, 2.0], [0.3, 1.0], [0.2, 1.5]]}],
    "quadrature.nodes": [{"points": 5}],
    "transport.entropic.sinkhorn_points": [
        {"points": [0.3, -1.2], "target_points": [0.0, 1.0, 0.5]},
        {"points": PLANE[:2], "target_points": PLANE[2:]},
    ],
    "transport.critics.Game": [PLAYERS],
    "transport.critics.gradient_penalty": [{"x": [[[0.3], [1.0]]] * 2, "y": [[[-0.3], [2.0]]] * 2}],
    "transport.critics.slopes": [{"points": [[0.3], [1.0]]}],
}


def swept():
    """Each function and class to be swept, by name, with its cases."""
    for info in pkgutil.walk_packages(helpers.__path__, "helpers."):
        short = info.name.removeprefix("helpers.")
        module = importlib.import_module(info.name)
        if info.ispkg or short in FOUNDATIONS or re.search(UNCHECKED, module.__doc__):
            continue
        for name in module.__all__:
            one = getattr(module, name)
            record = inspect.isclass(one) and dataclasses.is_dataclass(one) and not hasattr(one, "__post_init__")
            if not (inspect.isfunction(one) or inspect.isclass(one)) or one.__module__ != info.name or record:
                continue
            foundation = {"value", "beside"} & set(inspect.signature(one).parameters)
            if not foundation and not re.search(UNCHECKED, one.__doc__):
                for number, case in enumerate(OWN.get(f"{short}.{name}", [{}])):
                    yield pytest.param(one, case, id=f"{short}.{name}" + f" {number}" * (number > 0))


def arguments(function, case):
    """Sound ones, made anew where they are functions without arguments."""
    sound = {}
    for name, parameter in inspect.signature(function).parameters.items():
        value = case.get(name, SOUND.get(name))
        known = value is not None or parameter.default is not inspect.Parameter.empty
        assert known, f"wanted in SOUND: a value for {name}"
        if value is not None:
            sound[name] = value() if inspect.isfunction(value) and not inspect.signature(value).parameters else value
    return sound


RAGS = [[1.0, 2.0], [3.0]]
OTHERS = (b"bytes", {"a": 1.0}, {1.0}, ["a", "b"], RAGS, [None], [{}], "text")
SIZES = (1e-308, 1e-160, 1e-30, 1e30, 1e160, 1e308)


def is_numbers(value):
    functions = isinstance(value, list) and any(map(callable, value))
    return (
        not isinstance(value, bool) and isinstance(value, int | float | list | tuple | torch.Tensor) and not functions
    )


def as_array(value):
    return np.array(value.tolist() if isinstance(value, torch.Tensor) else value, dtype=float)


def wrong_types(value, name):
    """Values of which none is one that the argument takes."""
    yield from (one for one in OTHERS if not ((name == "name" and one == "text") or (name in RAGGED and one == RAGS)))
    yield from (math.nan, math.inf)
    if is_numbers(value):
        array = as_array(value)
        yield from (True, 1j, np.datetime64("2026-01-01"), np.array([None]), array.astype(complex))
        yield np.ma.masked_invalid(np.full(array.shape or (1,), math.nan))
        for broken in (math.nan, math.inf) if name in INFINITE else (math.nan, math.inf, -math.inf):
            array.flat[-1] = broken
            yield array.copy()
            yield torch.tensor(array)
    elif name not in NUMBER_OR_TEXT:
        yield from (3.5, [1.0, 2.0])


def other_numbers(value):
    """Numbers of other sizes, other shapes, other kinds: some are right, some are not."""
    array = as_array(value)
    for size in SIZES:
        with np.errstate(over="ignore"):
            yield np.clip(array * size, -1.7e308, 1.7e308)
        yield np.clip(array, -1, 1) * -size
        yield np.sign(array) * size
    for size in (1e-308, 1e308):
        one = array.copy()
        one.flat[0] = size
        yield one
    yield array * 0
    for shape in ((), (0,), (2, 0), (1,), (1, *array.shape), (*array.shape, 1), (1, 1, 1, 1)):
        yield np.resize(array, shape) if 0 not in shape else np.zeros(shape)
    if array.ndim:
        yield from (array[:-1], np.concatenate([array, array[:1]]), array[:1], array[..., :-1])
    for kind in (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        yield torch.tensor(array).to(kind)
    if isinstance(value, int):
        yield from (0, -1, 1, 2, 7, 1.5, np.int32(value), np.uint8(value))


def numbers_in(found):
    """All tensors of an answer."""
    if isinstance(found, tuple | list):
        return [one for part in found for one in numbers_in(part)]
    if dataclasses.is_dataclass(found):
        return numbers_in([getattr(found, field.name) for field in dataclasses.fields(found)])
    if isinstance(found, torch.nn.Module):
        return list(found.parameters())
    if isinstance(found, torch.Tensor | np.ndarray | float | int):
        return [torch.as_tensor(found)]
    return []


def answer(function, sound, name, value):
    """What the function makes of this value, or the error that it raises."""
    try:
        with torch.no_grad():
            return function(**{**sound, name: value})
    except Exception as error:
        return error


def complaint(found, function, known, must_be_refused):
    """What is wrong with an answer, or nothing: a refusal names one of the arguments that are `known`."""
    if isinstance(found, ValueError):
        named, wanted, _ = str(found).partition(": wanted ")
        said = wanted and any(re.search(rf"\b{one}\b", named) for one in known)
        return "" if said else f"refused without its name: {found}"
    if isinstance(found, RuntimeError) and not must_be_refused and "RuntimeError" in function.__doc__:
        return ""
    if isinstance(found, Exception):
        return f"{type(found).__name__}: {found}"
    if must_be_refused:
        return "taken"
    return "NaN" if any(one.isnan().any() for one in numbers_in(found)) else ""


def shown(value):
    text = f"{value.dtype} {value.tolist()}" if isinstance(value, torch.Tensor | np.ndarray) else repr(value)
    return text[:90]


@pytest.mark.parametrize(("function", "case"), list(swept()))
def test_what_is_hostile_is_answered_rightly_or_refused_by_name(function, case):
    sound, wrong = arguments(function, case), []
    function(**sound)
    for name, value in sound.items():
        if {name, f"{name} of {function.__name__}"} & ANYTHING:
            continue
        trials = [(one, True) for one in wrong_types(value, name)]
        trials += [(one, False) for one in other_numbers(value)] if is_numbers(value) else []
        for one, wrong_type in trials:
            found = answer(function, arguments(function, case), name, one)
            said = complaint(found, function, [name] if wrong_type else list(sound), wrong_type)
            if said:
                wrong.append(f"{name} = {shown(one)}: {said[:150]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("function", "case"), list(swept()))
def test_arrays_of_either_order_of_bytes_are_answered_alike(function, case):
    for name, value in arguments(function, case).items():
        if is_numbers(value):
            array = as_array(value)
            big, little = (
                answer(function, arguments(function, case), name, array.astype(order)) for order in (">f8", "<f8")
            )
            assert type(big) is type(little), name
            for one, other in zip(numbers_in(big), numbers_in(little), strict=True):
                assert torch.equal(one, other), name

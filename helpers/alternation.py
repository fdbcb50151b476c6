"""A generator and a critic that learn in turn, many pairs of networks at once: the one trainer of such games."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn
from tqdm import tqdm

from helpers.montecarlo import DELAY
from helpers.randomness import generator as named_generator
from helpers.validation import a_function, count, fail, instance, number, tensor

__all__ = ["Alternation", "Losses"]

DECAY, EPSILON = 0.999, 1e-8  # of Adam's squares, as in PyTorch; there RMSProp has .99
MANY = 4  # groups of models with the same settings from which one call for all is faster
BELOW_ONE = "a number from 0 to below 1"


@dataclass(frozen=True)
class Losses:
    """What two players descend. Nothing is checked when one is made.

    critic: a function of the critic, a batch of data and a batch of fakes, (models, batch, d) each; shape (models,).
    generator: another such function; the fakes carry the gradient, and the data are the critic's last batch.
    may_overflow: whether a gradient may overflow by nature, as that of an exponential. A part that does counts as zero
        then, so that a model that runs away stands still and leaves the others alone; else it stops the run.
    """

    critic: Callable
    generator: Callable
    may_overflow: bool = False


class Alternation:
    r"""A `generator` and a `critic` of as many models that learn by their `losses`: in each step `critic_steps` of the
    critic, each on a fresh batch of data and one of fakes $G_\theta(z)$, $z\sim\mathcal N(0,I)$, then one of the
    generator on fresh fakes.

    The two are modules of PyTorch, such as `MLP`s: each parameter has the axis of the `models` first, `inputs` and
    `outputs` are the sizes of what goes in and out, along the last axis; the critic's is the generator's output. Both
    are changed in place. `draw(shape, generator)` gives data of the shape (*shape, d), where `shape` is (models,
    `batch`): every model sees data and noise of its own, from `generator(name)` of `helpers.randomness` on the device
    of the critic. What a draw from a finite set is, and whether a batch may be larger than that, is for `draw` to say.

    momentum: the first decay of Adam, from 0 to below 1, the second being .999; None: RMSProp, with .99.
    rate, ratio: the critic's rate of learning; times the `ratio`, the generator's. These and `momentum` are numbers, or
        one for each model, shape (models,).
    noise: None, or a function of the number of steps taken, which gives the standard deviation of fresh normal noise on
        all that the critic sees, data and fakes.
    unroll: K steps of the critic which the generator foresees: its loss is read with the critic that K steps more of
        Adam, on the batch at hand, would give. Where `through` is True its gradient goes through these steps. At K = 0
        the critic is the one that is there.
    penalty: None, or a function of a network and the number of steps taken, of shape (models,), which each player's
        loss adds.

    `history` holds what the critic climbed, minus its loss without penalties, on its last batch of each step, before it
    moved, shape (steps, models). A run that was saved and resumed, see `state_dict`, is the very run that was not.
    Raises `ValueError` for networks that do not go together, settings out of range, data and losses of another shape;
    `RuntimeError` where a loss, a gradient or a weight is not finite, with its models and the step. Source: Goodfellow
    et al. (2014), algorithm 1; of unrolling Metz et al., Unrolled generative adversarial networks (2017); of noise
    Arjovsky and Bottou, Towards principled methods for training GANs (2017).
    """

    def __init__(
        self, generator, critic, draw, losses, *, name, batch, critic_steps, rate, ratio=1.0, momentum=None, noise=None,
        unroll=0, through=True, penalty=None,
    ):  # fmt: skip
        self.generator, self.critic = _network(generator, "generator"), _network(critic, "critic")
        self.models, d = generator.models, generator.outputs
        if (critic.models, critic.inputs) != (self.models, d):
            wanted = f"{d} input(s) for {self.models} model(s), as the generator has them"
            fail("critic", wanted, f"{critic.inputs} for {critic.models}")
        self.losses = instance(losses, "losses", Losses)
        a_function(draw, "draw", "a shape and a generator")
        for function, label in ((noise, "noise"), (penalty, "penalty")):
            if function is not None:
                a_function(function, label, "the steps taken" if label == "noise" else "a network and the steps taken")
        self.draw, self.name, self.noise, self.penalty = draw, name, noise, penalty
        self.batch, self.critic_steps = count(batch, "batch"), count(critic_steps, "critic_steps")
        self.unroll, self.through = count(unroll, "unroll", 0), instance(through, "through", bool)
        rates, ratios = _each(rate, "rate", self.models), _each(ratio, "ratio", self.models)
        for values, label in ((rates, "rate"), (ratios, "ratio")):
            _refuse_first(values, label, "a number above zero", lambda one: one > 0)
        momenta = [None] * self.models if momentum is None else _each(momentum, "momentum", self.models)
        _refuse_first(momenta, "momentum", BELOW_ONE, lambda one: one is None or 0 <= one < 1)
        if momentum is None and self.unroll:
            fail("unroll", "0 where there is no momentum, and so no Adam", self.unroll)
        slower = [one * other for one, other in zip(rates, ratios, strict=True)]
        self._players = [_Player(generator, slower, momenta), _Player(critic, rates, momenta)]
        self._weight = next(critic.parameters()).detach()
        device = self._weight.device
        self.random = named_generator(name, device)
        tensor(draw((self.models, 1), named_generator(f"{name}: a look", device)), "draw", shape=(self.models, 1, d))
        self.history, self.taken, self._seen = self._weight.new_empty(0, self.models), 0, None

    def run(self, steps):
        """Take `steps` steps more; returns itself. A progress bar appears on stderr after three seconds, unless the
        environment has `TQDM_DISABLE=1` when Python starts."""
        values = []
        for _ in tqdm(range(count(steps, "steps")), self.name, delay=DELAY, leave=False, unit="step"):
            for _ in range(self.critic_steps):
                value = self.improve_critic()
            values.append(value)
            self.improve_generator()
            self.taken += 1
        self.history = torch.cat([self.history, torch.stack(values)])
        for player, network in zip(self._players, ("generator", "critic"), strict=True):
            self._refuse(player.parameters, f"weights of the {network}")
        return self

    def improve_critic(self):
        """One step of the critic alone; what it climbed, minus its loss without penalties, shape (models,)."""
        real, fake = self._blurred(self._data(self.batch), self.sample(self.batch))
        self._seen = real
        loss, extra = self._critic_loss(self.critic, real, fake)
        self._descend(1, loss if extra is None else loss + extra)
        self._restrain()
        return -loss.detach()

    def improve_generator(self):
        """One step of the generator alone; the critic must have seen data before."""
        (fake,) = self._blurred(self.generator(self._noise(self.batch)))
        loss = self._generator_loss(fake)
        if self.penalty is not None:
            loss = loss + self._shaped(self.penalty(self.generator, self.taken), "penalty")
        self._descend(0, loss)

    @torch.no_grad()
    def sample(self, number):
        """New fakes, shape (models, number, d)."""
        return self.generator(self._noise(count(number, "number")))

    def state_dict(self):
        """All that a run depends on beyond its arguments, as tensors and plain data, for `torch.save`."""
        parts = [self.generator, self.critic, *(player.optimiser for player in self._players)]
        return {
            "parts": [copy.deepcopy(one.state_dict()) for one in parts],
            "random": self.random.get_state(),
            "history": self.history,
            "taken": self.taken,
        }

    def load_state_dict(self, state):
        """Go on where the run that gave `state` stopped; this one must have been made with the same arguments."""
        parts = [self.generator, self.critic, *(player.optimiser for player in self._players)]
        for one, kept in zip(parts, state["parts"], strict=True):
            one.load_state_dict(kept)
        self.random.set_state(state["random"].cpu())
        self.history, self.taken = state["history"], state["taken"]

    # What a game may add to its losses

    def _slope_penalty(self, critic, real, fake):
        """What the critic's loss adds for its slopes, shape (models,), or None."""

    def _restrain(self):
        """What happens to the critic after each of its steps."""

    # Draws

    def _data(self, number):
        return self.draw((self.models, number), self.random).to(self._weight)

    def _noise(self, number):
        weight = next(self.generator.parameters())
        shape = self.models, number, self.generator.inputs
        return torch.randn(shape, generator=self.random, dtype=weight.dtype, device=weight.device)

    def _blurred(self, *batches):
        """The batches as the critic sees them."""
        if self.noise is None:
            return batches
        deviation = number(self.noise(self.taken), "noise", "a number of at least 0 from each step")
        if deviation < 0:
            fail("noise", "a number of at least 0 from each step", deviation)
        like = {"dtype": self._weight.dtype, "device": self._weight.device}
        return [one + deviation * torch.randn(one.shape, generator=self.random, **like) for one in batches]

    # Losses

    def _critic_loss(self, critic, real, fake):
        """The critic's loss, and what is added to it or None, shape (models,) each."""
        loss = self._shaped(self.losses.critic(critic, real, fake), "losses.critic")
        extra = self._slope_penalty(critic, real, fake)
        if self.penalty is not None:
            more = self._shaped(self.penalty(critic, self.taken), "penalty")
            extra = more if extra is None else extra + more
        return loss, extra

    def _generator_loss(self, fake):
        if self.unroll == 0:
            return self._shaped(self.losses.generator(self.critic, self._seen, fake), "losses.generator")
        values = self._foreseen(fake if self.through else fake.detach())
        return self._shaped(self._at(values, self.losses.generator, self._seen, fake), "losses.generator")

    def _foreseen(self, fake):
        """The critic's parameters after K steps more on this batch, by their names."""

        def loss(critic, real, fake):
            one, extra = self._critic_loss(critic, real, fake)
            return one if extra is None else one + extra

        player = self._players[1]
        values = {key: one.detach().requires_grad_() for key, one in self.critic.named_parameters()}
        means, squares, taken = player.moments()
        for step in range(1, self.unroll + 1):
            total = self._at(values, loss, self._seen, fake).sum()
            slopes = torch.autograd.grad(
                total, list(values.values()), create_graph=self.through, materialize_grads=True
            )
            means = [torch.lerp(g, m, player.each(g, "momenta")) for g, m in zip(slopes, means, strict=True)]
            squares = [DECAY * v + (1 - DECAY) * g * g for g, v in zip(slopes, squares, strict=True)]
            moved = {}
            for (key, one), m, v in zip(values.items(), means, squares, strict=True):
                m = m / (1 - player.each(one, "momenta") ** (taken + step))
                v = (v / (1 - DECAY ** (taken + step))).clamp_min(torch.finfo(v.dtype).tiny)  # its root has a slope
                moved[key] = one - player.each(one, "rates") * m / (v.sqrt() + EPSILON)
            values = moved if self.through else {key: one.detach().requires_grad_() for key, one in moved.items()}
        return values

    def _at(self, values, loss, real, fake):
        """The `loss`, with these values for the critic's parameters."""
        named = {f"critic.{key}": one for key, one in values.items()}
        return torch.func.functional_call(_Loss(self.critic, loss), named, (real, fake))

    def _shaped(self, loss, label):
        if not isinstance(loss, torch.Tensor) or loss.shape != (self.models,):
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            fail(label, f"a function of shape ({self.models},), a number for each model", got)
        return loss

    # Steps

    def _descend(self, place, losses):
        """One step down of the generator, 0, or the critic, 1."""
        player, who = self._players[place], ("generator", "critic")[place]
        if not losses.requires_grad:
            fail(f"losses.{who}", f"a function that depends on the parameters of the {who}", "a constant")
        gradients = torch.autograd.grad(losses, player.parameters, torch.ones_like(losses), materialize_grads=True)
        if not math.isfinite(torch.cat([one.flatten() for one in gradients]).sum()):
            if self.losses.may_overflow:
                gradients = [one.nan_to_num(0.0, 0.0, 0.0) for one in gradients]
            else:
                self._refuse([losses[:, None]], f"loss of the {who}")
                self._refuse(gradients, f"gradient of the {who}")
        player.descend(gradients)

    def _refuse(self, parts, quantity):
        """Raise where some model has numbers that are not finite among the `parts`, its axis first."""
        finite = torch.stack([torch.isfinite(one).flatten(1).all(1) for one in parts]).all(0)
        if not finite.all():
            which = (~finite).nonzero().flatten().tolist()
            where = f"{self.name}: {quantity} of model(s) {which}"
            raise RuntimeError(f"{where}: not finite at step {self.taken}; a smaller rate may help")


class _Player:
    """A network, its rates and momenta, and the optimiser: of PyTorch, in which neighbours with the same settings are a
    group, or, where these are many, Adam for all at once."""

    def __init__(self, network, rates, momenta):
        self.parameters = list(network.parameters())
        settings = [(pair, len(list(run))) for pair, run in groupby(zip(rates, momenta, strict=True))]
        self.settings = {"rates": rates, "momenta": momenta}
        self.sizes = [size for _, size in settings]
        if momenta[0] is not None and len(settings) > MANY:
            self.sizes = [sum(self.sizes)]
            self.optimiser = _Adam(
                {"params": [one]} | {setting: self.each(one, setting) for setting in self.settings}
                for one in self.parameters
            )
            return
        parts = self.parameters if len(settings) == 1 else self.split(self.parameters)
        each = len(self.parameters)
        groups = [
            {"params": parts[place * each : (place + 1) * each], "lr": rate}
            for place, ((rate, _), _) in enumerate(settings)
        ]
        if momenta[0] is None:
            self.optimiser = torch.optim.RMSprop(groups)
            return
        for group, ((_, momentum), _) in zip(groups, settings, strict=True):
            group["betas"] = momentum, DECAY
        self.optimiser = torch.optim.Adam(groups, fused=True, eps=EPSILON)

    def descend(self, gradients):
        """A step along minus the `gradients`, one for each parameter; the fused Adam reads them in the order of its
        parameters in memory, whatever their own is."""
        gradients = [one.contiguous() for one in gradients]
        places = [one for group in self.optimiser.param_groups for one in group["params"]]
        if len(self.sizes) > 1:
            gradients = self.split(gradients)
            for place, value in zip(places, self.split(self.parameters), strict=True):
                place.data = value  # anew, as the network's may have been replaced
        for place, gradient in zip(places, gradients, strict=True):
            place.grad = gradient
        self.optimiser.step()
        for place in places:
            place.grad = None

    def split(self, values):
        """The parts of each group, one after the other, of a tensor for each parameter."""
        parts = zip(*(one.detach().split(self.sizes) for one in values), strict=True)
        return [one for part in parts for one in part]

    def each(self, like, setting):
        """A setting of each model, to be multiplied with a parameter."""
        return like.new_tensor(self.settings[setting]).view(-1, *[1] * (like.ndim - 1))

    def moments(self):
        """Adam's means and mean squares of each parameter, and how many steps it has taken."""
        parts = [self.optimiser.state[one] for group in self.optimiser.param_groups for one in group["params"]]
        if not parts[0]:
            zeros = [torch.zeros_like(one) for one in self.parameters]
            return zeros, zeros, 0
        each = len(self.parameters)
        joined = [
            [torch.cat([part[key] for part in parts[place::each]]) for place in range(each)]
            for key in ("exp_avg", "exp_avg_sq")
        ]
        return *joined, int(parts[0]["step"])


class _Adam(torch.optim.Optimizer):
    """Adam by the arithmetic of PyTorch's for all models at once, where a group for each would cost a call for each:
    the groups are the parameters, with a rate and a momentum for each model to multiply them with."""

    def __init__(self, groups):
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self):
        """One step along minus the gradients."""
        for group in self.param_groups:
            (place,), rate, momentum = group["params"], group["rates"], group["momenta"]
            state = self.state[place]
            if not state:
                state |= {"step": torch.tensor(0.0)} | {
                    key: torch.zeros_like(place) for key in ("exp_avg", "exp_avg_sq")
                }
            state["step"] += 1
            steps, mean, square = int(state["step"]), state["exp_avg"], state["exp_avg_sq"]
            mean.lerp_(place.grad, 1 - momentum)
            square.mul_(DECAY).addcmul_(place.grad, place.grad, value=1 - DECAY)
            size = square.sqrt().div_((1 - DECAY**steps) ** 0.5).add_(EPSILON)
            place.addcdiv_(mean * (rate / (1 - momentum**steps)), size, value=-1)


class _Loss(nn.Module):
    """A loss as a module, so that it can be read at other parameters of the critic."""

    def __init__(self, critic, loss):
        super().__init__()
        self.critic, self.loss = critic, loss

    def forward(self, real, fake):
        return self.loss(self.critic, real, fake)


def _network(network, name):
    """A module with models, inputs and outputs, of which each parameter has the axis of the models first."""
    instance(network, name, nn.Module)
    for size in ("models", "inputs", "outputs"):
        count(getattr(network, size, None), f"{name}.{size}")
    shapes = [tuple(one.shape) for one in network.parameters()]
    if not shapes or any(shape[:1] != (network.models,) for shape in shapes):
        fail(name, f"parameters with the axis of the {network.models} model(s) first", shapes)
    return network


def _each(value, name, models):
    """A number for each model."""
    value = tensor(value, name)
    return (value.expand(models) if value.ndim == 0 else tensor(value, name, shape=(models,))).tolist()


def _refuse_first(values, name, wanted, fits):
    for one in values:
        if not fits(one):
            fail(name, wanted, one)

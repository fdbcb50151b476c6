"""A generator and a critic that learn in turn, many pairs of networks at once: what such games have in common."""

import torch
from tqdm import tqdm

from helpers.montecarlo import DELAY
from helpers.networks import MLP
from helpers.randomness import generator as named_generator
from helpers.validation import a_function, count, fail, instance, tensor

__all__ = ["Alternation"]


class Alternation:
    r"""A `generator` and a `critic`, two `MLP`s of as many models, and in each step `critic_steps` of the critic and
    then one of the generator, whose fakes are $G_\theta(z)$, $z\sim\mathcal N(0,I)$.

    `draw(shape, generator)` gives data of the shape (*shape, d), where `shape` is (models, `batch`): every model sees
    data and noise of its own, from `generator(name)` of `helpers.randomness` on the device of the critic. A game says
    what a step is: `_improve_critic()` takes one and returns what `history` keeps of it, shape (models,),
    `_improve_generator()` takes one, and `_check()` raises `RuntimeError` where a weight is no longer finite. Raises
    `ValueError` for networks that do not go together, numbers that are no counts, and data of another shape.
    """

    def __init__(self, generator, critic, draw, *, name, batch, critic_steps):
        self.generator, self.critic = instance(generator, "generator", MLP), instance(critic, "critic", MLP)
        models, d = generator.models, generator.sizes[-1]
        if critic.models != models or critic.sizes[0] != d or critic.sizes[-1] != 1:
            wanted = f"sizes ({d}, ..., 1) for {models} model(s), as the generator has them"
            fail("critic", wanted, f"sizes {critic.sizes} for {critic.models} model(s)")
        a_function(draw, "draw", "a shape and a generator")
        self.draw, self.name = draw, name
        self.batch, self.critic_steps = count(batch, "batch"), count(critic_steps, "critic_steps")
        device = critic.weights[0].device
        self.random = named_generator(name, device)
        tensor(draw((models, 1), named_generator(f"{name}: a look", device)), "draw", shape=(models, 1, d))
        self.history = critic.weights[0].new_empty(0, models)

    def run(self, steps):
        """Take `steps` steps more; returns itself. A progress bar appears on stderr after three seconds, unless the
        environment has `TQDM_DISABLE=1` when Python starts."""
        values = []
        for _ in tqdm(range(count(steps, "steps")), self.name, delay=DELAY, leave=False, unit="step"):
            for _ in range(self.critic_steps):
                value = self._improve_critic()
            values.append(value)
            self._improve_generator()
        self.history = torch.cat([self.history, torch.stack(values)])
        self._check()
        return self

    @torch.no_grad()
    def sample(self, number):
        """New fakes, shape (models, number, d)."""
        return self.generator(self._noise(count(number, "number")))

    def _data(self, number):
        return self.draw((self.critic.models, number), self.random).to(self.critic.weights[0])

    def _noise(self, number):
        weights = self.generator.weights[0]
        shape = self.generator.models, number, self.generator.sizes[0]
        return torch.randn(shape, generator=self.random, dtype=weights.dtype, device=weights.device)
